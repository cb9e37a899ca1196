"""The compiled index beside a list, SQLite, PostgreSQL, DuckDB and Polars: the same offers, questions and
answers.

Everything runs in one process on one core (PostgreSQL: in its own, on the same one). Each rival's question
is asked of ours right before, and its answer is compared with ours. A ratio is the geometric mean, over the
questions, of the rival's time over ours. What is random is seeded (benchmarks/_market.py).
"""

from __future__ import annotations

import gc
import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ["POLARS_MAX_THREADS"] = "1"  # before it is imported

from benchmarks import _clearing as clearing
from benchmarks import _market as market
from benchmarks import _rivals as rivals
from benchmarks import _rounds as rounds
from benchmarks._rows import Row, report
from molt_market.domain.amounts import Amount
from molt_market.domain.ids import PartyId
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.orderbook.compiled.blocks import BlockIndex, compile_all
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.scoring import NEUTRAL_RELIABILITY, ScoreWeights, Scoring

SIZES = (10_000, 100_000, 1_000_000)
FEW = 10
QUESTIONS = 1_000
PASSES = 3
SECONDS = 6.0  # for one rival's best ten, and again for its full answers
LEAST = 3  # questions to a rival, however long they take
CHURN = 20_000  # offers that are taken out and put back
SCORING = Scoring(ScoreWeights(), lambda _: None, lambda: (NEUTRAL_RELIABILITY, NEUTRAL_RELIABILITY))


def micros(seconds: float) -> float:
    return round(seconds * 1e6, 2)


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    answer = act()
    return time.perf_counter() - started, answer


