"""`molt devnet` as a process of its own: used as its output says, and ended by real signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from molt_market.app import connect
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.cli.root import ExitCode
from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.documents import DocumentKind
from molt_market.domain.fields import seconds
from molt_market.domain.ids import Address, EscrowId, Hash32
from molt_market.domain.updates import DealOpened
from molt_market.errors import NodeUnreachable, ServerUnreachable
from molt_market.sdk.api import MarketApi
from molt_market.sdk.buyer import Buyer
from molt_market.sdk.transport import Transport
from molt_market.signing.statements import sign_offer
from molt_market.signing.wallet import Wallet
from tests.factories import make_match, make_offer, make_order
from tests.integration.agents import until
from tests.integration.commands import PASSWORD, asked, key_file, molt, refused, running, stopped


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("MOLT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@contextmanager
def started(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Start one; give its process, and what it says when all is there."""
    with running("devnet", "--port", "0", "--server-port", "0", "--same-user", "--json", *options) as process:
        yield process, answer_of(process)


def answer_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or lines[-1] != "}\n":
        lines.append(process.stdout.readline())
        assert lines[-1], process.communicate()[1]
    read: dict[str, Any] = json.loads("".join(lines))
    return read


def gone(url: str) -> bool:
    try:
        Node(url).number("eth_chainId")
    except NodeUnreachable:
        return True
    return False


def test_devnet__is_used_as_it_says__and_its_keeper_closes_what_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with started("--without-gateway") as (process, told):
        for name, value in told["environment"].items():
            monkeypatch.setenv(name, value)
        exported = (Path("devnet") / "env").read_text()
        assert all(f"export {name}=" in exported for name in told["environment"])
        assert asked("wallet", "balance")["account"] == told["accounts"]["buyer"]["address"]
        assert [each for each in asked("doctor")["checks"] if each["state"] != "OK"] == []
        assert molt("wallet", "deposit", "5").startswith("deposited 5 MOLT\n")

        deal_id, deadline = open_deal(told)
        assert asked("explain", deal_id)["status"] == "LOCKED"
        node = Node(told["url"])
        node.request("evm_increaseTime", deadline - node.block_time())
        node.request("evm_mine")
        assert process.stdout is not None
        assert process.stdout.readline() == f"closed deal {deal_id}\n"
        assert asked("explain", deal_id)["status"] == "REFUNDED"
        assert stopped(process) == ("", "")
    assert gone(told["url"])


def open_deal(told: dict[str, Any]) -> tuple[str, int]:
    """Open a deal with the key files of the folder; return its id, and its deadline."""
    buyer, provider = (Wallet.from_file(told["accounts"][each]["file"]) for each in ("buyer", "provider"))
    payments = connect(Network.LOCAL, buyer, rpc_url=told["url"], deployment=Path("devnet"))
    now = payments.client.now()
    offer = make_offer(
        provider_id=provider.address,
        agent=told["accounts"]["agent"]["address"],
        price_per_hour=Amount.from_molt("2.5"),
        available_hours=48,
        created_at=now,
        policy_id=Hash32(told["policy"]),
    )
    order = make_order(
        buyer_id=buyer.address,
        voucher_signer=None,
        max_price_per_hour=Amount.from_molt(3),
        estimated_hours=24,
        created_at=now,
        slot=None,
        policy_id=None,
    )
    signed = sign_offer(offer, provider, payments.client.domain)
    escrow = payments.create_job_escrow(make_match(offer=signed, order=order), buyer)
    return escrow.id, seconds(escrow.locked_until)


JOB = {"command": ["sh", "-c", "sleep 2; seq 1000 | tail -1 > largest.txt"], "outputs": ["largest.txt"]}
OFFER = ("--gpus", "8", "--model", "H100", "--vram", "80", "--price", "2.50", "--hours", "24")
GPUS = ("--gpus", "4", "--vram", "80", "--hours", "8", "--max-price", "3")
UNFINISHED = str(10**6 + os.getpid())  # seconds that a job would sleep; nobody else on this machine does


