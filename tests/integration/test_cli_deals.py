"""`molt deal list` on a real chain: by its log, and by a market's server, which have to tell the same."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from molt_market.app import account_deals
from molt_market.cli.root import ExitCode
from molt_market.domain.deals import DealStatus
from molt_market.sdk.buyer import Buyer
from molt_market.storage.database import Database
from molt_market.testing import Devnet
from tests.integration.commands import asked, key_file, molt, refused, run
from tests.integration.scene import Scene
from tests.integration.scene import molt as tokens
from tests.integration.stage import Stage
from tests.service import server

EVERY = ("RELEASED", "REFUNDED", "UNATTESTED", "DISPUTED", "CLAIMED", "LOCKED")
NEWEST_FIRST = ["LOCKED", "CLAIMED", "DISPUTED", "DISPUTED", "REFUNDED", "RELEASED"]


@pytest.fixture
def all_kinds(scene: Scene, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A deal in each status, the newest first; the disputes and the claim are a day or more old by then."""
    stage, opened = Stage(scene), []
    for number, status in enumerate(EVERY):
        scene.net.warp(1)  # of two deals of one second neither is the newer one
        opened.append(stage.deal(status, slot=number).id)
    monkeypatch.setenv("MOLT_WALLET", str(key_file(scene.net.buyer, folder / "buyer.json")))
    return [str(each) for each in reversed(opened)]


def test_by_the_log__newest_first__with_what_comes_next(all_kinds: list[str], scene: Scene) -> None:
    told = asked("deal", "list")
    assert told["account"] == scene.net.buyer.address
    deals = told["deals"]
    assert [each["deal_id"] for each in deals] == all_kinds
    assert [each["status"] for each in deals] == NEWEST_FIRST
    assert {each["role"] for each in deals} == {"buyer"}
    locked, claimed, disputed, unattested, refunded, released = deals
    assert locked["says"].startswith("runs until ")
    assert locked["next"].startswith("it ends, and what it ran is claimed before ")
    assert claimed["says"] == "23.5 of 24 hours are claimed"
    assert claimed["next"].startswith("the buyer may contest the claim before ")
    assert disputed["says"] == "23.5 hours are claimed, the buyer accepts 0"
    assert unattested["next"].startswith("the arbiter may rule before ")
    assert refunded["says"].endswith(", 0 of 24 hours paid")
    assert released["says"].endswith(", 24 of 24 hours paid")
    assert released["next"] == "nothing: it is closed for ever"
    assert [each["closed_at"] is None for each in deals] == [True] * 4 + [False] * 2
    for each in deals:  # as `molt deal show` says of each
        shown = asked("deal", "show", each["deal_id"])
        names = ("buyer", "provider", "status", "ends_at", "deadline", "gpu_seconds", "token")
        assert {name: each[name] for name in names} == {name: shown[name] for name in names}
        [held] = [place for place in shown["money"] if place["where"] == "held by the escrow"]
        assert int(each["held"]) == int(held["price"]) + int(held["bond"])


def test_by_the_log__what_nobody_did_in_time(all_kinds: list[str], scene: Scene) -> None:
    scene.run(26)
    assert asked("deal", "list")["deals"][0]["next"].startswith("the provider claims what it ran before ")
    scene.run(24 * 7)
    live = asked("deal", "list")["deals"][:4]
    assert {each["next"] for each in live} == {"anyone may close it: `molt deal finalize`"}


def test_for_people(all_kinds: list[str], scene: Scene) -> None:
    net, symbol = scene.net, scene.client.token.symbol
    lines = molt("deal", "list", "--limit", "1").splitlines()
    [until] = [each["ends_at"] for each in asked("deal", "list", "--limit", "1")["deals"]]
    until = until.replace("T", " ").replace("Z", " UTC")
    assert lines[:6] == [
        f"6 deals of {net.buyer.address}",
        "",
        all_kinds[0],
        f"  status  LOCKED: runs until {until}",
        f"  you     buyer; the provider is {net.provider.address}",
        f"  GPUs    4 GPUs for 24 hours at 2.5 {symbol} for each GPU and hour",
    ]
    assert lines[6] == f"  held    264 {symbol}"
    assert lines[7].startswith("  next    it ends, and what it ran is claimed before ")
    assert lines[8:] == ["", "5 more: --limit shows them"]
    closed = molt("deal", "list", net.provider.address, "--status", "released")
    assert f"  it      provider; the buyer is {net.buyer.address}\n" in closed
    went = f"261.6 {symbol} to the provider, 2.4 {symbol} as fee"
    assert f"  held    0 {symbol}; out of it went {went}\n" in closed


