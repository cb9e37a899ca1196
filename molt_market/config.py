"""What the environment says. Nothing else in the package reads it.

MOLT_RPC_URL           address of the node, for networks that have no address of their own
MOLT_WALLET_PASSWORD   opens key files that come without a password
MOLT_DEPLOYER_KEY      private key that `ape run deploy` pays with, where no account of ape's is named
MOLT_DEPLOYMENTS       folder of the deployments' files; default: deployments/ in the working directory
MOLT_ANVIL             the Anvil to start for a local chain; default: the one on the PATH

The command line (`molt`) reads these too, where no option says otherwise:

MOLT_NETWORK           name of the chain, for example sepolia, or its id; default: local
MOLT_DATABASE          where payments are written down: sqlite:///market.db, postgresql://user@host/name
MOLT_WALLET            key file of the account that pays
MOLT_SERVER            address of the market's server, for example http://127.0.0.1:8080
MOLT_MAX_FEE_GWEI      most to offer for a unit of gas, in whole gwei; default: 500
MOLT_CONFIRMATIONS     blocks on top that make a block count; default: the network's own
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, SecretStr, ValidationError

from molt_market.domain.fields import Value
from molt_market.errors import InvalidValue


def _whole_gwei(value: object) -> object:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if type(value) is not int or value < 1:
        raise InvalidValue("give a whole number of gwei above 0, e.g. 200")
    return value


def _blocks(value: object) -> object:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if type(value) is not int or value < 0:
        raise InvalidValue("give a whole number of blocks, e.g. 12")
    return value


class Settings(Value):
    """What is configured outside of the program. Passwords are masked in repr, also the database's."""

    rpc_url: str | None = None
    wallet_password: SecretStr | None = None
    deployer_key: SecretStr | None = None
    deployments: Path = Path("deployments")
    anvil: str = "anvil"
    network: str = "local"
    database: SecretStr | None = None
    wallet: Path | None = None
    server: str | None = None
    max_fee_gwei: Annotated[int, BeforeValidator(_whole_gwei)] | None = None
    confirmations: Annotated[int, BeforeValidator(_blocks)] | None = None


def environment_with(changes: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of this process with these variables changed: for a process that it starts."""
    return {**os.environ, **changes}


def settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from an environment (default: the process's); an empty variable counts as unset.

    Raises:
        InvalidValue: a variable cannot be used; the error says which, and how to write it.

    >>> settings({"MOLT_RPC_URL": "http://127.0.0.1:8545"}).rpc_url
    'http://127.0.0.1:8545'
    """
    source = os.environ if environment is None else environment
    given = {name: source.get(f"MOLT_{name.upper()}") for name in Settings.model_fields}
    try:
        return Settings.model_validate({name: value for name, value in given.items() if value})
    except ValidationError as error:
        first = error.errors()[0]
        variable = f"MOLT_{str(first['loc'][0]).upper()}"
        raise InvalidValue(f"{variable}: {first['msg'].removeprefix('Value error, ')}") from error
