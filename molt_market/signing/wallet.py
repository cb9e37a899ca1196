"""A key that can pay: it signs messages and transactions, and lies in an encrypted file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from getpass import getpass
from pathlib import Path
from typing import Any, Protocol, Self

from eth_account import Account

from molt_market.config import settings
from molt_market.domain.ids import Address
from molt_market.errors import InvalidValue, WalletError, WalletNotFound, WrongPassword
from molt_market.signing.signers import LocalSigner, Signer

OWNER_ONLY = 0o600


class TransactionSigner(Signer, Protocol):
    """A signer that can also pay for transactions."""

    def sign_transaction(self, fields: Mapping[str, Any]) -> bytes: ...


class Wallet(LocalSigner):
    """An account whose key lies in this process. Its repr shows the address only.

    >>> Wallet.from_private_key("0x" + "01" * 32)
    Wallet(0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1)
    """

    __slots__ = ()

    @classmethod
    def from_private_key(cls, private_key: str | bytes) -> Self:
        """Make a wallet from a private key. Raises InvalidValue, which does not repeat the key."""
        return cls.from_key(private_key)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        password: str | None = None,
        *,
        password_file: str | Path | None = None,
        prompt: bool | None = None,
    ) -> Self:
        """Open an encrypted key file (keystore version 3).

        The password comes from the first of: `password`, the first line of `password_file`, the environment's
        MOLT_WALLET_PASSWORD, a prompt. `prompt` allows the last; by default it is shown on a terminal only.

        Raises:
            WalletNotFound: there is no file at `path`.
            WrongPassword: the password does not open it.
            WalletError: there is no password, or the file is no key file.

        >>> Wallet.from_file("buyer.json", "secret")  # doctest: +SKIP
        Wallet(0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1)
        """
        keystore = _read_keystore(Path(path))
        may_ask = sys.stdin.isatty() if prompt is None else prompt
        secret = _given(password, password_file)
        if secret is None:
            secret = _asked(path, may_ask=may_ask)
        try:
            return cls(Account.from_key(Account.decrypt(keystore, secret)))
        except ValueError as error:
            if "MAC" in str(error):
                raise WrongPassword(str(path)) from error
            raise _no_keystore(path) from error
        except (KeyError, TypeError, NotImplementedError) as error:
            raise _no_keystore(path) from error

    @staticmethod
    def address_in(path: str | Path) -> Address:
        """Return the account that a key file says it is of, without opening it.

        Raises:
            WalletNotFound, WalletError: there is no file at `path`, or it does not say.
        """
        keystore = _read_keystore(Path(path))
        try:
            return Address("0x" + str(keystore["address"]).removeprefix("0x"))
        except (KeyError, InvalidValue) as error:
            raise _no_keystore(path) from error

    @classmethod
    def create(cls, path: str | Path, password: str, *, iterations: int | None = None) -> Self:
        """Make a new key and keep it encrypted at `path`, readable by its owner only.

        `iterations` is the work to try one password (scrypt's n, a power of two; default 2^18).

        Raises:
            WalletError: something lies at `path` already; it is not touched.
        """
        wallet = cls(Account.create())
        wallet.save(path, password, iterations=iterations)
        return wallet

    def save(self, path: str | Path, password: str, *, iterations: int | None = None) -> None:
        """Keep this key encrypted at `path`, readable by its owner only; `iterations` as `create` says.

        Raises:
            WalletError: something lies at `path` already, or it cannot be written; nothing is touched.
        """
        text = json.dumps(self._account.encrypt(password, kdf="scrypt", iterations=iterations))
        _write_new(Path(path), text)

    def sign_transaction(self, fields: Mapping[str, Any]) -> bytes:
        """Return the raw signed transaction."""
        return bytes(self._account.sign_transaction(dict(fields)).raw_transaction)


def _read_keystore(path: Path) -> dict[str, Any]:
    try:
        keystore = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise WalletNotFound(str(path)) from error
    except OSError as error:
        raise WalletError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    except ValueError as error:
        raise _no_keystore(path) from error
    if not isinstance(keystore, dict):
        raise _no_keystore(path)
    return keystore


def _no_keystore(path: str | Path) -> WalletError:
    return WalletError(f"{path} is no key file: give a keystore of version 3, or make one (Wallet.create)")


def _given(password: str | None, password_file: str | Path | None) -> str | None:
    if password is not None:
        return password
    if password_file is not None:
        return _first_line(Path(password_file))
    from_environment = settings().wallet_password
    return None if from_environment is None else from_environment.get_secret_value()


def _asked(path: str | Path, *, may_ask: bool) -> str:
    if not may_ask:
        raise WalletError(
            f"no password for {path}: give password or password_file, or set MOLT_WALLET_PASSWORD"
        )
    return getpass(f"Password of {path}: ")


def _first_line(path: Path) -> str:
    try:
        return path.read_text("utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise WalletError(f"password file {path} cannot be read: correct the path") from error


def _write_new(path: Path, text: str) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except FileExistsError as error:
        raise WalletError(
            f"{path} exists and may hold the only copy of a key: choose another path"
        ) from error
    except OSError as error:
        raise WalletError(f"{path} cannot be written ({error.strerror}): choose another path") from error
    with os.fdopen(file, "w", encoding="utf-8") as opened:
        opened.write(text)
