"""Signals that end a command: the first one politely, what was ignored not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from molt_market.cli.stopping import SIGNALS, stop_on_signals


@pytest.mark.parametrize("number", SIGNALS)
def test_stop_on_signals__first_one__sets_the_event__and_all_is_as_before(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with stop_on_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.wait(10)
        assert {signal.getsignal(each) for each in SIGNALS} == {signal.SIG_DFL}
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_stop_on_signals__ignored_before__stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_stop_on_signals__second_one__ends_the_process() -> None:
    program = (
        "import os, signal; from molt_market.cli.stopping import stop_on_signals\n"
        "with stop_on_signals():\n"
        "    os.kill(os.getpid(), signal.SIGTERM); print('one', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM); print('two', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "one\n")
