"""What the chain says of deals, accounts and policies."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, TypeVar

from molt_market.chain.calls import match_tuple
from molt_market.chain.deployments import Deployment
from molt_market.chain.events import decode_logs
from molt_market.chain.interface import interface
from molt_market.chain.node import Node, readable
from molt_market.chain.token import TokenContract
from molt_market.domain.amounts import Amount, Token
from molt_market.domain.balances import Balances
from molt_market.domain.deals import Deal, DealStatus, EscrowAccount
from molt_market.domain.events import DealClosed, DealOpened, Event, PolicyRegistered
from molt_market.domain.fields import moment
from molt_market.domain.ids import ZERO_ADDRESS, Address, EscrowId, Hash32, OfferId, OrderId
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.domain.policies import Policy
from molt_market.domain.settlement import bond, price
from molt_market.domain.terms import Terms
from molt_market.domain.transactions import Call
from molt_market.errors import DealNotFound, NodeError, PolicyNotFound, Refused
from molt_market.refusals import refusal
from molt_market.signing.hashes import deal_id as id_of
from molt_market.signing.hashes import policy_id as id_of_policy
from molt_market.signing.messages import Side
from molt_market.signing.typed_data import Domain

ESCROW = interface("MoltEscrow")
ORDERS_PER_GROUP = 128
ALL_OPENED = 2**ORDERS_PER_GROUP - 1

Found = TypeVar("Found", bound=Event)


class ChainClock:
    """The time that the next block would have: what the contract will compare with."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def now(self) -> datetime:
        return moment(self._node.block_time())


