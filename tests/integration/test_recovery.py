"""From the log alone, on an empty disk: every balance is rebuilt, and every live deal finished (I28)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from molt_market.audit.books import Books
from molt_market.audit.contract import Contract
from molt_market.chain.interface import interface
from molt_market.chain.node import Node
from molt_market.chain.reverts import RpcError
from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus
from molt_market.domain.requests import Side
from molt_market.domain.terms import Terms
from molt_market.domain.transactions import Call
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from scripts.recover import __main__ as recover_main
from scripts.recover import example
from scripts.recover.__main__ import Recovery
from tests.integration.scene import DONE, Scene
from tests.integration.story import GIFT, Story

TOKEN = interface("MoltToken")
LIVE_DEALS = re.compile(r"^Live deals: (\d+)$", re.MULTILINE)
COMPARED = re.compile(r"^(\w[\w ,]*?) +(\d+) +(\d+)$", re.MULTILINE)
LIVE = {"excused", "claimed", "contested", "unattested", "locked", "half paid", "stopped", "completed"}
TRANSACTION = re.compile("(?<=transaction )0x[0-9a-f]{64}")
ROOT = Path(__file__).resolve().parents[2]
LATER = 14 * 24  # hours: after every window of these deals


@pytest.fixture(scope="module")
def story(chain: Devnet) -> Story:
    """Told once; what a test adds to it is undone."""
    story = Story(Scene(chain))
    story.tell()
    return story


@pytest.fixture
def key_file(net: Devnet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An account that has nothing to do with the deals, and money for gas."""
    path = tmp_path_factory.mktemp("keys") / "anybody.json"
    wallet = Wallet.create(path, "secret", iterations=2)
    net.node.request("hardhat_setBalance", wallet.address, hex(10**18))
    return path


def recover(net: Devnet, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the script in an empty folder; of the environment it gets nothing but a password."""
    assert not list(folder.iterdir())
    command = [sys.executable, "-m", "scripts.recover", net.url, net.deployment.escrow, *options]
    environment = {"PATH": os.environ["PATH"], "MOLT_WALLET_PASSWORD": "secret"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not list(folder.iterdir())
    return done


def live_deals(output: str) -> dict[str, dict[str, Any]]:
    """Return the live deals that the output lists last, by their ids."""
    start = [found.end() for found in LIVE_DEALS.finditer(output)][-1]
    lines = (line.strip() for line in output[start:].splitlines())
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return {each["dealId"]: each for each in found}


def rebuilt(net: Devnet) -> Books:
    recovery = Recovery(net.url, net.deployment.escrow, None, 2_000)
    recovery.read()
    return recovery.books


# ---------------------------------------------------------------- reading


def test_recover__rebuilds_everything_from_the_log(story: Story, net: Devnet, tmp_path: Path) -> None:
    done = recover(net, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert live_deals(done.stdout).keys() == {story.deals[name].id for name in LIVE}
    [gift] = re.findall(r"so nobody's +(.*)", done.stdout)
    assert gift == str(Amount(GIFT, net.client().token))


def test_recover__compares_everything_that_there_is(story: Story, net: Devnet, tmp_path: Path) -> None:
    """That nothing differs says nothing where nothing is compared."""
    deals = len(story.deals)
    assert {what: int(number) for what, number, _ in COMPARED.findall(recover(net, tmp_path).stdout)} == {
        "accounts": 8,
        "deals": deals + (deals - len(LIVE)),  # the word of each, and of those that are closed what they hold
        "ids of deals and policies": deals + 2,
        "policies": 2,
        "GPUs in use": deals,  # each has a pool of its own
        "cancelled groups": 1,
        "approvals": 2,
        "roles, pause and fee": 3,
        "tokens in the contract": 1,
        "the log itself": rebuilt(net).entered + 1,  # and the receipt of the gift
    }


def test_recover__knows_every_balance(story: Story, net: Devnet) -> None:
    """Compare with the client's own readers: what they say of all who ever took part."""
    client, books = net.client(), rebuilt(net)
    everybody = [*net.buyers, *net.providers, net.stranger, net.arbiter, net.fee_recipient]
    for wallet in everybody:
        found, known = client.balances(wallet.address), books.accounts[wallet.address]
        assert (known.balance, known.withdrawing) == (found.escrow.base_units, found.withdrawing.base_units)
    assert {address for address, account in books.accounts.items() if account.balance} <= {
        wallet.address for wallet in everybody
    }
    statuses = {name: client.escrow(deal.id).status for name, deal in story.deals.items()}
    assert {name: books.deals[deal.id].deal.status for name, deal in story.deals.items()} == statuses
    assert sum(books.gpus_in_use().values()) == 4 * 4  # excused, locked, half paid, stopped


@pytest.mark.parametrize("options", [("--blocks", "1"), ("--blocks", "7", "--from-block", "0")])
def test_recover__pages_through_the_log(
    story: Story,
    net: Devnet,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
) -> None:
    """It asks for no more blocks at a time than it was told to, and finds the same."""
    asked = []

    def ask(node: Node, method: str, *params: Any) -> Any:
        if method == "eth_getLogs":
            asked.append(int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1)
        return asks(node, method, *params)

    asks = Node.ask
    monkeypatch.setattr(Node, "ask", ask)
    assert recover_main.main([net.url, net.deployment.escrow]) == 0
    whole = capsys.readouterr().out.splitlines()
    assert max(asked) > 7

    asked.clear()
    assert recover_main.main([net.url, net.deployment.escrow, *options]) == 0
    paged = capsys.readouterr().out.splitlines()
    assert max(asked) == int(options[1])
    assert paged[1].partition(" in blocks ")[0] == whole[1].partition(" in blocks ")[0]
    assert paged[2:] == whole[2:]


class StingyNode(Node):
    """Answers for at most three blocks at a time, as public nodes do for some thousands."""

    def ask(self, method: str, *params: Any) -> Any:
        if method == "eth_getLogs" and int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) > 2:
            raise RpcError(method, {"code": -32005, "message": "query returned more than 10000 results"})
        return super().ask(method, *params)


