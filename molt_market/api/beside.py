"""What runs beside a server's answers, for as long as it serves."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from typing import Protocol

GOODBYE_SECONDS = 12  # for what is under way when the server is told to stop


class Beside(Protocol):
    """Something that is started with the server, and stopped with it."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Job:
    """A function in a thread that is told to stop by an event; `courier.run` for example."""

    def __init__(self, run: Callable[[Event], object], name: str) -> None:
        self._stop = Event()
        self._thread = Thread(target=run, args=(self._stop,), name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Tell it to stop, and wait a while for what is under way."""
        self._stop.set()
        self._thread.join(GOODBYE_SECONDS)
