"""The compiled index as a book takes it: there at once, fast as soon as its code is compiled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from functools import cache
from importlib.util import find_spec
from threading import Thread
from typing import TYPE_CHECKING

from molt_market.errors import InvalidValue
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.index import OfferIndex, PriceIndex
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.ranked import Ranked
from molt_market.orderbook.scoring import Scoring
from molt_market.orderbook.surplus import Outcome, Refused

if TYPE_CHECKING:
    from molt_market.orderbook.compiled.blocks import BlockIndex


class CompiledIndex:
    """An index whose answers hardly take longer in a book of a million offers:
    `OrderBook(index=CompiledIndex())`.

    It answers as the readable index does, and from it until the code is compiled, in a thread: about twenty
    seconds where that was never done, one second where numba finds its files again. Raises InvalidValue if
    numba is missing.
    """

    def __init__(self) -> None:
        if find_spec("numba") is None or find_spec("numpy") is None:
            raise InvalidValue("a compiled index needs more packages: pip install 'molt-market[matcher]'")
        self._readable: PriceIndex | None = PriceIndex()
        self._index: OfferIndex = self._readable
        self._compiled = compiled()

    def wait(self, seconds: int | None = None) -> None:
        """Wait until the compiled code answers. Raises TimeoutError after so many seconds."""
        self._compiled.result(seconds)
        self._current()

    def add(self, listing: Listing) -> None:
        self._current().add(listing)

    def remove(self, listing: Listing) -> None:
        self._current().remove(listing)

    def find(self, demand: Demand, scoring: Scoring) -> Sequence[Ranked]:
        return self._current().find(demand, scoring)

    def best(self, demand: Demand, scoring: Scoring, limit: int) -> Sequence[Ranked]:
        return self._current().best(demand, scoring, limit)

    def match_round(self, demands: Sequence[Demand], scoring: Scoring) -> list[Listing | None]:
        return self._current().match_round(demands, scoring)

    def prepare_for_surplus(self) -> None:
        """Wait for the compiled code, and for what only a clearing for surplus needs of it."""
        self.wait()
        self._current().prepare_for_surplus()

    def most_surplus(self, demands: Sequence[Demand], refused: Refused, *, share_slots: bool) -> Outcome:
        return self._current().most_surplus(demands, refused, share_slots=share_slots)

    def candidates_at_any_price(self, demand: Demand) -> Iterable[Listing]:
        return self._current().candidates_at_any_price(demand)

    def _current(self) -> OfferIndex:
        """Return the index that answers now, after moving the offers over if the code is compiled by now."""
        if self._readable is not None and self._compiled.done():
            index = self._compiled.result()()
            index.add_all(self._readable.listings())
            self._index, self._readable = index, None
        return self._index


@cache
def compiled() -> Future[type[BlockIndex]]:
    """Compile in a thread of its own, once per process; what is made is the index that uses the code."""
    future: Future[type[BlockIndex]] = Future()
    Thread(target=_compile, args=(future,), name="compiling the matcher", daemon=True).start()
    return future


def _compile(future: Future[type[BlockIndex]]) -> None:
    try:
        from molt_market.orderbook.compiled import blocks  # noqa: PLC0415 - loads numba, which takes its time

        blocks.compile_all()
    except BaseException as error:  # noqa: BLE001 - whoever asks for the code is told
        future.set_exception(error)
    else:
        future.set_result(blocks.BlockIndex)
