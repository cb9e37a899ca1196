from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from molt_market.domain.ids import Address
from molt_market.domain.terms import Terms
from molt_market.errors import InvalidValue
from tests.factories import BUYER, make_terms

INTERFACE = Path(__file__).parents[3] / "contracts" / "interfaces" / "IMoltEscrow.sol"


def test_fields__are_the_contracts_in_its_order() -> None:
    source = re.sub(r"//.*", "", INTERFACE.read_text("utf-8"))
    found = re.search(r"struct Terms \{(.*?)\}", source, re.DOTALL)
    assert found is not None
    names = [re.sub(r"(?=[A-Z])", "_", name).lower() for name in re.findall(r"(\w+);", found[1])]
    assert [field.name for field in fields(Terms)] == names


def test_gpu_seconds__is_the_whole_allocation() -> None:
    assert make_terms(gpu_count=4, duration=28_800).gpu_seconds == 115_200


def test_addresses_and_hashes__are_normalised() -> None:
    terms = make_terms(buyer=BUYER.lower(), order_hash="0x" + "AB" * 32)
    assert (terms.buyer, terms.order_hash) == (BUYER, "0x" + "ab" * 32)
    assert type(terms.buyer) is Address


@pytest.mark.parametrize(
    "field",
    [
        {"price_per_gpu_hour": 0},
        {"price_per_gpu_hour": 2**96},
        {"price_per_gpu_hour": 1.0},
        {"gpu_count": 0},
        {"gpu_count": 2**32},
        {"gpu_count": True},
        {"duration": 0},
        {"commitment": -1},
        {"slot": 2**64},
        {"policy_id": "0x12"},
        {"agent": "agent-1"},
    ],
)
def test_field__that_does_not_fit_the_contract__is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        make_terms(**field)


def test_allocation__of_2_to_the_40_gpu_seconds__is_refused() -> None:
    with pytest.raises(InvalidValue, match="gpu_count x duration"):
        make_terms(gpu_count=2**20, duration=2**20)
    assert make_terms(gpu_count=2**20, duration=2**20 - 1).gpu_seconds < 2**40
