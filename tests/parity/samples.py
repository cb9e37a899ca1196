"""Random messages, with the ends of every range among them."""

import random
from collections.abc import Callable, Iterable
from typing import Any

from web3 import Web3

from molt_market.domain.ids import Address
from molt_market.signing import messages
from molt_market.signing.typed_data import Domain, Message, SigningDomain, TokenDomain

MESSAGES: list[type[Message]] = [
    kind
    for kind in vars(messages).values()
    if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
]
BATCH = 250


def sample(kind: type[Message], rng: random.Random) -> Message:
    """Make a message with random values, a third of them at an end of their range."""
    return kind(*(_value(field.type, rng) for field in kind._layout.fields))


def address(rng: random.Random) -> Address:
    return Address("0x" + rng.randbytes(20).hex())


def domain(rng: random.Random) -> SigningDomain:
    if rng.random() < 0.5:
        return TokenDomain(rng.randrange(1, 2**53), address(rng), f"Token {rng.randrange(100)}", "2")
    return Domain(rng.randrange(1, 2**53), address(rng))


def _value(abi_type: str, rng: random.Random) -> Any:
    if abi_type == "address":
        return address(rng)
    if abi_type.startswith("bytes"):
        length = int(abi_type.removeprefix("bytes"))
        return "0x" + _edge(rng, bytes(length), b"\xff" * length, rng.randbytes(length)).hex()
    bits = int(abi_type.removeprefix("uint"))
    return _edge(rng, 0, 2**bits - 1, rng.getrandbits(rng.randint(1, bits)))


def _edge(rng: random.Random, least: Any, most: Any, between: Any) -> Any:
    return rng.choice([least, most, between, between, between, between])


def call_many(chain: Web3, calls: Iterable[Callable[..., Any]]) -> list[Any]:
    """Make many contract calls in few requests."""
    pending, results = list(calls), []
    for start in range(0, len(pending), BATCH):
        with chain.batch_requests() as batch:
            for call in pending[start : start + BATCH]:
                batch.add(call)
            results += batch.execute()
    return results
