"""Both indexes of offers: every test that takes one runs with each."""

from __future__ import annotations

import pytest

from molt_market.orderbook import CompiledIndex, PriceIndex


def compiled_index() -> CompiledIndex:
    """Make an index whose compiled code answers from the first question on."""
    index = CompiledIndex()
    index.wait()
    return index


INDEXES = [PriceIndex, compiled_index]
with_both_indexes = pytest.mark.parametrize("make_index", INDEXES)
