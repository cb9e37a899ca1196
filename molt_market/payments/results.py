"""What the chain's log says of a deal's money: how it was settled, how its dispute stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.disputes import DisputeOutcome, DisputeResolution
from molt_market.domain.endings import quote_ruling
from molt_market.domain.events import DealClaimed, DealClosed, DealDisputed, DealPaid, DealRuled, Event
from molt_market.domain.fields import SECONDS_PER_HOUR, seconds
from molt_market.domain.ids import DisputeId, TransactionId
from molt_market.domain.settlement import (
    SettlementQuote,
    SettlementResult,
    SettlementStatus,
    due,
    price,
    quote_settlement,
)
from molt_market.domain.terms import Terms
from molt_market.errors import EscrowError
from molt_market.payments.steps import CLOSED

MOVES = (DealPaid, DealClaimed, DealDisputed, DealRuled, DealClosed)
OF_DISPUTES = (DealDisputed, DealRuled, DealClosed)


def settlement_of(escrow: EscrowAccount, events: Sequence[Event]) -> SettlementResult:
    """Return what the log says of a deal's money so far.

    Raises:
        EscrowError: the log of a closed deal does not add up to what was locked; that must never happen.
    """
    log = Ledger.of(events)
    quote = quote_settlement(escrow, escrow.paid_gpu_seconds)
    closed = escrow.status in CLOSED
    if closed:
        log.require_sums(escrow, quote)
    return SettlementResult(
        status=_status(escrow, events),
        provider_payment=quote.provider_payment,
        buyer_refund=refunded(escrow),
        platform_fee=Amount(log.fee, escrow.token),
        transactions=log.transactions,
    )


def resolution_of(escrow: EscrowAccount, events: Sequence[Event]) -> DisputeResolution | None:
    """Return how a deal's dispute stands; None if it never had one."""
    disputed = _dispute_in(events)
    if disputed is None:
        return None
    log = Ledger.of(events)
    quote = quote_settlement(escrow, escrow.paid_gpu_seconds)
    refund = refunded(escrow)
    return DisputeResolution(
        dispute_id=DisputeId(escrow.id),
        outcome=_outcome(escrow, events, disputed),
        gpu_seconds=escrow.paid_gpu_seconds,
        provider_payment=quote.provider_payment,
        buyer_refund=refund,
        platform_fee=quote.platform_fee,
        stake=Amount(log.staked, escrow.token),
        arbiter_share=Amount(log.to_arbiter, escrow.token),
        bond_to_provider=Amount(log.to_provider, escrow.token) - quote.provider_payment,
        bond_to_buyer=Amount(log.to_buyer, escrow.token) - refund,
        transactions=tuple(
            dict.fromkeys(event.transaction_id for event in events if isinstance(event, OF_DISPUTES))
        ),
    )


def _dispute_in(events: Iterable[Event]) -> DealDisputed | None:
    return next((event for event in events if isinstance(event, DealDisputed)), None)


def _outcome(escrow: EscrowAccount, events: Sequence[Event], disputed: DealDisputed) -> DisputeOutcome:
    """Tell how a dispute ended. The log names rulings only; times and figures tell the others apart.

    At the buyer's counter or at the claim, a split in which nothing was staked moves the same money as a
    concession, and counts as one.
    """
    if escrow.status not in CLOSED:
        return DisputeOutcome.Pending(until=escrow.locked_until)
    ruled = next((event for event in events if isinstance(event, DealRuled)), None)
    if ruled is not None:
        return DisputeOutcome.Ruled(arbiter=ruled.arbiter)
    contested = escrow.model_copy(
        update={"status": DealStatus.DISPUTED, "paid_gpu_seconds": disputed.counter}
    )
    units = escrow.paid_gpu_seconds
    conceded = Amount(Ledger.of(events).to_provider, escrow.token) == _all_to_provider(
        quote_ruling(contested, units)
    )
    if not conceded or units not in {disputed.counter, disputed.gpu_seconds}:
        return DisputeOutcome.Settled()
    if escrow.released_at is not None and seconds(escrow.released_at) >= disputed.deadline:
        return DisputeOutcome.TimedOut()
    return DisputeOutcome.Conceded(by=escrow.buyer if units == disputed.gpu_seconds else escrow.provider)


