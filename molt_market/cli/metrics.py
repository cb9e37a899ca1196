"""`molt metrics`: figures for Prometheus."""

from __future__ import annotations

import typer

from molt_market import metrics as figures
from molt_market.cli.context import AppContext


def metrics(context: typer.Context) -> None:
    """Print how many payments are in each state, in the text form of Prometheus. Reads the database."""
    shared: AppContext = context.obj
    shared.output.line(figures.text(shared.journal().journal.counts).rstrip())
