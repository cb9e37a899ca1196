"""The values of calls, answers and logs as bytes, by the contract ABI.

`eth_abi` comes to the same, but asks of every value anew what it is; most of the time of a batch
of openings went there. Here a type is looked at once, when its encoder or decoder is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import InsufficientDataBytes, NonEmptyPaddingBytes
from eth_abi.grammar import ABIType, BasicType, TupleType, parse

from molt_market.signing.typed_data import word

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], tuple[Any, ...]]
Read = Callable[[bytes, int], Any]  # the value that begins at a byte

WORD = 32
_number = word("uint256")


@cache
def encoder(types: tuple[str, ...]) -> Encode:
    """Return what encodes a function's values.

    >>> encoder(("uint8", "bytes"))((7, b"")).hex()[62:128]
    '070000000000000000000000000000000000000000000000000000000000000040'
    """
    return _of_each([parse(type_) for type_ in types])


@cache
def decoder(types: tuple[str, ...]) -> Decode:
    """Return what decodes values: bytes raw, addresses in small letters. It raises DecodingError.

    >>> decoder(("uint8", "bool"))(bytes(31) + b"\7" + bytes(32))
    (7, False)
    """
    parsed = [parse(type_) for type_ in types]
    if any(type_.is_dynamic or type_.is_array for type_ in parsed):  # few, and none of a deal
        return partial(decode, types)
    read, length = _reader_of_each(parsed)

    def of_words(data: bytes) -> tuple[Any, ...]:
        if len(data) < length:
            raise InsufficientDataBytes(f"{len(data)} bytes instead of {length}")
        values: tuple[Any, ...] = read(data, 0)
        return values

    return of_words


# ---------------------------------------------------------------- encoding


def _of(type_: ABIType) -> Encode:
    if type_.is_array:
        return _of_array(type_)
    if isinstance(type_, TupleType):
        return _of_each(type_.components)
    if type_.is_dynamic or not isinstance(type_, BasicType):
        return _padded
    write = word(f"{type_.base}{type_.sub or ''}")
    return lambda value: write("0x" + value.hex() if isinstance(value, bytes) else value)


def _of_each(types: Sequence[ABIType]) -> Encode:
    parts = [(_of(type_), type_.is_dynamic) for type_ in types]
    if any(is_dynamic for _, is_dynamic in parts):
        return lambda values: _laid_out(
            [(encode(value), is_dynamic) for (encode, is_dynamic), value in zip(parts, values, strict=True)]
        )
    return lambda values: b"".join([encode(value) for (encode, _), value in zip(parts, values, strict=True)])


def _of_array(type_: ABIType) -> Encode:
    """Return what encodes an array of any length: no contract of ours takes one of a fixed length."""
    item = type_.item_type
    encode, is_dynamic = _of(item), item.is_dynamic
    if type_.arrlist[-1] != ():
        raise TypeError(f"{type_!r}: arrays of a fixed length are not encoded here")
    return lambda values: _number(len(values)) + _laid_out([(encode(value), is_dynamic) for value in values])


def _laid_out(parts: Sequence[tuple[bytes, bool]]) -> bytes:
    """Put what has one length where it stands, and what has any behind all, with its place in its stead."""
    heads, tails = [], []
    place = sum(WORD if is_dynamic else len(part) for part, is_dynamic in parts)
    for part, is_dynamic in parts:
        if is_dynamic:
            heads.append(_number(place))
            tails.append(part)
            place += len(part)
        else:
            heads.append(part)
    return b"".join([*heads, *tails])


def _padded(value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else bytes.fromhex(value.removeprefix("0x"))
    return _number(len(raw)) + raw + bytes(-len(raw) % WORD)


# ---------------------------------------------------------------- decoding


def _reader_of_each(types: Sequence[ABIType]) -> tuple[Read, int]:
    """Return what reads values that stand behind each other, and how many bytes they take."""
    readers: list[tuple[Read, int]] = []
    length = 0
    for type_ in types:
        if isinstance(type_, TupleType):
            read, taken = _reader_of_each(type_.components)
        else:
            read, taken = _reader(type_), WORD
        readers.append((read, length))
        length += taken
    return lambda data, start: tuple([read(data, start + at) for read, at in readers]), length


def _reader(type_: ABIType) -> Read:
    """Return what reads a word. Bits that its type leaves over have to be zero."""
    base, size = getattr(type_, "base", ""), getattr(type_, "sub", None) or 0
    if base == "bytes":
        return lambda data, at: _without_rest(data[at : at + size], data[at + size : at + WORD])
    if base == "address":
        return lambda data, at: "0x" + _without_rest(data[at + 12 : at + WORD], data[at : at + 12]).hex()
    if base == "bool":
        return lambda data, at: _within(data[at : at + WORD], 1) == 1
    if base == "uint":
        return lambda data, at: _within(data[at : at + WORD], size)
    raise TypeError(f"{type_!r} is not decoded here")


def _without_rest(value: bytes, rest: bytes) -> bytes:
    if any(rest):
        raise NonEmptyPaddingBytes(f"{rest.hex()} where zeros have to be")
    return value


def _within(data: bytes, bits: int) -> int:
    number = int.from_bytes(data, "big")
    if number >> bits:
        raise NonEmptyPaddingBytes(f"{number} is more than {bits} bits")
    return number
