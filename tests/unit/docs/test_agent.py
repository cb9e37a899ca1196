"""docs/agent.md: its phases, routes and figures are the program's."""

from __future__ import annotations

import re
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from molt_market.agent import mail, money, server
from molt_market.agent.here import GAP_INTERVALS, GatewaySettings
from molt_market.agent.inputs import REDIRECTS
from molt_market.agent.outputs import MOST_LETTER
from molt_market.agent.runners.supervisor import FILES_OPEN
from molt_market.domain.documents import MAX_LETTER, DocumentKind
from molt_market.domain.handling import BEATING, HandlingPhase
from molt_market.domain.jobs import JobLimits
from tests.pages import Page
from tests.unit.docs import named

PAGE = Page("agent.md")
SETTINGS = GatewaySettings("http://x", frozenset(), JobLimits())


def test_phases__are_those_that_there_are() -> None:
    rows = PAGE.table("What happens with a deal")
    assert [row[0] for row in rows] == [each.value for each in HandlingPhase]
    assert [row[0] for row in rows if row[2] == "yes"] == [each.value for each in BEATING]
    assert f"for {SETTINGS.kept.days} days" in rows[-1][1]


def test_routes__are_those_that_are_served() -> None:
    here: Any = SimpleNamespace()
    served = {
        (method.upper(), path)
        for path, methods in server.create_app(here).openapi()["paths"].items()
        for method in methods
    }
    told = set(re.findall(r"`(GET|POST) (/[^`?]*)", PAGE.section("What it answers")))
    assert told == served
    assert f"{server.PAGE:,}" in PAGE.section("What it answers")


def test_figures__are_the_programs() -> None:
    text = " ".join(PAGE.text.split())
    assert GAP_INTERVALS == 3
    assert "no more than three intervals apart" in text
    assert SETTINGS.interval == timedelta(seconds=10)
    assert f"at most {REDIRECTS} redirects" in text
    assert f"{MOST_LETTER:,} bytes" in text
    letters, vouchers = mail.MOST[DocumentKind.LETTER], mail.MOST[DocumentKind.VOUCHER]
    assert f"at most {letters} letters and {vouchers:,} vouchers each" in text
    assert f"a letter has {MAX_LETTER:,} characters at most" in text
    assert f"{FILES_OPEN:,} open files" in text
    assert f"{int(money.MARGIN.total_seconds()) // 60} minutes before the deadline" in text


def test_tests__that_it_names_are_there() -> None:
    assert set(re.findall(r"`(test_\w+)`", PAGE.text)) <= named.every_name()
