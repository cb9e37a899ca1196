"""docs/parameters.md: its numbers are those of contracts and package, and no constant is missing."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from molt_market.chain.deploy import deploy
from molt_market.chain.plans import TokenSpec
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.domain.policies import Policy
from tests.factories import ATTESTORS, NOON, make_gpus, make_offer, make_order, make_policy, make_requirements
from tests.pages import Page

CONTRACTS = Path(__file__).resolve().parents[3] / "contracts"
PAGE = Page("parameters.md")
UNITS = {"": 1, "bps": 1, "s": 1, "min": 60, "h": 3_600, "d": 86_400}
SOLIDITY_UNITS = {"": 1, "minutes": 60, "hours": 3_600, "days": 86_400}


def value(cell: str) -> int | None:
    """Read a number of the page, times in seconds; None for a dash or `none`."""
    if cell in {"-", "none"}:
        return None
    power = re.fullmatch(r"2\^(\d+) - 1", cell)
    if power:
        return (1 << int(power[1])) - 1
    number = re.fullmatch(r"([\d,]+) ?(\w*)", cell)
    assert number is not None, cell
    return int(number[1].replace(",", "")) * UNITS[number[2]]


def unit_of(name: str) -> int:
    """Return how many seconds one unit of a parameter is; 1 for what is no time."""
    ending = name.lower().rpartition("_")[2]
    return {"minutes": 60, "hours": 3_600}.get(ending, 1)


# ---------------------------------------------------------------- the contracts


def constants() -> dict[str, int]:
    """Return every number that the contracts fix, by contract and name, times in seconds."""
    found = {}
    for path in CONTRACTS.rglob("*.sol"):
        if path.parent.name == "mocks":
            continue
        declared = re.findall(r"uint\d+ \w+ constant (\w+) = ([^;]+);", path.read_text("utf-8"))
        found.update({f"{path.stem}.{name}": _solidity(written) for name, written in declared})
    return found


def _solidity(written: str) -> int:
    most = re.fullmatch(r"type\(uint(\d+)\)\.max", written)
    if most:
        return (1 << int(most[1])) - 1
    number, _, unit = written.partition(" ")
    return int(number.replace("_", "")) * SOLIDITY_UNITS[unit]


def test_contracts__every_constant_is_listed_with_its_value() -> None:
    rows = PAGE.table("Fixed in the contracts") + PAGE.table("Fixed in the contracts", 1)
    told = {name: value(number) for name, number, _ in rows}
    in_units = {name: number * unit_of(name) for name, number in constants().items()}
    assert told == in_units


def test_contracts__have_no_constant_that_this_test_does_not_see() -> None:
    """A constant of another shape than those above would escape it."""
    for path in CONTRACTS.rglob("*.sol"):
        if path.parent.name == "mocks":
            continue
        for line in path.read_text("utf-8").splitlines():
            if re.search(r"\bconstant\b", line) and "bytes32" not in line:
                assert re.search(r"uint\d+ \w+ constant \w+ = [^;]+;", line), line


# ---------------------------------------------------------------- models

BUILDERS: dict[str, tuple[type[BaseModel], Callable[..., BaseModel]]] = {
    "Policy": (Policy, make_policy),
    "GpuCapacity": (GpuCapacity, make_gpus),
    "CapacityOffer": (CapacityOffer, make_offer),
    "JobRequirements": (JobRequirements, make_requirements),
    "JobOrder": (JobOrder, make_order),
}
# What else has to be given for a field to reach its bounds.
WIDENED: dict[str, dict[str, Any]] = {
    "CapacityOffer.min_commitment_hours": {"available_hours": 8_760},
    "JobRequirements.min_gpu_count": {"estimated_hours": 1},
}
FIELDS = [
    row for title in ("Chosen in a policy", "Chosen in an offer or an order") for row in PAGE.table(title)
]


def built(where: str, number: int) -> BaseModel:
    model, field = where.split(".")
    if where == "Policy.threshold":
        attestors = (ATTESTORS[0], *(f"0x{0x2000 + i:040x}" for i in range(max(number, 1) - 1)))
        return make_policy(threshold=number, attestors=attestors if number else ())
    more = WIDENED.get(where, {})
    return BUILDERS[model][1](**{**more, field: number})


@pytest.mark.parametrize(("where", "least", "most", "default", "why"), FIELDS)
def test_field__takes_its_bounds_and_refuses_what_lies_beyond(
    where: str, least: str, most: str, default: str, why: str
) -> None:
    unit = unit_of(where)
    for bound, beyond in ((value(least), -1), (value(most), +1)):
        assert bound is not None
        number = bound // unit
        assert bound == number * unit
        assert getattr(built(where, number), where.split(".")[1]) == number
        with pytest.raises(ValidationError):
            built(where, number + beyond)


@pytest.mark.parametrize(("where", "least", "most", "default", "why"), FIELDS)
def test_field__has_its_default(where: str, least: str, most: str, default: str, why: str) -> None:
    model, name = where.split(".")
    field = BUILDERS[model][0].model_fields[name]
    if default == "-":
        assert field.is_required()
    elif default == "none":
        assert field.default is None
    else:
        assert field.default * unit_of(name) == value(default)


def test_lifetimes__are_the_defaults() -> None:
    assert "An offer stands for 7 days and an order for 1 hour" in PAGE.text
    assert make_offer().expires_at - NOON == timedelta(days=7)
    assert make_order().expires_at - NOON == timedelta(hours=1)


# ---------------------------------------------------------------- deployment and program


def test_deployment__defaults_are_those_of_deploy() -> None:
    parameters = inspect.signature(deploy).parameters
    tokens = {field.name: field.default for field in fields(TokenSpec)}
    for where, _, _, default, _ in PAGE.table("Fixed at deployment"):
        owner, name = where.split(".")
        found = tokens[name] if owner == "TokenSpec" else parameters[name].default
        assert (where, found) == (where, value(default))


def test_deployment__bounds_are_the_contracts() -> None:
    bounds = {
        where: (value(least), value(most)) for where, least, most, _, _ in PAGE.table("Fixed at deployment")
    }
    fixed = constants()
    assert bounds == {
        "deploy.fee_bps": (0, fixed["Roles.MAX_FEE_BPS"]),
        "deploy.withdraw_delay_seconds": (1, fixed["Accounts.MAX_DELAY"]),
        "deploy.cancel_delay_seconds": (1, fixed["Accounts.MAX_DELAY"]),
        "TokenSpec.decimals": (0, fixed["Accounts.MAX_TOKEN_DECIMALS"]),
    }


@pytest.mark.parametrize(("where", "number", "why"), PAGE.table("Chosen by the program"))
def test_program__has_the_value_that_is_told(where: str, number: str, why: str) -> None:
    found = _resolved(f"molt_market.{where}")
    if isinstance(found, timedelta):
        found = int(found.total_seconds())
    assert found == value(number)


def _resolved(path: str) -> Any:
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            found = getattr(found, name)
        return found
    raise LookupError(path)