def _all_to_provider(quote: SettlementQuote) -> Amount:
    return quote.provider_payment + quote.bond_to_provider


def refunded(escrow: EscrowAccount) -> Amount:
    """Return the part of the price that has gone back to the buyer; a dispute returns what is not claimed."""
    if escrow.status in CLOSED:
        return escrow.amount - Amount(due(escrow.terms, escrow.paid_gpu_seconds), escrow.token)
    if escrow.status is DealStatus.DISPUTED:
        return Amount(price(escrow.terms) - due(escrow.terms, escrow.claimed_gpu_seconds), escrow.token)
    return Amount.zero(escrow.token)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the log says went where, in base units; bond and stakes included."""

    to_provider: int
    fee: int
    to_buyer: int
    to_arbiter: int
    staked: int
    transactions: tuple[TransactionId, ...]

    @classmethod
    def of(cls, events: Iterable[Event]) -> Self:
        moves = [event for event in events if isinstance(event, MOVES)]
        return cls(
            to_provider=_total(moves, "to_provider"),
            fee=_total(moves, "fee"),
            to_buyer=_total(moves, "to_buyer"),
            to_arbiter=_total(moves, "share"),
            staked=_total(moves, "stake"),
            transactions=tuple(dict.fromkeys(event.transaction_id for event in moves)),
        )

    def require_sums(self, escrow: EscrowAccount, quote: SettlementQuote) -> None:
        """Raise unless all that went in came out, the fee is the quoted one, and the price was paid."""
        went_in = (escrow.amount + escrow.bond).base_units + self.staked
        came_out = self.to_provider + self.fee + self.to_buyer + self.to_arbiter
        quoted = (quote.provider_payment.base_units, quote.platform_fee.base_units)
        if went_in != came_out or self.to_provider < quoted[0] or self.fee != quoted[1]:
            raise EscrowError(
                f"deal {escrow.id} held {went_in} base units; {self.to_provider} went to the provider,"
                f" {self.fee} in fees, {came_out} in all: stop, and report this"
            )


def _total(events: Iterable[Event], name: str) -> int:
    return sum(getattr(event, name, 0) for event in events)


def _status(escrow: EscrowAccount, events: Sequence[Event]) -> SettlementStatus:
    if escrow.status is DealStatus.DISPUTED:
        return SettlementStatus.Disputed(dispute_id=DisputeId(escrow.id))
    if escrow.status not in CLOSED:
        return SettlementStatus.Pending(claimable_at=escrow.locked_until)
    if escrow.paid_gpu_seconds == escrow.terms.gpu_seconds:
        return SettlementStatus.Success()
    paid, allocated = (
        hours_of(escrow.terms, each) for each in (escrow.paid_gpu_seconds, escrow.terms.gpu_seconds)
    )
    reason = f"{paid} of {allocated} hours{_how(escrow, events)}"
    if escrow.paid_gpu_seconds == 0:
        return SettlementStatus.FullRefund(reason=reason)
    return SettlementStatus.PartialRefund(reason=reason)


def _how(escrow: EscrowAccount, events: Sequence[Event]) -> str:
    """Say why so many hours were paid and not more."""
    disputed = _dispute_in(events)
    if disputed is None:
        return " delivered"
    match _outcome(escrow, events, disputed):
        case DisputeOutcome.Ruled():
            return ", as ruled"
        case DisputeOutcome.Conceded():
            return ", as conceded"
        case DisputeOutcome.Settled():
            return ", as agreed"
        case _:
            return ", as nobody ruled"


def hours_of(terms: Terms, gpu_seconds: int) -> str:
    """Write GPU-seconds as hours of the whole allocation, rounded down to a ten-thousandth."""
    hours, rest = divmod(gpu_seconds * 10_000 // (terms.gpu_count * SECONDS_PER_HOUR), 10_000)
    return f"{hours}.{rest:04d}".rstrip("0").removesuffix(".")
