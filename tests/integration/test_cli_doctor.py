"""`molt doctor` on a real chain, whole and with each thing broken in turn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from molt_market.cli.root import ExitCode
from molt_market.signing.wallet import Wallet
from molt_market.storage.database import Database
from molt_market.testing import Devnet
from tests.integration.commands import PASSWORD, key_file, molt, run

NOWHERE = "http://127.0.0.1:9"
CHECKS = ["node", "chain", "head", "deployment", "escrow", "token", "database", "wallet", "gas"]


@pytest.fixture
def whole(net: Devnet, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything is there, and in order."""
    Database(folder / "market.db").close()
    monkeypatch.setenv("MOLT_DATABASE", "market.db")
    monkeypatch.setenv("MOLT_WALLET", str(key_file(net.buyer, Path("buyer.json"))))
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", PASSWORD)
    return folder


def found(*options: str, code: int = ExitCode.DONE) -> dict[str, dict[str, Any]]:
    result = run(*options, "doctor", "--json")
    assert result.exit_code == code, result.output
    return {each["check"]: each for each in json.loads(result.stdout)["checks"]}


def states(checks: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: each["state"] for name, each in checks.items() if each["state"] != "OK"}


@pytest.mark.usefixtures("whole")
def test_doctor__all_in_order__says_so(net: Devnet) -> None:
    checks = found()
    assert (list(checks), states(checks)) == (CHECKS, {})
    assert checks["gas"]["says"].startswith(f"{net.buyer.address} has ")
    lines = molt("doctor").splitlines()
    assert all(line.startswith("OK") for line in lines[: len(CHECKS)])
    assert lines[-1] == "nothing failed"


@pytest.mark.usefixtures("whole")
def test_doctor__no_node__skips_what_needs_it() -> None:
    checks = found("--rpc-url", NOWHERE, code=ExitCode.FAILED)
    skipped = dict.fromkeys(["chain", "head", "escrow", "token", "gas"], "SKIP")
    assert states(checks) == {"node": "FAIL"} | skipped
    assert "start one, or correct the address" in checks["node"]["says"]
    assert checks["token"]["says"] == "needs the check of the escrow"
    said = run("--rpc-url", NOWHERE, "doctor").stdout
    assert said.splitlines()[-1] == "1 failed"
    assert "`molt devnet` starts a local chain" in said
    assert "molt devnet" not in run("--network", "sepolia", "--rpc-url", NOWHERE, "doctor").stdout


@pytest.mark.usefixtures("whole")
def test_doctor__secret_in_the_nodes_address__is_not_shown(net: Devnet) -> None:
    with_password = net.url.replace("http://", "http://user:hidden@")
    result = run("--rpc-url", with_password, "doctor")
    assert "hidden" not in result.output
    assert f" answers at {net.url}" in result.stdout
    result = run("--rpc-url", f"{with_password}/hidden-key", "doctor")
    assert (result.exit_code, "hidden" in result.output) == (ExitCode.FAILED, False)


@pytest.mark.usefixtures("whole")
def test_doctor__other_chain__and_no_deployment() -> None:
    checks = found("--network", "sepolia", code=ExitCode.FAILED)
    assert states(checks) == {
        "chain": "FAIL",
        "head": "SKIP",
        "deployment": "FAIL",
        "escrow": "SKIP",
        "token": "SKIP",
        "gas": "SKIP",
    }
    assert "no deployment is known for chain 11155111" in checks["deployment"]["says"]


@pytest.mark.parametrize("check", ["escrow", "token"])
def test_doctor__deployment_that_does_not_fit_the_chain__fails(net: Devnet, whole: Path, check: str) -> None:
    wrong: dict[str, Any] = {"escrow": net.deployment.token_address}
    if check == "token":
        token = net.deployment.token
        wrong = {"token": {"symbol": token.symbol, "decimals": 9, "address": token.address}}
    path = whole / "31337.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | wrong))
    assert found(code=ExitCode.FAILED)[check]["state"] == "FAIL"


@pytest.mark.usefixtures("whole")
def test_doctor__chain_whose_time_is_ahead__is_a_warning(net: Devnet) -> None:
    net.warp(3_600)
    checks = found()
    assert states(checks) == {"head": "WARN"}
    assert "ahead of this machine's clock" in checks["head"]["says"]
    assert "set the clock right" in checks["head"]["mend"]


def test_doctor__database__empty__later__and_missing(whole: Path) -> None:
    (whole / "empty.db").touch()
    assert states(found("--database", "empty.db")) == {"database": "WARN"}
    assert (whole / "empty.db").stat().st_size == 0
    database = Database(whole / "market.db")
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    later = found(code=ExitCode.FAILED)["database"]
    assert (later["state"], later["mend"]) == ("FAIL", "update molt-market")
    assert found("--database", "missing.db", code=ExitCode.FAILED)["database"]["state"] == "FAIL"


def test_doctor__nothing_of_yours__is_skipped(
    net: Devnet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert states(found()) == dict.fromkeys(["database", "wallet", "gas"], "SKIP")


@pytest.mark.usefixtures("folder", "net")
def test_doctor__wallet__new_without_coin__open_to_others__wrong_password(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = key_file(Wallet.from_private_key("0x" + "22" * 32), whole / "new.json")
    gas = found("--wallet", "new.json", code=ExitCode.FAILED)["gas"]
    assert (gas["state"], gas["mend"]) == ("FAIL", "send it some, or nothing can be sent from it")
    path.chmod(0o644)
    wallet = found("--wallet", "new.json", code=ExitCode.FAILED)["wallet"]
    assert (wallet["state"], wallet["mend"]) == ("WARN", "chmod 600 new.json")
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", "other")
    assert "does not open" in found(code=ExitCode.FAILED)["wallet"]["says"]
    monkeypatch.delenv("MOLT_WALLET_PASSWORD")
    assert "it stays shut" in found()["wallet"]["says"]


@pytest.mark.usefixtures("whole")
def test_doctor__little_coin__is_a_warning(net: Devnet) -> None:
    net.node.request("hardhat_setBalance", net.buyer.address, hex(10**9))
    assert states(found()) == {"gas": "WARN"}