def test_status__one_or_more(all_kinds: list[str]) -> None:
    disputed = asked("deal", "list", "--status", "disputed")["deals"]
    assert [each["deal_id"] for each in disputed] == all_kinds[2:4]
    both = asked("deal", "list", "--status", "LOCKED", "--status", "claimed", "--limit", "1")
    assert ([each["deal_id"] for each in both["deals"]], both["more"]) == (all_kinds[:1], 1)
    assert "'lost' is not one of" in run("deal", "list", "--status", "lost").stderr


def test_by_a_server__tells_what_the_log_tells(
    all_kinds: list[str], net: Devnet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_log = asked("deal", "list")
    with server(net, f"sqlite:///{folder / 'server.db'}", folder) as started:
        monkeypatch.setenv("MOLT_SERVER", started.url)
        until = time.monotonic() + 20
        while (by_server := asked("deal", "list"))["deals"] != by_log["deals"] and time.monotonic() < until:
            time.sleep(0.1)
        assert by_server["deals"] == by_log["deals"]
        with Buyer(started.url, net.buyer, rpc_url=net.url, deployment=net.deployment) as buyer:
            known = {each.deal_id: each for each in buyer.deals()}
        logged = account_deals(net.client(), net.buyer.address)
        assert known == {each.deal_id: each for each in logged}
    said = refused("deal", "list", code=ExitCode.UNREACHABLE)
    assert "does not answer" in said


def test_each_part_in_a_deal__is_found_by_the_log(scene: Scene, folder: Path) -> None:
    net = scene.net
    escrow = scene.open(voucher_signer=net.stranger.address)

    def roles(account: Any) -> list[str]:
        return [each["role"] for each in asked("deal", "list", account.address)["deals"]]

    assert [roles(each) for each in (net.buyer, net.provider, net.stranger, net.agent)] == [
        ["buyer"],
        ["provider"],
        ["voucher signer"],
        ["agent"],
    ]
    assert scene.client.deals_of(net.agent.address) == [escrow.id]
    assert escrow.status is DealStatus.LOCKED
    assert f"  it      agent; the buyer is {net.buyer.address}\n" in molt("deal", "list", net.agent.address)


def test_none__is_an_answer(scene: Scene, folder: Path) -> None:
    net = scene.net
    assert molt("deal", "list", net.arbiter.address) == f"no deals of {net.arbiter.address}\n"
    assert asked("deal", "list", net.arbiter.address)["deals"] == []
    scene.open()
    run_out = run("deal", "list", net.buyer.address, "--status", "refunded")
    assert run_out.stdout == f"no deals of {net.buyer.address}\n"
    assert run_out.stderr == "it has 1 deal, none in that status\n"


def test_gateways_deals__none__is_an_answer(scene: Scene, folder: Path) -> None:
    Database(folder / "agent.db").close()
    shown = run("--database", folder / "agent.db", "agent", "show", "--folder", folder)
    assert (shown.exit_code, shown.stdout) == (ExitCode.DONE, "")
    assert "no deal was taken up by a gateway, says the database of --database" in shown.stderr


def test_one_gpu__for_one_hour(scene: Scene, folder: Path) -> None:
    scene.open(min_gpu_count=1, estimated_hours=1, max_price_per_hour=tokens("2.5"))
    told = molt("deal", "list", scene.net.buyer.address)
    assert "  GPUs    1 GPU for 1 hour at 2.5 " in told
    assert told.startswith("1 deal of ")


@pytest.mark.parametrize(
    ("arguments", "says"), [((), "whose deals: give an address, or --wallet"), (("0x12",), "'0x12'")]
)
def test_whose__not_said(net: Devnet, folder: Path, arguments: tuple[str, ...], says: str) -> None:
    assert says in refused("deal", "list", *arguments, code=ExitCode.BAD_INPUT)
