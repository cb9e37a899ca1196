"""docs/runbook.md and docs/migration.md: every alert is told, and every command is one."""

from __future__ import annotations

import re

import pytest

from molt_market.alerts.kinds import AlertKind
from tests.pages import DOCS, Page
from tests.unit.docs.told_commands import in_page, require_known

RUNBOOK = Page("runbook.md")
OPERATORS = re.compile(r"the operator himself gets (.*?);", re.DOTALL)


def test_alerts__are_all_told_in_the_order_of_the_code() -> None:
    rows = RUNBOOK.table("Alerts")
    assert [row[0] for row in rows] == [kind.value for kind in AlertKind]
    assert all(meaning and action for _, meaning, action in rows)


def test_alerts__of_the_operator__are_those_that_the_other_page_names() -> None:
    told = OPERATORS.search(RUNBOOK.text)
    assert told is not None
    of_operator = {row[0] for row in Page("alerts.md").table("What is told") if "operator" in row[1]}
    assert set(re.findall(r"`(\w+)`", told[1])) == of_operator


@pytest.mark.parametrize("name", ["runbook.md", "migration.md", "deploying.md"])
def test_commands__are_those_of_the_program(name: str) -> None:
    for words in in_page((DOCS / name).read_text("utf-8")):
        require_known(words)


def test_commands__of_both_pages__are_many() -> None:
    assert len(list(in_page(RUNBOOK.text))) > 30
    assert len(list(in_page(Page("migration.md").text))) > 8


@pytest.mark.parametrize("words", ["frobnicate", "keeper --twice", "deal", "keeper --every", "roles halt"])
def test_commands__that_there_are_not__are_found(words: str) -> None:
    with pytest.raises(AssertionError, match=r"there is no|needs a value|is a group"):
        require_known(words.split())
