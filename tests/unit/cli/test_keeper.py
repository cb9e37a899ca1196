"""Threads of a command that runs on: they are stopped, and none of them dies in silence."""

from __future__ import annotations

import time
from threading import Event

import pytest

from molt_market.cli.keeper import Work


def test_work__goes_on_until_the_block_is_left() -> None:
    stopped = Event()

    def job(stop: Event) -> None:
        assert stop.wait(10)
        stopped.set()

    work = Work(job)
    with work.going():
        work.require_alive()
        assert not stopped.is_set()
    assert stopped.is_set()
    work.require_alive()


def test_work__thread_that_dies__is_told() -> None:
    def job(_: Event) -> None:
        raise ZeroDivisionError("a fault of ours")

    work = Work(job, lambda _: None)
    with work.going(), pytest.raises(ZeroDivisionError):
        look_on(work)


def look_on(work: Work) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        work.require_alive()
