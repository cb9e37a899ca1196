"""`molt index`: bring the escrow's log into the database."""

from __future__ import annotations

from datetime import timedelta
from threading import Event
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from molt_market.app import follow
from molt_market.chain.client import MoltClient
from molt_market.cli.console import Output
from molt_market.cli.context import AppContext
from molt_market.cli.options import AsJson
from molt_market.cli.stopping import stop_on_signals
from molt_market.errors import counted
from molt_market.indexer.follower import Change, Follower

Once = Annotated[bool, typer.Option("--once", help="Do what there is to do now, and end.")]
EVERY_SECONDS = 2


class Stopped(Exception):
    """A signal came while the log was read; what is written stays right."""


def index(
    context: typer.Context,
    *,
    once: Once = False,
    as_json: AsJson = False,
) -> None:
    """Follow the escrow's log into the database, until it is told to stop.

    A database is made if there is none. What is followed says which deals are due, what they hold, and how
    they ended. Any number may run.
    """
    shared: AppContext = context.obj
    client = shared.client()
    follower = follow(client, shared.database(make=True))
    with stop_on_signals() as stop:
        if not caught_up(follower, client, shared.output, stop):
            return
        _tell(shared, follower, as_json=as_json)
        if not once:
            follower.run(stop, every=timedelta(seconds=EVERY_SECONDS))


def caught_up(follower: Follower, client: MoltClient, out: Output, stop: Event) -> bool:
    """Follow all that is confirmed now, with a bar on a terminal; False if it was stopped before the end.

    Raises what `Follower.advance` does.
    """
    at = follower.facts.cursor()
    first = client.deployment.block if at is None else at.number + 1
    last = client.transactions.head() - client.transactions.confirmations
    columns = (TextColumn("following the log"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=out.errors, transient=True, disable=not out.errors.is_terminal)
    task = bar.add_task("", total=max(last - first + 1, 0))

    def moved(change: Change) -> None:
        done = 0 if change.at is None else change.at.number - first + 1
        bar.update(task, completed=max(done, 0))
        if stop.is_set():
            raise Stopped

    follower.listen(moved)
    try:
        with bar:
            follower.advance()
    except Stopped:
        return False
    finally:
        follower.leave(moved)
    return True


def _tell(shared: AppContext, follower: Follower, *, as_json: bool) -> None:
    """Say how far the log is followed, and what is known from it."""
    at, live = follower.facts.cursor(), len(follower.facts.live())
    block = None if at is None else at.number
    if shared.says_json(as_json=as_json):
        shared.output.json({"block": block, "live_deals": live})
    elif block is None:
        shared.output.line("nothing is confirmed yet")
    else:
        shared.output.line(f"followed up to block {block}; {counted(live, 'deal')} live")
