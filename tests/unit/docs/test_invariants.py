"""INVARIANTS.md: all forty are there, and the tests that are said to hold them are where their kind says."""

from __future__ import annotations

import re

import pytest

from tests.pages import DOCS, Page
from tests.unit.docs import named

PAGE = Page("../INVARIANTS.md")
NUMBERS = [f"I{number:02}" for number in range(1, 41)]
FOLDERS = {
    "forge invariant": "solidity/invariants/",
    "forge fuzz": "solidity/verbs/",
    "machine": "contracts/machine/",
    "ape": "contracts/",
    "halmos": "proofs/",
    "parity": "parity/",
    "unit": "unit/",
    "integration": "integration/",
    "end to end": "e2e/",
}

each_one = pytest.mark.parametrize("number", NUMBERS)


def told(number: str) -> dict[str, list[str]]:
    """Return the tests of an invariant, by kind."""
    lines = re.findall(r"^- ([a-z ]+): (.*)$", joined(PAGE.section(number)), re.MULTILINE)
    return {kind: re.findall(r"`(\w+)`", names) for kind, names in lines}


def joined(text: str) -> str:
    """Put wrapped list items on one line."""
    return re.sub(r"\n  +", " ", text)


def test_numbers__are_all_there_in_order() -> None:
    assert PAGE.sections() == ["Invariants", *NUMBERS]


@each_one
def test_invariant__is_one_sentence(number: str) -> None:
    sentence = PAGE.section(number).partition("\n- ")[0].strip()
    assert re.fullmatch(r"[A-Z`][^.]*\.", re.sub(r"\w\.\w", "", sentence), re.DOTALL), sentence


@each_one
def test_invariant__is_held_by_tests_that_exist(number: str) -> None:
    tests = told(number)
    assert tests
    assert all(tests.values())
    for kind, names in tests.items():
        missing = [name for name in names if not named.those_of([name], FOLDERS[kind])]
        assert missing == [], kind


def test_kinds__are_those_of_the_table() -> None:
    rows = PAGE.table("Invariants")
    assert [kind for kind, *_ in rows] == list(FOLDERS)
    assert all((DOCS.parent / where).is_dir() for _, where, _ in rows)
    assert all(f"tests/{FOLDERS[kind]}".startswith(where) for kind, where, _ in rows)


@pytest.mark.parametrize("number", NUMBERS)
def test_invariant_functions__are_named_at_their_number(number: str) -> None:
    """What carries a number in its name is told at that number."""
    numbered = {name for name in named.every_name() if re.search(rf"_{number}(?!\d)", name)}
    assert numbered <= {name for names in told(number).values() for name in names}


def test_invariant_functions__are_all_named() -> None:
    there = {name for name in named.every_name() if name.startswith("invariant_")}
    assert there <= set(re.findall(r"`(\w+)`", PAGE.text))