def test_recover__asks_for_less__when_it_was_too_much(story: Story, net: Devnet) -> None:
    contract, latest = (
        Contract(StingyNode(net.url), net.deployment.escrow),
        net.node.number("eth_blockNumber"),
    )
    books = Books(contract.fee_recipient)
    for logged, _ in contract.logged(0, latest, 2_000):
        books.follow(logged)
    assert books == rebuilt(net)


# ---------------------------------------------------------------- finishing


def test_recover__finishes_every_live_deal(story: Story, net: Devnet, tmp_path: Path, key_file: Path) -> None:
    client = net.client()
    first = recover(net, tmp_path, "--finish", "--account", str(key_file))
    assert first.returncode == 0, first.stderr
    waiting = live_deals(first.stdout)
    assert waiting.keys() == {story.deals[name].id for name in LIVE - {"excused", "claimed"}}
    now = net.node.block_time()
    assert all(deal["finalizeFrom"] > now for deal in waiting.values())

    story.scene.run(LATER)
    last = recover(net, tmp_path, "--finish", "--account", str(key_file))
    assert last.returncode == 0, last.stderr
    assert live_deals(last.stdout) == {}
    ended = {name: client.escrow(deal.id).status for name, deal in story.deals.items()}
    refunded = {"excused", "locked", "stopped"}
    assert {name for name, status in ended.items() if status == DealStatus.REFUNDED} == refunded
    assert all(status >= DealStatus.RELEASED for status in ended.values())

    books = rebuilt(net)
    for address, account in books.accounts.items():
        assert account.balance == client.balances(address).escrow.base_units
    assert books.total_held() == 0
    assert client.balance_of(net.deployment.escrow).base_units == books.total_balance() + GIFT


