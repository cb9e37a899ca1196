"""Saying what came of taking an offer or an order back."""

from __future__ import annotations

from molt_market.cli.console import iso
from molt_market.cli.context import AppContext
from molt_market.errors import utc
from molt_market.sdk.party import Cancelled


def tell_cancelled(shared: AppContext, cancelled: Cancelled, *, as_json: bool) -> None:
    """Say whether it was on the book, and until when the chain still takes it."""
    if shared.says_json(as_json=as_json):
        told = {"digest": cancelled.digest, "was_listed": cancelled.was_listed}
        shared.output.json(told | {"stands_until": iso(cancelled.stands_until)})
        return
    book = "is off the book" if cancelled.was_listed else "was not on the book any more"
    until = utc(cancelled.stands_until)
    shared.output.line(f"{cancelled.digest} {book}; on the chain it can be used until {until}")
