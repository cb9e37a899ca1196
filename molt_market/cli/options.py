"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from molt_market.domain.fields import MAX_UINT40
from molt_market.errors import InvalidValue


def _for_programs(context: typer.Context, as_json: bool) -> bool:  # noqa: FBT001 - Typer calls it so
    """Answer in JSON from now on, an error too: it may be told before the command knows of the option."""
    if as_json and context.obj is not None:
        context.obj.output.as_json = True
    return as_json


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.", callback=_for_programs)]
Deal = Annotated[str, typer.Argument(help="The deal's id: 0x and 64 hexadecimal digits.", metavar="DEAL")]
Hours = Annotated[
    str | None, typer.Option(help="Hours of the whole allocation, for example 23.5.", metavar="HOURS")
]
GpuSeconds = Annotated[int | None, typer.Option(help="The same, in GPU-seconds.", min=0, max=MAX_UINT40)]

AllowPrivate = Annotated[
    bool,
    typer.Option("--allow-private", help="Also ask gateways whose addresses are not public."),
]


def one_of(options: dict[str, object]) -> str:
    """Return which one of these options is given. Raises InvalidValue unless it is exactly one."""
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1:
        raise InvalidValue(f"give exactly one of {', '.join(options)}")
    return given[0]
