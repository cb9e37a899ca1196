"""The outlines of the contract tests, *.tree beside them: a leaf for each test, a test for each leaf.

An outline starts with the name of what it is about, mostly a function of the contract. Below are conditions,
and at their ends what happens then. The way to a leaf, its words joined, is the name of a test:
`cancel` / `first` / `it takes effect after the delay` is `test_cancel__first__takes_effect_after_the_delay`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from molt_market.chain.artefacts import artefact

FOLDER = Path(__file__).resolve().parents[1] / "contracts" / "molt_escrow"
TREES = {path.stem: path for path in sorted(FOLDER.glob("*.tree"))}
LINE = re.compile(r"(?P<depth>(?:│   |    )*)[├└]── (?P<words>.+)")
LEADS = ("it is ", "it ", "they ", "then ")
FIXED = {"cancelDelay", "eip712Domain", "feeRecipient", "token", "withdrawDelay"}  # in constructor.tree

each_tree = pytest.mark.parametrize("name", TREES)


def snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def outlined_in(name: str) -> list[str]:
    """Return the tests of one outline, in whichever files of the folder they stand."""
    start = f"test_{snake(name)}__"
    return [test for test in all_tests() if test.startswith(start)]


@cache
def all_tests() -> tuple[str, ...]:
    return tuple(
        node.name
        for path in sorted(FOLDER.glob("test_*.py"))
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def leaves(name: str) -> Iterator[tuple[str, ...]]:
    """Return the words on the way to each leaf, without the name that the outline starts with."""
    title, *lines = TREES[name].read_text("utf-8").splitlines()
    assert title == name
    way: list[str] = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        depth, words = parsed(line)
        assert depth <= len(way), f"{name}: nothing stands above '{words}'"
        way[depth:] = [words]
        if not following or parsed(following)[0] <= depth:
            yield tuple(way)


def parsed(line: str) -> tuple[int, str]:
    found = LINE.fullmatch(line)
    assert found, f"not a line of an outline: '{line}'"
    return len(found["depth"]) // 4, found["words"]


def names_of(way: tuple[str, ...], tree: str) -> set[str]:
    """Return the names that a leaf stands for; "it is his" may be the test's `is_his` or `his`."""
    *conditions, outcome = way
    said = {outcome.removeprefix(lead) for lead in LEADS} - {outcome}
    return {
        "__".join([f"test_{snake(tree)}", *(words.replace(" ", "_") for words in (*conditions, end))])
        for end in said
    }


def test_functions__have_an_outline_each() -> None:
    functions = {each["name"] for each in artefact("MoltEscrow").abi if each["type"] == "function"}
    assert functions - FIXED <= set(TREES)


def test_tests__belong_to_an_outline_each() -> None:
    outlined = {test for name in TREES for test in outlined_in(name)}
    assert set(all_tests()) == outlined


@each_tree
def test_leaf__says_what_happens(name: str) -> None:
    assert [way for way in leaves(name) if not way[-1].startswith(LEADS)] == []


@each_tree
def test_leaf__has_one_test(name: str) -> None:
    there = set(outlined_in(name))
    found = {way: names_of(way, name) & there for way in leaves(name)}
    assert {way: tests for way, tests in found.items() if len(tests) != 1} == {}


@each_tree
def test_test__has_one_leaf(name: str) -> None:
    ways = list(leaves(name))
    held = {test: [way for way in ways if test in names_of(way, name)] for test in outlined_in(name)}
    assert {test: found for test, found in held.items() if len(found) != 1} == {}
