"""Asking for what must not be seen: passwords and private keys. Neither is ever an argument."""

from __future__ import annotations

import sys
from getpass import getpass
from pathlib import Path

from molt_market.config import settings
from molt_market.errors import InvalidValue, WalletError


def new_password(path: Path) -> str:
    """Return the password of a key file that is to be made: of the environment, or asked for twice.

    Raises:
        WalletError: there is none, and no terminal to ask on.
        InvalidValue: it is empty, or the two answers differ.
    """
    from_environment = settings().wallet_password
    if from_environment is not None:
        return from_environment.get_secret_value()
    if not sys.stdin.isatty():
        raise WalletError(f"no password for {path}: set MOLT_WALLET_PASSWORD, or ask on a terminal")
    password = getpass(f"New password of {path}: ")
    if not password:
        raise InvalidValue("an empty password protects nothing: choose one")
    if getpass("The same again: ") != password:
        raise InvalidValue("the two passwords differ, nothing was written: try again")
    return password


def private_key() -> str:
    """Return a private key: the first line of what is piped in, or what is typed without being shown.

    Raises InvalidValue if there is none.
    """
    typed = getpass("Private key: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not typed.strip():
        raise InvalidValue("no private key: pipe it in, or type it at the prompt")
    return typed.strip()


def require_free(path: Path) -> None:
    """Raise WalletError if something lies at a path, before anybody is asked for a password."""
    if path.exists() or path.is_symlink():
        raise WalletError(f"{path} exists and may hold the only copy of a key: choose another path")
