"""What the machine counted, at the end of the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

SUMMARIES: list[str] = []


@pytest.fixture
def record() -> Callable[[str], None]:
    """Keep a text for the end of the run."""
    return SUMMARIES.append


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for text in SUMMARIES:
        terminalreporter.section("what the escrow machine did, and how often")
        terminalreporter.write_line(text)
