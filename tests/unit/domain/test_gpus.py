from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from molt_market.domain.gpus import Feature, Features, Location, feature_bits, features_from_bits
from molt_market.errors import InvalidValue
from tests.factories import make_gpus, make_requirements

FEATURES: TypeAdapter[tuple[Feature, ...]] = TypeAdapter(Features)


def test_features__are_the_references_in_its_order() -> None:
    names = ["NVLINK", "INFINIBAND", "FP8", "HIGH_BANDWIDTH_MEMORY", "DEDICATED_HOST"]
    assert [feature.name for feature in Feature] == names
    assert [feature_bits([feature]) for feature in Feature] == [1, 2, 4, 8, 16]


@given(st.sets(st.sampled_from(Feature)))
def test_feature_bits__and_back__are_the_features_in_order(features: set[Feature]) -> None:
    assert features_from_bits(feature_bits(features)) == tuple(each for each in Feature if each in features)


@pytest.mark.parametrize("bits", [32, -1, 2**32])
def test_features_from_bits__with_an_unknown_bit__is_refused(bits: int) -> None:
    with pytest.raises(InvalidValue, match="beyond the 5 known"):
        features_from_bits(bits)


@pytest.mark.parametrize("form", [list, tuple, set, frozenset])
def test_features__in_any_form__are_kept_once_and_in_order(form: Any) -> None:
    given_features = form([Feature.FP8, Feature.NVLINK, Feature.FP8])
    assert FEATURES.validate_python(given_features) == (Feature.NVLINK, Feature.FP8)


def test_features__as_json__come_back() -> None:
    written = FEATURES.dump_json((Feature.NVLINK, Feature.HIGH_BANDWIDTH_MEMORY))
    assert written == b'["nvlink","high_bandwidth_memory"]'
    assert FEATURES.validate_json(written) == (Feature.NVLINK, Feature.HIGH_BANDWIDTH_MEMORY)


def test_feature__that_is_unknown__is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match="'nvlink', 'infiniband'"):
        FEATURES.validate_python(["nvswitch"])


def test_location__is_normalised() -> None:
    assert Location(region="US-East-1", country="us") == Location(region="us-east-1", country="US")


def test_location__may_leave_one_part_open() -> None:
    assert (Location(country="de").region, Location(region="eu").country) == (None, None)


def test_location__without_any_part__is_refused() -> None:
    with pytest.raises(ValidationError, match="leave it out to allow any"):
        Location()


@pytest.mark.parametrize("region", ["", "x" * 32, "us east", "köln", "\u212aelvin", "-a", "a\0"])
def test_region__that_the_contract_cannot_hold__is_refused(region: str) -> None:
    with pytest.raises(ValidationError, match="1 to 31 ASCII"):
        Location(region=region)


@pytest.mark.parametrize("region", ["a", "x" * 31])
def test_region__at_its_bounds__is_taken(region: str) -> None:
    assert Location(region=region).region == region


@pytest.mark.parametrize("country", ["", "U", "USA", "U1", "ÜS", "\u017fs"])
def test_country__of_another_shape__is_refused(country: str) -> None:
    with pytest.raises(ValidationError, match="two letters of ISO 3166-1"):
        Location(country=country)


def test_capacity__names_its_model_canonically() -> None:
    assert make_gpus(gpu_model="NVIDIA H100 80GB").gpu_model == "H100"


def test_capacity__of_an_unknown_model__names_the_nearest() -> None:
    with pytest.raises(ValidationError, match="did you mean H100"):
        make_gpus(gpu_model="H1000")


def test_capacity__with_all_of_the_references_fields__keeps_them() -> None:
    gpus = make_gpus(compute_capability="9.0", memory_bandwidth=3350, current_utilization=0)
    assert (gpus.compute_capability, gpus.memory_bandwidth, gpus.current_utilization) == ("9.0", 3350, 0)


@pytest.mark.parametrize(
    "field",
    [
        {"gpu_count": 0},
        {"gpu_count": 2**32},
        {"gpu_count": 8.0},
        {"gpu_count": "8"},
        {"vram_gb": 0},
        {"vram_gb": 2**16},
        {"current_utilization": 101},
        {"memory_bandwidth": -1},
        {"compute_capability": "sm_90"},
        {"gpu_model": 100},
    ],
)
def test_capacity__out_of_range__is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        make_gpus(**field)
    assert caught.value.errors()[0]["loc"] == tuple(field)


def test_model_names__are_canonical_and_keep_their_order() -> None:
    assert make_requirements(preferred_models=["h200", "NVIDIA H100 80GB"]).preferred_models == (
        "H200",
        "H100",
    )


@pytest.mark.parametrize("names", ["H100", 5, ["H100", "NVIDIA H100"], ["H1000"], [5]])
def test_model_names__that_are_no_list_of_different_models__are_refused(names: Any) -> None:
    with pytest.raises(ValidationError):
        make_requirements(required_models=names)
