"""Alerts of real deals, from the chain's log to a real server, by the program and by the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from molt_market.alerts.courier import Courier
from molt_market.alerts.kinds import AlertKind
from molt_market.alerts.watch import AlertLimits
from molt_market.alerts.webhooks import SendingLimits, verify_webhook
from molt_market.app import alert_courier, alert_store, follow
from molt_market.cli.root import ExitCode, app
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.fields import seconds
from molt_market.domain.ids import Address
from molt_market.payments.keeper import Keeper
from molt_market.storage.database import Database
from molt_market.testing import Devnet
from tests.databases import KINDS, database_url
from tests.hooks import Hooks, hook_server
from tests.integration.endings import contest
from tests.integration.scene import HOURS, Scene

PRIVATE = SendingLimits(private=True)
MINUTE = 60


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with database_url(request.param, tmp_path) as url:
        database = Database(url)
        yield database
        database.close()


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with hook_server() as server:
        yield server


class Market:
    """A market whose parties, arbiter and operator get their alerts."""

    def __init__(self, scene: Scene, database: Database, hooks: Hooks) -> None:
        self.scene, self.net, self.hooks = scene, scene.net, hooks
        self.client = scene.net.client()
        self.follower = follow(self.client, database)
        self.store = alert_store(self.client, database)
        self.courier: Courier = alert_courier(
            self.client, database, payers=[self.net.operator.address], sending=PRIVATE
        )
        whom: dict[str, Address | None] = {
            "buyer": self.net.buyer.address,
            "provider": self.net.provider.address,
            "arbiter": self.net.arbiter.address,
            "stranger": self.net.stranger.address,
            "operator": None,
        }
        for name, party in whom.items():
            self.store.subscribe(f"{hooks.url}/{name}", party, name, self.net.clock.now())

    def news(self) -> dict[str, list[str]]:
        """Follow, look, and return which kinds of alerts came to whom since the last time."""
        before = len(self.hooks.received)
        self.follower.advance()
        assert self.courier.look().failed == 0
        assert self.courier.look().delivered == 0, "found again, and delivered again"
        found: dict[str, list[str]] = {}
        for got in self.hooks.received[before:]:
            whom, told = got.path.removeprefix("/"), json.loads(got.body)
            now = self.net.clock.now() + timedelta(seconds=0)
            verify_webhook(whom, got.headers, got.body, now, tolerance=timedelta(days=365))
            assert told["id"] == got.headers["molt-alert-id"]
            found.setdefault(whom, []).append(told["kind"])
        return {whom: sorted(kinds) for whom, kinds in found.items()}

    def warp_to(self, escrow: EscrowAccount, *, before_deadline: int) -> None:
        deadline = seconds(self.client.escrow(escrow.id).locked_until)
        self.net.warp(deadline - before_deadline - seconds(self.net.clock.now()))


@pytest.fixture
def market(scene: Scene, database: Database, hooks: Hooks) -> Market:
    return Market(scene, database, hooks)


# ---------------------------------------------------------------- a deal's life


def test_deal__contested__tells_everybody_in_time(market: Market) -> None:
    scene, escrow = market.scene, market.scene.open()
    assert market.news() == {}
    scene.run(3)
    assert market.news() == {"provider": ["vouchers_lag"]}
    scene.provider.redeem(escrow, scene.voucher(escrow, "3"))
    assert market.news() == {}
    scene.run(20)
    scene.net.warp(30 * MINUTE)
    assert market.news() == {"buyer": ["end_near"], "provider": ["end_near", "vouchers_lag"]}
    scene.run(1)
    scene.provider.release_payment(escrow, scene.proof(escrow, "23.5"))
    assert market.news() == {"buyer": ["claim_opened"]}
    market.warp_to(escrow, before_deadline=20 * MINUTE)
    assert market.news() == {"buyer": ["contest_closing"]}
    scene.buyer.handle_dispute(escrow, contest(escrow, "20"))
    told = ["dispute_opened"]
    assert market.news() == {"buyer": told, "provider": told, "arbiter": told}
    market.warp_to(escrow, before_deadline=20 * MINUTE)
    told = ["ruling_closing"]
    assert market.news() == {"buyer": told, "provider": told, "arbiter": told}
    market.warp_to(escrow, before_deadline=0)
    assert market.news() == {}
    scene.net.warp(11 * MINUTE)
    told = ["not_closed"]
    assert market.news() == {"buyer": told, "provider": told, "operator": told}
    assert Keeper(scene.net.payments(scene.net.stranger), market.follower.due).look().failures == ()
    assert market.news() == {}


def test_deal__never_claimed__warns_the_provider(market: Market) -> None:
    escrow = market.scene.open()
    market.scene.run(HOURS)
    market.news()
    market.warp_to(escrow, before_deadline=20 * MINUTE)
    assert market.news() == {"provider": ["claim_closing"]}


def test_until__is_the_contracts_deadline(market: Market) -> None:
    scene, escrow = market.scene, market.scene.open()
    scene.run(HOURS)
    scene.provider.release_payment(escrow, scene.proof(escrow, "23.5"))
    market.news()
    [got] = [each for each in market.hooks.at("/buyer") if b"claim_opened" in each.body]
    told: dict[str, Any] = json.loads(got.body)
    present = market.client.escrow(escrow.id)
    assert told["until"] == present.locked_until.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert told["figures"]["claimed_gpu_seconds"] == str(present.claimed_gpu_seconds)
    assert (told["deal"], told["deployment"].split(":")[-1]) == (escrow.id, market.net.deployment.escrow)


def test_gas_money__below_the_limit__tells_the_operator(
    scene: Scene, database: Database, hooks: Hooks
) -> None:
    market = Market(scene, database, hooks)
    assert market.news() == {}
    market.net.node.request("hardhat_setBalance", market.net.operator.address, hex(10**15))
    assert market.news() == {"operator": ["gas_low"]}
    assert market.news() == {}


def test_alerts__reorganised_away__are_not_told_again(market: Market) -> None:
    """What was told stays told: the deal's id is the same when it is opened again."""
    net, scene = market.net, market.scene
    created = net.clock.now()
    offer = scene.offer(slot=9, created_at=created)
    order = scene.order(created_at=created)
    scene.open(offer=offer, order=order)
    scene.run(3)
    assert market.news() == {"provider": ["vouchers_lag"]}
    net.node.request("anvil_reorg", 2, [])
    net.node.request("hardhat_mine", hex(1))
    assert market.news() == {}
    assert market.courier.alerts() == []


