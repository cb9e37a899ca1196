"""Key files: made once, opened with the right password, never shown."""

import json
import stat
from pathlib import Path

import pytest
from eth_account import Account

from molt_market.errors import InvalidValue, WalletError, WalletNotFound, WrongPassword
from molt_market.signing.messages import Voucher
from molt_market.signing.signers import recover
from molt_market.signing.typed_data import Domain
from molt_market.signing.wallet import Wallet

KEY = "0x" + "11" * 32
DOMAIN = Domain(31_337, "0x" + "e5" * 20)
FAST = 2  # scrypt rounds: the files of tests need not withstand anybody


@pytest.fixture(autouse=True)
def no_password_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOLT_WALLET_PASSWORD", raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "buyer.json"


@pytest.fixture
def wallet(path: Path) -> Wallet:
    return Wallet.create(path, "secret", iterations=FAST)


def test_create__can_be_opened_with_its_password(path: Path, wallet: Wallet) -> None:
    opened = Wallet.from_file(path, "secret")
    assert opened.address == wallet.address
    message = Voucher("0x" + "de" * 32, 7)
    assert recover(message.digest(DOMAIN), opened.sign(message, DOMAIN)) == wallet.address


def test_create__file__is_a_keystore_that_only_its_owner_reads(path: Path, wallet: Wallet) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keystore = json.loads(path.read_text("utf-8"))
    assert (keystore["version"], keystore["crypto"]["kdf"]) == (3, "scrypt")
    assert keystore["address"].lower() in wallet.address.lower()


def test_create__something_is_there__leaves_it_alone(path: Path) -> None:
    path.write_text("the only copy", "utf-8")
    with pytest.raises(WalletError, match="only copy"):
        Wallet.create(path, "secret", iterations=FAST)
    assert path.read_text("utf-8") == "the only copy"


def test_create__no_such_folder__is_refused(tmp_path: Path) -> None:
    with pytest.raises(WalletError, match="cannot be written"):
        Wallet.create(tmp_path / "missing" / "buyer.json", "secret", iterations=FAST)


# ---------------------------------------------------------------- where the password comes from


def test_from_file__password_file__is_read_to_the_end_of_its_first_line(
    path: Path, wallet: Wallet, tmp_path: Path
) -> None:
    for text in ("secret", "secret\n", "secret\r\nnot this"):
        (tmp_path / "password").write_text(text, "utf-8", newline="")
        assert Wallet.from_file(path, password_file=tmp_path / "password").address == wallet.address


def test_from_file__environment__is_asked_last_but_one(
    path: Path, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", "secret")
    assert Wallet.from_file(path).address == wallet.address
    with pytest.raises(WrongPassword):
        Wallet.from_file(path, "another")


def test_from_file__prompt__asks_for_the_file_by_name(
    path: Path, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(question: str) -> str:
        asked.append(question)
        return "secret"

    monkeypatch.setattr("molt_market.signing.wallet.getpass", answer)
    assert Wallet.from_file(path, prompt=True).address == wallet.address
    assert asked == [f"Password of {path}: "]


def test_from_file__no_terminal__does_not_ask(
    path: Path, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service must not hang at a question that nobody sees."""
    monkeypatch.setattr("molt_market.signing.wallet.getpass", lambda _: pytest.fail("asked"))
    with pytest.raises(WalletError, match="MOLT_WALLET_PASSWORD"):
        Wallet.from_file(path)


# ---------------------------------------------------------------- what is wrong with a file


def test_from_file__wrong_password__names_the_file(path: Path, wallet: Wallet) -> None:
    with pytest.raises(WrongPassword) as wrong:
        Wallet.from_file(path, "guess")
    assert wrong.value.path == str(path)
    assert "guess" not in str(wrong.value)


def test_from_file__missing__names_the_file(path: Path) -> None:
    with pytest.raises(WalletNotFound) as missing:
        Wallet.from_file(path, "secret")
    assert missing.value.path == str(path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"version": 3}',
        '{"version": 1, "crypto": {}}',
        '{"version": 3, "crypto": {}}',
    ],
)
def test_from_file__no_keystore__says_so(path: Path, content: str) -> None:
    path.write_text(content, "utf-8")
    with pytest.raises(WalletError, match="no key file"):
        Wallet.from_file(path, "secret")


def test_from_file__folder__says_so(tmp_path: Path) -> None:
    with pytest.raises(WalletError, match="cannot be read"):
        Wallet.from_file(tmp_path, "secret")


def test_from_file__password_file_missing__names_it(path: Path, wallet: Wallet, tmp_path: Path) -> None:
    with pytest.raises(WalletError, match="no-such-file"):
        Wallet.from_file(path, password_file=tmp_path / "no-such-file")


# ---------------------------------------------------------------- keys


def test_from_private_key__signs_transactions() -> None:
    wallet = Wallet.from_private_key(KEY)
    fields = {
        "type": 2,
        "chainId": 31_337,
        "nonce": 0,
        "gas": 21_000,
        "maxFeePerGas": 1,
        "maxPriorityFeePerGas": 1,
        "to": wallet.address,
        "value": 0,
        "data": b"",
    }
    raw = wallet.sign_transaction(fields)
    assert Account.recover_transaction(raw) == wallet.address


def test_repr__shows_the_address_only() -> None:
    wallet = Wallet.from_private_key(KEY)
    assert repr(wallet) == f"Wallet({wallet.address})"
    assert "1111" not in repr(wallet) + str(wallet)


@pytest.mark.parametrize("key", ["", "0x", "0x1234", "zz" * 32, "0x" + "00" * 32])
def test_from_private_key__no_key__is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        Wallet.from_private_key(key)
    assert key not in str(refused.value) or len(key) < 4


def test_address_in__a_key_file__is_read_without_a_password(tmp_path: Path) -> None:
    path = tmp_path / "buyer.json"
    assert Wallet.create(path, "secret", iterations=2).address == Wallet.address_in(path)
    path.write_text("{}")
    with pytest.raises(WalletError, match="is no key file"):
        Wallet.address_in(path)
    with pytest.raises(WalletNotFound):
        Wallet.address_in(tmp_path / "other.json")
