"""A book and its clock for each test; the book is tested with each index."""

from __future__ import annotations

import pytest

from molt_market.orderbook import OrderBook
from molt_market.testing import ManualClock
from tests.factories import NOON
from tests.unit.orderbook.indexes import INDEXES


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture(params=INDEXES)
def book(clock: ManualClock, request: pytest.FixtureRequest) -> OrderBook:
    return OrderBook(clock, index=request.param())
