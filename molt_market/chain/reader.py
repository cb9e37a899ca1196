"""What the chain says of deals, and of those that could be opened."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from eth_abi.abi import encode
from eth_utils import keccak

from molt_market.chain.calls import match_tuple
from molt_market.chain.deployments import Deployment
from molt_market.chain.interface import interface
from molt_market.chain.node import MOST_AT_ONCE, Node
from molt_market.chain.views import EscrowViews
from molt_market.chain.words import stored_deals
from molt_market.domain.amounts import Amount
from molt_market.domain.balances import Balances
from molt_market.domain.deals import Deal, DealStatus, EscrowAccount
from molt_market.domain.events import DEAL_EVENTS, DealClosed, DealOpened, Event
from molt_market.domain.fields import moment
from molt_market.domain.ids import ZERO_ADDRESS, Address, EscrowId, Hash32, OfferId, OrderId
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.domain.settlement import bond, price
from molt_market.domain.terms import Terms
from molt_market.domain.transactions import Call
from molt_market.errors import DealNotFound, MarketError, NodeError, Refused, UnsignedOffer
from molt_market.refusals import refusal
from molt_market.signing.hashes import deal_id as id_of
from molt_market.signing.hashes import offer_hash, offer_message, order_message

ESCROW = interface("MoltEscrow")
ACCOUNTS_AT = 3  # where the contract keeps its accounts
LIVE = (DealStatus.LOCKED, DealStatus.CLAIMED, DealStatus.DISPUTED)
STAND_IN = Address.of(1)  # for a buyer who has no account yet, only a name


class EscrowReader(EscrowViews):
    """Reads one deployment through one node, which it trusts for the state, not for the terms of a deal."""

    def __init__(self, node: Node, deployment: Deployment) -> None:
        super().__init__(node, deployment)
        self._opened: dict[EscrowId, DealOpened] = {}

    def escrow(self, deal_id: EscrowId) -> EscrowAccount:
        """Return a deal as it is now.

        The chain knows no order and offer ids of books: the order's hash and `<provider>:<slot>` stand for
        them.

        Raises:
            DealNotFound: the contract has no such deal.
        """
        deal = self._deal(deal_id)
        if deal.status == DealStatus.NONE:
            raise DealNotFound(deal_id)
        opened = self._opening(deal_id)
        closed_at = self._closed_at(deal_id, opened) if deal.status >= DealStatus.RELEASED else None
        return self._escrow_account(deal, opened, closed_at)

    def deals(
        self, deal_ids: Collection[EscrowId]
    ) -> dict[EscrowId, tuple[EscrowAccount, tuple[Event, ...]]]:
        """Return many deals as they are now, each with its log, in few requests; without unknown ones."""
        ids = list(dict.fromkeys(deal_ids))
        stored = zip(ids, stored_deals(self.node, self.deployment.escrow, ids), strict=True)
        known = {deal_id: deal for deal_id, deal in stored if deal.status != DealStatus.NONE}
        logs = self._logs_of(list(known))
        closings = [each for log in logs.values() for each in log if isinstance(each, DealClosed)]
        times = self.node.block_times({closing.block for closing in closings})
        closed_at = {each.deal_id: moment(times[each.block]) for each in closings}
        found = {}
        for deal_id, deal in known.items():
            opened = self._opened[deal_id]
            when = closed_at.get(deal_id) if deal.status >= DealStatus.RELEASED else None
            found[deal_id] = (self._escrow_account(deal, opened, when), tuple(logs[deal_id]))
        return found

    def live_deals(
        self, party: Address | None = None, *, among: Collection[DealStatus] = LIVE
    ) -> list[EscrowId]:
        """Return the deals that still hold money, the oldest first: all, or those of a buyer or provider.

        `among`: only those in one of these statuses.
        """
        sides: list[list[str | None]] = [[]]
        if party is not None:
            sides = [[None, _padded(party)], [None, None, _padded(party)]]
        found = [each for side in sides for each in self._openings(*side)]
        found.sort(key=lambda each: (each.block, each.log_index))
        ids = list(dict.fromkeys(each.deal_id for each in found))
        stored = stored_deals(self.node, self.deployment.escrow, ids)
        return [deal_id for deal_id, deal in zip(ids, stored, strict=True) if deal.status in among]

    def deals_of(self, party: Address) -> list[EscrowId]:
        """Return the deals in which an account has a part, also the closed ones, the oldest first.

        Its part may be any: buyer, voucher signer, provider or agent. The log has an index of two of them
        only, so that all openings are read.
        """
        return [each.deal_id for each in self._openings() if party in each.terms.parties]

    def is_open(self, deal_id: EscrowId) -> bool:
        """Tell whether a deal was ever opened."""
        return self._deal(deal_id).status != DealStatus.NONE

    def deal_events(self, deal_id: EscrowId) -> tuple[Event, ...]:
        """Return all that was logged about a deal, in order; its opening first."""
        opened = self._opening(deal_id)
        return self._logs(opened.block, [None, deal_id], Event)

    def check(
        self,
        offer: CapacityOffer,
        order: JobOrder,
        opener: Address,
        *,
        balances: Mapping[Address, Amount] | None = None,
    ) -> Refused | None:
        """Ask the contract what it would answer to `opener` opening this match; None: it would open it.

        `balances`: as if these accounts had these amounts in the escrow, for example after a deposit that
        comes along. The node has to know state overrides, as all common ones do.
        """
        call, storage = self._check(offer, order, opener), _stored(balances)
        return _refusal(self.node.call(call, block="pending", storage=storage))

    def check_all(
        self,
        matches: Sequence[tuple[CapacityOffer, JobOrder]],
        opener: Address,
        *,
        balances: Mapping[Address, Amount] | None = None,
    ) -> list[MarketError | None]:
        """Ask the same of many matches, each by itself, in few requests; what `check` raises is an answer."""
        calls = [self._check(*match, opener) for match in matches]
        answers = self.node.calls(calls, block="pending", storage=_stored(balances))
        return [each if isinstance(each, MarketError) else _refusal(each) for each in answers]

    def obstacle(self, offer: CapacityOffer, order: JobOrder) -> MarketError | None:
        """Say what stands in the way of a deal from a signed offer and an order now; None: nothing.

        For the order book. An order without a signature is taken as its buyer would sign it for this offer,
        and pay for it out of wallet and escrow. One that is signed and names its opener has to be paid for
        by what lies in the escrow. What is marked for withdrawal does not count, nor towards the bond.
        """
        if offer.signature is None:
            return UnsignedOffer(offer.id)
        asked = order if order.signature else self._as_signed(order, offer)
        buyer, provider = order_message(asked).buyer, offer_message(offer).provider
        named = order.opener if order.signature else None
        cost = order.requirements.cost_at(offer.price_per_hour)
        of_buyer, of_provider = self.balances_of([buyer, provider])
        balances = {
            buyer: _funds(buyer, of_buyer, cost, resting=named is not None),
            provider: of_provider.staying,
        }
        opener = named if named and named != ZERO_ADDRESS else buyer
        return self.check(offer, asked, opener, balances=balances)

    # ---------------------------------------------------------------- inside

    def _check(self, offer: CapacityOffer, order: JobOrder, opener: Address) -> Call:
        return Call(self.deployment.escrow, ESCROW.encode("check", match_tuple(offer, order), opener))

    def _as_signed(self, order: JobOrder, offer: CapacityOffer) -> JobOrder:
        """Return an order as its buyer would sign it for this offer, without a signature."""
        buyer = order.buyer_id.address or STAND_IN
        return order.model_copy(
            update={
                "buyer_id": buyer,
                "slot": self.next_order_slot(buyer) if order.slot is None else order.slot,
                "policy_id": order.policy_id or offer.policy_id,
                "offer_hash": order.offer_hash or offer_hash(offer, self.domain),
            }
        )

    def _escrow_account(self, deal: Deal, opened: DealOpened, closed_at: datetime | None) -> EscrowAccount:
        terms = opened.terms
        return EscrowAccount(
            id=opened.deal_id,
            order_id=OrderId(terms.order_hash),
            offer_id=OfferId(f"{terms.provider}:{terms.slot}"),
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

    def _deal(self, deal_id: EscrowId) -> Deal:
        status, *fields = self._view("dealOf", deal_id)
        return Deal(DealStatus(status), *fields)

    def _logs_of(self, deal_ids: Sequence[EscrowId]) -> dict[EscrowId, list[Event]]:
        """Return all that was logged about deals, in order; keep their openings."""
        logs: dict[EscrowId, list[Event]] = {deal_id: [] for deal_id in deal_ids}
        for first in range(0, len(deal_ids), MOST_AT_ONCE):
            some = list(deal_ids[first : first + MOST_AT_ONCE])
            logs_of_some = self._spans.whole([None, some], self.deployment.block)
            if logs_of_some is None:
                logs_of_some = self._spans.logs([None, some], min(self._opening(each).block for each in some))
            for event in self._events(logs_of_some, Event):
                if isinstance(event, DEAL_EVENTS):
                    logs[event.deal_id].append(event)
        for deal_id, log in logs.items():
            if not log or not isinstance(log[0], DealOpened):
                raise NodeError(f"the node shows no opening of deal {deal_id}: do not use this node")
            self._require_terms(deal_id, log[0].terms)
            self._opened[deal_id] = log[0]
        return logs

    def _openings(self, *indexed: str | None) -> tuple[DealOpened, ...]:
        """Return the openings of all deals with these words: the deal's id, buyer, provider; None: any."""
        return self._logs(self.deployment.block, [ESCROW.topic("DealOpened"), *indexed], DealOpened)

    def _opening(self, deal_id: EscrowId) -> DealOpened:
        if deal_id not in self._opened:
            topics = [ESCROW.topic("DealOpened"), deal_id]
            logs = self._spans.whole(topics, self.deployment.block)
            if logs is None:
                deal = self._deal(deal_id)
                if deal.status == DealStatus.NONE:
                    raise DealNotFound(deal_id)
                logs = self._spans.logs(topics, *self._blocks_of(deal.opened_at))
            found = self._events(logs, DealOpened)
            if not found:
                raise DealNotFound(deal_id)
            self._require_terms(deal_id, found[0].terms)
            self._opened[deal_id] = found[0]
        return self._opened[deal_id]

    def _blocks_of(self, second: int) -> tuple[int, int]:
        """Return the first and the last block of a Unix second: the contract has kept when, not where."""
        start, end = self.deployment.block, self.node.number("eth_blockNumber") + 1
        time = self.node.block_time
        first = bisect_left(range(end), second, start, key=time)
        return first, bisect_right(range(end), second, first, key=time) - 1

    def _require_terms(self, deal_id: EscrowId, terms: Terms) -> None:
        if id_of(terms, self.domain) != deal_id:
            raise NodeError(f"the node shows other terms for deal {deal_id}: do not use this node")

    def _closed_at(self, deal_id: EscrowId, opened: DealOpened) -> datetime | None:
        closings = self._logs(opened.block, [ESCROW.topic("DealClosed"), deal_id], DealClosed)
        return moment(self.node.block_time(closings[0].block)) if closings else None


def _padded(account: Address) -> str:
    """Write an account as the log's index has it: a word."""
    return _word(account.number())


def _refusal(answer: bytes) -> Refused | None:
    code, actual, limit = ESCROW.decode("check", answer)
    return refusal(code, actual, limit) if code else None


def _funds(buyer: Address, has: Balances, cost: Amount, *, resting: bool) -> Amount:
    """Return what a buyer could pay of a cost."""
    if buyer == STAND_IN:
        return cost
    return has.staying if resting else min(has.total, cost)


def _stored(balances: Mapping[Address, Amount] | None) -> dict[Hash32, Hash32] | None:
    """Return the words that the contract would store for these balances."""
    if not balances:
        return None
    return {_account_slot(account): _word(amount.base_units) for account, amount in balances.items()}


def _account_slot(account: Address) -> Hash32:
    """Return where the contract keeps an account; its balance is in the lowest bits of the word."""
    return Hash32.of(keccak(encode(["address", "uint256"], [account, ACCOUNTS_AT])))


def _word(value: int) -> Hash32:
    return Hash32.of(value.to_bytes(32, "big"))