def test_devnet__runs_a_job__which_its_attestors_have_seen__and_claims(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with started() as (process, told):
        for name, value in told["environment"].items():
            monkeypatch.setenv(name, value)
        accounts = {name: Address(each["address"]) for name, each in told["accounts"].items()}
        names = ("--policy", told["policy"], "--agent", accounts["agent"])
        molt("--wallet", told["accounts"]["provider"]["file"], "offer", "post", *OFFER, *names)

        deal_id = handed_over(JOB)
        assert asked("job", "result", deal_id, "--to", "results", "--allow-private")["exit_code"] == 0
        assert Path("results/largest.txt").read_text() == "1000\n"
        claimed = claim_of(told, deal_id)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        assert all(line.startswith(f"attested deal {deal_id}: ") for line in lines), lines
        attestors = {accounts[f"attestor-{number}"] for number in (1, 2, 3)}
        with MarketApi(Transport(told["server"])) as api:
            receipts = [posted.document.receipt for posted in api.documents(deal_id, DocumentKind.RECEIPT)]
            market = api.market()
        signers = {each.signer for each in receipts if each is not None}
        assert accounts["agent"] in signers
        assert len(signers & attestors) >= 2
        assert {each.gpu_seconds for each in receipts if each is not None} == {claimed.claimed_gpu_seconds}
        assert market.opener == accounts["operator"]
        assert [each.policy_id for each in market.policies] == [told["policy"], told["panel_policy"]]

        handed_over({"command": ["sleep", UNFINISHED]})
        until(lambda: bool(sleeping()))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 2  # the chain, and the gateway
        _, errors = stopped(process)
        assert errors == ""
        assert [each for each in children if Path(f"/proc/{each}").exists()] == []
        assert sleeping() == []
    assert gone(told["url"])
    assert not Path(told["environment"]["AGENT_FOLDER"]).exists()
    with MarketApi(Transport(told["server"], attempts=1)) as api, pytest.raises(ServerUnreachable):
        api.health()


def handed_over(job: dict[str, Any]) -> EscrowId:
    """Open a deal for a job as the CLI does, and hand it over."""
    Path("job.json").write_text(json.dumps(job))
    opened = asked("order", "open", *GPUS, "--job", "job.json", "--yes")
    deal_id = EscrowId(opened["deal_id"])
    asked("job", "hand-over", deal_id, "job.json")
    return deal_id


def claim_of(told: dict[str, Any], deal_id: EscrowId) -> EscrowAccount:
    """Return the deal once its claim stands on the chain."""
    client = connect(Network.LOCAL, told["accounts"]["buyer"]["file"], rpc_url=told["url"]).client
    until(lambda: client.escrow(deal_id).status is DealStatus.CLAIMED)
    return client.escrow(deal_id)


def sleeping() -> list[str]:
    """Return the processes that are the unfinished job, or wait for it."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if UNFINISHED.encode() in each.read_bytes().split(b"\0"):
                found.append(each.parent.name)
    return found


def test_devnet__market_of_it__opens_an_order_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    with started("--without-gateway") as (process, told):
        assert (told["gateway"], "AGENT_FOLDER" in told["environment"]) == (None, False)
        for name, value in told["environment"].items():
            monkeypatch.setenv(name, value)
        buyer, provider = (told["accounts"][each]["file"] for each in ("buyer", "provider"))
        asked("wallet", "deposit", "240")
        order = asked("order", "post", *GPUS, "--policy", told["policy"], "--model", "H100")["order"]
        molt("--wallet", provider, "offer", "post", *OFFER, "--policy", told["policy"])
        with Buyer(told["server"], buyer, rpc_url=told["url"]) as party, closing(party.feed(0)) as feed:
            opened = next(item.update for item in feed if isinstance(item.update, DealOpened))
            assert asked("order", "show", order["id"])["deal_id"] == opened.deal_id
            assert stopped(process) == ("", "")  # though somebody still reads the feed


def test_devnet__again_in_the_same_folder__ended_by_ctrl_c__or_its_closed_terminal() -> None:
    urls = []
    for number in (signal.SIGINT, signal.SIGHUP):
        with started("--block-time", "1") as (process, told):
            urls.append(told["url"])
            keeper = told["accounts"]["keeper"]
            assert Wallet.from_file(keeper["file"], "devnet").address == keeper["address"]
            assert stopped(process, number) == ("", "")
    assert all(map(gone, urls))


def test_devnet__for_people__prints_addresses_and_exports() -> None:
    with running("devnet", "--same-user", "--port", "0", "--server-port", "0", "--dir", "a b") as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("Ctrl-C"):
            lines.append(process.stdout.readline())
            assert lines[-1]
        text = "".join(lines)
        assert "\nmarket of it at http://127.0.0.1:" in text
        assert "\ngateway of its provider at http://127.0.0.1:" in text
        assert "\narbiter              0x" in text
        assert "\nexport MOLT_WALLET='" in text
        stopped(process)
    done = subprocess.run(
        ["bash", "-c", ". 'a b/env' && echo $MOLT_WALLET_PASSWORD $MOLT_NETWORK"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "devnet local\n"


def test_devnet__chain_that_goes_away__ends_it() -> None:
    with started() as (process, told):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == ExitCode.UNREACHABLE
    assert "no node answers" in errors
    assert gone(told["url"])


def test_devnet__gateway_that_goes_away__ends_it() -> None:
    with started() as (process, told):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[1]), signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == ExitCode.FAILED
    assert "the gateway has ended with -9" in errors
    assert gone(told["url"])


# ---------------------------------------------------------------- what is refused


def test_devnet__port_in_use__is_bad_input() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert "give another --port" in refused(
            "devnet", "--server-port", "0", "--port", port, code=ExitCode.BAD_INPUT
        )
        server = ("--port", "0", "--server-port", port)
        assert "give another --server-port" in refused("devnet", *server, code=ExitCode.BAD_INPUT)
    assert "0 takes a free one" in refused(
        "devnet", "--server-port", "0", "--port", "65536", code=ExitCode.BAD_INPUT
    )


def test_devnet__folder_that_cannot_be__or_holds_another_key__is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "give another --dir" in refused(
        "devnet", "--port", "0", "--server-port", "0", "--dir", "file", code=ExitCode.BAD_INPUT
    )
    (tmp_path / "mine").mkdir()
    key_file(Wallet.from_private_key("0x" + "11" * 32), tmp_path / "mine" / "buyer.json")
    before = (tmp_path / "mine" / "buyer.json").read_text()
    assert "is of another account" in refused("devnet", "--port", "0", "--server-port", "0", "--dir", "mine")
    assert (tmp_path / "mine" / "buyer.json").read_text() == before
    Wallet.from_file(tmp_path / "mine" / "buyer.json", PASSWORD)
