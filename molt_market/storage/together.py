"""Group commit: what several threads want written at the same moment goes into one transaction.

A commit waits for the disk, whatever it holds. Who comes while one is under way joins the next one, which the
first of them writes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Together(Generic[Item]):
    """Hands items that come at the same time to `write`, all at once; whoever brought one waits for that.

    `write` is all or nothing: if it raises, it raises to everyone whose item was in it. Nobody waits for
    others to come.
    """

    def __init__(self, write: Callable[[Sequence[Item]], None]) -> None:
        self._write = write
        self._waiting: list[tuple[Item, Future[None] | None]] = []
        self._joining, self._writing = threading.Lock(), threading.Lock()

    def add(self, item: Item) -> None:
        """Have an item written, and return when it is. Raises what `write` raises."""
        with self._joining:
            done = Future[None]() if self._waiting else None  # the first of a batch writes it
            self._waiting.append((item, done))
        if done is None:  # the others only wait: who had to take the lock to see it done would hold it up
            with self._writing:
                self._write_waiting()
        else:
            done.result()

    def _write_waiting(self) -> None:
        with self._joining:
            batch, self._waiting = self._waiting, []
        others = [done for _, done in batch if done is not None]
        try:
            self._write([item for item, _ in batch])
        except BaseException as error:
            for done in others:
                done.set_exception(error)
            raise
        for done in others:
            done.set_result(None)
