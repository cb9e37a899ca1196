"""docs/statements.md: its columns and kinds are the program's."""

from __future__ import annotations

import re

from molt_market.indexer.movements import MovementKind
from molt_market.indexer.statements import COLUMNS
from tests.pages import Page

SECTION = Page("statements.md").section("Rows")


def first_cells(table: str) -> list[str]:
    return [name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line.split("|")[1])]


def test_columns__are_all_told() -> None:
    table = SECTION.partition("| column |")[2].partition("\n\n")[0]
    assert set(first_cells(table)) == set(COLUMNS)


def test_kinds__are_all_told() -> None:
    table = SECTION.partition("| kind |")[2].partition("\n\n")[0]
    assert set(first_cells(table)) == {kind.value for kind in MovementKind}
