"""Processes are killed from outside at random moments; afterwards every deal is paid once, to the unit.

MOLT_KILLS: how many in each database (default 20). If payments were not in every state at some death by then,
more follow, up to five times as many, each at the sight of a missing state, if one comes in time. The blocks
come from here, with two confirmations and base fees that jump now and then, so that transactions get stuck
and are replaced; no block comes while that is the state that is waited for.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import count
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from molt_market.chain.networks import Network
from molt_market.domain.events import DealClosed, DealOpened, DealPaid, Event
from molt_market.domain.ids import Address
from molt_market.domain.matches import OrderMatch
from molt_market.payments.journal import IN_FLIGHT, EntryState
from molt_market.storage.database import Database
from molt_market.storage.journal import SqlJournal
from molt_market.testing import Devnet, devnet
from tests.databases import KINDS, database_url
from tests.integration.scene import Scene, molt
from tests.kills import worker
from tests.kills.worker import STEPS, Work

KILLS = int(os.environ.get("MOLT_KILLS", "20"))
SEED = 20_261_127
AT_WORK = 2  # processes at the same time, over one account and one database
TO_HIT = [EntryState.PLANNED, *(state for state in EntryState if state in IN_FLIGHT)]
BLOCK_SECONDS = 0.08
JUMP = 0.09  # of a block's base fee, that often; between jumps it falls by an eighth with each block
CONFIRMATIONS = 2
SIGHT_SECONDS = (
    0.6  # how long a state is waited for; a worker's patience with a transaction is a quarter of it
)
PATIENCE_SECONDS = 90

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["tests.kills.worker"])


class Mill:
    """Makes the blocks, and lets the base fee jump to more than the double that transactions allow for."""

    def __init__(self, net: Devnet, chance: random.Random) -> None:
        self._net, self._chance, self._client = net, chance, net.client()
        self._stop, self._slow = threading.Event(), threading.Event()
        self.jumps = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        self._net.node.request("evm_setAutomine", False)
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            self._net.node.request("evm_setAutomine", True)

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Make no block for as long as this lasts."""
        self._slow.set()
        try:
            yield
        finally:
            self._slow.clear()

    def _run(self) -> None:
        while not self._stop.wait(BLOCK_SECONDS):
            if self._slow.is_set():
                continue
            if self._chance.random() < JUMP:
                base_fee = self._client.transactions.market_fee().most
                self._net.node.request("hardhat_setNextBlockBaseFeePerGas", hex(base_fee * 5 // 2))
                self.jumps += 1
            self._net.node.request("evm_mine")


class Killing:
    """Starts workers, and kills them; keeps in which states payments were at each death."""

    def __init__(
        self, scene: Scene, work: Work, journal: SqlJournal, chance: random.Random, mill: Mill
    ) -> None:
        self._scene, self._work, self._journal, self._chance = scene, work, journal, chance
        self._mill = mill
        self._offer = scene.offer(gpu_count=1_000, available_hours=4)
        self._slots = count()
        self.matches: list[OrderMatch] = []
        self.deaths: list[Counter[EntryState]] = []

    def run(self) -> None:
        while len(self.deaths) < KILLS or (self.missing and len(self.deaths) < 5 * KILLS):
            self.round()
        self.finish()

    @property
    def missing(self) -> set[EntryState]:
        """The states that no payment was in at a death."""
        return {state for state in TO_HIT if not any(death[state] for death in self.deaths)}

    def round(self) -> None:
        """Let some workers start on a few deals, new ones among them, and kill each of them."""
        self.matches += [self._made(), self._made()]
        workers = [self._started(self.matches[-8:], seed) for seed in range(AT_WORK)]
        for process in workers:
            if len(self.deaths) < KILLS:
                time.sleep(self._chance.uniform(0.05, 0.6))
            else:
                self._wait_for_a_missing_state()
            process.kill()
            process.join()
            assert process.exitcode == -9, (
                f"it ended by itself, with {process.exitcode}, before it was killed"
            )
            self.deaths.append(Counter(entry.state for entry in self._journal.entries(TO_HIT)))

    def _wait_for_a_missing_state(self) -> None:
        with self._mill.slow() if EntryState.REPLACED in self.missing else nullcontext():
            until = time.monotonic() + SIGHT_SECONDS
            while time.monotonic() < until and not self._journal.entries(self.missing, limit=1):
                time.sleep(0.005)

    def finish(self) -> None:
        """Let a worker do all that is left."""
        process = self._started(self.matches, 0)
        process.join(PATIENCE_SECONDS)
        assert process.exitcode == 0, "it was not done in time"

    def _made(self) -> OrderMatch:
        """Make a deal of one GPU for four hours, at 2.5 MOLT."""
        slot = next(self._slots)
        return self._scene.match(offer=self._offer, min_gpu_count=1, estimated_hours=4, slot=slot)

    def _started(self, matches: Sequence[OrderMatch], seed: int) -> ForkServerProcess:
        work = replace(self._work, matches=tuple(matches), seed=seed)
        process = context.Process(target=worker.run, args=(work,))
        process.start()
        return process

    def histogram(self) -> str:
        lines = [
            f"{len(self.deaths)} kills. State, payments that were in it at a death, deaths with any of them:"
        ]
        for state in TO_HIT:
            payments = sum(each[state] for each in self.deaths)
            deaths = sum(each[state] > 0 for each in self.deaths)
            lines.append(f"  {state.value:<10} {payments:>5} {deaths:>5}  {'#' * deaths}")
        return "\n".join(lines)


@pytest.mark.parametrize("kind", KINDS)
def test_kills__every_deal_is_paid_once__to_the_unit__and_no_nonce_is_left_out(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    with devnet() as net, database_url(kind, tmp_path) as url:
        scene = Scene(net)
        database = Database(url)
        journal = SqlJournal(database, "kills")
        network = Network.custom(net.network.chain_id, net.url, confirmations=CONFIRMATIONS)
        mill, before = Mill(net, chance), Books(scene)
        work = Work(network, net.deployment, url, "kills", (), 0)
        killing = Killing(scene, work, journal, chance, mill)
        with mill.running():
            killing.run()
        with capsys.disabled():
            sys.stdout.write(f"\n{kind}: {killing.histogram()}\n  the base fee jumped {mill.jumps} times\n")
        assert not killing.missing
        require_paid_once(scene, len(killing.matches))
        before.require_paid(Books(scene), len(killing.matches))
        require_no_gap(journal, net, before)
        database.close()


class Books:
    """What everybody has."""

    def __init__(self, scene: Scene) -> None:
        net = scene.net
        self.buyer = scene.wealth(net.buyer)
        self.provider = scene.wealth(net.provider)
        self.fees = scene.wealth(net.fee_recipient)
        self.nonce = scene.sent(net.buyer)

    def require_paid(self, after: Books, deals: int) -> None:
        assert self.buyer - after.buyer == molt(10 * deals)
        assert after.fees - self.fees == molt("0.1") * deals
        assert after.provider - self.provider == molt("9.9") * deals


def require_paid_once(scene: Scene, deals: int) -> None:
    logged = scene.client._logs(scene.net.deployment.block, [], Event)
    kinds = Counter(type(event) for event in logged)
    assert kinds[DealOpened] == kinds[DealClosed] == deals
    assert kinds[DealPaid] == deals * (len(STEPS) - 1)
    assert len({event.deal_id for event in logged if isinstance(event, DealClosed)}) == deals


def require_no_gap(journal: SqlJournal, net: Devnet, before: Books) -> None:
    """Every nonce since the start is of a dispatch that is final, and nothing waits."""
    buyer: Address = net.buyer.address
    assert journal.entries(TO_HIT) == []
    nonces = [dispatch.nonce for dispatch in journal.final_since(buyer, 0)]
    used = net.client().transactions.used_nonces(buyer)
    assert nonces == list(range(before.nonce, used))
    assert net.client().transactions.next_nonce(buyer) == used
