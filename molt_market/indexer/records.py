"""What the log says of one deal: a pure function of the events about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

from molt_market.domain import events
from molt_market.domain.deals import ATTESTED, EXCUSED, STOPPED, Deal, DealStatus
from molt_market.domain.events import DealEvent
from molt_market.domain.ids import ZERO_HASH, EscrowId, TransactionId
from molt_market.domain.settlement import bond, price
from molt_market.domain.terms import Terms
from molt_market.errors import NodeError

LIVE = (DealStatus.LOCKED, DealStatus.CLAIMED, DealStatus.DISPUTED)


@dataclass(frozen=True, slots=True)
class Fact:
    """An event about a deal, and the Unix second of its block."""

    event: DealEvent
    time: int


@dataclass(frozen=True, slots=True)
class DealRecord:
    """A deal as the log tells it. `deal` is the contract's own word of it; money is in base units.

    `to_provider`, `fee`, `to_buyer` and `share` (the arbiter's) have gone out so far, bonds and stakes
    included; `stake` has come in with a dispute. `closed_at` is the Unix second of the closing's block.
    """

    id: EscrowId
    terms: Terms
    deal: Deal
    opened_by: TransactionId
    to_provider: int = 0
    fee: int = 0
    to_buyer: int = 0
    share: int = 0
    stake: int = 0
    closed_by: TransactionId | None = None
    closed_at: int | None = None

    @property
    def is_live(self) -> bool:
        """Whether it still holds money."""
        return self.deal.status in LIVE

    @property
    def held(self) -> int:
        """Return what has come in and not gone out again."""
        whole = price(self.terms)
        came_in = whole + bond(whole, self.deal.bond_bps) + self.stake
        return came_in - self.to_provider - self.fee - self.to_buyer - self.share


def record_of(facts: Iterable[Fact]) -> DealRecord:
    """Return what the events about one deal come to, its opening first.

    Raises:
        NodeError: they contradict themselves, so that some are missing.
    """
    first, *others = facts
    if not isinstance(first.event, events.DealOpened):
        raise _contradiction(first.event, "does not begin with its opening")
    record = opened(first.event)
    for fact in others:
        record = after(record, fact.event)
        if isinstance(fact.event, events.DealClosed):
            record = replace(record, closed_at=fact.time)
    return record


def opened(event: events.DealOpened) -> DealRecord:
    """Return the record of a deal that has just opened."""
    return DealRecord(event.deal_id, event.terms, event.deal, event.transaction_id)


def after(record: DealRecord, event: DealEvent) -> DealRecord:
    """Return the record after one more event; `closed_at` is not known from that.

    Raises:
        NodeError: the event cannot follow what is known.
    """
    if not record.is_live:
        raise _contradiction(event, "goes on after its end")
    changed = _after(event, record)
    if changed.held < 0 or (changed.held and not changed.is_live):
        raise _contradiction(event, f"does not add up: {changed.held} base units are left")
    return changed


def _contradiction(event: DealEvent, how: str) -> NodeError:
    return NodeError(
        f"the log of deal {event.deal_id} {how}: some of it is missing; use another node, and start anew"
    )


@singledispatch
def _after(event: DealEvent, record: DealRecord) -> DealRecord:  # noqa: ARG001
    raise _contradiction(event, "opens it twice")


@_after.register
def _(event: events.DealPaid, record: DealRecord) -> DealRecord:
    return _with(_paid_out(record, event.to_provider, event.fee), paid=event.gpu_seconds)


@_after.register
def _(event: events.DealStopped, record: DealRecord) -> DealRecord:
    flags = STOPPED | (EXCUSED if event.excused else 0)
    return _with(record, flags=flags, ends_at=event.ends_at, deadline=event.deadline)


@_after.register
def _(event: events.DealClaimed, record: DealRecord) -> DealRecord:
    flags = ATTESTED | (EXCUSED if event.result_digest != ZERO_HASH else 0)
    return _with(
        record, flags=flags, status=DealStatus.CLAIMED, claim=event.gpu_seconds, deadline=event.deadline
    )


@_after.register
def _(event: events.DealDisputed, record: DealRecord) -> DealRecord:
    staked = replace(record, stake=event.stake)
    contested = _paid_out(staked, event.to_provider, event.fee, event.to_buyer)
    return _with(
        contested,
        status=DealStatus.DISPUTED,
        paid=event.counter,
        claim=event.gpu_seconds,
        deadline=event.deadline,
    )


@_after.register
def _(event: events.DealRuled, record: DealRecord) -> DealRecord:
    return replace(record, share=record.share + event.share)


@_after.register
def _(event: events.DealClosed, record: DealRecord) -> DealRecord:
    closed = _paid_out(record, event.to_provider, event.fee, event.to_buyer)
    closed = replace(closed, closed_by=event.transaction_id)
    return _with(closed, status=event.status, paid=event.gpu_seconds)


def _paid_out(record: DealRecord, to_provider: int, fee: int, to_buyer: int = 0) -> DealRecord:
    return replace(
        record,
        to_provider=record.to_provider + to_provider,
        fee=record.fee + fee,
        to_buyer=record.to_buyer + to_buyer,
    )


def _with(record: DealRecord, *, flags: int = 0, **fields: Any) -> DealRecord:
    """Return a record with these fields in the contract's word, and these flags set beside the others."""
    return replace(record, deal=replace(record.deal, flags=record.deal.flags | flags, **fields))
