"""docs/glossary.md: its words name what is there, and no public name uses another word for the same thing."""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import molt_market
from tests.pages import Page

PAGE = Page("glossary.md")
ROWS = [row for title in PAGE.sections()[1:] for row in PAGE.table(title)]
ROOT = Path(molt_market.__file__).parent
# DESIGN's own word for a deal with oneself, and a refusal code of the contract.
ALLOWED = {("trade", "SelfTrade")}


def test_words__come_once_and_are_defined_in_one_line() -> None:
    words = [word for word, *_ in ROWS]
    assert len(words) == len(set(words)) > 50
    assert all(meaning and not meaning.endswith(".") for _, meaning, _, _ in ROWS)


@pytest.mark.parametrize("name", sorted({row[2] for row in ROWS} - {"-"}))
def test_name__is_there(name: str) -> None:
    owner, _, member = name.rpartition(".")
    if not owner:
        assert name in molt_market.__all__
    elif owner.islower():
        assert hasattr(import_module(f"molt_market.{owner}"), member)
    else:
        assert member in _members(getattr(molt_market, owner))


def _members(kind: Any) -> set[str]:
    fields = set(kind.model_fields) if issubclass(kind, BaseModel) else set()
    return {*fields, *getattr(kind, "__annotations__", ()), *dir(kind)}


def test_other_words__are_in_no_public_name() -> None:
    names = public_names()
    assert len(names) > 1_000
    found = {
        (other, name): sorted(places)
        for row in ROWS
        for other in row[3].replace("-", "").split(", ")
        for name, places in names.items()
        if other and contains(name, other) and (other, name) not in ALLOWED
    }
    assert not found


@pytest.mark.parametrize(
    ("name", "word", "says"),
    [
        ("SELF_TRADE", "trade", True),
        ("nodeOperators", "node_operator", True),
        ("order_book_entry", "order_book_entry", True),
        ("orderBook", "order_book_entry", False),
        ("tradeoff", "trade", False),
        ("ABIVoid", "void", True),
    ],
)
def test_contains__compares_whole_words(name: str, word: str, *, says: bool) -> None:
    assert contains(name, word) is says


def contains(name: str, word: str) -> bool:
    parts, wanted = words_of(name), words_of(word)
    return any(parts[at : at + len(wanted)] == wanted for at in range(len(parts)))


def words_of(name: str) -> list[str]:
    """Return the words of a name in any case, in the singular."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return [word.lower().removesuffix("s") for word in words]


# ---------------------------------------------------------------- every public name


def public_names() -> dict[str, set[str]]:
    """Return the names that users meet, in the package and in the contracts, with where they come from."""
    names: dict[str, set[str]] = defaultdict(set)
    for path in ROOT.rglob("*.py"):
        for name in _of_module(ast.parse(path.read_text("utf-8"))):
            if not name.startswith("_"):
                names[name].add(path.name)
    for path in (ROOT / "chain" / "abi").glob("*.json"):
        for name in _of_abi(json.loads(path.read_text("utf-8"))["abi"]):
            names[name].add(path.name)
    return names


def _of_module(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _of_abi(entry: Any) -> Iterator[str]:
    if isinstance(entry, list):
        for each in entry:
            yield from _of_abi(each)
    elif isinstance(entry, dict):
        yield entry.get("name") or ""
        for each in entry.values():
            yield from _of_abi(each)
