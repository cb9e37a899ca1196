"""The compiled index of offers, for books of many: extra `matcher` (numpy and numba). See
docs/matching.md."""

from molt_market.orderbook.compiled.index import CompiledIndex

__all__ = ["CompiledIndex"]
