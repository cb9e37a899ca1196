"""Running `molt`: in this process, as a program of its own, and with key files."""

from __future__ import annotations

import json
import subprocess
import sys
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
    assert result.exit_code == ExitCode.DONE, result.output
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


def key_file(wallet: Wallet, path: Path) -> Path:
    """Keep a key in a file that is opened with PASSWORD."""
    wallet.save(path, PASSWORD, iterations=FAST)
    return path
