"""Ending a command that runs until it is told to stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, the system, a terminal that is closed


@contextmanager
def stop_on_signals() -> Iterator[Event]:
    """Give an event that the first of these signals sets; a second one ends the process at once.

    What was ignored when the process started stays so: `nohup` wants it to outlive its terminal.
    """
    stop = Event()
    before = {each: signal.getsignal(each) for each in SIGNALS}
    ours = [each for each, handler in before.items() if handler != signal.SIG_IGN]

    def told(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        for each in ours:
            signal.signal(each, signal.SIG_DFL)

    for each in ours:
        signal.signal(each, told)
    try:
        yield stop
    finally:
        for each in ours:
            signal.signal(each, before[each])
