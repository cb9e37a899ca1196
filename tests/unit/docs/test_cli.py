"""docs/cli.md: its tables are the program's commands, options, exit codes and events."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import typer

import molt_market
from molt_market.chain.networks import Network
from molt_market.cli.later import Later
from molt_market.cli.root import ExitCode, app
from molt_market.config import Settings
from tests.pages import Page

PAGE = Page("cli.md")
PAYMENTS = Path(molt_market.__file__).parent / "payments"


def program() -> Any:
    return typer.main.get_command(app)


def options(command: Any) -> set[str]:
    return {option for each in command.params for option in each.opts if option.startswith("--")} - {"--help"}


def commands(group: Any, before: str = "") -> dict[str, Any]:
    """Return all commands, those of groups with the group's name before theirs."""
    found: dict[str, Any] = {}
    for name, listed in group.commands.items():
        command = listed.load() if isinstance(listed, Later) else listed
        inner = getattr(command, "commands", None)
        found |= {before + name: command} if inner is None else commands(command, f"{name} ")
    return found


def test_commands__are_all_told() -> None:
    assert [row[0] for row in PAGE.table("Commands")] == list(commands(program()))


def test_options__are_all_told() -> None:
    assert {row[0] for row in PAGE.table("Options")} - {"--help"} == options(program())
    for name, command in commands(program()).items():
        section = f"`molt {name.partition(' ')[0]}`"
        told = PAGE.text if name in {"reconcile", "metrics"} else PAGE.section(section)
        assert all(f"`{option}`" in told for option in options(command))


def test_environment__is_told() -> None:
    told = set(re.findall(r"MOLT_([A-Z_]+)", PAGE.text))
    assert told == {name.upper() for name in Settings.model_fields} - {"ANVIL"}


def test_networks__are_all_told() -> None:
    [networks] = [row[1] for row in PAGE.table("Options") if row[0] == "--network"]
    for name in networks.partition(": ")[2].split(", "):
        assert Network.named(name).name == name


def test_exit_codes__are_those_of_the_program() -> None:
    told = {int(code): name for code, name, _ in PAGE.table("Exit codes")}
    assert told == {code.value: code.name for code in ExitCode}


def test_events__are_those_that_are_counted() -> None:
    section = PAGE.section("`molt metrics`")
    told = re.search(r"molt_payment_events_total.*?: (.*?)\.", section, re.DOTALL)
    assert told is not None
    assert set(re.split(r",\s+", told[1])) == set(counted())


def counted() -> list[str]:
    """Return the first argument of each call that counts an event of a payment."""
    found = []
    for path in (PAYMENTS / "carrier.py", PAYMENTS / "outbox.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"tell_of", "self._tell"}:
                first = node.args[0]
                found += [str(first.value)] if isinstance(first, ast.Constant) else []
    return found
