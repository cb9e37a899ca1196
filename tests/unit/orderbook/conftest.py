"""A book and its clock for each test."""

from __future__ import annotations

import pytest

from molt_market.orderbook import OrderBook
from molt_market.testing import ManualClock
from tests.factories import NOON


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def book(clock: ManualClock) -> OrderBook:
    return OrderBook(clock)
