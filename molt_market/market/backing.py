"""What has to lie in the escrow behind an offer or an order that rests in a book: no spam for nothing."""

from __future__ import annotations

from typing import Protocol

from molt_market.domain.amounts import Token
from molt_market.domain.balances import Balances
from molt_market.domain.ids import Address, Hash32
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.domain.settlement import bond
from molt_market.errors import TokenMismatch
from molt_market.refusals import BuyerBalance, ProviderBalance
from molt_market.signing.hashes import offer_message, order_message
from molt_market.signing.messages import Policy


class Chain(Protocol):
    """What a market asks the chain; `molt_market.chain.client.MoltClient` is one."""

    @property
    def token(self) -> Token: ...

    def balances(self, account: Address) -> Balances: ...

    def stored_policy(self, policy_id: Hash32) -> Policy: ...

    def is_approved(self, account: Address, digest: Hash32) -> bool: ...


def require_backed_offer(offer: CapacityOffer, chain: Chain) -> None:
    """Refuse an offer whose provider could not stake the bond of all its GPUs for the shortest deal.

    Raises:
        TokenMismatch: its price is in another token. PolicyNotFound: its policy is not registered.
        ProviderBalance: the provider has less in the escrow that is not marked for withdrawal.
    """
    _require_token(offer.price_per_hour.token, chain.token)
    message = offer_message(offer)
    policy = chain.stored_policy(Hash32(message.policy_id))
    price = offer.price_per_hour.base_units * message.gpu_count * message.min_commitment_hours
    needed = bond(price, policy.bond_bps)
    staying = chain.balances(message.provider).staying.base_units
    if staying < needed:
        raise ProviderBalance(staying, needed)


def require_backed_order(order: JobOrder, chain: Chain) -> None:
    """Refuse an order whose buyer has less in the escrow than its budget.

    Raises:
        TokenMismatch: its price is in another token. PolicyNotFound: its policy is not registered.
        BuyerBalance: the buyer has less that is not marked for withdrawal.
    """
    _require_token(order.budget.token, chain.token)
    message = order_message(order)
    chain.stored_policy(Hash32(message.policy_id))
    staying = chain.balances(message.buyer).staying.base_units
    if staying < message.max_budget:
        raise BuyerBalance(staying, message.max_budget)


def _require_token(given: Token, token: Token) -> None:
    if given != token:
        raise TokenMismatch(given, token)
