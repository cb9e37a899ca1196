"""Price-time rounds: many orders in turn, each takes its GPUs from the best offer that the earlier ones left.

Ours beside a scan of NumPy columns, the readable index and a list of pydantic objects. These take what time
they are given for the first orders of the round, and their fills are compared with ours. By itself
(`.venv-bench/bin/python -m benchmarks._rounds`) it renews the rounds' rows in results/matcher.json.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import _market as market
from benchmarks import _rivals as rivals
from benchmarks._rows import Row, renew
from molt_market.orderbook.compiled.blocks import BlockIndex, compile_all
from molt_market.orderbook.compiled.turns import Round
from molt_market.orderbook.index import PriceIndex
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.scoring import NEUTRAL_RELIABILITY, ScoreWeights, Scoring

ROUNDS = ((10_000, 100_000, 300_000), (100_000, 1_000_000, 100_000))  # orders, offers, goal in orders/s
REPEATS = 5
SECONDS = 10.0  # for each that ours is compared with
LEAST = 3  # orders, however long they take
SCORING = Scoring(ScoreWeights(), lambda _: None, lambda: (NEUTRAL_RELIABILITY, NEUTRAL_RELIABILITY))

Step = Callable[[market.Question], int | None]
"""Fills the next order of a round; returns the number of the offer, None if nothing fits."""


class NumPyScan:
    """All columns are compared, and what fits is scored: of offers that stand and had a GPU free at first."""

    def __init__(self, table: market.Offers) -> None:
        now = rivals.NOW_SECONDS
        stands = (table.free > 0) & (table.created <= now) & (table.expires > now)
        self.numbers = np.flatnonzero(stands)
        self.columns = {name: column[stands] for name, column in vars(table).items()}
        self.free = self.columns["free"].copy()

    def fill(self, q: market.Question) -> int | None:
        c = self.columns
        fits = (
            (self.free >= q.gpus)
            & (c["price"] <= q.cap)
            & (c["commitment"] <= q.hours)
            & (c["available"] >= q.hours)
        )
        if q.required:
            fits &= np.isin(np.arange(len(market.MODELS)), q.required)[c["model"]]
        if q.region is not None:
            fits &= c["region"] == q.region
        if q.country is not None:
            fits &= c["country"] == q.country
        if q.vram:
            fits &= c["vram"] >= q.vram
        if q.features:
            fits &= (c["features"] & q.features) == q.features
        if q.policy:
            fits &= (c["policy"] == q.policy) | (c["policy"] == 0)
        found = np.flatnonzero(fits)
        if not len(found):
            return None
        score, price = self._score(q, found), c["price"][found]
        first = _first(found, -score, price, c["created"][found])
        self.free[first] -= q.gpus
        return int(self.numbers[first])

    def _score(self, q: market.Question, found: Any) -> Any:
        million = rivals.MILLION
        shares = np.full(len(market.MODELS), 0 if q.preferred else million)
        for model, share in q.shares().items():
            shares[model] = share
        extra = np.bitwise_count(self.columns["features"][found] & ~q.features).astype(np.int64)
        saved = (q.limit - self.columns["price"][found]) * million // q.limit
        return (
            rivals.PRICE * saved // million
            + (rivals.MODEL * shares // million)[self.columns["model"][found]]
            + rivals.FEATURES * (extra * million // 5) // million
            + rivals.BASE
        )


def _first(found: Any, *keys: Any) -> int:
    """Return what has the least of the first key, of that the least of the second, and so on."""
    kept = np.arange(len(found))
    for key in keys:
        kept = kept[key[kept] == key[kept].min()]
    return int(found[kept[0]])


def of_pydantic(listings: Sequence[Listing]) -> Step:
    offers = rivals.PydanticList(listings)

    def fill(q: market.Question) -> int | None:
        best = offers.prepared(q, 1)()
        if not best:
            return None
        offers.take(best[0][0], q.gpus)
        return best[0][0]

    return fill


def of_readable(listings: Sequence[Listing]) -> Step:
    index = PriceIndex()
    for each in listings:
        index.add(each)

    def fill(q: market.Question) -> int | None:
        best = index.best(q.demand(), SCORING, 1)
        if not best:
            return None
        best[0].listing.pool.held += q.gpus
        return best[0].listing.offer.slot

    return fill


def ours(index: BlockIndex, asked: Sequence[market.Question]) -> tuple[float, float, list[int | None]]:
    """Return the least seconds of a round, what it takes to write its orders down, and the fills."""
    demands = [each.demand() for each in asked]
    running, writing = [], []
    for _ in range(REPEATS):
        a_round = Round(index, demands, SCORING)
        started = time.perf_counter()
        a_round.write()
        written = time.perf_counter()
        a_round.run()
        running.append(time.perf_counter() - written)
        writing.append(written - started)
    found = index.match_round(demands, SCORING)
    return min(running), min(writing), [None if each is None else each.offer.slot for each in found]


def rate(step: Step, asked: Sequence[market.Question], fills: Sequence[int | None]) -> tuple[int, float]:
    """Fill orders in turn until the time is up; return how many, and how many a second."""
    started, done = time.perf_counter(), 0
    for question, ours_is in zip(asked, fills, strict=True):
        if time.perf_counter() - started > SECONDS and done >= LEAST:
            break
        if (found := step(question)) != ours_is:
            raise AssertionError(f"order {done}: it takes offer {found}, we take {ours_is}")
        done += 1
    return done, done / (time.perf_counter() - started)


def rows(
    orders: int, goal: int, table: market.Offers, listings: list[Listing], index: BlockIndex
) -> list[Row]:
    """Measure a round of so many orders on a book. GPUs of the listings are held afterwards."""
    size, asked = len(table), market.questions(orders)
    running, writing, fills = ours(index, asked)
    own, name = orders / running, f"round of {orders:,} orders"
    rivals_of: dict[str, Callable[[], Step]] = {
        "NumPy scan": lambda: NumPyScan(table).fill,
        "list of pydantic objects": lambda: of_pydantic(listings),
        "readable index": lambda: of_readable(listings),  # the last: it holds GPUs
    }
    compared = []
    for rival, make in rivals_of.items():
        done, its = rate(make(), asked, fills)
        label = f"{name}: {rival}" + ("" if done == orders else f", by its first {done:,}")
        compared.append(
            Row(label, size, "throughput", round(its, 2), "orders/s", None, None, None, round(own / its, 1))
        )
    scan = compared[0].value
    met = own >= goal
    whole = orders / (running + writing)
    return [
        Row(name, size, "throughput", round(own), "orders/s", goal, met, scan, round(own / scan, 1)),
        Row(
            f"{name}, with writing them down",
            size,
            "throughput",
            round(whole),
            "orders/s",
            None,
            None,
            None,
            None,
        ),
        *compared,
    ]


def main() -> None:
    print(f"everything on core {rivals.pinned()}")
    compile_all()
    found = []
    for orders, offers, goal in ROUNDS:
        table = market.offers(offers)
        listings, index = market.listings(table), BlockIndex()
        index.add_all(listings)
        gc.collect()
        gc.freeze()
        found += rows(orders, goal, table, listings, index)
        gc.unfreeze()
    renew("matcher", found, of="round of ")


if __name__ == "__main__":
    main()
