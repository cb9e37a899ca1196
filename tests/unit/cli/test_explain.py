"""What `molt explain` prints: every digit of a sum, and a command for each move."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console

from molt_market.cli.console import Output
from molt_market.cli.explain import COMMANDS
from molt_market.payments import explanation
from tests.unit.docs.told_commands import require_known


def test_each_move__has_a_command_that_is_there() -> None:
    verbs = re.findall(r'Move\(\s*"(\w+)"', Path(explanation.__file__).read_text())
    assert set(verbs) == set(COMMANDS)
    for command in COMMANDS.values():
        require_known(command.split())


def test_table__narrower_than_its_figures__leaves_no_digit_out() -> None:
    """A sum may have 18 decimals, and a pipe is 80 characters wide."""
    out = Output(console=Console(file=io.StringIO(), width=20))
    amount = "79.991666666666666667 MOLT"
    out.table(("where", "price", "bond"), [("back to the buyer", amount, "0 MOLT")], figures=(1, 2))
    assert isinstance(out.console.file, io.StringIO)
    assert out.console.file.getvalue() == (
        "where                                   price    bond\n"
        "back to the buyer  79.991666666666666667 MOLT  0 MOLT\n"
    )
