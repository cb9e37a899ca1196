"""What a deployment creates, with which values, where, and with which code: known before anything is sent.

Addresses: of what an account creates, the last 20 bytes of keccak256(rlp([account, nonce])); of what the
factory creates, of keccak256(0xff ++ factory ++ salt ++ keccak256(init code)) (EIP-1014).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_typing import HexStr
from eth_utils import keccak
from web3 import Web3
from web3.types import Nonce
from web3.utils.address import get_create2_address, get_create_address

from molt_market.chain.artefacts import artefact
from molt_market.chain.deployments import ContractName
from molt_market.chain.interface import interface
from molt_market.domain.ids import Address, Hash32
from molt_market.domain.policies import by_number
from molt_market.domain.transactions import Call
from molt_market.errors import InvalidValue
from molt_market.signing.typed_data import SigningDomain

# The deterministic deployment proxy: its data is a salt and init code. Whoever calls it, the address is the
# same; Anvil has it from the start, other chains by a transaction that anybody could send.
FACTORY = Address("0x4e59b44847b379578588920cA78FbF26c0B4956C")
FACTORY_CODE = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd"
    "5b8082525050506014600cf3"
)
NO_SALT = Hash32("0x" + "00" * 32)
QUARTER_HOUR = 900
MAX_MEMBERS = 16
MAX_TOKEN_DECIMALS = 18  # the escrow's own bound
MAX_SHORT_STRING = 31
LONG_STRING = 0xFF  # stands for a string that is longer, and so lies in storage (OpenZeppelin's ShortStrings)


@dataclass(frozen=True, slots=True)
class TokenSpec:
    """A new MoltToken: a faucet that anyone may mint from, for local and test networks only."""

    name: str = "MOLT"
    symbol: str = "MOLT"
    decimals: int = 18

    def __post_init__(self) -> None:
        if type(self.decimals) is not int or not 0 <= self.decimals <= MAX_TOKEN_DECIMALS:
            raise InvalidValue(
                f"{self.decimals!r} decimals: give a whole number of 0 to {MAX_TOKEN_DECIMALS}"
            )


@dataclass(frozen=True, slots=True)
class PanelSpec:
    """A new PanelArbiter: `threshold` of `members` rule."""

    members: tuple[Address, ...]
    threshold: int

    @property
    def values(self) -> tuple[Any, ...]:
        """The constructor's values. Raises InvalidValue for members or a threshold that it would refuse."""
        ascending = by_number(self.members)
        if not 1 <= self.threshold <= len(ascending) <= MAX_MEMBERS:
            raise InvalidValue(
                f"{self.threshold} of {len(ascending)} members: name at most {MAX_MEMBERS}, and 1 to all of"
                " them rule"
            )
        return (ascending, self.threshold)


@dataclass(frozen=True, slots=True)
class DeploymentSpec:
    """What is wanted: a token that is there or a new one, the escrow's values, perhaps a panel."""

    token: Address | TokenSpec
    fee_recipient: Address
    guardian: Address
    fee_setter: Address
    fee_bps: int = 0
    withdraw_delay_seconds: int = QUARTER_HOUR
    cancel_delay_seconds: int = QUARTER_HOUR
    panel: PanelSpec | None = None


