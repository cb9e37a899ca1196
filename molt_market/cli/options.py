"""The option that almost every command takes."""

from __future__ import annotations

from typing import Annotated

import typer

from molt_market.cli.context import AppContext


def _for_programs(context: typer.Context, as_json: bool) -> bool:  # noqa: FBT001 - Typer calls it so
    """Answer in JSON from now on, an error too: it may be told before the command knows of the option."""
    if as_json and isinstance(context.obj, AppContext):
        context.obj.output.as_json = True
    return as_json


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.", callback=_for_programs)]
