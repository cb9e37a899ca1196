from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from molt_market.domain.disputes import Dispute, DisputeOutcome, DisputeReason
from molt_market.domain.ids import ZERO_HASH
from tests.factories import ARBITER, DEAL_ID, NOON, make_terms

SIGNATURE = "0x" + "51" * 65


def make_dispute(**fields: Any) -> Dispute:
    given = {} if fields.keys() & {"counter_hours", "counter_gpu_seconds"} else {"counter_hours": "7.5"}
    return Dispute(**{"escrow_id": DEAL_ID, **given, **fields})


def refusal_of(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        make_dispute(**fields)
    return str(caught.value)


def test_dispute__has_defaults() -> None:
    dispute = make_dispute()
    assert (dispute.reason, dispute.text) == (DisputeReason.LESS_THAN_CLAIMED, "")
    assert dispute.evidence == ZERO_HASH
    assert (dispute.until, dispute.signature) == (None, None)


@pytest.mark.parametrize("hours", ["7.5", Decimal("7.5")])
def test_counter__of_hours__floors_to_seconds_and_counts_every_gpu(hours: str | Decimal) -> None:
    assert make_dispute(counter_hours=hours).counter(make_terms()) == 4 * 27_000
    assert make_dispute(counter_hours="0.0003").counter(make_terms()) == 4


def test_counter__of_gpu_seconds__is_taken_as_it_is() -> None:
    assert make_dispute(counter_gpu_seconds=7).counter(make_terms()) == 7
    assert make_dispute(counter_gpu_seconds=0).counter(make_terms()) == 0
    assert make_dispute(counter_hours=0).counter(make_terms()) == 0


def test_counter__as_a_float__is_refused_with_a_hint() -> None:
    assert "write an exact number" in refusal_of(counter_hours=7.5)


def test_counter__twice_or_not_at_all__is_refused() -> None:
    both = refusal_of(counter_hours=1, counter_gpu_seconds=1)
    none = refusal_of(counter_hours=None, counter_gpu_seconds=None)
    assert all("say what you accept once" in message for message in (both, none))


def test_signature_and_until__go_together() -> None:
    assert "sign_dispute fills both" in refusal_of(until=NOON)
    assert "sign_dispute fills both" in refusal_of(signature=SIGNATURE)


def test_text__too_long__is_refused() -> None:
    assert "2000" in refusal_of(text="a" * 2_001)


def test_dispute__survives_json() -> None:
    dispute = make_dispute(until=NOON, signature=SIGNATURE, reason="unreachable", text="from 3 to 7")
    assert Dispute.model_validate_json(dispute.model_dump_json()) == dispute


def test_outcome__is_matched_by_its_variants() -> None:
    outcomes = [
        DisputeOutcome.Pending(until=datetime(2026, 1, 1, tzinfo=UTC)),
        DisputeOutcome.Ruled(arbiter=ARBITER),
        DisputeOutcome.Conceded(by=ARBITER),
        DisputeOutcome.TimedOut(),
        DisputeOutcome.Settled(),
    ]
    assert all(isinstance(outcome, DisputeOutcome) for outcome in outcomes)
    match outcomes[1]:
        case DisputeOutcome.Ruled(arbiter=arbiter):
            assert arbiter == ARBITER
        case _:
            pytest.fail("a ruling is a ruling")
    assert repr(outcomes[3]) == "DisputeOutcome.TimedOut()"
