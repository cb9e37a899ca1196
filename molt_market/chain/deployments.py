"""What is deployed where: one file per chain, `deployments/<chain-id>.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from eth_utils import keccak
from pydantic import Field, ValidationError

from molt_market.chain.artefacts import artefact
from molt_market.config import settings
from molt_market.domain.amounts import MOLT, Token
from molt_market.domain.fields import Uint40, Value
from molt_market.domain.ids import Address, Hash32
from molt_market.errors import DeploymentMismatch, DeploymentNotFound

ContractName = Literal["MoltToken", "MoltEscrow", "PanelArbiter"]


class DeployedContract(Value):
    """One contract that a deployment created, with all that its code can be derived from.

    `arguments` are its constructor's, ABI-encoded, as hexadecimal digits without 0x: what explorers ask for.
    With a `salt` the factory created it, else the account that paid.
    """

    name: ContractName
    address: Address
    arguments: Annotated[str, Field(pattern=r"^(?:[0-9a-f]{2})*$")]
    code_hash: Hash32
    salt: Hash32 | None = None


class Deployment(Value):
    """One escrow and its token. Delays in seconds; logs of the escrow start at `block`.

    `arbiter` is the panel that was deployed with it, if one was; a policy may name any other. `contracts` are
    those that were created: a token that was there before is not among them.
    """

    chain_id: int
    escrow: Address
    token: Token
    fee_recipient: Address
    withdraw_delay_seconds: Uint40
    cancel_delay_seconds: Uint40
    block: int
    code_hash: Hash32
    arbiter: Address | None = None
    contracts: tuple[DeployedContract, ...] = ()

    @property
    def token_address(self) -> Address:
        if self.token.address is None:
            raise DeploymentMismatch(
                f"the deployment on chain {self.chain_id} names no token: record its address"
            )
        return self.token.address

    @property
    def money(self) -> Token:
        """The token that amounts are in: MOLT itself for a MOLT of 18 decimals, so that `from_molt` fits."""
        return (
            MOLT if (self.token.symbol, self.token.decimals) == (MOLT.symbol, MOLT.decimals) else self.token
        )

    def save(self, folder: Path | None = None) -> Path:
        """Write `<chain-id>.json` into a folder (default: the configured one), and return its path."""
        path = _path(self.chain_id, folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2) + "\n", "utf-8")
        return path

    def require_code(self, code: bytes) -> None:
        """Raise DeploymentMismatch unless `code` is our escrow, deployed with the recorded values."""
        escrow = artefact("MoltEscrow")
        if not escrow.is_code(code):
            found = f"{len(code)} bytes of other code" if code else "no code"
            raise DeploymentMismatch(
                f"{found} at {self.escrow} on chain {self.chain_id}, not this version's MoltEscrow: send"
                " nothing, and correct the deployment's file"
            )
        recorded = {
            "token": self.token_address.number(),
            "feeRecipient": self.fee_recipient.number(),
            "withdrawDelay": self.withdraw_delay_seconds,
            "cancelDelay": self.cancel_delay_seconds,
        }
        for name, value in recorded.items():
            if escrow.immutable(name, code) != value:
                raise DeploymentMismatch(
                    f"{name} of {self.escrow} is {escrow.immutable(name, code):#x}, the deployment's file"
                    f" says {value:#x}: correct the file"
                )
        if hash_of(code) != self.code_hash:
            raise DeploymentMismatch(
                f"the code of {self.escrow} hashes to {hash_of(code)}, the deployment's file says"
                f" {self.code_hash}: correct the file"
            )


def load_deployment(chain_id: int, where: Path | None = None) -> Deployment:
    """Read the deployment of a chain: from a file, or from a folder's `<chain-id>.json`.

    The default is the configured folder.

    Raises:
        DeploymentNotFound: there is no file for this chain.
        DeploymentMismatch: the file is damaged or about another chain.
    """
    path = where if where is not None and where.suffix == ".json" else _path(chain_id, where)
    try:
        deployment = Deployment.model_validate_json(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise DeploymentNotFound(chain_id, str(path)) from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise DeploymentMismatch(f"{path} is no deployment file: deploy again, or restore it") from error
    if deployment.chain_id != chain_id:
        raise DeploymentMismatch(f"{path} is about chain {deployment.chain_id}: it belongs in another file")
    return deployment


def hash_of(code: bytes) -> Hash32:
    """Hash a contract's code as the file records it."""
    return Hash32.of(keccak(code))


def _path(chain_id: int, folder: Path | None) -> Path:
    return (settings().deployments if folder is None else folder) / f"{chain_id}.json"
