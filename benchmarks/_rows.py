"""What every benchmark writes: rows {name, n, metric, value, unit, goal, met, baseline, ratio}."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True)
class Row:
    """One figure. `ratio` is value / baseline; less is better where `goal` is a ceiling."""

    name: str
    n: int
    metric: str
    value: float
    unit: str
    goal: float | None
    met: bool | None
    baseline: float | None
    ratio: float | None

    @classmethod
    def ceiling(
        cls,
        name: str,
        value: float,
        *,
        unit: str,
        metric: str,
        goal: float | None,
        baseline: float | None,
        n: int = 1,
    ) -> "Row":
        """Make a row of a figure that should not exceed its goal."""
        met = None if goal is None else value <= goal
        ratio = None if baseline is None else round(value / baseline, 4)
        return cls(name, n, metric, value, unit, goal, met, baseline, ratio)


def _shown(value: float) -> str:
    return f"{value:,g}" if value < 1_000 else f"{value:,.0f}"


def report(benchmark: str, rows: Sequence[Row]) -> None:
    """Print the rows and write them to results/<benchmark>.json."""
    _print(rows)
    _write(benchmark, [asdict(row) for row in rows])


def renew(benchmark: str, rows: Sequence[Row], of: str) -> None:
    """Print the rows, and write them in place of those in results/<benchmark>.json whose names begin so."""
    _print(rows)
    before = json.loads((RESULTS / f"{benchmark}.json").read_text("utf-8"))
    kept = [row for row in before if not row["name"].startswith(of)]
    _write(benchmark, kept + [asdict(row) for row in rows])


def _print(rows: Sequence[Row]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("what")
    for column in ("n", "figure", "goal", "met", "baseline", "ratio"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            f"{row.name}",
            str(row.n),
            _shown(row.value),
            "" if row.goal is None else _shown(row.goal),
            "" if row.met is None else ("yes" if row.met else "NO"),
            "" if row.baseline is None else _shown(row.baseline),
            "" if row.ratio is None else f"{row.ratio:.3f}",
        )
    Console(highlight=False, width=120).print(table)


def _write(benchmark: str, rows: Sequence[dict[str, object]]) -> None:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{benchmark}.json"
    path.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
