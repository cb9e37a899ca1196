"""The market's server under load, and its store: `make bench NAME=api`.

Quote, post (signatures checked) and the live feed, each against a bare FastAPI route on the same machine in
the same run, with 1,000 and with 1,000,000 offers in the book: the ratio must not grow with the book. Beside
it what a durable post costs against a bare commit of the same database, and how long a server takes from its
start to its first quote.

MOLT_OFFERS: how many offers the large book has (default 1,000,000).
"""

import os
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from sqlalchemy import insert

from benchmarks._rows import Row, report
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.ids import OfferId
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.sdk.feed import follow_feed
from molt_market.signing.hashes import offer_hash
from molt_market.signing.statements import sign_offer
from molt_market.storage.database import Database
from molt_market.storage.market import SqlMarket
from molt_market.storage.schema import offers as table
from molt_market.testing import Devnet, devnet
from molt_market.wire.messages import Ask, PostOffers
from tests.service import Server, server

SMALL, LARGE = 1_000, int(os.environ.get("MOLT_OFFERS", "1000000"))
MODELS = ("H100", "H200", "A100", "L40S", "L4", "RTX 4090", "MI300X", "B200")
SIGNED_AT = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
STANDING = 64  # offers that are signed, and the cheapest
ASKED, POSTS = 400, 300  # requests of one kind
RESTART_SECONDS = 5  # the aim
GROWTH = 1.2  # what the noise of the machine is granted
CLIENTS, SEEN = 20, 100  # of the live feed: listeners, and steps that each of them waits for
BARE = """
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
class Body(BaseModel):
    text: str
app = FastAPI()
@app.post("/bare")
def bare(body: Body) -> Body:
    return body
uvicorn.run(app, port={port}, log_level="warning", access_log=False)
"""


# ---------------------------------------------------------------- what there is to ask


def make_offer(net: Devnet, number: int) -> CapacityOffer:
    """Make a signed offer; prices rise with the number, models take turns."""
    token = net.deployment.money
    offer = CapacityOffer(
        provider_id=net.providers[number % 4].address,
        gpu_capacity=GpuCapacity(gpu_count=8, gpu_model=MODELS[number % len(MODELS)], vram_gb=80),
        price_per_hour=token.amount(1) + token.amount("0.000001") * number,
        available_hours=100,
        policy_id=net.policy_id,
        slot=number,
        created_at=SIGNED_AT,
        expires_at=SIGNED_AT + timedelta(days=365),
    )
    return sign_offer(offer, net.providers[number % 4], net.domain)


def filled(net: Devnet, url: str, size: int, signed: Sequence[CapacityOffer]) -> None:
    """Let a book have so many offers. The dearer ones are not signed, to save time: no quote gets there."""
    database, client, token = Database(url), net.client(), net.deployment.money
    market = SqlMarket(database, f"{client.chain_name()}:{client.deployment.escrow}", token)
    now = net.clock.now()
    own = [each.model_copy(update={"id": OfferId(offer_hash(each, net.domain))}) for each in signed]
    market.post_offers(own, now)
    template, dear, step = own[0], token.amount(2), token.amount("0.000001")
    with database.writing() as connection:
        for first in range(len(own), size, 10_000):
            rows = []
            for number in range(first, min(first + 10_000, size)):
                gpus = template.gpu_capacity.model_copy(update={"gpu_model": MODELS[number % len(MODELS)]})
                fields = {
                    "id": OfferId(f"0x{number:064x}"),
                    "gpu_capacity": gpus,
                    "price_per_hour": dear + step * number,
                    "slot": number,
                }
                rows.append(market._offer_row(template.model_copy(update=fields), now))  # noqa: SLF001
            connection.execute(insert(table), rows)
    database.close()


def order(net: Devnet, model: str) -> JobOrder:
    """Make an order that hundreds of thousands of offers of the large book fit."""
    needs = JobRequirements(
        min_gpu_count=4,
        min_vram_gb=40,
        max_price_per_hour=net.client().token.amount(10),
        estimated_hours=8,
        required_models=(model,),
    )
    return JobOrder(buyer_id=net.buyer.address, requirements=needs, created_at=net.clock.now())


# ---------------------------------------------------------------- timing


def timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def latencies(acts: Sequence[Callable[[], object]]) -> tuple[float, float]:
    """Return the median and the 99th percentile of some requests, one after the other, in milliseconds."""
    times = sorted(timed(act) * 1_000 for act in acts)
    return statistics.median(times), times[len(times) * 99 // 100]


def posting(url: str, path: str, bodies: Sequence[str]) -> list[Callable[[], object]]:
    client = httpx.Client(base_url=url, timeout=60, headers={"Content-Type": "application/json"})

    def send(body: str) -> None:
        response = client.post(path, content=body)
        assert response.is_success, response.text

    return [lambda body=body: send(body) for body in bodies]  # type: ignore[misc]


@contextmanager
def bare_route(port: int = 18_975) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-c", BARE.format(port=port)])  # noqa: S603
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                httpx.post(f"{url}/bare", json={"text": ""})
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                break
        yield url
    finally:
        process.terminate()
        process.wait()


# ---------------------------------------------------------------- the figures


def of_book(net: Devnet, bare: tuple[float, float], size: int, folder: Path) -> tuple[list[Row], float]:
    """Measure a server whose book has so many offers; return with the rows the median of a quote."""
    url = f"sqlite:///{folder / f'{size}.db'}"
    signed = [make_offer(net, number) for number in range(POSTS + STANDING)]
    filled(net, url, size, signed[:STANDING])
    asked = [Ask(order=order(net, MODELS[n % len(MODELS)])).model_dump_json() for n in range(ASKED)]
    bodies = [PostOffers(offers=(each,)).model_dump_json() for each in signed[STANDING:]]
    start = time.perf_counter()
    with server(net, url, folder) as running:
        asking = posting(running.url, "/quotes", asked)
        asking[0]()
        restart = time.perf_counter() - start
        while not httpx.get(f"{running.url}/health").json()["book_is_read"]:
            time.sleep(0.2)
        quote, post = latencies(asking), latencies(posting(running.url, "/offers", bodies))
        fan_out = fanned_out(net, running)
    book = f"{size:,} offers"
    first = f"first quote of a server with {book}"
    figures = [
        (f"quote, {book}", "p50", quote[0], bare[0], ASKED),
        (f"quote, {book}", "p99", quote[1], bare[1], ASKED),
        (f"post, {book}", "p50", post[0], bare[0], POSTS),
        (f"post, {book}", "p99", post[1], bare[1], POSTS),
        (f"step to {CLIENTS} clients, {book}", "mean", fan_out, bare[0], SEEN),
    ]
    return [
        Row.ceiling(first, restart, unit="s", metric="once", goal=RESTART_SECONDS, baseline=None),
        *(
            Row.ceiling(name, value, unit="ms", metric=metric, goal=None, baseline=baseline, n=n)
            for name, metric, value, baseline, n in figures
        ),
    ], quote[0]


def fanned_out(net: Devnet, running: Server) -> float:
    """Return the milliseconds that a step takes to reach all clients, posts made by one client included."""
    after = httpx.get(f"{running.url}/feed", params={"limit": 1}).json()["last"]
    ready = threading.Barrier(CLIENTS + 1)

    def listen(_: int) -> None:
        ready.wait()
        feed = follow_feed(running.url, after)
        for _step in range(SEEN):
            next(feed)
        feed.close()

    signed = [make_offer(net, 10**7 + number) for number in range(SEEN)]
    acts = posting(running.url, "/offers", [PostOffers(offers=(each,)).model_dump_json() for each in signed])
    with ThreadPoolExecutor(CLIENTS) as pool:
        listening = [pool.submit(listen, number) for number in range(CLIENTS)]
        ready.wait()
        start = time.perf_counter()
        for act in acts:
            act()
        for each in listening:
            each.result()
    return (time.perf_counter() - start) * 1_000 / SEEN


def of_store(net: Devnet, folder: Path) -> list[Row]:
    """Measure a durable post against a bare commit, in turns; then eight threads that post.

    Bare is what a commit costs at least: sqlite3 alone puts the same offer as JSON into a table with a key,
    in the same folder, with the same journal (WAL) and as durable (FULL). A post writes three rows: the
    offer, with its indexes, the count of the feed, and the step there.
    """
    database, client = Database(folder / "store.db"), net.client()
    market = SqlMarket(database, f"{client.chain_name()}:{client.deployment.escrow}", client.token)
    bare = sqlite3.connect(folder / "bare.db", isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        bare.execute(f"PRAGMA {pragma}")
    bare.execute("CREATE TABLE rows (id TEXT PRIMARY KEY, body TEXT)")
    now, signed = net.clock.now(), [make_offer(net, number) for number in range(2 * ASKED)]
    made = [each.model_copy(update={"id": OfferId(f"0x{n:064x}")}) for n, each in enumerate(signed)]
    body = made[0].model_dump_json()

    def commit(number: int) -> None:
        bare.execute("BEGIN IMMEDIATE")
        bare.execute("INSERT INTO rows VALUES (?, ?)", (str(number), body))
        bare.execute("COMMIT")

    def post(number: int) -> None:
        market.post_offers([made[number]], now)

    times = [(timed(lambda n=n: commit(n)), timed(lambda n=n: post(n))) for n in range(ASKED)]  # type: ignore[misc]
    alone, bare_alone = (statistics.fmean(each[side] for each in times) * 1e6 for side in (1, 0))
    with ThreadPoolExecutor(8) as pool:
        together = timed(lambda: list(pool.map(post, range(ASKED, 2 * ASKED)))) * 1e6 / ASKED
    database.close()
    bare.close()
    most = 1.2 * bare_alone
    return [
        Row.ceiling(name, value, unit="us", metric="mean", goal=most, baseline=bare_alone, n=ASKED)
        for name, value in (("durable post, one by one", alone), ("durable post, eight at a time", together))
    ]


def main() -> None:
    """Measure, print and write down."""
    with TemporaryDirectory() as name, devnet() as net, bare_route() as url:
        folder = Path(name)
        bare = latencies(posting(url, "/bare", ['{"text": "x"}'] * ASKED))
        small, quote = of_book(net, bare, SMALL, folder)
        large, quote_of_large = of_book(net, bare, LARGE, folder)
        rows = [
            Row.ceiling(
                "bare FastAPI route", bare[0], unit="ms", metric="p50", goal=None, baseline=None, n=ASKED
            ),
            Row.ceiling(
                "bare FastAPI route", bare[1], unit="ms", metric="p99", goal=None, baseline=None, n=ASKED
            ),
            *of_store(net, folder),
            *small,
            *large,
            Row.ceiling(
                "quote, the large book against the small one",
                quote_of_large,
                unit="ms",
                metric="p50",
                goal=GROWTH * quote,
                baseline=quote,
                n=ASKED,
            ),
        ]
    report("api", rows)


if __name__ == "__main__":
    main()
