"""Commands that are imported when they are run.

What they need (a chain, a database) takes seconds to import, and the list of commands needs none of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class Later(TyperCommand):
    """A command or group as the list of commands shows it, and where the real one is.

    Args:
        name: of the command.
        home: `module:name` of a function or a Typer, in this package.
        line: what it does: the first paragraph of its help (a test compares them).
    """

    def __init__(self, name: str, home: str, line: str) -> None:
        super().__init__(name, help=line)
        self._home = home

    def load(self) -> Any:
        """Import the command."""
        module, _, name = self._home.partition(":")
        found = getattr(import_module(f"molt_market.cli.{module}"), name)
        one = typer.Typer(callback=lambda: None, add_completion=False)  # with a callback it is a group
        if isinstance(found, typer.Typer):
            one.add_typer(found, name=self.name)
        else:
            one.command(self.name)(found)
        group: Any = typer.main.get_command(one)
        return group.commands[self.name]


class LaterGroup(TyperGroup):
    """A group some of whose commands are imported when they are run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, Later) else command, rest
