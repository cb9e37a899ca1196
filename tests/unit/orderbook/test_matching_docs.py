"""docs/matching.md is true: its example is run, its tables are compared with the code."""

from __future__ import annotations

import doctest
import re
from dataclasses import asdict
from pathlib import Path

from molt_market.orderbook import ScoreWeights
from molt_market.orderbook.constraints import CONSTRAINTS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "matching.md"


def test_matching_docs__example__runs_as_written() -> None:
    result = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 10
    assert result.failed == 0


def test_matching_docs__every_constraint_is_listed_in_the_order_of_the_code() -> None:
    rows = section("What must hold")
    assert ", ".join(row[0] for row in rows).split(", ") == [each.name for each in CONSTRAINTS]


def test_matching_docs__weights_are_the_defaults() -> None:
    rows = section("The score")
    assert {row[0]: int(row[1].replace(",", "")) for row in rows} == asdict(ScoreWeights())


def section(title: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    text = PAGE.read_text("utf-8").split(f"## {title}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)
    return [row.split(" | ") for row in rows[1:]]
