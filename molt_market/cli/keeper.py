"""`molt keeper`: close deals that are due, so that nobody's money waits for somebody to remember it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread
from typing import Annotated, Any

import typer

from molt_market.app import follow
from molt_market.cli.console import SOME_FAILED, Output
from molt_market.cli.context import AppContext
from molt_market.cli.index import EVERY_SECONDS, Once, caught_up
from molt_market.cli.options import AsJson
from molt_market.cli.stopping import stop_on_signals
from molt_market.indexer.follower import Follower
from molt_market.payments.keeper import Keeper, Round

GRACE_SECONDS = 10  # for a payment that is on its way when the keeper has to stop; the journal has it


def keeper(
    context: typer.Context,
    *,
    once: Once = False,
    every: Annotated[int, typer.Option(help="Seconds between two looks.", min=1)] = 15,
    as_json: AsJson = False,
) -> None:
    """Close deals whose deadline is over, until it is told to stop.

    Follows the escrow's log into the database to know which are due, and makes the database if there is none.
    Anyone may run one, and any number: a deal is closed once. The account of --wallet pays the gas.
    """
    shared: AppContext = context.obj
    shared.key_file()
    database = shared.database(make=True)
    payments = shared.payments(database=database)
    client = shared.client()
    follower = follow(client, database)
    keeping = Keeper(payments, follower.due)
    out, for_programs = shared.output, shared.says_json(as_json=as_json)
    with stop_on_signals() as stop:
        if not caught_up(follower, client, out, stop):
            return
        if once:
            payments.reconcile()
            did = keeping.look()
            print_round(out, did, as_json=for_programs)
            raise typer.Exit(SOME_FAILED if did.failures else 0)
        if not for_programs:
            out.note(f"looks every {every} seconds; Ctrl-C or SIGTERM stops it")
        at_work = work(follower, keeping, out, every=every, as_json=for_programs)
        with at_work.going():
            while not stop.wait(1):
                at_work.require_alive()


class Work:
    """Threads that run until they are told to stop. One that dies does not do so in silence."""

    def __init__(self, *jobs: Callable[[Event], None]) -> None:
        self._stop = Event()
        self._failure: BaseException | None = None
        # Daemons: a payment that waits for its block must not keep the process alive; the journal has it.
        self._threads = [Thread(target=self._run, args=(job,), daemon=True) for job in jobs]

    def require_alive(self) -> None:
        """Raise what one of the threads died of."""
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def going(self) -> Iterator[None]:
        """Let them run for as long as the block lasts."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(GRACE_SECONDS)

    def _run(self, job: Callable[[Event], None]) -> None:
        try:
            job(self._stop)
        except BaseException as error:  # noqa: BLE001 - the main thread raises it again
            self._failure = error


def work(
    follower: Follower | None, keeping: Keeper, out: Output, *, every: int, as_json: bool = False
) -> Work:
    """Close what is due and say so, and follow the log unless somebody else does, each in a thread."""

    def tell(did: Round) -> None:
        if did.closed or did.failures:
            print_round(out, did, as_json=as_json)

    def keep(stop: Event) -> None:
        keeping.run(stop, every=timedelta(seconds=every), after=tell)

    if follower is None:
        return Work(keep)
    following = follower

    def follow_on(stop: Event) -> None:
        following.run(stop, every=timedelta(seconds=EVERY_SECONDS))

    return Work(follow_on, keep)


def print_round(out: Output, did: Round, *, as_json: bool) -> None:
    """Say what one look came to."""
    if as_json:
        out.json_line(_machine(did))
        return
    for deal_id in did.closed:
        out.line(f"closed deal {deal_id}", "green")
    for deal_id, error in did.failures:
        out.line(f"not closed, deal {deal_id}: {' '.join(str(error).split())}", "red")
    if not did.closed and not did.failures:
        out.line("nothing is due")


def _machine(did: Round) -> dict[str, Any]:
    failures = [
        {"deal_id": deal_id, "error": type(error).__name__, "message": str(error)}
        for deal_id, error in did.failures
    ]
    return {"closed": list(did.closed), "failures": failures}
