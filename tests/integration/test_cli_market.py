"""`molt market`, `offer` and `order`: a server of its own, a real chain, and what the commands say."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from molt_market.cli.root import ExitCode
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from tests.integration.commands import asked, key_file, molt, refused, run, running, stopped
from tests.service import PASSWORD, hosted

As = Callable[[Wallet], None]
NOWHERE = "http://127.0.0.1:9"
NEEDS = ("--gpus", "4", "--vram", "80", "--hours", "8")
FITS = (*NEEDS, "--max-price", "3")


@pytest.fixture
def market(net: Devnet, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A market's server, whose operator opens the deals of orders that wait."""
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", PASSWORD)
    with hosted(net, f"sqlite:///{folder / 'server.db'}", account=net.operator) as url:
        monkeypatch.setenv("MOLT_SERVER", url)
        yield url


@pytest.fixture
def as_(folder: Path, monkeypatch: pytest.MonkeyPatch) -> As:
    """Become somebody, by his key file."""

    def become(wallet: Wallet) -> None:
        path = folder / f"{wallet.address}.json"
        if not path.exists():
            key_file(wallet, path)
        monkeypatch.setenv("MOLT_WALLET", str(path))

    return become


def offered(net: Devnet, as_: As, *more: str) -> dict[str, Any]:
    """Post an offer of 8 GPUs, and become the buyer."""
    as_(net.provider)
    gpus = ("--gpus", "8", "--model", "H100", "--vram", "80", "--hours", "24")
    posted = asked("offer", "post", *gpus, "--price", "2.50", "--policy", net.policy_id, *more)
    as_(net.buyer)
    return posted


def soon(wanted: Callable[[], bool]) -> None:
    until = time.monotonic() + 15
    while not wanted():
        assert time.monotonic() < until, asked("order", "list")
        time.sleep(0.1)


# ---------------------------------------------------------------- from an offer to money


def test_from_an_offer_to_money(net: Devnet, market: str, as_: As) -> None:
    posted = offered(net, as_, "--region", "eu-west-1", "--feature", "nvlink", "--agent", net.agent.address)
    assert posted["agent"] == net.agent.address
    assert asked("order", "quote", *FITS)["total_cost"]["base_units"] == str(
        net.deployment.token.amount(80).base_units
    )
    symbol = net.deployment.token.symbol
    assert molt("order", "quote", *FITS).startswith(f"costs 80 {symbol}\n")
    listed = molt("order", "match", *FITS, "--feature", "nvlink").splitlines()
    assert listed[0].split() == ["cost", "price", "GPUs", "where", "score", "offer"]
    assert listed[1].startswith(f"80 {symbol}")
    assert listed[1].endswith(posted["id"])
    [match] = asked("order", "match", *FITS, "--region", "eu-west-1")["matches"]
    assert match["offer"]["id"] == posted["id"]

    opened = asked("order", "open", *FITS, "--yes")
    assert (opened["status"], opened["gpu_count"]) == ("LOCKED", 4)
    deal = opened["deal_id"]
    assert "57600 of 115200 GPU-seconds" in molt("deal", "release", deal, "--hours", "4")
    as_(net.provider)
    assert molt("deal", "collect", deal).startswith(f"deal {deal}\nPending: 39.6 {symbol} to the provider, ")
    as_(net.buyer)
    assert asked("deal", "release", deal)["gpu_seconds"] == 115_200
    as_(net.provider)
    for _ in range(2):  # the second one finds nothing that brings more
        paid = asked("deal", "collect", deal)
        assert paid["status"] == "Success"
        whole = net.deployment.token.amount(80).base_units
        assert int(paid["provider_payment"]) + int(paid["platform_fee"]) == whole
    as_(net.buyer)
    soon(lambda: asked("order", "list")["orders"][0]["order"]["status"] == "settled")

    trade = molt("market", "trades", "--model", "H100").splitlines()[1]
    assert trade.endswith(f"4 H100  eu-west-1  8      2.5 {symbol}  {deal}")
    assert asked("market", "trades", "--since", "2100-01-01")["trades"] == []
    assert f"H100   eu-west-1  2.5 {symbol}" in molt("market", "prices", "--days", "30")
    to_be_had = molt("market", "depth", "--region", "eu-west-1").splitlines()[1]
    assert to_be_had.split() == ["2.5", symbol, "8"]
    assert asked("market", "depth", "--model", "A100") == {"asks": [], "bids": []}


