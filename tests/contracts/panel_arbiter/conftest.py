"""A panel of five, three of whom rule, before which the default market's disputes come."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.endings import FullMarket
from tests.contracts.panel import Panel


@pytest.fixture
def panel(market: FullMarket, project: Any) -> Panel:
    return Panel(market, project)