def test_recover__finishes_in_batches__while_somebody_else_finalizes_too(
    story: Story, net: Devnet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight deals, three in a transaction; one is gone before its batch comes, and stops no other."""
    monkeypatch.setattr(recover_main, "PER_BATCH", 3)
    story.scene.run(LATER)
    recovery = Recovery(net.url, net.deployment.escrow, None, 2_000)
    recovery.read()
    first, *_ = recovery.books.live()
    stranger = net.client(net.stranger)
    stranger.send(stranger.calls.finalize(recovery.books.deals[first].terms))
    assert recovery.finish(net.agents[3]) == 8
    said = capsys.readouterr().out
    assert re.findall(r"finalized (\d)", said) == ["2", "3", "2"]
    assert said.count("but not") == 1
    assert f"but not {first}" in said
    assert recovery.check(recovery.read()) == 0
    assert recovery.books.live() == {}


def test_recover__says_what_anyone_can_send(story: Story, net: Devnet, tmp_path: Path) -> None:
    """The printed call finishes the deal, from any account, and the printed terms are what it carries."""
    story.scene.run(LATER)
    deals = live_deals(recover(net, tmp_path).stdout)
    assert deals.keys() == {story.deals[name].id for name in LIVE}
    sender = net.client(net.agents[3])
    for known in (story.deals[name] for name in LIVE):
        deal = deals[known.id]
        printed = {re.sub("([A-Z])", r"_\1", name).lower(): value for name, value in deal["terms"].items()}
        assert Terms(**printed) == known.terms
        assert sender.calls.finalize(known.terms) == Call(deal["to"], bytes.fromhex(deal["data"][2:]))
        sender.send(Call(deal["to"], bytes.fromhex(deal["data"][2:])))
        assert net.client().escrow(known.id).status >= DealStatus.RELEASED


def test_docs__show_what_the_script_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """The ids of transactions are left out: they depend on the gas that earlier ones used."""
    assert example.main() == 0
    page = (ROOT / "docs" / "recovery.md").read_text("utf-8")
    shown = page.partition("<!-- the output of scripts.recover.example -->\n```\n")[2].partition("```")[0]
    assert TRANSACTION.sub("", shown) == TRANSACTION.sub("", capsys.readouterr().out)


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    "what", ["accounts", "deals", "cancelled groups", "GPUs in use", "approvals", "pause"]
)
def test_recover__a_word_that_the_log_does_not_explain__is_a_failure(
    story: Story, net: Devnet, tmp_path: Path, key_file: Path, what: str
) -> None:
    """With one bit of the contract's storage changed, the script says where, and finishes nothing."""
    deal, maker = story.deals["locked"], net.providers[2].address
    lane = 32 * (deal.terms.slot % 4)
    cases: dict[str, tuple[str, list[object], int]] = {
        "accounts": ("accountOf", [net.buyer.address], 0),
        "deals": ("dealOf", [deal.id], 200),
        "cancelled groups": ("groupOf", [maker, Side.OFFERS, 3], 200),
        "GPUs in use": ("gpusInUse", [deal.provider, deal.terms.slot], lane),
        "approvals": ("approvedUntil", [maker, DONE], 0),
        "pause": ("config", [], 80),
    }
    view, values, bit = cases[what]
    slot = _slot_of(net, interface("MoltEscrow").encode(view, *values))
    word = int(net.node.request("eth_getStorageAt", net.deployment.escrow, slot, "latest"), 16)
    net.node.request("hardhat_setStorageAt", net.deployment.escrow, slot, f"0x{word ^ 1 << bit:064x}")
    done = recover(net, tmp_path, "--finish", "--account", str(key_file))
    assert done.returncode == 1
    where = "roles, pause and fee: pause" if what == "pause" else f"{what}: {':'.join(map(str, values))}"
    assert f"DIFFERENT {where}: " in done.stdout
    assert "Deals that are due" not in done.stdout


def _slot_of(net: Devnet, view: bytes) -> str:
    """Return the one storage slot that a view reads."""
    call = {"to": net.deployment.escrow, "data": "0x" + view.hex()}
    slots: list[str] = net.node.request("eth_createAccessList", call, "latest")["accessList"][0][
        "storageKeys"
    ]
    (slot,) = slots
    return slot


def test_recover__tokens_that_have_gone__is_a_failure(story: Story, net: Devnet, tmp_path: Path) -> None:
    escrow = net.deployment.escrow
    net.node.request("hardhat_setBalance", escrow, hex(10**18))
    transfer = {"from": escrow, "to": net.deployment.token_address}
    net.node.request("hardhat_impersonateAccount", escrow)
    data = TOKEN.encode("transfer", net.stranger.address, 1)
    net.node.request("eth_sendTransaction", transfer | {"data": "0x" + data.hex()})
    done = recover(net, tmp_path)
    assert done.returncode == 1
    assert "DIFFERENT tokens in the contract" in done.stdout


def test_recover__no_escrow_there__is_said(net: Devnet, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.recover", net.url, net.deployment.token_address]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no MoltEscrow of this version" in done.stderr
