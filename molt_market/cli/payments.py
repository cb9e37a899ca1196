"""`molt payments`: what is in flight, and what comes next for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from molt_market.cli.console import Output, ago, iso
from molt_market.cli.context import AppContext, OpenJournal
from molt_market.cli.options import AsJson
from molt_market.domain.clock import SystemClock
from molt_market.errors import counted, utc
from molt_market.payments.fees import gwei
from molt_market.payments.journal import UNFINISHED, Dispatch, EntryState
from molt_market.payments.outlook import Outlook, View, first_nonces, outlook

STYLES = {EntryState.FINAL: "green", EntryState.MINED: "cyan"} | dict.fromkeys(
    (EntryState.REVERTED, EntryState.DROPPED, EntryState.FAILED), "red"
)


def payments(
    context: typer.Context,
    *,
    state: Annotated[
        list[EntryState] | None, typer.Option(help="Only those in this state; may be given more than once.")
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Also those that have ended, the newest first.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the payments that are not final, and what comes next for each. Reads the database."""
    shared: AppContext = context.obj
    opened, now = shared.journal(), SystemClock().now()
    wanted = frozenset(state or (EntryState if all_ else UNFINISHED))
    entries = opened.journal.entries(wanted, limit=limit, newest=all_)
    view = View(
        now=now,
        head=opened.head,
        confirmations=shared.network.confirmations,
        fees=shared.fees,
        first_nonces=first_nonces(opened.journal.in_flight()),
    )
    rows = [outlook(entry, view) for entry in entries]
    more = sum(number for each, number in opened.journal.counts().items() if each in wanted) - len(rows)
    if shared.says_json(as_json=as_json):
        shared.output.json(_machine(rows, opened, now, more))
    else:
        _print(shared.output, rows, opened, now, more)
        if not (rows or all_ or state) and any(opened.journal.counts().values()):
            shared.output.note("only those that are not final are listed: --all shows the others too")


def _print(out: Output, rows: Sequence[Outlook], opened: OpenJournal, now: datetime, more: int) -> None:
    chain = opened.chain.partition(":")[0]
    if opened.head is None:
        out.note(f"no node of chain {chain} answers, so this is what the database says ({opened.why})")
    at = "" if opened.head is None else f" at block {opened.head}"
    what = "no payments" if not rows else counted(len(rows), "payment")
    out.line(f"{what} on chain {chain}{at}", "bold")
    for row in rows:
        out.line()
        print_payment(out, row, now)
    if more > 0:
        out.line(f"\n{more} more: --limit shows them")


def print_payment(out: Output, row: Outlook, now: datetime) -> None:
    """Print one payment in a few lines."""
    entry, dispatch = row.entry, row.entry.dispatch
    out.line(entry.key, STYLES.get(entry.state, "yellow"))
    out.line(f"  state  {entry.state} for {ago(entry.since, now)}, since {utc(entry.since)}")
    if dispatch is not None:
        fee, times = dispatch.latest.fee, len(dispatch.transactions)
        again = "" if times == 1 else f", signed {times} times"
        out.line(f"  nonce  {dispatch.nonce} of {dispatch.sender}{again}")
        out.line(f"  fee    at most {gwei(fee.most)} gwei for each unit of gas, tip {gwei(fee.tip)}")
        out.line(f"  hash   {dispatch.mined or dispatch.latest.id}")
    if entry.note:
        out.line(f"  note   {' '.join(entry.note.split())}")
    out.line(f"  next   {row.next}")


# ---------------------------------------------------------------- for programs


def _machine(rows: Sequence[Outlook], opened: OpenJournal, now: datetime, more: int) -> dict[str, Any]:
    return {
        "chain": opened.chain,
        "head": opened.head,
        "now": iso(now),
        "payments": [machine_payment(row, now) for row in rows],
        "more": more,
    }


def machine_payment(row: Outlook, now: datetime) -> dict[str, Any]:
    """Return one payment for a program; wei are strings, as they may be larger than a float is exact."""
    entry, dispatch = row.entry, row.entry.dispatch
    return {
        "key": entry.key,
        "deal_id": row.deal_id,
        "state": entry.state,
        "since": iso(entry.since),
        "age_seconds": max(int((now - entry.since).total_seconds()), 0),
        "planned_at": iso(entry.planned_at),
        "note": entry.note,
        "failure": entry.failure,
        "dispatch": None if dispatch is None else _machine_dispatch(dispatch),
        "final_at": row.final_at,
        "blocked_by": row.blocked_by,
        "next": row.next,
    }


def _machine_dispatch(dispatch: Dispatch) -> dict[str, Any]:
    return {
        "sender": dispatch.sender,
        "nonce": dispatch.nonce,
        "signed_at": iso(dispatch.signed_at),
        "fee_most_wei": str(dispatch.latest.fee.most),
        "fee_tip_wei": str(dispatch.latest.fee.tip),
        "hash": dispatch.mined or dispatch.latest.id,
        "hashes": [each.id for each in dispatch.transactions],
        "block": dispatch.block,
    }
