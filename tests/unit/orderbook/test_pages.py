"""The pages of the order book are true: their examples are run, their tables are compared with the code."""

from __future__ import annotations

import doctest
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from molt_market.domain.orders import Priority, TimeInForce
from molt_market.orderbook import ScoreWeights
from molt_market.orderbook.constraints import CONSTRAINTS

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.mark.parametrize(("page", "least"), [("matching.md", 40), ("market-data.md", 20)])
def test_page__examples__run_as_written(page: str, least: int) -> None:
    options = doctest.ELLIPSIS
    result = doctest.testfile(str(DOCS / page), module_relative=False, optionflags=options)
    assert result.attempted >= least
    assert result.failed == 0


def test_matching_docs__every_constraint_is_listed_in_the_order_of_the_code() -> None:
    rows = section("What must hold")
    assert ", ".join(row[0] for row in rows).split(", ") == [each.name for each in CONSTRAINTS]


def test_matching_docs__weights_are_the_defaults() -> None:
    rows = section("The score")
    assert {row[0]: int(row[1].replace(",", "")) for row in rows} == asdict(ScoreWeights())


def test_matching_docs__every_time_in_force_and_every_class_is_told() -> None:
    page = (DOCS / "matching.md").read_text("utf-8")
    types = page.split("## Order types")[1].split("\n## ")[0]
    assert re.findall(r"^\| ([A-Z]{3}), ", types, re.MULTILINE) == [*TimeInForce.__members__]
    classes = [name for row in section("Who is served first") for name in row[0].split(", ")]
    assert sorted(classes) == sorted(Priority.__members__)


def section(title: str, page: str = "matching.md") -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    text = (DOCS / page).read_text("utf-8").split(f"## {title}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)
    return [row.split(" | ") for row in rows[1:]]
