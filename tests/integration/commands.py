"""Running `molt`: in this process, as a program of its own, and with key files."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from molt_market.cli.root import ExitCode, app
from molt_market.signing.wallet import Wallet

PASSWORD = "secret"
PROGRAM = [sys.executable, "-m", "molt_market.cli"]
FAST = 2  # scrypt rounds: the files of tests need not withstand anybody


def run(*arguments: str | Path, given: str | None = None) -> Result:
    """Run a command in this process, however it ends."""
    return CliRunner().invoke(app, [str(each) for each in arguments], input=given)


def molt(*arguments: str | Path) -> str:
    """Run a command that has to end well; return what it prints."""
    result = run(*arguments)
    assert result.exit_code == ExitCode.DONE, result.output or result.exception
    return result.stdout


def asked(*arguments: str | Path) -> dict[str, Any]:
    """Run a command as a program would, and read its answer."""
    read: dict[str, Any] = json.loads(molt("--json", *arguments))
    return read


def refused(*arguments: str | Path, code: ExitCode = ExitCode.FAILED) -> str:
    """Run a command that has to be refused; return its one line on stderr."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own."""
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=120)


@contextmanager
def running(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run a command that goes on until it is told to stop; it is killed if a test forgets that."""
    command = [*PROGRAM, *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def stopped(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[str, str]:
    """Send a signal to a command that runs, which has to end well and soon; return what is left to read.

    SIGINT goes to all processes that it has started too, as a Ctrl-C at a terminal does.
    """
    if number is signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    return out, errors


def on_a_terminal(arguments: Sequence[str], typed: Sequence[str] = ()) -> tuple[str, int]:
    """Run `molt` on a terminal of its own, and answer its prompts; return what was seen, and its code."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        seen = ""
        for answer in typed:
            while not seen.endswith(": "):
                seen += os.read(ours, 1_000).decode()
            os.write(ours, f"{answer}\n".encode())
            seen += " "  # so that the next prompt is waited for
        seen += _rest(ours)
    os.close(ours)
    return seen, process.returncode


def _rest(terminal: int) -> str:
    """Read until the program is gone."""
    found = b""
    while True:
        try:
            part = os.read(terminal, 1_000)
        except OSError:  # the other end is closed
            part = b""
        if not part:
            return found.decode()
        found += part


def key_file(wallet: Wallet, path: Path) -> Path:
    """Keep a key in a file that is opened with PASSWORD."""
    wallet.save(path, PASSWORD, iterations=FAST)
    return path
