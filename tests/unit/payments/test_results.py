"""What the log says of a dispute: how it ended is read from times and figures, for only rulings are named.

4 GPUs for 8 hours at 10 MOLT, a bond of 32: 7 hours claimed, 4 of them not contested.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.disputes import DisputeOutcome
from molt_market.domain.endings import ContestQuote, quote_dispute, quote_ruling, quote_split
from molt_market.domain.events import DealClosed, DealDisputed, DealRuled, Event
from molt_market.domain.fields import seconds
from molt_market.domain.ids import ZERO_HASH, TransactionId
from molt_market.domain.settlement import SettlementQuote, SettlementStatus, gpu_seconds
from molt_market.payments.desk import status_after
from molt_market.payments.results import resolution_of, settlement_of
from tests.factories import ARBITER, BUYER, DEAL_ID, NOON, PROVIDER, make_escrow

CLAIM, COUNTER = gpu_seconds(7, 4), gpu_seconds(4, 4)
DEADLINE = NOON + timedelta(days=5)
EARLY, LATE = DEADLINE - timedelta(seconds=1), DEADLINE


def at(number: int) -> dict[str, Any]:
    return {
        "deal_id": DEAL_ID,
        "transaction_id": TransactionId(f"0x{number:064x}"),
        "block": number,
        "log_index": 0,
    }


def claimed(bond_bps: int = 1_000) -> EscrowAccount:
    return make_escrow(status=DealStatus.CLAIMED, claimed_gpu_seconds=CLAIM, attested=True, bond_bps=bond_bps)


def contested(escrow: EscrowAccount) -> EscrowAccount:
    changes = {"status": DealStatus.DISPUTED, "paid_gpu_seconds": COUNTER, "locked_until": DEADLINE}
    return escrow.model_copy(update=changes)


def dispute_event(quote: ContestQuote) -> DealDisputed:
    return DealDisputed(
        counter=COUNTER,
        gpu_seconds=CLAIM,
        evidence=ZERO_HASH,
        stake=quote.stake.base_units,
        deadline=seconds(DEADLINE),
        to_provider=quote.to_provider.base_units,
        fee=quote.platform_fee.base_units,
        to_buyer=quote.to_buyer.base_units,
        **at(1),
    )


def ended(
    quote: SettlementQuote, when: datetime, escrow: EscrowAccount, *, ruled: bool = False
) -> tuple[EscrowAccount, list[Event]]:
    """Close a dispute as quoted; return the deal and its log."""
    opening = quote_dispute(claimed(escrow.bond_bps), COUNTER)
    events: list[Event] = [dispute_event(opening)]
    if ruled:
        share = quote.arbiter_share.base_units
        events.append(DealRuled(arbiter=ARBITER, gpu_seconds=quote.gpu_seconds, share=share, **at(2)))
    closing = DealClosed(
        status=DealStatus.RELEASED,
        gpu_seconds=quote.gpu_seconds,
        to_provider=(quote.provider_payment + quote.bond_to_provider - opening.to_provider).base_units,
        fee=(quote.platform_fee - opening.platform_fee).base_units,
        to_buyer=(quote.buyer_refund + quote.bond_to_buyer - opening.to_buyer).base_units,
        **at(2),
    )
    changes = {
        "status": DealStatus.RELEASED,
        "paid_gpu_seconds": quote.gpu_seconds,
        "released_at": when,
    }
    return escrow.model_copy(update=changes), [*events, closing]


def outcome(quote: SettlementQuote, when: datetime, **how: bool) -> DisputeOutcome:
    found = resolution_of(*ended(quote, when, contested(claimed()), **how))
    assert found is not None
    for name in SettlementQuote.__dataclass_fields__:
        assert getattr(found, name) == getattr(quote, name), name
    return found.outcome


def ruling(hours: str, share: int = 0) -> SettlementQuote:
    return quote_ruling(contested(claimed()), gpu_seconds(hours, 4), arbiter_share_bps=share)


def split(hours: str) -> SettlementQuote:
    return quote_split(contested(claimed()), gpu_seconds(hours, 4))


# ---------------------------------------------------------------- how it ended


@pytest.mark.parametrize("hours", ["4", "6", "7"])
def test_ruled(hours: str) -> None:
    assert outcome(ruling(hours, 500), EARLY, ruled=True) == DisputeOutcome.Ruled(arbiter=ARBITER)


def test_conceded__by_whom_it_costs() -> None:
    assert outcome(ruling("4"), EARLY) == DisputeOutcome.Conceded(by=PROVIDER)
    assert outcome(ruling("7"), EARLY) == DisputeOutcome.Conceded(by=BUYER)


def test_timed_out__from_the_deadline_on() -> None:
    assert outcome(ruling("7"), LATE) == DisputeOutcome.TimedOut()


@pytest.mark.parametrize("hours", ["4", "6", "7"])
@pytest.mark.parametrize("when", [EARLY, LATE], ids=["early", "late"])
def test_settled(hours: str, when: datetime) -> None:
    assert outcome(split(hours), when) == DisputeOutcome.Settled()


def test_settled__where_nothing_was_staked__counts_as_a_concession() -> None:
    """The money is the same, and the log says no more."""
    escrow = contested(claimed(0))
    found = resolution_of(*ended(quote_split(escrow, COUNTER), EARLY, escrow))
    assert found is not None
    assert found.outcome == DisputeOutcome.Conceded(by=PROVIDER)


def test_pending__until_the_deadline() -> None:
    escrow = contested(claimed())
    quote = quote_dispute(claimed(), COUNTER)
    found = resolution_of(escrow, [dispute_event(quote)])
    assert found is not None
    assert found.outcome == DisputeOutcome.Pending(until=DEADLINE)
    assert (found.gpu_seconds, found.stake) == (COUNTER, quote.stake)
    assert found.provider_payment + found.bond_to_provider == quote.to_provider
    assert found.buyer_refund + found.bond_to_buyer == quote.to_buyer


def test_no_dispute__has_no_resolution() -> None:
    assert resolution_of(claimed(), []) is None


@pytest.mark.parametrize(
    ("quote", "when", "words"),
    [
        (ruling("6", 500), EARLY, "6 of 8 hours, as ruled"),
        (ruling("4"), EARLY, "4 of 8 hours, as conceded"),
        (ruling("7"), LATE, "7 of 8 hours, as nobody ruled"),
        (split("5"), EARLY, "5 of 8 hours, as agreed"),
    ],
)
def test_settlement__of_a_dispute__says_how(quote: SettlementQuote, when: datetime, words: str) -> None:
    ruled = quote.arbiter_share > Amount(0)
    result = settlement_of(*ended(quote, when, contested(claimed()), ruled=ruled))
    assert result.status == SettlementStatus.PartialRefund(reason=words)
    assert (result.provider_payment, result.buyer_refund) == (quote.provider_payment, quote.buyer_refund)


def test_settlement__while_disputed__counts_what_has_gone_back() -> None:
    """One hour of eight was not claimed."""
    result = settlement_of(contested(claimed()), [dispute_event(quote_dispute(claimed(), COUNTER))])
    assert result.buyer_refund == Amount.from_molt(40)


# ---------------------------------------------------------------- the status after some events


def test_status_after__is_the_last_events() -> None:
    _, log = ended(ruling("6"), EARLY, contested(claimed()))
    assert status_after(DealStatus.CLAIMED, log[:1]) is DealStatus.DISPUTED
    assert status_after(DealStatus.CLAIMED, log) is DealStatus.RELEASED
    assert status_after(DealStatus.LOCKED, []) is DealStatus.LOCKED
