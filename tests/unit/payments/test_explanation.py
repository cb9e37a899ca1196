"""Where a deal's money is, and who may do what next, in every status, from figures of the quotes.

4 GPUs for 8 hours at 10 MOLT: 320 MOLT and a bond of 32; the end is at 20:00, the deadline a day later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.endings import quote_dispute, quote_ruling
from molt_market.domain.events import DealPaid, Event
from molt_market.domain.settlement import gpu_seconds, owed
from molt_market.errors import EscrowError
from molt_market.payments.explanation import DealExplanation, Move, Place, explain_deal
from tests.factories import AGENT, ARBITER, ATTESTORS, BUYER, NOON, PROVIDER, make_escrow, make_policy
from tests.unit.payments.test_results import (
    CLAIM,
    COUNTER,
    DEADLINE,
    EARLY,
    at,
    claimed,
    contested,
    dispute_event,
    ended,
)

END = NOON + timedelta(hours=8)
LAST = END + timedelta(days=1)
NO_ATTESTORS = make_policy(threshold=0, attestors=())


def explained(
    escrow: EscrowAccount, events: Sequence[Event] = (), *, after: timedelta = timedelta(0)
) -> DealExplanation:
    told = explain_deal(escrow, make_policy(), events, NOON + after)
    assert sum_of(told) == told.in_all
    return told


def sum_of(told: DealExplanation) -> Amount:
    total = Amount.zero(told.escrow.token)
    for share in told.shares:
        total += share.together
    return total


def money(told: DealExplanation) -> dict[Place, tuple[str, str]]:
    """Return what of price and bond is where, without what is nothing."""
    return {
        share.place: (str(share.price), str(share.bond)) for share in told.shares if share.together.base_units
    }


def paid(hours: int) -> tuple[EscrowAccount, list[Event]]:
    """Return a deal after a voucher, and its log."""
    escrow = make_escrow(paid_gpu_seconds=gpu_seconds(hours, 4))
    moved = owed(escrow.terms, escrow.paid_gpu_seconds, paid=0, fee_bps=escrow.fee_bps)
    units = escrow.paid_gpu_seconds
    return escrow, [DealPaid(gpu_seconds=units, to_provider=moved.to_provider, fee=moved.fee, **at(1))]


def by(told: DealExplanation, who: str) -> list[Move]:
    return [move for move in told.moves if who in move.who]


def verbs(told: DealExplanation) -> list[str]:
    return [move.verb for move in told.moves]


# ---------------------------------------------------------------- locked


def test_locked__all_is_held__and_everybody_has_a_move() -> None:
    told = explained(make_escrow())
    assert told.says == "runs until 2026-01-01 20:00:00 UTC"
    assert money(told) == {Place.ESCROW: ("320 MOLT", "32 MOLT")}
    assert verbs(told) == [
        "redeem",
        "release_payment",
        "claim_unattested",
        "stop",
        "cancel",
        "settle_split",
        "refund_payment",
    ]
    claim = told.moves[1]
    assert (claim.who, claim.from_, claim.before) == ("the agent with 2 of 3 attestors", None, LAST)
    assert claim.accounts == (AGENT, *sorted(ATTESTORS, key=lambda each: each.number()))
    assert (told.moves[2].from_, told.moves[2].before) == (END, LAST)
    silence = told.moves[-1]
    assert (silence.who, silence.accounts, silence.from_, silence.before) == ("anyone", (), LAST, None)
    assert silence.then == "closes the deal, if nobody did before: 352 MOLT to the buyer"


def test_locked__policy_without_attestors__offers_no_attested_claim() -> None:
    told = explain_deal(make_escrow(), NO_ATTESTORS, [], NOON)
    assert "release_payment" not in verbs(told)
    assert "claim_unattested" in verbs(told)


def test_locked__a_part_is_paid__what_is_held_is_the_rest() -> None:
    told = explained(*paid(2))
    assert money(told) == {
        Place.ESCROW: ("240 MOLT", "32 MOLT"),
        Place.PROVIDER: ("79.2 MOLT", "0 MOLT"),
        Place.FEE: ("0.8 MOLT", "0 MOLT"),
    }
    assert told.moves[-1].then.endswith(": 8 MOLT to the provider, 264 MOLT to the buyer")


def test_stop__within_the_notice__costs_nobody_a_bond__later_it_may() -> None:
    [early] = [move for move in explained(make_escrow()).moves if move.verb == "stop"]
    assert (
        early.then == "ends the deal at 2026-01-01 13:00:00 UTC; nobody's bond is at stake then"
    )  # commitment
    [late] = [
        move for move in explained(make_escrow(), after=timedelta(hours=2)).moves if move.verb == "stop"
    ]
    assert late.then == "ends the deal at 2026-01-01 14:15:00 UTC"
    assert (late.accounts, late.before) == ((BUYER,), END - timedelta(minutes=15))


@pytest.mark.parametrize("after", [timedelta(hours=7, minutes=45), timedelta(hours=9)])
def test_stop__too_late__is_not_offered(after: timedelta) -> None:
    assert "stop" not in verbs(explained(make_escrow(), after=after))


def test_stopped__says_so__and_cannot_be_stopped_again() -> None:
    told = explained(make_escrow(stopped=True, excused=True, ends_at=NOON + timedelta(hours=1)))
    assert told.says == "stopped by the buyer, it runs until 2026-01-01 13:00:00 UTC"
    assert "stop" not in verbs(told)
    assert told.moves[-1].then.endswith(": 32 MOLT to the provider, 320 MOLT to the buyer")


def test_locked__end_is_over__can_still_be_claimed__deadline_is_over__only_closed() -> None:
    told = explained(make_escrow(), after=timedelta(hours=9))
    assert told.says == "ended at 2026-01-01 20:00:00 UTC; it can be claimed before 2026-01-02 20:00:00 UTC"
    assert [move.from_ for move in told.moves if move.verb == "claim_unattested"] == [None]
    closed = explained(make_escrow(), after=timedelta(hours=32))
    assert verbs(closed) == ["redeem", "cancel", "settle_split", "refund_payment"]
    assert closed.moves[-1].from_ is None


# ---------------------------------------------------------------- claimed


def test_claimed__the_buyer_may_contest_until_the_deadline__then_it_is_paid() -> None:
    told = explained(claimed())
    assert told.says == "attestors signed for 7 hours; the buyer may contest that"
    assert money(told) == {Place.ESCROW: ("320 MOLT", "32 MOLT")}
    assert verbs(told) == ["redeem", "handle_dispute", "settle_split", "refund_payment"]
    contest = told.moves[1]
    assert (contest.accounts, contest.before) == ((BUYER,), LAST)
    assert "stakes up to 28 MOLT" in contest.then
    silence = told.moves[-1].then
    assert silence.endswith(": 305.2 MOLT to the provider, 2.8 MOLT in fees, 44 MOLT to the buyer")
    assert "handle_dispute" not in verbs(explained(claimed(), after=timedelta(days=2)))


# ---------------------------------------------------------------- disputed


def test_disputed__what_is_contested_is_held_with_both_stakes() -> None:
    escrow, events = contested(claimed()), [dispute_event(quote_dispute(claimed(), COUNTER))]
    told = explained(escrow, events)
    assert told.says == "the buyer accepts 4 of the 7 hours that attestors signed; the arbiter may rule"
    assert told.stake == Amount.from_molt(12)
    assert money(told) == {
        Place.ESCROW: ("120 MOLT", "24 MOLT"),
        Place.PROVIDER: ("158.4 MOLT", "16 MOLT"),
        Place.FEE: ("1.6 MOLT", "0 MOLT"),
        Place.BUYER: ("40 MOLT", "4 MOLT"),
    }
    assert [(move.verb, move.who, move.before) for move in told.moves[:3]] == [
        ("resolve", "the arbiter", DEADLINE),
        ("concede", "the buyer", DEADLINE),
        ("concede", "the provider", DEADLINE),
    ]
    assert [move.accounts for move in told.moves[:3]] == [(ARBITER,), (BUYER,), (PROVIDER,)]
    assert told.moves[0].then == "rules between 4 and 7 hours, for 5 % of the stakes"
    assert told.moves[-1].then.endswith(": 142.8 MOLT to the provider, 1.2 MOLT in fees")
    late = explain_deal(escrow, make_policy(), events, DEADLINE)
    assert verbs(late) == ["settle_split", "refund_payment"]
    assert late.moves[-1].from_ is None


def test_disputed__unattested__falls_in_silence() -> None:
    escrow = contested(claimed()).model_copy(update={"attested": False})
    told = explained(escrow, [replace(dispute_event(quote_dispute(claimed(), COUNTER)), stake=0)])
    assert told.says == ("the provider claims 7 hours without attestors, 4 are paid; the arbiter may rule")
    assert money(told)[Place.ESCROW] == ("120 MOLT", "12 MOLT")
    assert told.moves[-1].then.endswith(": 132 MOLT to the buyer")


# ---------------------------------------------------------------- closed


def test_ruled__nothing_is_held__the_arbiter_has_his_share() -> None:
    escrow = contested(claimed())
    told = explained(*ended(quote_ruling(escrow, CLAIM, arbiter_share_bps=500), EARLY, escrow, ruled=True))
    assert told.says.endswith(": 7 of 8 hours, as ruled")
    assert told.moves == ()
    assert money(told) == {
        Place.PROVIDER: ("277.2 MOLT", "38.8 MOLT"),
        Place.FEE: ("2.8 MOLT", "0 MOLT"),
        Place.BUYER: ("40 MOLT", "4 MOLT"),
        Place.ARBITER: ("0 MOLT", "1.2 MOLT"),
    }


def test_log_does_not_add_up__is_an_error() -> None:
    escrow, [event] = paid(2)
    assert isinstance(event, DealPaid)
    wrong = DealPaid(
        gpu_seconds=event.gpu_seconds, to_provider=event.to_provider + 1, fee=event.fee + 1, **at(1)
    )
    with pytest.raises(EscrowError, match="does not add up"):
        explain_deal(escrow, make_policy(), [wrong], NOON)
    closed = escrow.model_copy(update={"status": DealStatus.RELEASED})
    with pytest.raises(EscrowError, match="report this"):
        explain_deal(closed, make_policy(), [event], NOON)
