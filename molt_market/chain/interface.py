"""A contract's ABI: calls out, answers and logs in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_abi.exceptions import DecodingError
from eth_utils.abi import (
    event_abi_to_log_topic,
    function_abi_to_4byte_selector,
    get_abi_input_types,
    get_abi_output_types,
)
from web3 import Web3

from molt_market.chain.artefacts import artefact
from molt_market.domain.ids import Address
from molt_market.errors import InvalidValue, NodeError

CODEC = Web3().codec


@dataclass(frozen=True, slots=True)
class _Function:
    selector: bytes
    inputs: list[str]
    outputs: list[str]


@dataclass(frozen=True, slots=True)
class _Event:
    name: str
    indexed: list[str]
    plain: list[str]
    order: list[tuple[bool, int]]  # of each field: whether it is indexed, and its place among those


class Interface:
    """Encodes and decodes by the ABI of one contract. Bytes go in raw or as hex text, and come out raw."""

    def __init__(self, abi: Sequence[dict[str, Any]]) -> None:
        self._functions = {each["name"]: _function(each) for each in abi if each["type"] == "function"}
        self._events = {_topic(each): _event(each) for each in abi if each["type"] == "event"}
        self._errors = {
            function_abi_to_4byte_selector(_as_function(each)): each
            for each in abi
            if each["type"] == "error"
        }
        none: dict[str, Any] = {"inputs": []}
        constructor = next((each for each in abi if each["type"] == "constructor"), none)
        self._constructor = _types(constructor)
        self.constructor_names = tuple(str(field["name"]) for field in constructor["inputs"])

    def encode(self, function: str, *values: Any) -> bytes:
        """Return the data of a call."""
        known = self._functions[function]
        return known.selector + CODEC.encode(known.inputs, values)

    def decode(self, function: str, data: bytes) -> tuple[Any, ...]:
        """Return what a function answered. Raises NodeError if it is not an answer of that function."""
        try:
            return CODEC.decode(self._functions[function].outputs, data)
        except DecodingError as error:
            raise NodeError(f"{function} answered {len(data)} bytes that are no answer of it") from error

    def decode_call(self, data: bytes) -> tuple[str, tuple[Any, ...]] | None:
        """Return the function that a call names, and its values; None: it is no call of this contract."""
        for name, known in self._functions.items():
            if known.selector == data[:4]:
                try:
                    return name, CODEC.decode(known.inputs, data[4:])
                except DecodingError:
                    return None
        return None

    def encode_constructor(self, *values: Any) -> bytes:
        return CODEC.encode(self._constructor, values)

    def decode_constructor(self, data: bytes) -> tuple[Any, ...]:
        """Return the values that a constructor was given. Raises InvalidValue if they are no such values."""
        try:
            return CODEC.decode(self._constructor, data)
        except DecodingError as error:
            raise InvalidValue(f"{len(data)} bytes are no arguments of this constructor") from error

    def decode_log(self, topics: Sequence[bytes], data: bytes) -> tuple[str, tuple[Any, ...]] | None:
        """Return an event's name and fields, in the order of the contract; None for an event of another."""
        event = self._events.get(topics[0]) if topics else None
        if event is None:
            return None
        plain = CODEC.decode(event.plain, data)
        indexed = [
            CODEC.decode([type_], topic)[0] for type_, topic in zip(event.indexed, topics[1:], strict=True)
        ]
        return event.name, tuple((indexed if where else plain)[place] for where, place in event.order)

    def topic(self, event: str) -> str:
        """Return the topic that a filter for an event names."""
        return next("0x" + topic.hex() for topic, known in self._events.items() if known.name == event)

    def decode_error(self, data: bytes) -> tuple[str, tuple[Any, ...]] | None:
        """Return a custom error's name and values; None for one of another contract."""
        known = self._errors.get(data[:4])
        if known is None:
            return None
        try:
            return known["name"], CODEC.decode(_types(known), data[4:])
        except DecodingError:
            return None


def _function(abi: Any) -> _Function:
    return _Function(function_abi_to_4byte_selector(abi), get_abi_input_types(abi), get_abi_output_types(abi))


def _event(abi: Any) -> _Event:
    indexed: list[str] = []
    plain: list[str] = []
    order = []
    for type_, field in zip(_types(abi), abi["inputs"], strict=True):
        into = indexed if field["indexed"] else plain
        order.append((field["indexed"], len(into)))
        into.append(type_)
    return _Event(abi["name"], indexed, plain, order)


def _as_function(error: Any) -> Any:
    return {**error, "type": "function"}  # errors have selectors like functions


def _types(abi: Any) -> list[str]:
    return get_abi_input_types(_as_function(abi))


def _topic(abi: Any) -> bytes:
    return event_abi_to_log_topic(abi)


@cache
def interface(contract: str) -> Interface:
    """Return the interface of a contract of the package."""
    return Interface(artefact(contract).abi)


def address(word: str) -> Address:
    """Return a decoded address as the domain writes it."""
    return Address(word)
