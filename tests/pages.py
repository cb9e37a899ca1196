"""Reading our own pages: what they say in tables and code blocks can be compared with the code, and run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


@dataclass(frozen=True)
class Block:
    """A code block, and the line of the page that it starts on."""

    language: str
    text: str
    line: int


class Page:
    """One page of docs/."""

    def __init__(self, name: str) -> None:
        self.path = DOCS / name
        self.text = self.path.read_text("utf-8")

    def section(self, title: str) -> str:
        """Return what stands below a heading, up to the next one of any level."""
        parts = re.split(r"^(#+ .*)\n", self.text, flags=re.MULTILINE)
        bodies: dict[str, str] = dict(
            zip((each.lstrip("# ") for each in parts[1::2]), parts[2::2], strict=True)
        )
        return bodies[title]

    def sections(self) -> list[str]:
        return [each.lstrip("# ") for each in re.findall(r"^#+ .*", self.text, re.MULTILINE)]

    def table(self, title: str, nth: int = 0) -> list[list[str]]:
        """Return the cells of a section's table, without its head; code marks are taken off whole cells."""
        tables = re.findall(r"(?:^\|.*\|\n)+", self.section(title), re.MULTILINE)
        rows = [row[1:-1].split("|") for row in tables[nth].splitlines()]
        return [[plain(cell) for cell in row] for row in rows[2:]]

    def blocks(self, language: str | None = None) -> list[Block]:
        """Return the code blocks, in order."""
        found = [
            Block(match[1], match[2], self.text.count("\n", 0, match.start()) + 2)
            for match in re.finditer(r"^```(\w*)\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        ]
        return [block for block in found if language in {None, block.language}]


def plain(cell: str) -> str:
    """Take the marks off a cell that is one piece of code."""
    code = re.fullmatch(r"`([^`]*)`", cell.strip())
    return code[1] if code else cell.strip()


def codes(cell: str) -> list[str]:
    """Return all pieces of code in a cell, or the cell itself if a mark was taken off it."""
    return re.findall(r"`([^`]*)`", cell) or [cell]
