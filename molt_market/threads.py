"""One logic for asyncio too: each method of a class runs in a thread, and is awaited.

What is waited for is a block, a server or a database, not the processor: threads cost little there. Whoever
cancels a task stops waiting; what was begun goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from threading import Lock
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Behind = TypeVar("Behind")
Behind_co = TypeVar("Behind_co", covariant=True)

THREADS = 64  # calls that may wait at the same time


class InThreads(Generic[Behind_co]):
    """Something whose methods run in threads. It is made in one of them, once, when first needed."""

    def __init__(self, make: Callable[[], Behind_co], *, threads: int = THREADS) -> None:
        self._make = make
        self._made: list[Behind_co] = []
        self._making = Lock()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=type(self).__name__)

    @property
    def sync(self) -> Behind_co:
        """What is behind it, whose methods block."""
        with self._making:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]

    async def run(self, act: Callable[[], T]) -> T:
        """Run something in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, act)

    def close(self) -> None:
        """Wait for what is being done, and take no more."""
        self._threads.shutdown()

    async def __aenter__(self) -> Self:
        try:
            await self.run(lambda: self.sync)
        except BaseException:
            self._threads.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)


def in_thread(
    verb: Callable[Concatenate[Behind, P], T],
) -> Callable[Concatenate[InThreads[Behind], P], Coroutine[Any, Any, T]]:
    """Make the asynchronous form of a method."""

    @wraps(verb)
    async def call(self: InThreads[Behind], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(lambda: verb(self.sync, *args, **kwargs))

    return call


def in_thread_all(
    verb: Callable[Concatenate[Behind, P], Iterable[T]],
) -> Callable[Concatenate[InThreads[Behind], P], Coroutine[Any, Any, list[T]]]:
    """Make the asynchronous form of a method that yields: it returns all of it at once."""

    @wraps(verb)
    async def call(self: InThreads[Behind], /, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        return await self.run(partial(_all, lambda: verb(self.sync, *args, **kwargs)))

    return call


def _all(ask: Callable[[], Iterable[T]]) -> list[T]:
    return list(ask())