def test_deal__goes_on_as_the_next_one__on_the_same_gpus(
    net: Devnet, market: str, as_: As, folder: Path
) -> None:
    slot = ("--gpus", "4", "--model", "H100", "--vram", "80", "--policy", net.policy_id, "--slot", "3")
    as_(net.provider)
    asked("offer", "post", *slot, "--hours", "24", "--price", "2.50")
    as_(net.buyer)
    first = asked("order", "open", *FITS, "--yes")["deal_id"]
    as_(net.provider)
    (folder / "agreement.json").write_text(json.dumps(asked("deal", "agree", first, "--hours", "1")))
    offer = asked("offer", "post", *slot, "--hours", "48", "--price", "2.40")["id"]
    as_(net.buyer)
    extension = ("deal", "extend", first, folder / "agreement.json", "--offer", offer, "--hours", "48")
    assert "add --yes" in refused(*extension, "--json", code=ExitCode.BAD_INPUT)
    told = asked(*extension, "--yes")
    assert (told["before"], told["status"]) == (first, "LOCKED")
    assert asked("explain", first)["status"] == "RELEASED"
    assert asked("explain", told["deal_id"])["status"] == "LOCKED"
    assert net.client().gpus_in_use(net.provider.address, 3) == 4


def test_info_and_health__say_which_market_it_is(net: Devnet, market: str) -> None:
    said = molt("market", "info")
    assert said.startswith(f"market at {market}\nchain    31337\nescrow   {net.deployment.escrow}\n")
    assert f"policy   {net.policy_id}\n" in said
    assert "2 of 3 attestors, a claim can be contested for 1 h" in said
    assert asked("market", "info")["opener"] == net.operator.address
    assert asked("market", "health")["status"] == "ok"
    assert molt("market", "health").startswith("ok: followed the log to block ")
    net.client(net.guardian).pause()
    assert "no deal opens before" in molt("market", "info")


def test_explain__says_what_would_make_it_match(net: Devnet, market: str, as_: As) -> None:
    posted = offered(net, as_)
    low = (*NEEDS, "--max-price", "2")
    assert f"raise the price limit to 2.5 {net.deployment.token.symbol}: {posted['id']}" in molt(
        "order", "explain", *low
    )
    assert asked("order", "explain", *low)["fitting"] == 0
    assert "nothing now: " in molt("order", "quote", *low)
    assert "raise it or ask for less" in refused("order", "match", *low)
    refused("order", "open", *low, "--yes")


def test_sums_of_a_refusal__are_whole_tokens_for_people__base_units_for_programs(
    net: Devnet, market: str, as_: As
) -> None:
    offered(net, as_)
    as_(net.stranger)  # has no tokens
    symbol, whole = net.deployment.token.symbol, net.deployment.token.amount(80).base_units
    says = f"the buyer's balance is 0 {symbol}, 80 {symbol} are needed: deposit the difference"
    assert refused("order", "match", *FITS) == f"error: {says}\n"
    assert molt("order", "quote", *FITS).startswith(f"nothing now: {says}\n")
    told = json.loads(refused("--json", "order", "match", *FITS))
    assert told["error"] == "BuyerBalance"
    assert told["message"].startswith(f"the buyer's balance is 0 base units, {whole} base units are needed")


