"""Through a line that loses, doubles and mixes up requests and answers: every payment is made once."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from molt_market.chain.client import MoltClient
from molt_market.chain.networks import Network
from molt_market.domain.events import DealClosed, DealOpened, DealPaid, Event
from molt_market.domain.settlement import SettlementResult
from molt_market.errors import MoltError
from molt_market.payments.fees import FeePolicy
from molt_market.payments.journal import EntryState, Journal, MemoryJournal
from molt_market.payments.service import PaymentService
from molt_market.payments.settlement import settle_jobs
from molt_market.storage.database import Database
from molt_market.storage.journal import SqlJournal
from molt_market.testing import Devnet
from tests.integration.faults import Fault, FaultyProxy, faulty
from tests.integration.scene import Scene, molt

SEED, RATE = 7, 0.04
DEALS = 8
TRIES = 40

T = TypeVar("T")


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
        return
    database = Database(tmp_path / "market.db")
    yield SqlJournal(database, "faults")
    database.close()


def through(net: Devnet, proxy: FaultyProxy, journal: Journal) -> PaymentService:
    """Return the buyer's payments over the proxy; to connect may take some tries too."""
    network = Network.custom(net.network.chain_id, proxy.url)

    def connected() -> PaymentService:
        client = MoltClient(network, deployment=net.deployment, account=net.buyer, timeout_seconds=5)
        return PaymentService(client, journal=journal, fees=FeePolicy(patience=timedelta(seconds=1)))

    return insisting(connected)


def insisting(act: Callable[[], T]) -> T:
    """Do as a user would whose call failed: call again."""
    for _ in range(TRIES - 1):
        try:
            return act()
        except MoltError:
            time.sleep(0.01)
    return act()


def test_faults__every_payment_is_made_once(
    scene: Scene, net: Devnet, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    offer = scene.offer(gpu_count=4 * DEALS)
    matches = [scene.match(offer=offer, slot=slot) for slot in range(DEALS)]
    before, sent = scene.wealth(net.buyer), scene.sent(net.buyer)
    with faulty(net.url, seed=SEED, rate=RATE) as proxy:
        payments = through(net, proxy, journal)
        for match in matches:
            escrow = insisting(lambda match=match: payments.create_job_escrow(match, net.buyer))  # type: ignore[misc]
            for hours in ("6", "24"):
                voucher = scene.voucher(escrow, hours)
                insisting(lambda at=escrow, by=voucher: payments.redeem(at, by))  # type: ignore[misc]
    with capsys.disabled():
        sys.stdout.write(f"\n{proxy.passed} requests passed; faults that struck, and at sending:\n")
        for fault in Fault:
            sys.stdout.write(f"  {fault.value:<15} {proxy.struck[fault]:>4} {proxy.at_sending[fault]:>4}\n")
    assert all(proxy.struck[fault] for fault in Fault)
    kinds = Counter(type(event) for event in scene.client._logs(net.deployment.block, [], Event))
    assert (kinds[DealOpened], kinds[DealPaid], kinds[DealClosed]) == (DEALS, DEALS, DEALS)
    assert before - scene.wealth(net.buyer) == molt(240) * DEALS
    states = Counter(entry.state for entry in journal.entries(EntryState))
    assert states == {EntryState.FINAL: 3 * DEALS}
    assert scene.sent(net.buyer) == sent + 3 * DEALS


def test_faults__a_batch__is_settled_once(scene: Scene, net: Devnet, journal: Journal) -> None:
    offer = scene.offer(gpu_count=4 * DEALS)
    escrows = [scene.open(offer=offer, slot=slot) for slot in range(DEALS)]
    scene.run(24)
    jobs = [scene.job(escrow, "24", confirmed=True) for escrow in escrows]
    before = scene.wealth(net.provider)
    with faulty(net.url, seed=SEED, rate=RATE) as proxy:
        payments = through(net, proxy, journal)
        for _ in range(TRIES):
            jobs = [
                job for job, answer in zip(jobs, settle_jobs(jobs, payments), strict=True) if failed(answer)
            ]
    assert jobs == []
    assert scene.wealth(net.provider) - before == (molt("237.6") + molt(24)) * DEALS
    kinds = Counter(type(event) for event in scene.client._logs(net.deployment.block, [], Event))
    assert kinds[DealClosed] == DEALS


def failed(answer: SettlementResult | MoltError) -> bool:
    return isinstance(answer, MoltError)