# ---------------------------------------------------------------- the command


@pytest.fixture
def folder(net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the deployment's file, and the environment of somebody who uses it."""
    (tmp_path / f"{net.deployment.chain_id}.json").write_text(net.deployment.model_dump_json())
    for name in [name for name in os.environ if name.startswith("MOLT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MOLT_RPC_URL", net.url)
    monkeypatch.setenv("MOLT_DEPLOYMENTS", str(tmp_path))
    return tmp_path


def molt(database: Database, *arguments: str, expected: int = ExitCode.DONE) -> str:
    url = database.url.render_as_string(hide_password=False)
    done = CliRunner().invoke(app, ["--database", url, *arguments])
    assert done.exit_code == expected, done.output
    return done.stdout


@pytest.mark.usefixtures("folder")
def test_command__adds_lists_delivers_and_removes(scene: Scene, database: Database, hooks: Hooks) -> None:
    scene.open()
    scene.run(3)
    party = scene.net.provider.address
    made = json.loads(molt(database, "--json", "alerts", "add", f"{hooks.url}/p", "--party", party))
    molt(database, "alerts", "add", f"{hooks.url}/o")
    assert len(made["secret"]) == 64
    listed = molt(database, "alerts", "list")
    assert f"1  {party}  {hooks.url}/p  0 waiting, 0 delivered, 0 given_up\n" in listed
    assert f"2  the operator  {hooks.url}/o" in listed
    assert made["secret"] not in listed + molt(database, "--json", "alerts", "list")
    run = ("alerts", "run", "--once")
    assert molt(database, *run) == "1 new, 0 delivered, 1 failed\n", "it is not public"
    molt(database, "alerts", "remove", "1")
    molt(database, "alerts", "remove", "1", expected=ExitCode.BAD_INPUT)
    again = json.loads(molt(database, "--json", "alerts", "add", f"{hooks.url}/p", "--party", party))
    rich = 10**9
    gas_of = ("--gas-of", scene.net.operator.address, "--gas-limit", str(20_000 * rich))
    assert molt(database, *run, "--private", *gas_of) == "2 new, 2 delivered, 0 failed\n"
    [got] = hooks.at("/p")
    verify_webhook(again["secret"], got.headers, got.body, scene.net.clock.now(), tolerance=timedelta(days=9))
    assert json.loads(got.body)["kind"] == AlertKind.VOUCHERS_LAG
    assert json.loads(hooks.at("/o")[0].body)["kind"] == AlertKind.GAS_LOW
    told = json.loads(molt(database, "--json", "alerts", "list"))["subscriptions"]
    assert [(each["delivered"], each["waiting"]) for each in told] == [(1, 0), (1, 0)]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("url", ["ftp://host/", "http://name:word@host/", "nothing"])
def test_command__add__what_is_no_webhook__is_refused(net: Devnet, tmp_path: Path, url: str) -> None:
    database = Database(tmp_path / "market.db")
    assert molt(database, "alerts", "add", url, expected=ExitCode.BAD_INPUT) == ""
    assert "nobody gets alerts" in molt(database, "alerts", "list")
    database.close()


def test_command__runs_until_it_is_told_to_stop(
    scene: Scene, folder: Path, tmp_path: Path, hooks: Hooks
) -> None:
    database = Database(tmp_path / "market.db")
    alert_store(scene.client, database).subscribe(
        f"{hooks.url}/p", scene.net.provider.address, "secret", scene.net.clock.now()
    )
    database.close()
    command = [sys.executable, "-m", "molt_market.cli", "--database", str(tmp_path / "market.db")]
    child = subprocess.Popen([*command, "alerts", "run", "--every", "1", "--private"])
    try:
        scene.open()
        scene.run(3)
        patience = time.monotonic() + 60
        while not hooks.at("/p") and time.monotonic() < patience:
            time.sleep(0.05)
    finally:
        child.send_signal(signal.SIGTERM)
        code = child.wait(30)
    assert code == 0
    assert len(hooks.at("/p")) == 1


def test_limits__of_ones_own__are_kept(scene: Scene, database: Database) -> None:
    scene.open()
    scene.run(1)
    follow(scene.client, database).advance()
    early = alert_courier(
        scene.client, database, limits=AlertLimits(vouchers_lag=timedelta(minutes=30))
    ).alerts()
    assert [alert.kind for alert in early] == [AlertKind.VOUCHERS_LAG]
    assert alert_courier(scene.client, database).alerts() == []
