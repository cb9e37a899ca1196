"""Names of things: texts that are checked once, when they are made."""

from __future__ import annotations

import re
import secrets
from functools import lru_cache
from typing import Any, ClassVar, Self

from eth_utils import to_checksum_address
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from molt_market.errors import InvalidValue


class _Text(str):
    """A string of one shape. `shape` is what it must match, `described` how a message names that."""

    __slots__ = ()
    shape: ClassVar[re.Pattern[str]]
    described: ClassVar[str]

    def __new__(cls, value: str) -> Self:
        if type(value) is cls:
            return value
        if not isinstance(value, str) or cls.shape.fullmatch(value) is None:
            raise InvalidValue(f"{value!r} is not {cls.described}")
        return super().__new__(cls, cls._normal(value))

    @classmethod
    def _normal(cls, value: str) -> str:
        return value

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(strict=True))

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^(?:{cls.shape.pattern})$"}


class _Label(_Text):
    __slots__ = ()
    shape = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
    described = "an id: 1 to 128 letters, digits, '.', '_', ':' or '-'"

    @classmethod
    def new(cls, randomness: bytes | None = None) -> Self:
        """Make an id from 16 random bytes: fresh ones, or those given."""
        return cls((randomness if randomness is not None else secrets.token_bytes(16)).hex())


class OfferId(_Label):
    """Names an offer in the book."""

    __slots__ = ()


class OrderId(_Label):
    """Names an order in the book."""

    __slots__ = ()


class DisputeId(_Label):
    """Names a dispute."""

    __slots__ = ()


class Hash32(_Text):
    """32 bytes in lower-case hexadecimal with 0x: a hash, or another word of the contract.

    >>> Hash32("0x" + "AB" * 32)[:6]
    '0xabab'
    """

    __slots__ = ()
    shape = re.compile(r"0x[0-9a-fA-F]{64}")
    described = "32 bytes: write 0x and 64 hexadecimal digits"

    @classmethod
    def _normal(cls, value: str) -> str:
        return value.lower()

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """Write 32 raw bytes."""
        return cls("0x" + raw.hex())

    def raw(self) -> bytes:
        """Return the 32 bytes."""
        return bytes.fromhex(self[2:])


class EscrowId(Hash32):
    """Names a deal: the EIP-712 hash of its terms."""

    __slots__ = ()


class TransactionId(Hash32):
    """Names a transaction: its hash."""

    __slots__ = ()


class Signature(_Text):
    """A signature of 64 (EIP-2098) or 65 bytes in lower-case hexadecimal with 0x; or APPROVED, of none."""

    __slots__ = ()
    shape = re.compile(r"0x(?:[0-9a-fA-F]{128}|[0-9a-fA-F]{130})?")
    described = "a signature: write 0x and 130 (or, compact, 128) hexadecimal digits"

    @classmethod
    def _normal(cls, value: str) -> str:
        return value.lower()

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """Write raw bytes."""
        return cls("0x" + raw.hex())

    def raw(self) -> bytes:
        """Return the bytes."""
        return bytes.fromhex(self[2:])


class PartyId(_Text):
    """A buyer's or provider's name. An address is kept in EIP-55 spelling and must be the signer's."""

    __slots__ = ()
    shape = re.compile(r"[!-~]{1,128}")
    described = "a party: write an address, or a name of 1 to 128 printable ASCII characters without spaces"

    @classmethod
    def _normal(cls, value: str) -> str:
        return str(Address(value)) if Address.shape.fullmatch(value) else value

    @property
    def address(self) -> Address | None:
        """The address, where the name is one."""
        return Address(self) if Address.shape.fullmatch(self) else None


class Address(PartyId):
    """An account in EIP-55 spelling. Any case is taken, but a mixed one must be the right one: it guards
    against typos.

    >>> Address("0x" + "ab" * 20)[:8]
    '0xABaBaB'
    """

    __slots__ = ()
    shape = re.compile(r"0x[0-9a-fA-F]{40}")
    described = "an address: write 0x and 40 hexadecimal digits"

    @classmethod
    def _normal(cls, value: str) -> str:
        spelled = _checksummed(value.lower())
        if value != spelled and value[2:] not in {value[2:].lower(), value[2:].upper()}:
            raise InvalidValue(f"the checksum of address {value} is wrong: look for a typo")
        return spelled

    @classmethod
    def of(cls, number: int) -> Self:
        """Write the address that a contract's word holds."""
        return cls(f"0x{number:040x}")

    def number(self) -> int:
        """Return the address as the contract orders it."""
        return int(self, 16)


@lru_cache(maxsize=65_536)
def _checksummed(lower: str) -> str:
    return to_checksum_address(lower)


APPROVED = Signature("0x")  # instead of a signature: its signer has approved the digest on the chain
ZERO_HASH = Hash32("0x" + "00" * 32)
ZERO_ADDRESS = Address("0x" + "00" * 20)
