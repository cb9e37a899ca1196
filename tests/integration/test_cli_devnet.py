"""`molt devnet` as a process of its own: used as its output says, and ended by real signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from molt_market.app import connect
from molt_market.attestation.receipts import issue_receipt
from molt_market.attestation.usage import UsageLog
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.cli.root import ExitCode
from molt_market.domain.amounts import Amount
from molt_market.domain.fields import seconds
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.ids import Address, Hash32
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.domain.updates import DealOpened
from molt_market.errors import NodeUnreachable, ServerUnreachable
from molt_market.sdk.api import MarketApi
from molt_market.sdk.parties import Buyer, Provider
from molt_market.sdk.transport import Transport
from molt_market.signing.statements import sign_offer
from molt_market.signing.wallet import Wallet
from tests.factories import make_match, make_offer, make_order
from tests.integration.commands import PASSWORD, asked, key_file, molt, refused, running, stopped

Party = TypeVar("Party", Buyer, Provider)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("MOLT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@contextmanager
def started(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Start one; give its process, and what it says when all is there."""
    with running("devnet", "--port", "0", "--server-port", "0", "--json", *options) as process:
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
    with started() as (process, told):
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


def party(kind: type[Party], told: dict[str, Any], name: str) -> Party:
    """Return a party at the devnet's market, by its key file."""
    file = told["accounts"][name]["file"]
    return kind(told["server"], file, rpc_url=told["url"], deployment=Path("devnet"))


def test_devnet__its_market__opens_what_waits__and_its_attestors_sign(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", "devnet")
    with (
        started() as (process, told),
        party(Buyer, told, "buyer") as buyer,
        party(Provider, told, "provider") as provider,
        closing(buyer.feed()) as feed,
    ):
        operator, agent = (Address(told["accounts"][each]["address"]) for each in ("operator", "agent"))
        assert buyer.api.market().opener == operator
        assert [each.policy_id for each in buyer.api.market().policies] == [
            told["policy"],
            told["panel_policy"],
        ]
        gpus = GpuCapacity(gpu_count=8, gpu_model="H100", vram_gb=80)
        terms = {"price_per_hour": Amount.from_molt("2.5"), "available_hours": 24, "agent": agent}
        provider.offer(
            CapacityOffer(
                provider_id=provider.wallet.address,
                gpu_capacity=gpus,
                policy_id=Hash32(told["policy"]),
                created_at=buyer.client.now(),
                **terms,
            )
        )
        needs = JobRequirements(
            min_gpu_count=2, min_vram_gb=80, estimated_hours=1, max_price_per_hour=Amount.from_molt(3)
        )
        order = JobOrder(
            buyer_id=buyer.wallet.address,
            requirements=needs,
            policy_id=Hash32(told["policy"]),
            created_at=buyer.client.now(),
        )
        buyer.deposit(order.budget)
        buyer.post(order)
        opened = next(item.update for item in feed if isinstance(item.update, DealOpened))

        signer = Wallet.from_file(told["accounts"]["agent"]["file"])
        receipt = issue_receipt(
            UsageLog(opened.deal_id), 3_600, signer, provider.domain, result_digest=Hash32("0x" + "11" * 32)
        )
        provider.post_receipt(receipt)
        assert process.stdout is not None
        assert process.stdout.readline() == f"attested deal {opened.deal_id} by 3 attestors, unseen\n"
        node = Node(told["url"])
        node.request("evm_increaseTime", 3_600)
        node.request("evm_mine")
        provider.claim(receipt)
        assert provider.escrow(opened.deal_id).claimed_gpu_seconds == 3_600
        assert stopped(process) == ("", "")  # though somebody still reads the feed
    with MarketApi(Transport(told["server"], attempts=1)) as api, pytest.raises(ServerUnreachable):
        api.health()


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
    with running("devnet", "--port", "0", "--server-port", "0", "--dir", "a b") as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("Ctrl-C"):
            lines.append(process.stdout.readline())
            assert lines[-1]
        text = "".join(lines)
        assert "\nmarket of it at http://127.0.0.1:" in text
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
