"""Printing: text for people, JSON for programs, errors in one red line. Nothing here decides anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from molt_market.errors import MoltError, utc

SOME_FAILED = 1  # the exit code of a command that did a part of what it was asked for: ExitCode.FAILED


def _stdout() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def _stderr() -> Console:
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


@dataclass
class Output:
    """Where a command prints to, and how."""

    as_json: bool = False
    console: Console = field(default_factory=_stdout)
    errors: Console = field(default_factory=_stderr)

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line; ids and hashes in it are never broken."""
        self.console.print(Text(text, style), soft_wrap=True)

    def text(self, text: str) -> None:
        """Print a text as it is: what a file would have."""
        self.console.file.write(text)

    def show(self, renderable: RenderableType) -> None:
        """Print a table, or anything else that Rich can."""
        self.console.print(renderable)

    def table(
        self, head: Sequence[str], rows: Sequence[Sequence[str]], *, figures: Collection[int] = ()
    ) -> None:
        """Print rows below a head, each in one line, however long it is: ids can be copied from it.

        The columns of `figures`, counted from 0, are set to the right.
        """
        lines = [head, *rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        for number, line in enumerate(lines):
            cells = [
                line[column].rjust(width) if column in figures else line[column].ljust(width)
                for column, width in enumerate(widths)
            ]
            self.line("  ".join(cells).rstrip(), "bold" if number == 0 else "")

    def json(self, value: Mapping[str, Any]) -> None:
        """Print a value as JSON, its keys in their order."""
        self.console.print(Text(json.dumps(value, indent=2)), soft_wrap=True)

    def json_line(self, value: Mapping[str, Any]) -> None:
        """Print a value as JSON in one line, one of many."""
        self.console.print(Text(json.dumps(value)), soft_wrap=True)

    def note(self, text: str) -> None:
        """Say on stderr what does not belong to the answer."""
        self.errors.print(Text(text, "yellow"), soft_wrap=True)

    def error(self, error: MoltError, say: Callable[[MoltError], str] = str) -> None:
        """Print an error, which says itself what to do, on stderr; for people as `say` words it."""
        text = " ".join((str if self.as_json else say)(error).split())
        if self.as_json:
            told = {"error": type(error).__name__, "message": text}
            self.errors.print(Text(json.dumps(told)), soft_wrap=True)
        else:
            self.errors.print(Text(f"error: {text}", "bold red"), soft_wrap=True)


def ago(moment: datetime, now: datetime) -> str:
    """Write how long ago a moment is, by its two largest units.

    >>> ago(datetime(2026, 1, 1, 12), datetime(2026, 1, 1, 13, 2, 3))
    '1 h 2 min'
    """
    rest = max(int((now - moment) // timedelta(seconds=1)), 0)
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        number, rest = divmod(rest, size)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])


def iso(moment: datetime | None) -> str | None:
    """Write a moment for JSON, in UTC."""
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def when(from_: datetime | None, before: datetime | None) -> str:
    """Write a span of time: `from_` None is now."""
    start = "now" if from_ is None else f"from {utc(from_)}"
    return start if before is None else f"{start}\nbefore {utc(before)}"