class EscrowReader:
    """Reads one deployment through one node, which it trusts for the state, not for the terms of a deal."""

    def __init__(self, node: Node, deployment: Deployment) -> None:
        self.node = node
        self.deployment = deployment
        self.domain = Domain(deployment.chain_id, deployment.escrow)
        self.clock = ChainClock(node)
        self.token_contract = TokenContract(node, deployment.chain_id, deployment.token_address)
        self._opened: dict[EscrowId, DealOpened] = {}
        self._first_group: dict[Address, int] = {}  # of each buyer: the first group with an unused slot

    @property
    def token(self) -> Token:
        """The token that all amounts are in."""
        return self.deployment.money

    def now(self) -> datetime:
        """Return the chain's time."""
        return self.clock.now()

    # ---------------------------------------------------------------- deals

    def escrow(
        self, deal_id: EscrowId, *, order_id: OrderId | None = None, offer_id: OfferId | None = None
    ) -> EscrowAccount:
        """Return a deal as it is now.

        The chain knows no order and offer ids of books: unless they are given, the order's hash and
        `<provider>:<slot>` stand for them.

        Raises:
            DealNotFound: the contract has no such deal.
        """
        deal = self._deal(deal_id)
        if deal.status == DealStatus.NONE:
            raise DealNotFound(deal_id)
        opened = self._opening(deal_id)
        terms = opened.terms
        closed_at = self._closed_at(deal_id, opened) if deal.status >= DealStatus.RELEASED else None
        return EscrowAccount(
            id=deal_id,
            order_id=order_id or OrderId(terms.order_hash),
            offer_id=offer_id or OfferId(f"{terms.provider}:{terms.slot}"),
            buyer=terms.buyer,
            provider=terms.provider,
            amount=self._amount(price(terms)),
            created_at=moment(deal.opened_at),
            locked_until=moment(deal.deadline),
            released_at=closed_at,
            transaction_id=opened.transaction_id,
            status=deal.status,
            terms=terms,
            bond=self._amount(bond(price(terms), deal.bond_bps)),
            paid_gpu_seconds=deal.paid,
            claimed_gpu_seconds=deal.claim,
            fee_bps=deal.fee_bps,
            bond_bps=deal.bond_bps,
            notice_minutes=deal.notice_minutes,
            opened_at=moment(deal.opened_at),
            ends_at=moment(deal.ends_at),
            excused=deal.excused,
            attested=deal.attested,
            stopped=deal.stopped,
        )

    def is_open(self, deal_id: EscrowId) -> bool:
        """Tell whether a deal was ever opened."""
        return self._deal(deal_id).status != DealStatus.NONE

    def deal_events(self, deal_id: EscrowId) -> tuple[Event, ...]:
        """Return all that was logged about a deal, in order; its opening first."""
        opened = self._opening(deal_id)
        return self._logs(opened.block, [None, deal_id], Event)

    def check(self, offer: CapacityOffer, order: JobOrder, opener: Address) -> Refused | None:
        """Ask the contract what it would answer to `opener` opening this match; None: it would open it."""
        code, actual, limit = self._view("check", match_tuple(offer, order), opener, block="pending")
        return refusal(code, actual, limit) if code else None

    # ---------------------------------------------------------------- accounts

    def balance_of(self, account: Address) -> Amount:
        """Return an account's own tokens, those in the escrow left out."""
        return self._amount(self.token_contract.balance_of(account))

    def balances(self, account: Address, *, pending: bool = False) -> Balances:
        """Return an account's own tokens and its balance in the escrow.

        With `pending`, what is sent and not yet mined counts too, as far as the node knows it.
        """
        block = "pending" if pending else "latest"
        balance, withdrawing, unlock_at, _ = self._view("accountOf", account, block=block)
        return Balances(
            wallet=self._amount(self.token_contract.balance_of(account, block)),
            escrow=self._amount(balance),
            withdrawing=self._amount(withdrawing),
            unlock_at=moment(unlock_at) if withdrawing else None,
        )

    def gpus_in_use(self, provider: Address, slot: int) -> int:
        """Return how many GPUs of a provider's slot are in use by deals."""
        return int(self._view("gpusInUse", provider, slot))

    def next_order_slot(self, buyer: Address, skip: Collection[int] = ()) -> int:
        """Return the lowest slot of a buyer's that opened no deal yet and is not in `skip`.

        Slots go up one by one, so that 128 orders share a word of storage.
        """
        group = self._first_group.get(buyer, 0)
        while True:
            opened = self._view("groupOf", buyer, Side.ORDERS, group)[0]
            if opened == ALL_OPENED and self._first_group.get(buyer, 0) == group:
                self._first_group[buyer] = group + 1
            first = group * ORDERS_PER_GROUP
            for slot in range(first, first + ORDERS_PER_GROUP):
                if not opened >> (slot - first) & 1 and slot not in skip:
                    return slot
            group += 1

    # ---------------------------------------------------------------- policies and fees

    def has_policy(self, policy_id: Hash32) -> bool:
        """Tell whether a policy is registered."""
        return Address(self._view("policyOf", policy_id)[0]) != ZERO_ADDRESS

    def policy(self, policy_id: Hash32) -> Policy:
        """Return a registered policy, its attestors included, from the log. Raises PolicyNotFound."""
        found = self._logs(
            self.deployment.block, [ESCROW.topic("PolicyRegistered"), policy_id], PolicyRegistered
        )
        if not found:
            raise PolicyNotFound(policy_id)
        if id_of_policy(found[0].policy) != policy_id:
            raise NodeError(f"the node shows another policy for {policy_id}: do not use this node")
        return found[0].policy

    def fee_bps(self) -> int:
        """Return the platform's present fee in basis points."""
        return int(self._view("feeBps"))

    # ---------------------------------------------------------------- inside

    def _deal(self, deal_id: EscrowId) -> Deal:
        status, *fields = self._view("dealOf", deal_id)
        return Deal(DealStatus(status), *fields)

    def _opening(self, deal_id: EscrowId) -> DealOpened:
        if deal_id not in self._opened:
            found = self._logs(self.deployment.block, [ESCROW.topic("DealOpened"), deal_id], DealOpened)
            if not found:
                raise DealNotFound(deal_id)
            self._require_terms(deal_id, found[0].terms)
            self._opened[deal_id] = found[0]
        return self._opened[deal_id]

    def _require_terms(self, deal_id: EscrowId, terms: Terms) -> None:
        if id_of(terms, self.domain) != deal_id:
            raise NodeError(f"the node shows other terms for deal {deal_id}: do not use this node")

    def _closed_at(self, deal_id: EscrowId, opened: DealOpened) -> datetime | None:
        closings = self._logs(opened.block, [ESCROW.topic("DealClosed"), deal_id], DealClosed)
        return moment(self.node.block_time(closings[0].block)) if closings else None

    def _logs(self, from_block: int, topics: list[str | None], kind: type[Found]) -> tuple[Found, ...]:
        wanted = {
            "address": self.deployment.escrow,
            "fromBlock": hex(from_block),
            "toBlock": "latest",
            "topics": topics,
        }
        logs = self.node.request("eth_getLogs", wanted)
        with readable("eth_getLogs"):
            found = decode_logs(logs, self.deployment.escrow)
        return tuple(event for event in found if isinstance(event, kind))

    def _view(self, function: str, *values: object, block: str = "latest") -> Any:
        """Ask a view of the escrow; a single value, or a struct's fields, come without their wrapping."""
        call = Call(self.deployment.escrow, ESCROW.encode(function, *values))
        answer = ESCROW.decode(function, self.node.call(call, block=block))
        return answer[0] if len(answer) == 1 else answer

    def _amount(self, base_units: int) -> Amount:
        return Amount(base_units, self.token)
