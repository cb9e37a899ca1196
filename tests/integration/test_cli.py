"""The command line on a real chain: as a program, against a stuck transaction, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from molt_market.app import connect, journal_in
from molt_market.cli.root import ExitCode, app
from molt_market.domain.deals import DealStatus
from molt_market.errors import InvalidValue
from molt_market.payments.fees import FeePolicy
from molt_market.payments.journal import EntryState, MemoryJournal
from molt_market.signing.wallet import Wallet
from molt_market.storage.database import Database
from molt_market.testing import Devnet
from tests.databases import KINDS, database_url
from tests.integration.commands import molt, program
from tests.integration.scene import Scene
from tests.integration.stage import Stage
from tests.integration.test_stuck import payments_of, pending


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database_url(request.param, tmp_path) as url:
        yield url


def stuck(scene: Scene, url: str) -> tuple[str, str]:
    """Open two deals whose transactions are not mined; return their keys."""
    net, database = scene.net, Database(url)
    journal = journal_in(database, net.client())
    net.node.request("evm_setAutomine", False)
    try:
        for slot in (0, 4):
            pending(payments_of(net, journal, patience=3_600), scene.match(offer=scene.offer(slot=slot)), net)
        first, second = (entry.key for entry in journal.entries([EntryState.BROADCAST]))
    finally:
        database.close()
    return first, second


@pytest.fixture
def automine(net: Devnet) -> Iterator[None]:
    """Leave a chain behind that mines by itself, and has nothing that waits."""
    yield
    net.node.request("anvil_dropAllTransactions")
    net.node.request("evm_setAutomine", True)


# ---------------------------------------------------------------- payments


@pytest.mark.usefixtures("folder", "automine")
def test_payments__stuck__says_which_one_is_first__and_reconcile_brings_them_home(
    scene: Scene, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, (first, second) = scene.net, stuck(scene, database)
    monkeypatch.setenv("MOLT_DATABASE", database)
    nonce = scene.sent(net.buyer) - 2
    head = net.node.number("eth_blockNumber")
    text = molt("payments")
    assert text.startswith(f"2 payments on chain 31337 at block {head}\n")
    assert f"{first}\n  state  broadcast for " in text
    assert f"  nonce  {nonce} of {net.buyer.address}\n" in text
    assert f"{second}\n" in text
    assert f"  next   waits for nonce {nonce} of its account, which is not mined: that one first\n" in text
    assert 'molt_payments{state="broadcast"} 2.0' in molt("metrics")

    net.node.request("evm_setAutomine", True)
    net.node.request("evm_mine")
    monkeypatch.setenv("MOLT_WALLET", "buyer.json")
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", "secret")
    monkeypatch.setattr(Wallet, "from_file", lambda _: net.buyer)
    assert molt("reconcile").splitlines()[-1] == "2 differences"
    assert molt("payments") == f"no payments on chain 31337 at block {net.node.number('eth_blockNumber')}\n"
    [newest] = json.loads(molt("payments", "--all", "--limit", "1", "--json"))["payments"]
    assert (newest["key"], newest["state"], newest["next"]) == (second, "final", "nothing: it is done")
    assert molt("reconcile") == "journal and chain agree\n"


def test_program__stuck__tells_the_same__without_a_node_too(
    scene: Scene, folder: Path, automine: None
) -> None:
    path = str(folder / "market.db")
    first, _ = stuck(scene, path)
    done = program("--database", path, "--log-format", "json", "payments", "--limit", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert first in done.stdout
    assert "1 more: --limit shows them" in done.stdout
    gone = program("--database", path, "--rpc-url", "http://127.0.0.1:9", "--json", "payments")
    assert gone.returncode == 0
    found = json.loads(gone.stdout)
    assert found["head"] is None
    assert [each["blocked_by"] is None for each in found["payments"]] == [True, False]


# ---------------------------------------------------------------- explain


def explained(deal_id: str, *options: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(molt(*options, "--json", "explain", deal_id))
    return read


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("status", ["LOCKED", "CLAIMED", "DISPUTED", "UNATTESTED", "RELEASED", "REFUNDED"])
def test_explain__every_status__sums_to_the_unit(scene: Scene, status: str) -> None:
    escrow = Stage(scene).deal(status)
    text, found = molt("explain", escrow.id), explained(escrow.id)
    present = scene.client.escrow(escrow.id)
    assert f"{present.status.name}: {found['says']}\n" in text
    in_all = sum(int(units) for units in found["in_all"].values())
    assert sum(int(share["price"]) + int(share["bond"]) for share in found["money"]) == in_all
    held = scene.escrow_holds().base_units
    for wallet in (*scene.net.buyers, *scene.net.providers, scene.net.fee_recipient, scene.net.arbiter):
        held -= scene.client.balances(wallet.address).escrow.base_units
    [in_escrow] = [share for share in found["money"] if share["where"] == "held by the escrow"]
    assert int(in_escrow["price"]) + int(in_escrow["bond"]) == held
    assert ("Nothing comes next" in text) is (found["next"] == []) is (status in {"RELEASED", "REFUNDED"})
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100


def test_explain__with_wallet_and_database__marks_your_part_and_lists_the_payments(
    scene: Scene, net: Devnet, folder: Path
) -> None:
    database = Database(folder / "market.db")
    payments = connect(
        net.network, net.buyer, deployment=net.deployment, database=database, fees=FeePolicy(cap=10**12)
    )
    escrow = payments.create_job_escrow(scene.match(), net.buyer)
    database.close()
    (folder / "buyer.json").write_text(json.dumps({"address": net.buyer.address.lower()}))
    text = molt("--wallet", "buyer.json", "--database", "market.db", "explain", escrow.id)
    assert f"buyer    {net.buyer.address} (you)\n" in text
    assert "the buyer (you)" in text
    assert f"payments in the journal\nopen:{escrow.id}\n  state  final for " in text
    assert explained(escrow.id, "--database", "market.db")["payments"][0]["key"] == f"open:{escrow.id}"


@pytest.mark.usefixtures("folder", "net")
def test_explain__deal_that_is_not_there__is_one_red_line() -> None:
    done = CliRunner().invoke(app, ["explain", "0x" + "12" * 32])
    assert (done.exit_code, done.stdout) == (ExitCode.FAILED, "")
    assert done.stderr.startswith("error: no deal 0x1212")
    assert done.stderr.count("\n") == 1


# ---------------------------------------------------------------- connect


def test_connect__database__is_used_by_who_connects_next(scene: Scene, net: Devnet, tmp_path: Path) -> None:
    match, sent = scene.match(), scene.sent(net.buyer)
    escrows = [
        connect(
            net.network, net.buyer, deployment=net.deployment, database=tmp_path / "market.db"
        ).create_job_escrow(match, net.buyer)
        for _ in range(2)
    ]
    assert [escrow.status for escrow in escrows] == [DealStatus.LOCKED] * 2
    assert scene.sent(net.buyer) == sent + 1
    database = Database(tmp_path / "market.db")
    assert journal_in(database, net.client()).counts()[EntryState.FINAL] == 1
    database.close()


def test_connect__journal_and_database__is_refused_before_anything(tmp_path: Path, net: Devnet) -> None:
    path = tmp_path / "market.db"
    with pytest.raises(InvalidValue, match="give one of them"):
        connect(net.network, "no-wallet.json", journal=MemoryJournal(), database=path)
    assert not path.exists()


def test_chain_name__is_the_chains_id_and_its_first_block(net: Devnet) -> None:
    first = net.node.request("eth_getBlockByNumber", "0x0", False)["hash"]
    assert net.client().chain_name() == f"31337:{first}"
