"""What the parties of one escrow write and sign before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from molt_market.domain.ids import Address
from molt_market.signing import messages
from molt_market.signing.signers import recover
from molt_market.signing.typed_data import Domain, Message, TokenDomain
from tests.contracts.actors import BY_ADDRESS, Actor
from tests.contracts.factories import HOUR, Match, OpenDeal, make_offer, make_order

NEVER = 2**40 - 1
Fields = Mapping[str, Any]


class Desk:
    """Makes matches, vouchers and permits for one escrow and its token."""

    def __init__(self, domain: Domain, token_domain: TokenDomain) -> None:
        self.domain = domain
        self.token_domain = token_domain
        self.policies: dict[str, messages.Policy] = {}
        self._next_slot = 1_000

    @property
    def policy_id(self) -> str:
        """The policy that was registered first."""
        return next(iter(self.policies))

    def slot(self) -> int:
        """Return a slot that nobody has used."""
        self._next_slot += 1
        return self._next_slot

    def match(
        self,
        offer: Fields | None = None,
        order: Fields | None = None,
        *,
        offer_sig: bytes | None = None,
        order_sig: bytes | None = None,
    ) -> Match:
        """Make the default pair with these fields changed, signed by both if nothing else is given."""
        offered = make_offer(**{"policy_id": self.policy_id, **(offer or {})})
        ordered = make_order(**{"policy_id": self.policy_id, **(order or {})})
        return Match(
            offer=offered,
            order=ordered,
            offer_sig=self.sign(offered.provider, offered) if offer_sig is None else offer_sig,
            order_sig=self.sign(ordered.buyer, ordered) if order_sig is None else order_sig,
        )

    def vary(self, side: str, **fields: Any) -> Match:
        """Make the default pair with these fields of one side, "offer" or "order", changed."""
        return self.match(fields) if side == "offer" else self.match(order=fields)

    def sign(self, address: str, message: Message) -> bytes:
        """Sign as whoever has this address; of an address that is nobody's, give zeros."""
        actor = BY_ADDRESS.get(Address(address))
        return b"\0" * 65 if actor is None else actor.sign(message, self.domain)

    def digest(self, message: Message) -> str:
        return "0x" + message.digest(self.domain).hex()

    def recovered(self, message: Message, signature: bytes) -> str:
        """Return whom the chain takes for the signer: mostly some address that nobody owns."""
        return recover(message.digest(self.domain), "0x" + signature.hex())

    def terms(self, match: Match) -> messages.Terms:
        offer, order = match.offer, match.order
        return messages.Terms(
            buyer=order.buyer,
            voucher_signer=order.voucher_signer,
            provider=offer.provider,
            agent=offer.agent,
            price_per_gpu_hour=offer.price_per_gpu_hour,
            gpu_count=order.gpu_count,
            duration=order.duration_hours * HOUR,
            commitment=offer.min_commitment_hours * HOUR,
            slot=offer.slot,
            policy_id=offer.policy_id,
            order_hash=self.digest(order),
        )

    def voucher(self, deal: OpenDeal, units: int) -> bytes:
        return self.sign(deal.terms.voucher_signer, messages.Voucher(deal.id, units))

    def permit(self, owner: Actor, amount: int, *, deadline: int = NEVER, nonce: int = 0) -> bytes:
        message = messages.Permit(owner.address, self.domain.escrow, amount, nonce, deadline)
        return owner.sign(message, self.token_domain)
