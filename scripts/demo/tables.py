"""What the demo shows."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

WIDTH = 120

console = Console(highlight=False, width=WIDTH)


def say(text: str) -> None:
    """Print a line of the story."""
    console.print(text, soft_wrap=True)


def chapter(title: str) -> None:
    console.print()
    console.rule(f"[bold]{title}", align="left")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; columns that start with '>' are aligned to the right."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    for row in rows:
        drawn.add_row(*row)
    console.print(drawn)


def molt(units: int, *, signed: bool = False) -> str:
    """Write base units of an 18-decimal token in full, so that a single unit would show."""
    sign = "-" if units < 0 else ("+" if signed and units else "")
    tokens, rest = divmod(abs(units), 10**18)
    fraction = f"{rest:018d}".rstrip("0")
    return f"{sign}{tokens:,}.{fraction or '0'}"


def short(units: int) -> str:
    """Write base units of an 18-decimal token to the sixth decimal, with dots where there is more."""
    millionths, rest = divmod(units, 10**12)
    return molt(millionths * 10**12) + ("..." if rest else "")
