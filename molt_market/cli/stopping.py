"""Ending a command that runs until it is told to stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals() -> Iterator[Event]:
    """Give an event that the first SIGINT or SIGTERM sets; a second one ends the process at once."""
    stop = Event()
    before = {each: signal.getsignal(each) for each in SIGNALS}

    def told(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)

    for each in SIGNALS:
        signal.signal(each, told)
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
