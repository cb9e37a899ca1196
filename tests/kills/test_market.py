"""Three servers over one PostgreSQL, thousands of orders for the same GPUs, processes and database killed.

MOLT_ORDERS: how many orders are brought for one match (default 2,000); beside them a few wait in the book,
and are matched and opened by whichever server is first. Afterwards no GPU is promised twice, what was
answered is there, what waited is open once, and the feed has every step once.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from molt_market.domain.deals import DealStatus
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.ids import OfferId, OrderId
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements, OrderStatus
from molt_market.domain.updates import DealOpened, Released, Reserved
from molt_market.errors import InsufficientCapacity, ServerError, ServerUnreachable, StorageUnavailable
from molt_market.market.resting import HELD_FOR, TRY_SECONDS
from molt_market.sdk.api import MarketApi
from molt_market.sdk.transport import Transport
from molt_market.signing.statements import sign_offer, sign_order
from molt_market.signing.wallet import Wallet
from molt_market.storage.database import Database
from molt_market.storage.market import SqlMarket
from molt_market.storage.schema import pools, reservations
from molt_market.testing import Devnet, devnet
from tests.databases import Postgres
from tests.service import Server, key_file

ORDERS = int(os.environ.get("MOLT_ORDERS", "2000"))
SLOTS, GPUS = 40, 8
RESTING = 40  # orders that wait, of one GPU each, for another model
SERVERS, CLIENTS, BUYERS = 3, 12, 150
KILLS = 5
CRASH_AT = 2  # of the turns of the destroyer: it is the database's
SEED = 20_261_128


@pytest.fixture(scope="module")
def net() -> Iterator[Devnet]:
    with devnet() as net:
        yield net


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


class Fleet:
    """Servers, some of which are always dead for a moment."""

    def __init__(self, net: Devnet, url: str, folder: Path) -> None:
        self._alone = threading.Lock()
        self._start = partial(Server, net, url, folder, wallet=key_file(net, folder))
        with ThreadPoolExecutor(SERVERS) as pool:
            self._running = list(pool.map(lambda _: self._start(), range(SERVERS)))
        self.kills = 0

    def url(self, number: int) -> str:
        with self._alone:
            return self._running[number % SERVERS].url

    def replace(self, number: int) -> None:
        """Kill one, and start another in its place."""
        self._running[number].kill()
        self._running[number].stop()
        self.kills += 1
        started = self._start()
        with self._alone:
            self._running[number] = started

    def stop(self) -> None:
        for each in self._running:
            each.stop()


class Destroyer:
    """Kills servers one after the other, and the database once."""

    def __init__(self, fleet: Fleet, postgres: Postgres, chance: random.Random) -> None:
        self._fleet, self._postgres, self._chance = fleet, postgres, chance
        self.failure: BaseException | None = None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        yield
        thread.join()
        assert self.failure is None

    def _run(self) -> None:
        try:
            for turn in range(KILLS + 1):
                time.sleep(self._chance.uniform(0.2, 0.8))
                if turn == CRASH_AT:
                    self._postgres.crash()
                else:
                    self._fleet.replace(self._chance.randrange(SERVERS))
        except BaseException as error:  # noqa: BLE001 - it is told by `at_work`
            self.failure = error


class Client:
    """Wants GPUs, asks one server after the other until one answers, and keeps what was promised."""

    def __init__(self, number: int, fleet: Fleet, promised: Counter[str]) -> None:
        self._number, self._fleet, self._promised = number, fleet, promised
        self._apis: dict[str, MarketApi] = {}
        self.lost_answers = 0

    def want(self, offer_id: OfferId, order: JobOrder) -> str:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            self._number += 1
            try:
                self._promised[self._api().reserve(offer_id, order, 120).deal_id] += 1
            except InsufficientCapacity:
                return "refused"
            except (ServerUnreachable, ServerError, StorageUnavailable):
                self.lost_answers += 1
                time.sleep(0.05)
            else:
                return "held"
        raise TimeoutError(order.id)

    def _api(self) -> MarketApi:
        url = self._fleet.url(self._number)
        if url not in self._apis:
            self._apis[url] = MarketApi(Transport(url, attempts=1))
        return self._apis[url]

    def close(self) -> None:
        for each in self._apis.values():
            each.close()


def offers(net: Devnet, model: str, slots: range) -> list[CapacityOffer]:
    gpus = GpuCapacity(gpu_count=GPUS, gpu_model=model, vram_gb=80)
    made = [
        CapacityOffer(
            provider_id=net.providers[slot % 4].address,
            gpu_capacity=gpus,
            price_per_hour=net.client().token.amount(2),
            available_hours=24,
            policy_id=net.policy_id,
            slot=slot,
            created_at=net.clock.now(),
        )
        for slot in slots
    ]
    return [sign_offer(each, net.providers[each.slot % 4], net.domain) for each in made]


def resting(net: Devnet) -> list[JobOrder]:
    """Make orders that wait for one GPU each, and put their money into the escrow."""
    token = net.client().token
    needs = JobRequirements(
        min_gpu_count=1,
        min_vram_gb=80,
        estimated_hours=2,
        max_price_per_hour=token.amount(2),
        required_models=("A100",),
    )
    net.client(net.buyer).deposit(token.amount(4 * RESTING))
    fields: dict[str, Any] = {"policy_id": net.policy_id, "opener": net.operator.address}
    made = [
        JobOrder(
            buyer_id=net.buyer.address, requirements=needs, slot=slot, created_at=net.clock.now(), **fields
        )
        for slot in range(RESTING)
    ]
    return [sign_order(each, net.buyer, net.domain) for each in made]


def orders(net: Devnet, chance: random.Random, posted: list[CapacityOffer]) -> list[tuple[OfferId, JobOrder]]:
    """Make signed orders of 1 to 3 GPUs, each for one offer."""
    buyers = [Wallet.from_private_key(secrets.token_bytes(32)) for _ in range(BUYERS)]
    made = []
    for number in range(ORDERS):
        offer, buyer = chance.choice(posted), buyers[number % BUYERS]
        needs = JobRequirements(
            min_gpu_count=chance.randint(1, 3),
            min_vram_gb=80,
            estimated_hours=8,
            max_price_per_hour=offer.price_per_hour,
        )
        order = JobOrder(
            buyer_id=buyer.address, requirements=needs, slot=number // BUYERS, created_at=net.clock.now()
        )
        made.append((offer.id, sign_order(order, buyer, net.domain, offer=offer)))
    return made


def test_servers_and_database_killed__no_gpu_is_promised_twice_and_nothing_is_lost(
    net: Devnet, postgres: Postgres, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    fleet = Fleet(net, postgres.url, tmp_path)
    promised = Counter[str]()
    clients = [Client(number, fleet, promised) for number in range(CLIENTS)]
    try:
        with MarketApi(fleet.url(0)) as api:
            posted = list(api.post_offers(offers(net, "H100", range(SLOTS))))
            waiting = [each.order.id for each in api.post_orders(resting(net))]
            wanted = orders(net, chance, posted)
            api.post_offers(offers(net, "A100", range(SLOTS, SLOTS + RESTING // GPUS)))
        with Destroyer(fleet, postgres, chance).at_work(), ThreadPoolExecutor(CLIENTS) as pool:
            asked = enumerate(wanted)
            answers = Counter(pool.map(lambda each: clients[each[0] % CLIENTS].want(*each[1]), asked))
        lost = sum(client.lost_answers for client in clients)
        with capsys.disabled():
            print(f"\n{dict(answers)}, {fleet.kills} servers killed, {lost} answers lost and asked again")  # noqa: T201
        assert sum(answers.values()) == ORDERS
        assert min(answers["held"], answers["refused"], lost) > 0
        database = Database(postgres.url)
        client = net.client()
        market = SqlMarket(database, f"{client.chain_name()}:{client.deployment.escrow}", client.token)
        try:
            _require_open(net, market, waiting)
            fleet.stop()  # nothing changes any more
            _require_whole(database, market, set(promised))
        finally:
            database.close()
    finally:
        for client_ in clients:
            client_.close()
        fleet.stop()


def _require_open(net: Devnet, market: SqlMarket, waiting: list[OrderId]) -> None:
    """Require that each order that waited has its deal, once.

    Where a server died after it had signed the opening, its orders may wait until the reservation lapses.
    """
    until = time.monotonic() + HELD_FOR.total_seconds() + 2 * TRY_SECONDS + 30
    while any(market.order(each).order.status is not OrderStatus.ESCROWED for each in waiting):
        assert time.monotonic() < until, Counter(market.order(each).order.status for each in waiting)
        time.sleep(0.2)
    found = {market.order(each).deal_id for each in waiting}
    assert len(found) == RESTING
    locked = net.client().deals([each for each in found if each is not None])
    assert {account.status for account, _ in locked.values()} == {DealStatus.LOCKED}
    assert len(locked) == RESTING


def _require_whole(database: Database, market: SqlMarket, promised: set[str]) -> None:
    """Require that the feed has every step once, and no step holds more GPUs than there are."""
    items = market.feed(0, 100_000)
    assert [item.sequence for item in items] == list(range(1, market.last() + 1))
    held = Counter[tuple[str, int]]()
    reserved, released = set[str](), set[str]()
    for update in (item.update for item in items):
        if isinstance(update, (Reserved, Released, DealOpened)):
            place = update.provider, update.slot
            counts = {Reserved: update.gpu_count, Released: -update.gpu_count, DealOpened: 0}
            held[place] += counts[type(update)]
            assert update.held == held[place] <= GPUS
            if update.slot < SLOTS:
                (released if isinstance(update, Released) else reserved).add(update.deal_id)
    assert promised <= reserved  # what was answered is there
    assert reserved - promised <= released  # and what was not answered has lapsed
    with database.reading() as connection:
        states = Counter(connection.execute(select(reservations.c.state)).scalars())
        now_held = {(row.provider, row.slot): row.held for row in connection.execute(select(pools))}
    assert states["opened"] == RESTING
    assert set(states) <= {"opened", "held", "lapsed"}
    assert now_held == dict(held)