@dataclass(frozen=True, slots=True)
class Creation:
    """One contract to create on a chain: by the factory if there is a `salt`, else by the account."""

    contract: ContractName
    values: tuple[Any, ...]
    address: Address
    chain_id: int
    nonce: int
    salt: Hash32 | None

    @property
    def arguments(self) -> bytes:
        """The constructor's values, ABI-encoded."""
        return interface(self.contract).encode_constructor(*self.values)

    @property
    def init_code(self) -> bytes:
        return artefact(self.contract).creation_code + self.arguments

    @property
    def call(self) -> Call:
        """What has to be sent."""
        if self.salt is None:
            return Call(None, self.init_code)
        return Call(FACTORY, self.salt.raw() + self.init_code)

    @property
    def code(self) -> bytes:
        """The code that will lie at the address."""
        values = immutables_of(self.contract, self.values, self.address, self.chain_id)
        return artefact(self.contract).code_with(values)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a deployment needs, in the order in which it is created; what was there before is left out."""

    chain_id: int
    sender: Address
    token: Address
    creations: tuple[Creation, ...]

    def find(self, contract: str) -> Creation | None:
        return next((each for each in self.creations if each.contract == contract), None)

    @property
    def escrow(self) -> Creation:
        return next(each for each in self.creations if each.contract == "MoltEscrow")


def plan_deployment(
    spec: DeploymentSpec,
    *,
    chain_id: int,
    sender: Address,
    nonce: int,
    salt: Hash32 | None,
    placed: Mapping[str, tuple[Address, int]] | None = None,
) -> Plan:
    """Plan token, escrow and panel, in this order.

    Args:
        nonce: the next one of `sender`.
        salt: have the factory create them; None: the account does, and its nonces say where.
        placed: address and nonce of what an earlier run sent.
    """
    known = placed or {}
    creations: list[Creation] = []
    free = nonce

    def add(contract: ContractName, values: tuple[Any, ...]) -> Address:
        nonlocal free
        address, used = known.get(contract, (None, free))
        if address is None:
            address = address_by_nonce(sender, used)
            free += 1
        if salt is not None:
            init_code = artefact(contract).creation_code + interface(contract).encode_constructor(*values)
            address = address_by_factory(salt, init_code)
        creations.append(Creation(contract, values, address, chain_id, used, salt))
        return address

    token = spec.token
    if isinstance(token, TokenSpec):
        token = add("MoltToken", (token.name, token.symbol, token.decimals))
    roles = (spec.fee_recipient, spec.guardian, spec.fee_setter)
    add("MoltEscrow", (token, *roles, spec.fee_bps, spec.withdraw_delay_seconds, spec.cancel_delay_seconds))
    if spec.panel is not None:
        add("PanelArbiter", spec.panel.values)
    return Plan(chain_id, sender, token, tuple(creations))


def address_by_nonce(sender: Address, nonce: int) -> Address:
    """Return where an account creates a contract with a nonce.

    >>> address_by_nonce(Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"), 0)
    '0x5FbDB2315678afecb367f032d93F642f64180aa3'
    """
    return Address(get_create_address(Web3.to_checksum_address(sender), Nonce(nonce)))


def address_by_factory(salt: Hash32, init_code: bytes) -> Address:
    """Return where the factory creates a contract, on every chain."""
    return Address(
        get_create2_address(Web3.to_checksum_address(FACTORY), HexStr(salt), HexStr(init_code.hex()))
    )


def immutables_of(contract: str, values: Sequence[Any], address: Address, chain_id: int) -> dict[str, int]:
    """Return what the constructor writes into the code of a contract of ours: each immutable by its name."""
    if contract == "MoltEscrow":
        token, receiver, _guardian, _fee_setter, _fee_bps, withdraw_delay, cancel_delay = values
        own = {
            "token": Address(token).number(),
            "feeRecipient": Address(receiver).number(),
            "withdrawDelay": withdraw_delay,
            "cancelDelay": cancel_delay,
        }
        name = "MoltEscrow"
    elif contract == "MoltToken":
        name, _symbol, decimals = values
        own = {"_decimals": decimals}
    elif contract == "PanelArbiter":
        own = {"threshold": values[1]}
        name = "PanelArbiter"
    else:
        raise InvalidValue(f"{contract} is no contract that is deployed")
    return own | _eip712(SigningDomain(name, "1", chain_id, address))


def _eip712(domain: SigningDomain) -> dict[str, int]:
    """Return the immutables of OpenZeppelin's EIP712."""
    return {
        "_cachedChainId": domain.chain_id,
        "_cachedDomainSeparator": int.from_bytes(domain.separator, "big"),
        "_cachedThis": domain.contract.number(),
        "_hashedName": int.from_bytes(keccak(text=domain.name), "big"),
        "_hashedVersion": int.from_bytes(keccak(text=domain.version), "big"),
        "_name": _short_string(domain.name),
        "_version": _short_string(domain.version),
    }


def _short_string(text: str) -> int:
    """Pack a string as OpenZeppelin's ShortStrings does: left its bytes, in the last byte their number."""
    raw = text.encode()
    if len(raw) > MAX_SHORT_STRING:
        return LONG_STRING
    return int.from_bytes(raw.ljust(MAX_SHORT_STRING, b"\0") + bytes([len(raw)]), "big")
