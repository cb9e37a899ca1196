"""Commands that are imported when they are run: the list says what they say, and is there at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from molt_market.cli.later import Later
from molt_market.cli.root import COMMANDS


@pytest.mark.parametrize("listed", COMMANDS, ids=lambda each: each.name)
def test_list__says_what_the_command_says(listed: Later) -> None:
    command = listed.load()
    assert command.name == listed.name
    assert " ".join(command.help.split("\n\n")[0].split()) == listed.help


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        (["--help"], {"web3", "sqlalchemy", "httpx", "eth_account"}),
        (["market", "--help"], {"web3", "sqlalchemy", "eth_account"}),
        (["wallet", "--help"], {"sqlalchemy", "fastapi"}),
    ],
)
def test_import__of_what_is_not_asked__does_not_happen(arguments: list[str], unused: set[str]) -> None:
    run = f"""
import sys
from molt_market.cli.root import app
try:
    app({arguments}, prog_name="molt")
except SystemExit as end:
    assert end.code == 0
print(*set(sys.modules), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True)
    assert unused.isdisjoint(done.stderr.split())
