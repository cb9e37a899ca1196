from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from molt_market.domain.amounts import Amount
from molt_market.domain.gpus import Feature, GpuCapacity, Location
from molt_market.domain.ids import ZERO_HASH
from molt_market.domain.offers import CapacityOffer, OfferStatus
from tests.factories import NOON, PROVIDER, make_offer


def refusal_of(**fields: Any) -> str:
    """Return what is said of an offer with these fields."""
    with pytest.raises(ValidationError) as caught:
        make_offer(**fields)
    return str(caught.value)


def test_offer__of_the_least_fields__has_the_references_defaults() -> None:
    gpus = GpuCapacity(gpu_count=8, gpu_model="H100", vram_gb=80)
    price = Amount.from_molt(10)
    offer = CapacityOffer(
        provider_id="provider-123", gpu_capacity=gpus, price_per_hour=price, available_hours=24
    )
    assert (offer.min_commitment_hours, offer.status, offer.features) == (1, OfferStatus.ACTIVE, ())
    assert offer.expires_at - offer.created_at == timedelta(days=7)
    assert (offer.agent, offer.slot, offer.policy_id, offer.max_fee_bps) == (None, 0, None, 300)
    assert (offer.metadata_hash, offer.signature, offer.location) == (ZERO_HASH, None, None)


def test_offer__of_the_references_example__is_taken() -> None:
    offer = make_offer(
        gpu_model="NVIDIA H100 80GB",
        available_hours=168,
        features=[Feature.NVLINK, Feature.INFINIBAND],
        location=Location(region="us-east-1", country="US"),
    )
    assert offer.gpu_capacity.gpu_model == "H100"


def test_offers__made_without_id__differ() -> None:
    fields = {name: value for name, value in make_offer() if name != "id"}
    assert CapacityOffer(**fields).id != CapacityOffer(**fields).id


def test_offer__as_json__comes_back_equal() -> None:
    offer = make_offer(features=[Feature.FP8], location=Location(country="US"))
    assert CapacityOffer.model_validate_json(offer.model_dump_json()) == offer
    assert CapacityOffer.model_validate(offer.model_dump()) == offer


def test_offer__is_immutable_and_hashable() -> None:
    offer = make_offer()
    with pytest.raises(ValidationError, match="frozen"):
        offer.slot = 1  # type: ignore[misc]
    assert len({offer, make_offer()}) == 1


def test_offer__with_an_unknown_field__is_refused() -> None:
    assert "Extra inputs" in refusal_of(price=1)


def test_provider__that_is_an_address__is_kept_in_its_spelling() -> None:
    assert make_offer(provider_id=PROVIDER.lower()).provider_id == PROVIDER


def test_price__as_a_float__says_how_to_write_it() -> None:
    assert 'Amount.from_molt("2.5")' in refusal_of(price_per_hour=2.5)


@pytest.mark.parametrize("units", [0, 2**96])
def test_price__that_the_contract_cannot_charge__is_refused(units: int) -> None:
    assert "more than 0 and less than 2^96" in refusal_of(price_per_hour=Amount(units))


def test_commitment__above_the_available_hours__is_refused() -> None:
    said = refusal_of(available_hours=8, min_commitment_hours=9)
    assert "min_commitment_hours 9 is above available_hours 8: lower it or offer more hours" in said


def test_commitment__of_all_available_hours__is_taken() -> None:
    assert make_offer(available_hours=8, min_commitment_hours=8).min_commitment_hours == 8


@pytest.mark.parametrize("field", ["available_hours", "min_commitment_hours"])
@pytest.mark.parametrize("hours", [0, 8_761, 8.0, "8", True])
def test_hours__out_of_range_or_inexact__are_refused(field: str, hours: Any) -> None:
    assert field in refusal_of(**{field: hours})


@pytest.mark.parametrize(
    "field",
    [
        {"slot": 2**64},
        {"slot": -1},
        {"max_fee_bps": 10_001},
        {"policy_id": "0x12"},
        {"metadata_hash": None},
        {"signature": "0x12"},
        {"agent": "agent-1"},
    ],
)
def test_field__out_of_its_range__is_refused(field: dict[str, Any]) -> None:
    assert next(iter(field)) in refusal_of(**field)


def test_agent__that_is_nobody__is_refused() -> None:
    assert "leave it out to name the provider" in refusal_of(agent="0x" + "00" * 20)


def test_time__without_a_zone__is_refused_with_a_hint() -> None:
    assert "datetime.now(UTC)" in refusal_of(created_at=datetime(2026, 1, 1))  # noqa: DTZ001


def test_created_at__that_is_no_time__is_named_first() -> None:
    with pytest.raises(ValidationError) as caught:
        make_offer(created_at="now")
    assert caught.value.errors()[0]["loc"] == ("created_at",)


@pytest.mark.parametrize("late", [timedelta(0), timedelta(seconds=-1), timedelta(milliseconds=999)])
def test_expiry__within_the_second_of_creation__is_refused(late: timedelta) -> None:
    """The contract counts whole seconds: a later millisecond is the same second."""
    assert "is not after created_at" in refusal_of(expires_at=NOON + late)


def test_expiry__one_second_later__is_taken() -> None:
    assert make_offer(expires_at=NOON + timedelta(seconds=1)).expires_at == NOON + timedelta(seconds=1)
