"""`molt index` and `molt keeper` on a real chain: once, and as processes that real signals stop."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from molt_market.app import follow
from molt_market.cli.root import ExitCode
from molt_market.domain.deals import DealStatus
from molt_market.domain.ids import EscrowId
from molt_market.signing.wallet import Wallet
from molt_market.storage.database import Database
from molt_market.testing import Devnet
from tests.integration.commands import (
    PASSWORD,
    asked,
    key_file,
    molt,
    on_a_terminal,
    program,
    refused,
    run,
    running,
    stopped,
)
from tests.integration.faults import Fault, FaultyProxy
from tests.integration.scene import Scene

BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@pytest.fixture(autouse=True)
def stranger(net: Devnet, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Wallet:
    """Who has no part in any deal runs the keeper."""
    monkeypatch.setenv("MOLT_DATABASE", "market.db")
    monkeypatch.setenv("MOLT_WALLET", str(key_file(net.stranger, folder / "stranger.json")))
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", PASSWORD)
    return net.stranger


def due(scene: Scene) -> EscrowId:
    """Open a deal, and let time pass up to its deadline."""
    escrow = scene.open()
    scene.run_past(escrow)
    return escrow.id


def followed_to(scene: Scene) -> int | None:
    """Return how far the log is in the database, without following it."""
    database = Database("market.db")
    try:
        at = follow(scene.client, database).facts.cursor()
    finally:
        database.close()
    return None if at is None else at.number


# ---------------------------------------------------------------- index


def test_index__once__makes_the_database__and_goes_on_where_it_was(scene: Scene, folder: Path) -> None:
    assert asked("index", "--once")["live_deals"] == 0
    assert (folder / "market.db").is_file()
    scene.open()
    head = scene.client.transactions.head()
    assert asked("index", "--once") == {"block": head, "live_deals": 1}
    assert molt("index", "--once") == f"followed up to block {head}; 1 deal live\n"


@pytest.mark.usefixtures("net")
def test_index__bar__is_on_a_terminal_only() -> None:
    done = program("index", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    Path("market.db").unlink()
    seen, code = on_a_terminal(["index", "--once"])
    assert (code, "following the log" in seen, "followed up to block" in seen) == (0, True, True)


@BOTH
def test_index__follows_on__until_a_signal(scene: Scene, number: signal.Signals) -> None:
    with running("index") as process:
        assert process.stdout is not None
        assert process.stdout.readline().endswith("; 0 deals live\n")
        scene.open()
        head = scene.client.transactions.head()
        wait_until(lambda: followed_to(scene) == head)
        assert stopped(process, number) == ("", "")


# ---------------------------------------------------------------- keeper


def test_keeper__once__closes_what_is_due__and_nothing_else(scene: Scene, net: Devnet) -> None:
    first = due(scene)
    second = scene.open()
    assert json.loads(molt("--json", "keeper", "--once")) == {"closed": [first], "failures": []}
    assert scene.client.escrow(second.id).status is DealStatus.LOCKED
    assert molt("keeper", "--once") == "nothing is due\n"
    scene.run_past(second)
    assert molt("keeper", "--once") == f"closed deal {second.id}\n"
    assert scene.sent(net.stranger) == 2


def test_keeper__once__account_without_coin__fails_and_says_why(scene: Scene, net: Devnet) -> None:
    deal_id = due(scene)
    net.node.request("hardhat_setBalance", net.stranger.address, "0x0")
    result = run("keeper", "--once")
    assert result.exit_code == ExitCode.FAILED
    assert result.stdout.startswith(f"not closed, deal {deal_id}: {net.stranger.address} has 0 wei for gas")
    told = run("--json", "keeper", "--once")
    assert json.loads(told.stdout)["failures"][0]["error"] == "InsufficientGas"


@BOTH
def test_keeper__runs__closes_what_becomes_due__and_stops_at_a_signal(
    scene: Scene, number: signal.Signals
) -> None:
    with running("keeper", "--every", "1") as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stderr.readline().startswith("looks every 1 seconds")
        deal_id = due(scene)
        assert process.stdout.readline() == f"closed deal {deal_id}\n"
        assert stopped(process, number) == ("", "")
    assert scene.client.escrow(deal_id).status is DealStatus.REFUNDED
    assert molt("keeper", "--once") == "nothing is due\n"


class Line(FaultyProxy):
    """A line to the node that can be cut."""

    cut = False

    def fault(self, method: str) -> Fault | None:
        return Fault.LOST_REQUEST if self.cut else None


@contextmanager
def line_to(net: Devnet) -> Iterator[Line]:
    line = Line(net.url, 0, 0)
    thread = threading.Thread(target=line.serve_forever)
    thread.start()
    try:
        yield line
    finally:
        line.shutdown()
        thread.join()
        line.server_close()


def test_keeper__node_that_goes_away_and_comes_back__is_waited_for(scene: Scene, net: Devnet) -> None:
    with line_to(net) as line, running("--rpc-url", line.url, "keeper", "--every", "1") as process:
        assert process.stderr is not None
        assert process.stdout is not None
        process.stderr.readline()
        line.cut = True
        deal_id = due(scene)
        said = process.stderr.readline() + process.stderr.readline()
        assert "WARNING" in said
        assert "_fails reason=" in said
        line.cut = False
        assert process.stdout.readline() == f"closed deal {deal_id}\n"
        assert stopped(process)[0] == ""


def test_keeper__stopped_while_a_payment_is_on_its_way__pays_it_once(scene: Scene, net: Devnet) -> None:
    deal_id = due(scene)
    molt("index", "--once")
    sent = scene.sent(net.stranger)
    net.node.request("evm_setAutomine", False)
    try:
        with running("keeper", "--every", "1") as process:
            wait_until(lambda: scene.sent(net.stranger) == sent + 1)
            stopped(process)
    finally:
        net.node.request("evm_setAutomine", True)
    net.node.request("evm_mine")
    assert scene.client.escrow(deal_id).status is DealStatus.REFUNDED
    assert molt("keeper", "--once") == "nothing is due\n"
    [entry] = asked("payments", "--all")["payments"]
    assert (entry["state"], scene.sent(net.stranger)) == ("final", sent + 1)


def test_keeper__without_wallet_or_node__ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = ("--rpc-url", "http://127.0.0.1:9")
    assert "no node answers" in refused(*nowhere, "keeper", code=ExitCode.UNREACHABLE)
    monkeypatch.delenv("MOLT_WALLET")
    assert "give --wallet" in refused("keeper", code=ExitCode.BAD_INPUT)


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait, for a minute at most."""
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.2)
