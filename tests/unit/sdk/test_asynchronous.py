"""The asynchronous SDK: nothing is missing, arguments are the same, and it is made and closed once."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Iterator
from typing import Any

import pytest

from molt_market import (
    AsyncAttestor,
    AsyncBuyer,
    AsyncMarketApi,
    AsyncProvider,
    Attestor,
    Buyer,
    MarketApi,
    Provider,
)
from molt_market.errors import InvalidValue
from molt_market.threads import InThreads, in_thread, in_thread_all

PARTIES = [(Buyer, AsyncBuyer), (Provider, AsyncProvider), (Attestor, AsyncAttestor)]
PAIRS = [(MarketApi, AsyncMarketApi), *PARTIES]
METHODS = [
    pytest.param(each, other, name, id=f"{each.__name__}.{name}")
    for each, other in PAIRS
    for name in dir(each)
    if not name.startswith("_")
]


@pytest.mark.parametrize(("each", "other", "name"), METHODS)
def test_method__is_there_with_the_same_arguments(each: type, other: type, name: str) -> None:
    assert inspect.signature(getattr(other, name)).parameters.keys() == (
        inspect.signature(getattr(each, name)).parameters.keys()
    )


@pytest.mark.parametrize(("each", "other"), PARTIES)
def test_party__is_made_with_the_same_arguments(each: type, other: type) -> None:
    taken = dict(inspect.signature(other).parameters)
    assert taken.pop("threads").default > 1
    assert taken == dict(inspect.signature(each).parameters)


class Slow:
    made = 0

    def __init__(self) -> None:
        Slow.made += 1
        time.sleep(0.05)

    def add(self, one: int, *, two: int = 1) -> int:
        if two == 0:
            raise InvalidValue("nothing to add")
        time.sleep(0.2)
        return one + two

    def count(self, most: int) -> Iterator[int]:
        yield from range(most)


class AsyncSlow(InThreads[Slow]):
    add = in_thread(Slow.add)
    count = in_thread_all(Slow.count)


def test_calls__run_at_the_same_time__over_one_that_is_made_once() -> None:
    async def main() -> list[int]:
        async with AsyncSlow(Slow) as slow:
            return await asyncio.gather(*(slow.add(each, two=2) for each in range(20)))

    Slow.made, began = 0, time.monotonic()
    assert asyncio.run(main()) == list(range(2, 22))
    assert time.monotonic() - began < 2
    assert Slow.made == 1


def test_call__raises_what_the_method_raises__and_gives_what_it_yields() -> None:
    async def main() -> list[int]:
        async with AsyncSlow(Slow) as slow:
            with pytest.raises(InvalidValue, match="nothing to add"):
                await slow.add(1, two=0)
            return await slow.count(3)

    assert asyncio.run(main()) == [0, 1, 2]


def test_call__cancelled__returns_at_once() -> None:
    async def main() -> float:
        async with AsyncSlow(Slow) as slow:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(slow.add(1), 0.01)
            return time.monotonic() - began

    assert asyncio.run(main()) < 0.15


def test_what_cannot_be_made__is_told_when_the_block_begins() -> None:
    def fail() -> Any:
        raise InvalidValue("no such server")

    async def main() -> None:
        async with AsyncSlow(fail):
            raise AssertionError("the block does not begin")

    with pytest.raises(InvalidValue, match="no such server"):
        asyncio.run(main())