def test_lists__the_newest_first(net: Devnet, market: str, as_: As) -> None:
    offers = []
    for slot in ("0", "8", "16"):
        offers.append(offered(net, as_, "--slot", slot)["id"])
        net.warp(1)
    assert [each["id"] for each in asked("offer", "list", "--provider", net.provider.address)["offers"]] == (
        offers[::-1]
    )
    molt("wallet", "deposit", "300")
    orders = []
    for _ in range(3):
        needs = (*NEEDS, "--max-price", "1", "--policy", net.policy_id, "--model", "H100")
        orders.append(asked("order", "post", *needs)["order"]["id"])
        net.warp(1)
    assert [each["order"]["id"] for each in asked("order", "list")["orders"]] == orders[::-1]
    listed = molt("order", "list").splitlines()[1:]
    assert [line.rpartition("  ")[2] for line in listed] == orders[::-1]
    stranger = run("order", "list", "--buyer", net.stranger.address)
    assert (stranger.stdout, stranger.stderr.count("the market knows no order of")) == ("", 1)


# ---------------------------------------------------------------- asked before money is locked


def test_open__asks_first(net: Devnet, market: str, as_: As) -> None:
    offered(net, as_)
    before = net.client().balances(net.buyer.address)
    for answer in ("n\n", ""):
        declined = run("order", "open", *FITS, given=answer)
        assert declined.exit_code == ExitCode.FAILED
        assert "Lock 80 " in declined.stderr
        assert net.client().balances(net.buyer.address) == before
    assert "nothing was sent" in run("order", "open", *FITS, given="n\n").stderr
    taken = run("order", "open", *FITS, given="y\n")
    assert taken.exit_code == ExitCode.DONE
    assert "\ndeal 0x" in taken.stdout
    assert "add --yes" in refused("--json", "order", "open", *FITS, code=ExitCode.BAD_INPUT)


# ---------------------------------------------------------------- posted, and taken back


def test_order__waits_with_its_money__is_matched__and_another_is_taken_back(
    net: Devnet, market: str, as_: As
) -> None:
    as_(net.buyer)
    order = (*FITS, "--policy", net.policy_id, "--model", "H100", "--minutes", "30")
    assert "deposit the difference" in refused("order", "post", *order)
    molt("wallet", "deposit", "200")
    assert "\nstatus  pending, waits\n" in molt("order", "post", *order)
    second = asked("order", "post", *order, "--budget", "90")["order"]
    assert second["opener"] == net.operator.address
    assert molt("order", "list").count("pending, waits") == 2
    taken_back = molt("order", "cancel", second["id"])
    assert taken_back.startswith(f"{second['id']} is off the book; on the chain it can be used until ")
    told = asked("order", "cancel", second["id"], "--on-chain")
    assert (told["digest"], told["was_listed"]) == (second["id"], False)
    assert "\nstatus  cancelled\n" in molt("order", "show", second["id"])

    third = asked("order", "post", *order)["order"]["id"]  # the group of the first one is cancelled too
    offered(net, as_)
    soon(lambda: asked("order", "show", third)["order"]["status"] == "escrowed")
    assert asked("order", "show", third)["deal_id"] is not None
    assert asked("order", "list", "--buyer", net.provider.address)["orders"] == []


def test_offer__from_a_file__listed_shown_and_taken_back(
    net: Devnet, market: str, as_: As, folder: Path
) -> None:
    posted = offered(net, as_, "--days", "3", "--min-hours", "2", "--slot", "9", "--country", "FR")
    text = json.dumps(asked("offer", "show", posted["id"]))
    (folder / "offer.json").write_text(text)
    as_(net.provider)
    assert asked("offer", "post", "offer.json")["id"] == posted["id"]
    assert "\nhours    2 to 24\n" in molt("offer", "show", posted["id"])
    row = molt("offer", "list").splitlines()[1]
    assert row.startswith("8 H100 80 GB  FR     2 to 24")
    assert asked("offer", "list", "--provider", net.buyer.address) == {"offers": []}
    assert molt("offer", "list", "--provider", net.buyer.address) == ""
    told = asked("offer", "cancel", posted["id"], "--on-chain")
    assert told["was_listed"]
    assert told["stands_until"] < posted["expires_at"]
    assert "was not on the book any more" in molt("offer", "cancel", posted["id"])
    as_(net.buyer)
    assert "gpus" in refused("offer", "post", "offer.json", "--gpus", "8", code=ExitCode.BAD_INPUT)


