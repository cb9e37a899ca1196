"""Options, the environment and exit codes, on a database without a node."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from molt_market.cli.console import Output
from molt_market.cli.context import AppContext
from molt_market.cli.root import ExitCode, app, code_of
from molt_market.errors import DealNotFound, InexactAmount, NodeUnreachable, StorageUnavailable
from molt_market.payments.fees import GWEI
from molt_market.payments.journal import EntryState
from molt_market.storage.database import Database
from molt_market.storage.journal import SqlJournal
from molt_market.testing import ManualClock
from tests.factories import BUYER, DEAL_ID
from tests.unit.payments.fakes import signed_for

NOWHERE = "http://127.0.0.1:9"  # the port that discards: nobody listens
LOCAL, OLD = "31337:0x" + "8f" * 32, "31337:0x" + "01" * 32
OPEN, RELEASE, STOP = f"open:{DEAL_ID}", f"release:{DEAL_ID}:3600", f"stop:{DEAL_ID}"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in (
        "RPC_URL",
        "DATABASE",
        "NETWORK",
        "WALLET",
        "MAX_FEE_GWEI",
        "CONFIRMATIONS",
        "WALLET_PASSWORD",
        "DEPLOYMENTS",
    ):
        monkeypatch.delenv(f"MOLT_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOLT_RPC_URL", NOWHERE)
    log = logging.getLogger("molt_market")
    before = log.handlers, log.propagate, log.level
    yield
    log.handlers, log.propagate, level = before
    log.setLevel(level)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one payment on its way behind another one, one that is planned, and one that failed."""
    path, clock = tmp_path / "market.db", ManualClock(datetime(2026, 1, 1, 12, tzinfo=UTC))
    database = Database(path)
    SqlJournal(database, OLD, clock).plan("open:old")
    journal = SqlJournal(database, LOCAL, clock)
    for key in (OPEN, RELEASE, STOP, "failed"):
        journal.plan(key)
    journal.fail("failed", "no money")
    for key in (OPEN, RELEASE):
        journal.sign(
            {key: range(1)}, BUYER, lambda nonce: signed_for(BUYER, nonce, most=2 * GWEI), least_nonce=7
        )
    database.close()
    return path


