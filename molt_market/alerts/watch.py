"""Which alerts a deal, or an account's gas money, gives rise to: pure functions of the facts and the time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from molt_market.alerts.kinds import Alert, AlertKind
from molt_market.domain.deals import DealStatus
from molt_market.domain.fields import moment, seconds
from molt_market.domain.ids import Address
from molt_market.errors import InvalidValue, utc
from molt_market.indexer.records import DealRecord

GWEI = 10**9


@dataclass(frozen=True, slots=True)
class AlertLimits:
    """How early, or how late, an alert is raised.

    Args:
        end_near: before the end of an allocation.
        vouchers_lag: of what is delivered, that no voucher has paid.
        closing: before a window closes: to claim, to contest, to rule.
        not_closed: after the deadline of a deal that is still open.
        gas_money: wei that an account has to have.
    """

    end_near: timedelta = timedelta(hours=1)
    vouchers_lag: timedelta = timedelta(hours=2)
    closing: timedelta = timedelta(minutes=30)
    not_closed: timedelta = timedelta(minutes=10)
    gas_money: int = 50_000_000 * GWEI

    def __post_init__(self) -> None:
        times = (self.end_near, self.vouchers_lag, self.closing, self.not_closed)
        if min(times) < timedelta(0) or self.gas_money < 0:
            raise InvalidValue("a limit below zero: give times and wei of 0 or more")


def of_deals(
    live: Iterable[tuple[DealRecord, Address | None]], now: datetime, limits: AlertLimits
) -> Iterator[Alert]:
    """Yield the alerts of deals that are open at a time (UTC), each given with its policy's arbiter."""
    for record, arbiter in live:
        yield from _of_deal(record, arbiter, seconds(now), limits)


def of_gas_money(account: Address, wei: int, now: datetime, limits: AlertLimits) -> Iterator[Alert]:
    """Yield an alert if an account has too little to pay gas with; the same one all day (UTC) long."""
    if wei >= limits.gas_money:
        return
    yield Alert(
        f"{AlertKind.GAS_LOW}:{account}:{now:%Y-%m-%d}",
        AlertKind.GAS_LOW,
        f"{account} has {wei} wei left to pay gas with, less than {limits.gas_money}: send it more",
        operator=True,
        figures={"wei": wei, "limit": limits.gas_money},
    )


# ---------------------------------------------------------------- by status


def _of_deal(record: DealRecord, arbiter: Address | None, now: int, limits: AlertLimits) -> Iterator[Alert]:
    if now >= record.deal.deadline:
        yield from _of_due(record, now, limits)
        return
    match record.deal.status:
        case DealStatus.LOCKED:
            yield from _of_locked(record, now, limits)
        case DealStatus.CLAIMED:
            yield from _of_claimed(record, now, limits)
        case DealStatus.DISPUTED:
            yield from _of_disputed(record, arbiter, now, limits)
        case _:
            return


def _of_locked(record: DealRecord, now: int, limits: AlertLimits) -> Iterator[Alert]:
    deal, terms = record.deal, record.terms
    if 0 < deal.ends_at - now <= _seconds(limits.end_near):
        text = f"the allocation ends at {_at(deal.ends_at)}: redeem vouchers, or agree on what follows"
        yield _alert(AlertKind.END_NEAR, record, deal.ends_at, text, {terms.buyer, terms.provider})
    unpaid = terms.gpu_count * (min(now, deal.ends_at) - deal.opened_at) - deal.paid
    if unpaid > terms.gpu_count * _seconds(limits.vouchers_lag):
        text = (
            f"{unpaid} GPU-seconds are delivered and not paid by voucher: ask for one, or claim after the end"
        )
        yield _alert(
            AlertKind.VOUCHERS_LAG,
            record,
            deal.deadline,
            text,
            {terms.provider},
            again=deal.paid,
            figures={"unpaid_gpu_seconds": unpaid, "paid_gpu_seconds": deal.paid},
        )
    if now >= deal.ends_at and unpaid > 0 and _closes(record, now, limits):
        text = (
            f"what is not claimed by {_at(deal.deadline)} goes back to the buyer: claim, or redeem a voucher"
        )
        yield _alert(AlertKind.CLAIM_CLOSING, record, deal.deadline, text, {terms.provider})


def _of_claimed(record: DealRecord, now: int, limits: AlertLimits) -> Iterator[Alert]:
    deal, buyer = record.deal, {record.terms.buyer}
    figures = {"claimed_gpu_seconds": deal.claim, "paid_gpu_seconds": deal.paid}
    text = f"{deal.claim} GPU-seconds are claimed, and paid unless you contest it before {_at(deal.deadline)}"
    yield _alert(AlertKind.CLAIM_OPENED, record, deal.deadline, text, buyer, figures=figures)
    if _closes(record, now, limits):
        text = f"the claim of {deal.claim} GPU-seconds can be contested only until {_at(deal.deadline)}"
        yield _alert(AlertKind.CONTEST_CLOSING, record, deal.deadline, text, buyer, figures=figures)


def _of_disputed(
    record: DealRecord, arbiter: Address | None, now: int, limits: AlertLimits
) -> Iterator[Alert]:
    deal, terms = record.deal, record.terms
    whom = {terms.buyer, terms.provider} | ({arbiter} if arbiter else set())
    figures = {"counter_gpu_seconds": deal.paid, "claimed_gpu_seconds": deal.claim}
    default = "the claim stands" if deal.attested else "the claim falls"
    span = f"between {deal.paid} and {deal.claim} GPU-seconds"
    text = f"a dispute {span} waits for a ruling until {_at(deal.deadline)}; without one {default}"
    yield _alert(AlertKind.DISPUTE_OPENED, record, deal.deadline, text, whom, figures=figures)
    if _closes(record, now, limits):
        text = f"the time to rule ends at {_at(deal.deadline)}; without a ruling {default}"
        yield _alert(AlertKind.RULING_CLOSING, record, deal.deadline, text, whom, figures=figures)


def _of_due(record: DealRecord, now: int, limits: AlertLimits) -> Iterator[Alert]:
    deal, terms = record.deal, record.terms
    if now >= deal.deadline + _seconds(limits.not_closed):
        text = (
            f"the deadline was {_at(deal.deadline)}, and nobody has closed the deal: anyone may finalize it"
        )
        whom = {terms.buyer, terms.provider}
        yield _alert(AlertKind.NOT_CLOSED, record, None, text, whom, operator=True)


# ---------------------------------------------------------------- inside


def _alert(
    kind: AlertKind,
    record: DealRecord,
    until: int | None,
    text: str,
    to: set[Address],
    *,
    operator: bool = False,
    again: int | None = None,
    figures: dict[str, int] | None = None,
) -> Alert:
    """Make an alert, named by its kind, its deal, and what makes it another one: `again`, or the time."""
    what = again if again is not None else until or record.deal.deadline
    return Alert(
        f"{kind}:{record.id}:{what}",
        kind,
        text,
        frozenset(to),
        operator,
        record.id,
        None if until is None else moment(until),
        figures or {},
    )


def _closes(record: DealRecord, now: int, limits: AlertLimits) -> bool:
    return record.deal.deadline - now <= _seconds(limits.closing)


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())


def _at(second: int) -> str:
    return utc(moment(second))