def test_order__from_a_file(net: Devnet, market: str, as_: As, folder: Path) -> None:
    offered(net, as_)
    molt("wallet", "deposit", "200")
    posted = asked("order", "post", *FITS, "--policy", net.policy_id, "--model", "H100")["order"]
    blank = {name: posted[name] for name in ("buyer_id", "requirements", "created_at", "expires_at")}
    (folder / "order.json").write_text(json.dumps(blank))
    [match] = asked("order", "match", "order.json")["matches"]
    assert match["gpu_count"] == 4


# ---------------------------------------------------------------- the live feed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_watch__prints_each_step_until_it_is_told_to_stop(
    net: Devnet, market: str, as_: As, number: signal.Signals
) -> None:
    first = offered(net, as_)
    with (
        running("market", "watch", "--after", "0") as process,
        running("--json", "market", "watch", "--after", "1") as other,
    ):
        assert process.stdout is not None
        assert other.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("1  20")
        assert (
            f"offer posted: 8 H100 80 GB at 2.5 {net.deployment.token.symbol}, offer {first['id']}\n" in line
        )
        molt("order", "open", *FITS, "--yes")
        seen = [process.stdout.readline().partition(" UTC  ")[2].partition(":")[0] for _ in range(2)]
        assert seen == ["reserved", "deal opened"]
        items = [json.loads(other.stdout.readline()) for _ in range(2)]
        assert [each["sequence"] for each in items] == [2, 3]
        assert stopped(process, number) == ("", "")
        assert stopped(other, number) == ("", "")


# ---------------------------------------------------------------- what is refused


def test_market__that_is_not_given__or_does_not_answer(
    folder: Path, net: Devnet, as_: As, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_(net.buyer)
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", PASSWORD)
    assert "give --server" in refused("market", "info", code=ExitCode.BAD_INPUT)
    assert "no address of a server" in refused("--server", "x", "market", "info", code=ExitCode.BAD_INPUT)
    assert "does not answer" in refused("--server", NOWHERE, "market", "health", code=ExitCode.UNREACHABLE)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("order", "quote", *NEEDS), "missing --max-price"),
        (("order", "quote", "order.json", *FITS), "a file and --gpus"),
        (("order", "match", *NEEDS, "--max-price", "3e-30"), "decimals"),
        (("order", "match", *NEEDS, "--max-price", "dear"), "'dear'"),
        (("order", "match", *FITS, "--country", "France"), "this is no place"),
        (("order", "match", *NEEDS, "--max-price", "0"), "this is no order"),
        (("order", "match", *FITS, "--policy", "x"), "'x' is not"),
        (("offer", "post", "--gpus", "8"), "missing --model, --vram, --price, --hours, --policy"),
        (("order", "post", *FITS), "an order that waits names its --policy: `molt market info` shows some"),
        (("deal", "release", "0x" + "11" * 32, "--hours", "1", "--gpu-seconds", "1"), "give one of them"),
    ],
)
def test_arguments__that_are_wrong_in_themselves(
    net: Devnet, market: str, as_: As, arguments: tuple[str, ...], says: str
) -> None:
    as_(net.buyer)
    assert says in refused(*arguments, code=ExitCode.BAD_INPUT)


def test_offer__with_impossible_hours(net: Devnet, market: str, as_: As) -> None:
    as_(net.provider)
    gpus = ("--gpus", "8", "--model", "H100", "--vram", "80", "--hours", "2", "--min-hours", "3")
    said = refused("offer", "post", *gpus, "--price", "1", "--policy", net.policy_id, code=ExitCode.BAD_INPUT)
    assert "this is no offer: min_commitment_hours 3 is above" in said
