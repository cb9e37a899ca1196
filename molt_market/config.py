"""What the environment says. Nothing else in the package reads it.

MOLT_RPC_URL           address of the node, for networks that have no address of their own
MOLT_WALLET_PASSWORD   opens key files that come without a password
MOLT_DEPLOYMENTS       folder of the deployments' files; default: deployments/ in the working directory
MOLT_ANVIL             the Anvil to start for a local chain; default: the one on the PATH
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from molt_market.domain.fields import Value


class Settings(Value):
    """What is configured outside of the program. The password is masked in repr."""

    rpc_url: str | None = None
    wallet_password: SecretStr | None = None
    deployments: Path = Path("deployments")
    anvil: str = "anvil"


def settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from an environment (default: the process's); an empty variable counts as unset.

    >>> settings({"MOLT_RPC_URL": "http://127.0.0.1:8545"}).rpc_url
    'http://127.0.0.1:8545'
    """
    source = os.environ if environment is None else environment
    given = {name: source.get(f"MOLT_{name.upper()}") for name in Settings.model_fields}
    return Settings.model_validate({name: value for name, value in given.items() if value})
