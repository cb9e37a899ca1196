"""`molt wallet` on a real chain: key files, what an account has, money in and out."""

from __future__ import annotations

from pathlib import Path

import pytest

from molt_market.chain.faucet import PURSE, fund
from molt_market.chain.networks import Network
from molt_market.cli.root import ExitCode
from molt_market.domain.ids import Address
from molt_market.errors import NoFaucet, WalletError
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from tests.integration.commands import PASSWORD, asked, key_file, molt, on_a_terminal, refused, run
from tests.integration.endings import disputed
from tests.integration.scene import Scene
from tests.integration.scene import molt as tokens

KEY = "0x" + "11" * 32


@pytest.fixture(autouse=True)
def password(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", PASSWORD)


@pytest.fixture
def buyer(net: Devnet, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Wallet:
    """The buyer's key file is the one that commands use."""
    monkeypatch.setenv("MOLT_WALLET", str(key_file(net.buyer, folder / "buyer.json")))
    return net.buyer


# ---------------------------------------------------------------- from nothing to money in the escrow


def test_new__fund__deposit__withdraw__by_the_command_line_alone(
    net: Devnet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = Address(asked("wallet", "new", "mine.json")["address"])
    assert (folder / "mine.json").stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("MOLT_WALLET", "mine.json")
    has = asked("wallet", "balance")
    assert (has["account"], has["coin_wei"], has["wallet"], has["escrow"]) == (address, "0", "0", "0")

    has = asked("wallet", "fund", "12.5")
    assert has["says"] == f"minted {tokens('12.5')}"
    assert has["wallet"] == str(tokens("12.5").base_units)
    assert 0 < int(has["coin_wei"]) <= PURSE
    has = asked("wallet", "deposit", "10")
    assert (has["wallet"], has["escrow"]) == tuple(str(tokens(each).base_units) for each in ("2.5", "10"))

    marked = asked("wallet", "withdraw", "4")
    assert (marked["marked"], marked["escrow"]) == (str(tokens(4).base_units), has["escrow"])
    again = asked("wallet", "withdraw", "4.0")
    assert (again["transaction"], again["unlock_at"]) == (None, marked["unlock_at"])
    assert "the withdrawal is possible from" in refused("wallet", "withdraw")
    net.warp(net.deployment.withdraw_delay_seconds)
    paid = asked("wallet", "withdraw", "--to", net.stranger.address)
    assert paid["says"] == f"paid {tokens(4)} to {net.stranger.address}"
    assert net.client().balance_of(net.stranger.address) == tokens(4)
    assert (paid["marked"], paid["unlock_at"], paid["escrow"]) == ("0", None, str(tokens(6).base_units))
    assert "nothing is marked" in refused("wallet", "withdraw")


@pytest.mark.usefixtures("buyer")
def test_withdraw__0__takes_the_mark_back(net: Devnet) -> None:
    molt("wallet", "deposit", "5")
    text = molt("wallet", "withdraw", "3")
    assert f"marked {tokens(3)}: `molt wallet withdraw` pays it out from " in text
    assert molt("wallet", "withdraw", "0").startswith("nothing is marked to be withdrawn\ntransaction 0x")
    assert net.client().balances(net.buyer.address).unlock_at is None


# ---------------------------------------------------------------- balance


def test_balance__live_deals__are_counted_by_whose_money_it_is(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    for account, side, amount in (
        (net.buyer, "buyer", escrow.amount),
        (net.provider, "provider", escrow.bond),
    ):
        has = asked("wallet", "balance", account.address)
        assert has[f"locked_as_{side}"] == str(amount.base_units)
        assert has[f"deals_as_{side}"] == 1
    text = molt("wallet", "balance", net.provider.address)
    assert text.startswith(f"account {net.provider.address}\n")
    assert f"{escrow.bond}" in text
    assert "locked in 1 live deal " in text
    assert "locked in 0 live deals" in text


def test_balance__with_disputes_and_closed_deals__is_all_that_the_escrow_holds(
    scene: Scene, net: Devnet
) -> None:
    disputed(scene)
    closed = scene.open()
    scene.buyer.redeem(closed, scene.voucher(closed, "24"))
    locked, free = 0, 0
    for account in (net.buyer, net.provider):
        has = asked("wallet", "balance", account.address)
        assert has["deals_as_buyer"] + has["deals_as_provider"] == 1
        locked += int(has["locked_as_buyer"]) + int(has["locked_as_provider"])
    for wallet in (*net.buyers, *net.providers, net.fee_recipient, net.arbiter):
        free += scene.client.balances(wallet.address).escrow.base_units
    assert locked + free == scene.escrow_holds().base_units


@pytest.mark.usefixtures("folder", "net")
def test_balance__of_nobody__is_refused() -> None:
    assert "give --wallet" in refused("wallet", "balance", code=ExitCode.BAD_INPUT)
    assert "is not an address" in refused("wallet", "balance", "0x12", code=ExitCode.BAD_INPUT)


# ---------------------------------------------------------------- what is refused


@pytest.mark.usefixtures("buyer")
@pytest.mark.parametrize("amount", ["much", "1e-30", "nan", "1_0.0.0"])
def test_amount__that_is_none__is_bad_input(amount: str) -> None:
    for command in ("deposit", "withdraw", "fund"):
        refused("wallet", command, amount, code=ExitCode.BAD_INPUT)


@pytest.mark.usefixtures("buyer")
def test_deposit__more_than_there_is__says_what_there_is() -> None:
    assert "are needed, the account has" in refused("wallet", "deposit", "1000000000")


@pytest.mark.usefixtures("buyer")
def test_withdraw__receiver_at_the_first_step__is_bad_input() -> None:
    said = refused("wallet", "withdraw", "1", "--to", "0x" + "12" * 20, code=ExitCode.BAD_INPUT)
    assert "at the second step" in said


def test_fund__token_that_only_some_may_mint__is_refused_and_gives_no_coin(net: Devnet) -> None:
    """The escrow itself stands for a token that has no mint."""
    wallet = Wallet.from_private_key(KEY)
    client = net.client(wallet)
    client.calls._token = net.deployment.escrow
    with pytest.raises(NoFaucet, match="no token for tests"):
        fund(client, tokens(1))
    assert net.node.number("eth_getBalance", wallet.address, "latest") == 0
    with pytest.raises(WalletError):
        fund(net.client(), tokens(1))


def test_fund__on_the_main_network__is_refused_before_anything_is_asked(net: Devnet) -> None:
    client = net.client(net.buyer)
    client.network = Network.MAINNET
    before = client.balance_of(net.buyer.address)
    with pytest.raises(NoFaucet, match="on chain 1 "):
        fund(client, tokens(1))
    assert client.balance_of(net.buyer.address) == before


# ---------------------------------------------------------------- key files


def test_new__path_of_the_option__file_that_is_there_is_not_touched(folder: Path) -> None:
    molt("--wallet", "a.json", "wallet", "new")
    before = (folder / "a.json").read_text()
    assert "only copy of a key" in refused("wallet", "new", "a.json")
    assert "only copy of a key" in refused("wallet", "import", "a.json")
    (folder / "dangling.json").symlink_to("nowhere")
    assert "only copy of a key" in refused("wallet", "new", "dangling.json")
    assert (folder / "a.json").read_text() == before


def test_new__without_a_path_or_a_password__is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no path" in refused("wallet", "new", code=ExitCode.BAD_INPUT)
    monkeypatch.delenv("MOLT_WALLET_PASSWORD")
    assert "set MOLT_WALLET_PASSWORD" in refused("wallet", "new", "b.json")
    assert not (folder / "b.json").exists()


def test_import__key_from_stdin__is_kept_and_never_shown(folder: Path) -> None:
    result = run("wallet", "import", "mine.json", given=f"{KEY}\n")
    expected = Wallet.from_private_key(KEY).address
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{expected}\n")
    assert "11" * 32 not in result.output
    assert Wallet.from_file(folder / "mine.json", PASSWORD).address == expected


@pytest.mark.parametrize("given", ["", "\n", "0x12\n", "not a key\n"])
def test_import__no_key__is_bad_input_and_not_repeated(given: str, folder: Path) -> None:
    result = run("wallet", "import", "mine.json", given=given)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "not a key" not in result.output
    assert not (folder / "mine.json").exists()


def test_import__on_a_terminal__asks_for_the_key_and_does_not_show_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MOLT_WALLET_PASSWORD")
    seen, code = on_a_terminal(["wallet", "import", "t.json"], [KEY, "good", "good"])
    assert (code, "11" * 32 in seen) == (0, False)
    assert Wallet.from_file(folder / "t.json", "good").address == Wallet.from_private_key(KEY).address


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        (["good", "good"], 0, "The key is in t.json"),
        (["good", "other"], 2, "the two passwords differ"),
        ([""], 2, "an empty password"),
    ],
)
def test_new__on_a_terminal__asks_twice_and_shows_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, typed: list[str], code: int, says: str
) -> None:
    monkeypatch.delenv("MOLT_WALLET_PASSWORD")
    seen, ended = on_a_terminal(["wallet", "new", "t.json"], typed)
    assert (ended, (folder / "t.json").exists()) == (code, code == 0)
    assert says in seen
    assert "good" not in seen
    if code == 0:
        Wallet.from_file(folder / "t.json", "good")
