"""docs/search.md is true: its examples are run, its tables are compared with the code."""

from __future__ import annotations

import doctest

import pytest

from molt_market.domain.catalogue import models
from molt_market.domain.gpus import Feature
from molt_market.orderbook.search_fields import FIELDS, WHOLE
from molt_market.orderbook.search_query import ORDERED, Operator
from molt_market.orderbook.search_reader import MAX_LENGTH
from tests.pages import Page, codes

PAGE = Page("search.md")
ROWS = {row[0]: row for row in PAGE.table("Fields")}


def test_search_docs__examples__run_as_written() -> None:
    result = doctest.testfile(str(PAGE.path), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 15
    assert result.failed == 0


def test_search_docs__fields_are_those_of_the_code_in_its_order() -> None:
    told = [(name, row[1], row[2]) for name, row in ROWS.items()]
    assert told == [(field.name, field.kind.name, field.source.value) for field in FIELDS.values()]


def test_search_docs__operators_are_those_of_the_code() -> None:
    told = [operator for row in PAGE.table("Filters") for operator in codes(row[0])]
    assert sorted(told) == sorted(Operator)
    assert set(codes(PAGE.table("Filters")[-1][0])) == ORDERED
    numbers = PAGE.table("Filters")[-1][2].removeprefix("numbers: ").split(", ")
    assert set(numbers) == {field.kind.name for field in FIELDS.values() if field.kind.is_ordered}
    assert WHOLE.name in numbers


@pytest.mark.parametrize(
    ("name", "values"),
    [("features", [*Feature]), ("form_factor", {model.form_factor for model in models()})],
)
def test_search_docs__values_are_all_listed(name: str, values: list[str]) -> None:
    assert sorted(ROWS[name][3].removeprefix("of the model: ").split(", ")) == sorted(values)


def test_search_docs__limit_of_the_length_is_the_codes() -> None:
    assert f"at most {MAX_LENGTH:,} characters" in PAGE.text
