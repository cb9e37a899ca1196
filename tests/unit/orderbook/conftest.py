"""A book and its clock for each test."""

from __future__ import annotations

import pytest

from molt_market.orderbook import OrderBook
from tests.unit.orderbook.manual_clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def book(clock: ManualClock) -> OrderBook:
    return OrderBook(clock)
