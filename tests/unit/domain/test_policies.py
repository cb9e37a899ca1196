from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from molt_market.domain.ids import Address
from molt_market.domain.policies import MAX_ATTESTORS, Policy, weaknesses
from tests.factories import AGENT, ARBITER, ATTESTORS, VOUCHER_SIGNER, make_policy

LIBRARY = Path(__file__).parents[3] / "contracts" / "libraries" / "Policies.sol"
UNITS = {"hours": 3_600, "days": 86_400, "hour": 3_600, "day": 86_400}
BOUNDS = {
    "bond_bps": (0, 5_000),
    "challenge_seconds": (3_600, 14 * 86_400),
    "grace_seconds": (3_600, 7 * 86_400),
    "notice_minutes": (1, 255),
    "arbitration_seconds": (86_400, 14 * 86_400),
    "arbiter_share_bps": (0, 5_000),
}


def contract_constant(name: str) -> int | None:
    found = re.search(rf"{name} = ([\d_]+) ?(\w*);", LIBRARY.read_text("utf-8"))
    return int(found[1]) * UNITS.get(found[2], 1) if found else None


@pytest.mark.parametrize("field", BOUNDS)
def test_bounds__are_the_contracts(field: str) -> None:
    least, most = BOUNDS[field]
    assert contract_constant(f"MIN_{field.upper()}") in {least, None if least == 0 else least}
    assert contract_constant(f"MAX_{field.upper()}") in {most, None if most == 255 else most}
    assert contract_constant("MAX_ATTESTORS") == MAX_ATTESTORS


@pytest.mark.parametrize("field", BOUNDS)
def test_field__at_its_bounds__is_taken(field: str) -> None:
    for value in BOUNDS[field]:
        assert getattr(make_policy(**{field: value}), field) == value


@pytest.mark.parametrize("field", BOUNDS)
def test_field__beyond_its_bounds_or_inexact__is_refused(field: str) -> None:
    least, most = BOUNDS[field]
    for value in (least - 1, most + 1, float(most), str(most), True):
        with pytest.raises(ValidationError) as caught:
            make_policy(**{field: value})
        assert caught.value.errors()[0]["loc"] == (field,)


def test_policy__of_an_arbiter_alone__has_a_bond_of_a_tenth_and_no_quorum() -> None:
    policy = Policy(arbiter=ARBITER)
    assert (policy.bond_bps, policy.threshold, policy.attestors) == (1_000, 0, ())


def test_attestors__are_kept_ascending_by_number() -> None:
    first, second = Address.of(0x0A), Address.of(0xA000)
    assert make_policy(attestors=[second, first]).attestors == (first, second)
    assert make_policy(attestors={second.lower(), first}).attestors == (first, second)


def test_attestors__whose_spelling_sorts_otherwise__are_kept_by_number() -> None:
    """EIP-55 mixes cases, and capitals sort first: as text, 0xd3D3... stands after 0xE4E4..."""
    assert sorted([AGENT, VOUCHER_SIGNER]) == [VOUCHER_SIGNER, AGENT]
    assert make_policy(attestors=[VOUCHER_SIGNER, AGENT]).attestors == (AGENT, VOUCHER_SIGNER)


def test_attestor__listed_twice_in_different_case__is_refused() -> None:
    with pytest.raises(ValidationError, match="listed twice"):
        make_policy(attestors=[ARBITER, ARBITER.lower(), ATTESTORS[0]])


@pytest.mark.parametrize("name", ["arbiter", "attestors"])
def test_zero_address__is_refused(name: str) -> None:
    nobody = "0x" + "00" * 20
    with pytest.raises(ValidationError, match="the zero address"):
        make_policy(**{name: nobody if name == "arbiter" else [nobody, ATTESTORS[0]]})


@pytest.mark.parametrize(("threshold", "count"), [(0, 1), (2, 1), (1, 0), (17, 17)])
def test_threshold__that_does_not_fit_the_attestors__is_refused(threshold: int, count: int) -> None:
    with pytest.raises(ValidationError):
        make_policy(threshold=threshold, attestors=[Address.of(number + 1) for number in range(count)])


@pytest.mark.parametrize(("threshold", "count"), [(0, 0), (1, 1), (16, 16), (1, 16)])
def test_threshold__within_the_attestors__is_taken(threshold: int, count: int) -> None:
    attestors = [Address.of(number + 1) for number in range(count)]
    assert make_policy(threshold=threshold, attestors=attestors).threshold == threshold


def test_threshold__forgotten__says_what_it_has_to_be() -> None:
    with pytest.raises(ValidationError, match="threshold 0 of 3 attestors: it has to be 1 to 3"):
        make_policy(threshold=0)


def test_attestors__more_than_the_contract_takes__are_refused() -> None:
    with pytest.raises(ValidationError, match="at most 16"):
        make_policy(threshold=1, attestors=[Address.of(number) for number in range(1, 18)])


@pytest.mark.parametrize(
    ("bond_bps", "notice_minutes", "duration", "warned_of"),
    [
        (500, 15, 3_600, []),
        (499, 15, 3_600, ["bond"]),
        (500, 60, 3_601, []),
        (500, 60, 3_600, ["notice"]),
        (0, 255, 60, ["bond", "notice"]),
        (0, 255, None, ["bond"]),
    ],
)
def test_weaknesses__are_a_low_bond_and_a_long_notice(
    bond_bps: int, notice_minutes: int, duration: int | None, warned_of: list[str]
) -> None:
    told = list(weaknesses(bond_bps, notice_minutes, duration))
    assert [re.match(r"a (\w+) of \d", text)[1] for text in told] == warned_of  # type: ignore[index]
    assert all(": prefer " in text for text in told)


def test_policy__as_json__comes_back_equal() -> None:
    policy: Any = make_policy()
    assert Policy.model_validate_json(policy.model_dump_json()) == policy