def percentile(times: Sequence[float], percent: int) -> float:
    return sorted(times)[min(len(times) * percent // 100, len(times) - 1)]


def geometric_mean(ratios: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def exponent(figures: dict[int, float]) -> float:
    """Fit times ~ size^exponent by least squares of the logarithms."""
    fitted = statistics.linear_regression(list(map(math.log, figures)), list(map(math.log, figures.values())))
    return fitted.slope


# ------------------------------------------------------------------------------------ ours


@dataclass
class Book:
    """A market of so many offers, in our index, with its questions."""

    table: market.Offers
    listings: list[Listing]
    index: BlockIndex
    questions: list[market.Question]
    seconds_to_load: float

    @classmethod
    def of(cls, size: int) -> Book:
        table = market.offers(size)
        listings, index = market.listings(table), BlockIndex()
        seconds, _ = timed(lambda: index.add_all(listings))
        return cls(table, listings, index, market.questions(QUESTIONS), seconds)

    def best(self, question: market.Question) -> Callable[[], Any]:
        demand = question.demand()
        return lambda: self.index.best(demand, SCORING, FEW)

    def all(self, question: market.Question) -> Callable[[], Any]:
        demand = question.demand()
        return lambda: self.index.find(demand, SCORING)


def percentiles(asked: Sequence[Callable[[], Any]]) -> tuple[float, float]:
    """Return the median of the passes' p50, and of their p99; each question is asked once a pass."""
    passes = [[timed(each)[0] for each in asked] for _ in range(PASSES)]
    median, tail = (sorted(percentile(each, p) for each in passes)[PASSES // 2] for p in (50, 99))
    return median, tail


def time_per_result(book: Book) -> float:
    """Return the seconds that all answers take, over what is in them; no answer is kept."""
    taken, results = 0.0, 0
    for question in book.questions[:300]:
        seconds, answer = timed(book.all(question))
        taken, results = taken + seconds, results + len(answer)
    return taken / results


def as_matches(book: Book, question: market.Question) -> Callable[[], Any]:
    """Make ten matches of an order, with the reasons for their scores, as the order book hands them out."""
    demand = question.demand()
    limit = Amount(demand.price_limit)
    needs = JobRequirements(min_gpu_count=1, min_vram_gb=0, max_price_per_hour=limit, estimated_hours=1)
    order = JobOrder(buyer_id=PartyId("buyer"), requirements=needs)
    return lambda: [each.match(order, demand) for each in book.index.best(demand, SCORING, FEW)]


def churn(book: Book) -> dict[str, float]:
    """Take offers out, each at a random place, and put new ones in that differ by nothing but being new."""
    chosen = random.Random(market.SEED).sample(book.listings, min(CHURN, len(book.listings) // 2))
    times: dict[str, list[float]] = {"remove an offer": [], "add an offer": [], "hold GPUs of an offer": []}
    for old in chosen:
        new = replace(old)
        for name, act in (
            ("remove an offer", lambda: book.index.remove(old)),  # noqa: B023 - called at once
            ("add an offer", lambda: book.index.add(new)),  # noqa: B023
            ("hold GPUs of an offer", lambda: setattr(new.pool, "held", new.pool.held)),  # noqa: B023
        ):
            times[name].append(timed(act)[0])
    return {name: percentile(each, 50) for name, each in times.items()}


def fresh_process(files: Path) -> tuple[float, float]:
    """Return the seconds until a fresh process answers, and until its compiled code does; `files` are
    numba's."""
    started = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks._first_answer"],
        env={**os.environ, "NUMBA_CACHE_DIR": str(files)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    first, compiled = map(float, done.stdout.split())
    return first - started, compiled - started


# ------------------------------------------------------------------------------------ the rivals


@dataclass
class Against:
    """How a rival did: its p50 for the best ten, and its time over ours, for the best ten and for all that
    fits."""

    p50: float
    best_ratio: float
    all_ratio: float


def against(book: Book, rival: rivals.Rival) -> Against:
    best, best_ratios = compared(book, rival, FEW)
    _, all_ratios = compared(book, rival, None)
    return Against(percentile(best, 50), geometric_mean(best_ratios), geometric_mean(all_ratios))


def compared(book: Book, rival: rivals.Rival, limit: int | None) -> tuple[list[float], list[float]]:
    """Ask both the same, one after the other, until the time is up; return the rival's times, and over
    ours."""
    times: list[float] = []
    ratios: list[float] = []
    until = time.monotonic() + SECONDS
    for question in book.questions:
        if time.monotonic() > until and len(times) >= LEAST:
            break
        act = book.best(question) if limit else book.all(question)
        act()  # the question before was another rival's, long ago
        mine, answer = timed(act)
        its, found = timed(rival.prepared(question, limit))
        require_same(rival, answer, found, limit)
        if len(answer):
            times.append(its)
            ratios.append(its / mine)
    return times, ratios


def require_same(
    rival: rivals.Rival, answer: Sequence[Any], found: Sequence[rivals.Row], limit: int | None
) -> None:
    ours = [(each.listing.offer.slot, each.score) for each in answer] if limit else len(answer)
    its = [tuple(map(int, row)) for row in found] if limit else len(found)
    if ours != its:
        raise AssertionError(f"{rival.name} answers {its}, we answer {ours}")


def rivals_of(book: Book) -> list[Callable[[], rivals.Rival]]:
    return [
        lambda: rivals.PydanticList(book.listings),
        lambda: rivals.SQLite(book.table),
        lambda: rivals.PostgreSQL(book.table),
        lambda: rivals.DuckDB(book.table),
        lambda: rivals.Polars(book.table),
    ]


# ------------------------------------------------------------------------------------ the table


def ceiling(name: str, size: int, value: float, unit: str, goal: float | None) -> Row:
    return Row.ceiling(name, value, unit=unit, metric="time", goal=goal, baseline=None, n=size)


def floor(name: str, size: int, value: float, goal: float | None, baseline: float) -> Row:
    """Make a row of a ratio that should be at least its goal; `baseline` is the rival's p50 in
    microseconds."""
    met = None if goal is None else value >= goal
    return Row(name, size, "ratio", round(value, 1), "times ours", goal, met, micros(baseline), None)


BEST_GOALS = {"list of pydantic objects": 50_000.0, "SQLite": 1_000.0, "PostgreSQL": 1_000.0}
ALL_GOALS = {"list of pydantic objects": 1_000.0}


class Figures:
    """The rows of the table, as they are measured."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._p50: dict[int, float] = {}
        self._p99: dict[int, float] = {}

    def measure(self, size: int) -> None:
        before = memory()
        book = Book.of(size)
        gc.collect()
        gc.freeze()
        is_big = size == SIZES[-1]
        self._of_answers(book, size, is_big=is_big)
        self._of_rivals(book, size, is_big=is_big)
        self._of_changes(book, size, is_big=is_big)
        if is_big:
            self._of_memory(book, size, before)
        for orders, offers, goal in rounds.ROUNDS:
            if offers == size:  # the last: GPUs are held afterwards
                self.rows += rounds.rows(orders, goal, book.table, book.listings, book.index)
        gc.unfreeze()

    def _of_answers(self, book: Book, size: int, *, is_big: bool) -> None:
        p50, p99 = percentiles([book.best(each) for each in book.questions])
        self._p50[size], self._p99[size] = p50, p99
        add = self.rows.append
        add(ceiling("best ten, p50", size, micros(p50), "us", 10 if is_big else None))
        add(ceiling("best ten, p99", size, micros(p99), "us", 80 if is_big else None))
        hard = percentiles([book.best(each) for each in market.hard(book.questions)])
        add(ceiling("best ten of adverse questions, p50", size, micros(hard[0]), "us", None))
        add(
            ceiling(
                "best ten of adverse questions, p99", size, micros(hard[1]), "us", 300 if is_big else None
            )
        )
        as_objects = percentiles([as_matches(book, each) for each in book.questions])
        add(ceiling("best ten as OrderMatch, p50", size, micros(as_objects[0]), "us", None))
        per_result = time_per_result(book)
        add(
            ceiling(
                "all that fits, per result", size, round(per_result * 1e9, 1), "ns", 25 if is_big else None
            )
        )

    def _of_rivals(self, book: Book, size: int, *, is_big: bool) -> None:
        for make in rivals_of(book):
            rival = make()
            if size == SIZES[0]:
                print(f"--- {rival.name}\n{rival.shown(book.questions[1])}\n")
            done = against(book, rival)
            best_goal, all_goal = BEST_GOALS.get(rival.name, 500.0), ALL_GOALS.get(rival.name)
            if rival.name in {"DuckDB", "Polars"}:
                all_goal = 15.0
            add = self.rows.append
            add(
                floor(
                    f"{rival.name}, best ten", size, done.best_ratio, best_goal if is_big else None, done.p50
                )
            )
            add(
                floor(
                    f"{rival.name}, all that fits",
                    size,
                    done.all_ratio,
                    all_goal if is_big else None,
                    done.p50,
                )
            )

    def _of_changes(self, book: Book, size: int, *, is_big: bool) -> None:
        for name, seconds in churn(book).items():
            goal = 3 if is_big and "GPUs" not in name else None
            self.rows.append(ceiling(f"{name}, p50", size, micros(seconds), "us", goal))
        rate = round(size / book.seconds_to_load)
        self.rows.append(Row("offers loaded", size, "throughput", rate, "offers/s", None, None, None, None))

    def _of_memory(self, book: Book, size: int, before: int) -> None:
        arrays, whole = book.index.nbytes / size, (memory() - before) / size
        add = self.rows.append
        add(ceiling("memory of the arrays, per offer, after changes", size, round(arrays, 1), "bytes", 45))
        add(ceiling("memory with listings and offers, per offer", size, round(whole), "bytes", 110))

    def fit(self) -> None:
        """Fit how the figures grow with the book."""
        for name, figures, goal in (("p50", self._p50, 0.12), ("p99", self._p99, 0.35)):
            fitted = round(exponent(figures), 3)
            self.rows.append(ceiling(f"growth of {name}, exponent", SIZES[-1], fitted, "", goal))

    def start(self) -> None:
        """Measure fresh processes: one that compiles, one that finds numba's files."""
        with TemporaryDirectory() as folder:
            for name in ("nothing compiled yet", "compiled before"):
                first, compiled = fresh_process(Path(folder))
                add = self.rows.append
                add(ceiling(f"fresh process, {name}: first answer", 1_000, round(first, 2), "s", 1))
                add(ceiling(f"fresh process, {name}: compiled code", 1_000, round(compiled, 2), "s", None))


def memory() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    print(f"everything on core {rivals.pinned()}")
    figures = Figures()
    figures.start()
    compile_all()
    for size in SIZES:
        figures.measure(size)
    figures.fit()
    report("matcher", [*figures.rows, *clearing.rows()])


if __name__ == "__main__":
    main()