def molt(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def listed(*arguments: str | Path) -> dict[str, Any]:
    result = molt("--json", "payments", *arguments)
    assert result.exit_code == 0, result.output
    read: dict[str, Any] = json.loads(result.stdout)
    return read


# ---------------------------------------------------------------- payments


def test_payments__without_a_node__says_so_and_what_comes_next(path: Path) -> None:
    result = molt("--database", path, "payments")
    assert result.exit_code == ExitCode.DONE
    assert "no node of chain 31337 answers" in result.stderr
    assert result.stdout.splitlines()[0] == "3 payments on chain 31337"
    assert f"{OPEN}\n  state  signed for " in result.stdout
    assert ", since 2026-01-01 12:00:00 UTC\n" in result.stdout
    assert (
        f"  nonce  8 of {BUYER}\n  fee    at most 2 gwei for each unit of gas, tip 0.000000001\n"
        in result.stdout
    )
    assert (
        "next   not mined in time: replaced by whoever looks next, for 2.25 gwei at least, 500 at most"
        in (result.stdout)
    )
    assert "next   waits for nonce 7 of its account, which is not mined: that one first" in result.stdout
    assert "old" not in result.stdout


def test_payments__for_programs__is_stable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLT_DATABASE", str(path))
    found = listed("--limit", "2")
    assert (found["chain"], found["head"], found["more"]) == (LOCAL, None, 1)
    first, second = found["payments"]
    age = first.pop("age_seconds")
    assert age > 0
    assert first == {
        "key": OPEN,
        "deal_id": DEAL_ID,
        "state": "signed",
        "since": "2026-01-01T12:00:00Z",
        "planned_at": "2026-01-01T12:00:00Z",
        "note": "",
        "failure": None,
        "dispatch": {
            "sender": BUYER,
            "nonce": 7,
            "signed_at": "2026-01-01T12:00:00Z",
            "fee_most_wei": "2000000000",
            "fee_tip_wei": "1",
            "hash": signed_for(BUYER, 7, most=2 * GWEI).id,
            "hashes": [signed_for(BUYER, 7, most=2 * GWEI).id],
            "block": None,
        },
        "final_at": None,
        "blocked_by": None,
        "next": "not mined in time: replaced by whoever looks next, for 2.25 gwei at least, 500 at most",
    }
    assert (second["key"], second["blocked_by"]) == (RELEASE, 7)


def test_payments__by_state__or_all__newest_first(path: Path) -> None:
    def keys(*arguments: str) -> list[str]:
        result = molt("--database", path, "payments", "--json", *arguments)
        return [each["key"] for each in json.loads(result.stdout)["payments"]]

    assert keys() == [OPEN, RELEASE, STOP]
    assert keys("--all") == ["failed", STOP, RELEASE, OPEN]
    assert keys("--all", "--limit", "1") == ["failed"]
    assert keys("--state", "failed") == ["failed"]
    assert keys("--state", "failed", "--state", "planned") == [STOP, "failed"]
    assert keys("--state", "final") == []


def test_payments__limit__says_how_many_more(path: Path) -> None:
    result = molt("--database", path, "payments", "--limit", "1")
    assert result.stdout.endswith("\n2 more: --limit shows them\n")


def test_payments__all_have_ended__says_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "ended.db"
    database = Database(path)
    journal = SqlJournal(database, LOCAL)
    journal.plan("ended")
    journal.fail("ended", "no money")
    database.close()
    assert "--all shows the others" in molt("--database", path, "payments").stderr
    assert "--all shows" not in molt("--database", path, "payments", "--all").stderr
    assert "--all shows" not in molt("--database", tmp_path / "new.db", "payments").stderr


def test_payments__cap_of_the_environment__is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLT_DATABASE", str(path))
    monkeypatch.setenv("MOLT_MAX_FEE_GWEI", "2")
    assert "above the cap of 2 gwei" in listed()["payments"][0]["next"]


def test_network__waits_for_as_many_blocks_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLT_CONFIRMATIONS", "12")
    nothing: dict[str, Any] = dict.fromkeys(("rpc_url", "deployment", "database", "wallet", "server"))
    made = AppContext.of(Output(), network="4242", on_close=lambda _: None, **nothing)
    assert (made.network.chain_id, made.network.confirmations) == (4_242, 12)


def test_payments__network_without_a_node_of_its_own__works_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MOLT_RPC_URL")
    result = molt("--database", path, "--network", "sepolia", "payments")
    assert result.exit_code == 0
    assert result.stdout == "no payments on chain 11155111\n"
    assert "set MOLT_RPC_URL" in result.stderr


def test_metrics__are_the_journals(path: Path) -> None:
    result = molt("--database", path, "metrics")
    assert result.exit_code == 0
    assert 'molt_payments{state="signed"} 2.0\n' in result.stdout
    assert all(f'molt_payments{{state="{state}"}}' in result.stdout for state in EntryState)


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["payments"], "no database: give --database, or set MOLT_DATABASE", ExitCode.BAD_INPUT),
        (["--database", "x.db", "payments"], "there is no database at x.db", ExitCode.BAD_INPUT),
        (["--database", "mysql://u:secret@h/x", "payments"], "mysql is not supported", ExitCode.BAD_INPUT),
        (["--network", "moon", "payments"], "no network 'moon'", ExitCode.BAD_INPUT),
        (["explain", "0x12"], "is not 32 bytes", ExitCode.BAD_INPUT),
        (["explain", DEAL_ID], "no node answers", ExitCode.UNREACHABLE),
        (["reconcile"], "no account: give --wallet", ExitCode.BAD_INPUT),
        (["--database", ".", "payments"], "there is no database", ExitCode.BAD_INPUT),
    ],
)
def test_error__is_one_line_on_stderr__with_a_code(arguments: list[str], says: str, code: ExitCode) -> None:
    result = molt(*arguments)
    assert result.exit_code == code
    assert result.stdout == ""
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert "secret" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--json", "explain", "0x12"], ["explain", "--json", "0x12"], ["deal", "stop", "0x12", "--json"]],
)
def test_error__for_programs__is_one_object__wherever_the_option_stands(arguments: list[str]) -> None:
    result = molt(*arguments)
    assert (result.exit_code, result.stdout) == (ExitCode.BAD_INPUT, "")
    assert json.loads(result.stderr)["error"] == "InvalidValue"


def test_error__file_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("nothing of a database " * 100)
    assert molt("--database", "x.db", "payments").exit_code == ExitCode.UNREACHABLE


def test_error__variable_that_cannot_be_used__is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLT_MAX_FEE_GWEI", "much")
    result = molt("payments")
    assert (result.exit_code, result.stderr) == (
        ExitCode.BAD_INPUT,
        "error: MOLT_MAX_FEE_GWEI: give a whole number of gwei above 0, e.g. 200\n",
    )


def test_error__database_with_a_password__does_not_show_it() -> None:
    result = molt("--database", "postgresql://molt:hidden@127.0.0.1:9/market", "payments")
    assert result.exit_code == ExitCode.UNREACHABLE
    assert "hidden" not in result.stderr + result.stdout
    assert "127.0.0.1:9" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["payments", "--limit", "0"], ["payments", "--state", "lost"], ["nothing"]]
)
def test_usage__is_refused_with_2(arguments: list[str]) -> None:
    assert molt(*arguments).exit_code == ExitCode.BAD_INPUT


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("molt wal", ["wallet"]), ("molt wallet wi", ["withdraw"]), ("molt --netw", ["--network"])],
)
def test_completion__knows_commands_and_options(typed: str, offered: list[str]) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "_MOLT_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-m", "molt_market.cli"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | words,
    )
    assert done.stdout.split() == offered


def test_code_of__every_kind() -> None:
    assert code_of(InexactAmount("x")) == ExitCode.BAD_INPUT
    assert code_of(DealNotFound("0x")) == ExitCode.FAILED
    assert code_of(NodeUnreachable("http://x")) == ExitCode.UNREACHABLE
    assert code_of(StorageUnavailable("sqlite://x", "locked")) == ExitCode.UNREACHABLE
