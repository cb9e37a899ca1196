"""EIP-712: how a message becomes the 32 bytes that are signed.

A message is a frozen dataclass whose fields are annotated with the ABI types below. Its Solidity type follows
from the names of class and fields (`gpu_seconds` is `gpuSeconds`), so the two languages cannot differ without
the type hash telling. All types that are signed here are static: every field is one word of 32 bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from inspect import get_annotations
from operator import attrgetter
from typing import Annotated, Any, ClassVar, NamedTuple, get_args

from eth_utils import keccak

from molt_market.domain.ids import Address
from molt_market.errors import InvalidValue

# Bytes are hex text with 0x, as in JSON; addresses are the domain's `Address`.
Bytes2 = Annotated[str, "bytes2"]
Bytes32 = Annotated[str, "bytes32"]
Uint8 = Annotated[int, "uint8"]
Uint16 = Annotated[int, "uint16"]
Uint24 = Annotated[int, "uint24"]
Uint32 = Annotated[int, "uint32"]
Uint40 = Annotated[int, "uint40"]
Uint64 = Annotated[int, "uint64"]
Uint96 = Annotated[int, "uint96"]
Uint256 = Annotated[int, "uint256"]


@dataclass(frozen=True)
class SigningDomain:
    """Where a signature counts: one contract on one chain."""

    name: str
    version: str
    chain_id: int
    contract: Address

    def __post_init__(self) -> None:
        object.__setattr__(self, "contract", Address(self.contract))
        if type(self.chain_id) is not int or not 0 < self.chain_id < 2**256:
            raise InvalidValue(f"chain id {self.chain_id!r}: give a whole number above 0, e.g. 31337")

    @property
    def separator(self) -> bytes:
        return _separator(self)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "chainId": self.chain_id,
            "verifyingContract": self.contract,
        }


class Domain(SigningDomain):
    """The domain of one MoltEscrow: `Domain(31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")`."""

    def __init__(self, chain_id: int, escrow: str) -> None:
        super().__init__("MoltEscrow", "1", chain_id, Address(escrow))

    @property
    def escrow(self) -> Address:
        return self.contract


class TokenDomain(SigningDomain):
    """The domain of a token with ERC-2612 permits; name and version are the token's own."""

    def __init__(self, chain_id: int, token: str, name: str, version: str = "1") -> None:
        super().__init__(name, version, chain_id, Address(token))


class PanelDomain(SigningDomain):
    """The domain of one PanelArbiter, which rulings are signed for."""

    def __init__(self, chain_id: int, panel: str) -> None:
        super().__init__("PanelArbiter", "1", chain_id, Address(panel))


class _Field(NamedTuple):
    name: str
    type: str
    to_word: Callable[[Any], bytes]


class _Layout(NamedTuple):
    type_string: str
    type_hash: bytes
    fields: tuple[_Field, ...]
    values: Callable[[Any], tuple[Any, ...]]


class Message:
    """What can be signed. A subclass is a frozen dataclass with annotated fields."""

    __slots__ = ()
    _layout: ClassVar[_Layout]

    def __init_subclass__(cls) -> None:
        hints = get_annotations(cls, eval_str=True)
        fields = tuple(_Field(_camel(name), *_abi(hint)) for name, hint in hints.items())
        text = f"{cls.__name__}({','.join(f'{field.type} {field.name}' for field in fields)})"
        cls._layout = _Layout(text, keccak(text=text), fields, attrgetter(*hints))

    @classmethod
    def type_string(cls) -> str:
        """Return the EIP-712 type, for example `Stop(bytes32 dealId,uint40 deadline)`."""
        return cls._layout.type_string

    @classmethod
    def type_hash(cls) -> bytes:
        return cls._layout.type_hash

    def hash_struct(self) -> bytes:
        """Hash type and values, without the domain.

        Raises:
            InvalidValue: a value does not fit its field.
        """
        layout = self._layout
        words = [layout.type_hash]
        for field, value in zip(layout.fields, layout.values(self), strict=True):
            try:
                words.append(field.to_word(value))
            except (AttributeError, TypeError, ValueError) as error:
                where = f"{type(self).__name__}.{field.name}"
                raise InvalidValue(f"{where} is {value!r}: it has to fit {field.type}") from error
        return keccak(b"".join(words))

    def digest(self, domain: SigningDomain) -> bytes:
        """Return the 32 bytes that are signed for `domain`."""
        return keccak(b"\x19\x01" + domain.separator + self.hash_struct())

    def as_tuple(self) -> tuple[Any, ...]:
        """Return the values in the order of the Solidity struct, as an ABI encoder takes them."""
        return self._layout.values(self)

    def as_typed_data(self, domain: SigningDomain) -> dict[str, Any]:
        """Return the JSON of `eth_signTypedData_v4`; integers as text, for JavaScript rounds above 2^53."""
        fields = self._layout.fields
        texts = (str(int(value)) if isinstance(value, int) else str(value) for value in self.as_tuple())
        return {
            "types": {
                "EIP712Domain": [{"name": name, "type": type_} for type_, name in _DOMAIN_FIELDS],
                type(self).__name__: [{"name": field.name, "type": field.type} for field in fields],
            },
            "primaryType": type(self).__name__,
            "domain": domain.as_dict(),
            "message": {field.name: text for field, text in zip(fields, texts, strict=True)},
        }


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _abi(hint: Any) -> tuple[str, Callable[[Any], bytes]]:
    """Return the ABI type of an annotation, and how its values become a word."""
    if hint is Address:
        return "address", lambda text: _unhex(text, 20).rjust(32, b"\0")
    abi_type: str = get_args(hint)[1]
    if abi_type.startswith("bytes"):
        length = int(abi_type.removeprefix("bytes"))
        return abi_type, lambda text: _unhex(text, length).ljust(32, b"\0")
    bits = int(abi_type.removeprefix("uint"))
    return abi_type, lambda number: _number(number, bits)


def _unhex(text: str, length: int) -> bytes:
    value = bytes.fromhex(text.removeprefix("0x"))
    if len(value) != length or len(text) != 2 + 2 * length:
        raise ValueError(f"expected 0x and {2 * length} hex digits")
    return value


def _number(number: int, bits: int) -> bytes:
    if number < 0 or number >> bits:
        raise ValueError(f"expected 0 to 2^{bits} - 1")
    return number.to_bytes(32, "big")


_DOMAIN_FIELDS = (
    ("string", "name"),
    ("string", "version"),
    ("uint256", "chainId"),
    ("address", "verifyingContract"),
)
_DOMAIN_TYPE_HASH = keccak(
    text=f"EIP712Domain({','.join(f'{type_} {name}' for type_, name in _DOMAIN_FIELDS)})"
)


@lru_cache(maxsize=256)
def _separator(domain: SigningDomain) -> bytes:
    names = keccak(text=domain.name) + keccak(text=domain.version)
    where = _number(domain.chain_id, 256) + _unhex(domain.contract, 20).rjust(32, b"\0")
    return keccak(_DOMAIN_TYPE_HASH + names + where)
