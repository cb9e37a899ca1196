"""`molt alerts`: who gets alerts, and bringing them there."""

from __future__ import annotations

from datetime import timedelta
from logging import WARNING
from typing import Annotated, Any

import typer

from molt_market.alerts.courier import Courier
from molt_market.alerts.ports import DeliveryState, Subscription
from molt_market.alerts.watch import GWEI, AlertLimits
from molt_market.alerts.webhooks import SendingLimits, checked_url, new_secret
from molt_market.app import alert_courier, alert_store, follow
from molt_market.cli.console import iso
from molt_market.cli.context import AppContext
from molt_market.cli.stopping import stop_on_signals
from molt_market.domain.clock import SystemClock
from molt_market.domain.ids import Address
from molt_market.errors import InvalidValue, MarketError
from molt_market.indexer.follower import Follower
from molt_market.storage.alerts import SqlAlerts
from molt_market.telling import tell

app = typer.Typer(no_args_is_help=True, help="Webhooks that tell what a party or the operator has to know.")


@app.command()
def add(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="Where the alerts are posted: https://host/path.")],
    *,
    party: Annotated[
        str | None, typer.Option(help="Whose alerts: an address (default: the operator's).")
    ] = None,
) -> None:
    """Have alerts posted to an address, and print the secret that signs them; it is shown only once."""
    shared: AppContext = context.obj
    whose = None if party is None else Address(party)
    secret = new_secret()
    made = _store(shared).subscribe(checked_url(url), whose, secret, SystemClock().now())
    if shared.output.as_json:
        shared.output.json(_machine(made) | {"secret": secret})
    else:
        shared.output.line(f"subscription {made.id}: alerts of {_whose(made)} go to {made.url}")
        shared.output.line(f"secret: {secret}")


@app.command(name="list")
def list_(context: typer.Context) -> None:
    """List who gets alerts, and how many were delivered, wait, or were given up."""
    shared: AppContext = context.obj
    store = _store(shared)
    known, counts = store.subscriptions(), store.counts()
    if shared.output.as_json:
        told = [_machine(each) | _counted(counts.get(each.id, {})) for each in known]
        shared.output.json({"subscriptions": told})
        return
    for each in known:
        numbers = ", ".join(f"{number} {name}" for name, number in _counted(counts.get(each.id, {})).items())
        shared.output.line(f"{each.id}  {_whose(each)}  {each.url}  {numbers}")
    if not known:
        shared.output.line("nobody gets alerts: molt alerts add URL")


@app.command()
def remove(
    context: typer.Context,
    subscription: Annotated[int, typer.Argument(help="Its number, as `list` shows it.", metavar="NUMBER")],
) -> None:
    """Stop posting alerts to an address, and forget what was delivered there."""
    shared: AppContext = context.obj
    if not _store(shared).unsubscribe(subscription):
        raise InvalidValue(f"there is no subscription {subscription}: see `molt alerts list`")
    shared.output.line(f"subscription {subscription} is removed")


@app.command()
def run(
    context: typer.Context,
    *,
    every: Annotated[int, typer.Option(min=1, help="Seconds between two looks.")] = 15,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    private: Annotated[
        bool, typer.Option("--private", help="Also post to addresses that are not public.")
    ] = False,
    closing: Annotated[int, typer.Option(min=0, help="Minutes before a window closes.")] = 30,
    gas_of: Annotated[
        list[str] | None, typer.Option(help="An account whose gas money is watched; may be given again.")
    ] = None,
    gas_limit: Annotated[int, typer.Option(min=0, help="Gwei that it has to have.")] = 50_000_000,
) -> None:
    """Follow the chain, find alerts and deliver them, until told to stop (SIGINT, SIGTERM)."""
    shared: AppContext = context.obj
    client, database = shared.client(), shared.database()
    courier = alert_courier(
        client,
        database,
        payers=[Address(each) for each in gas_of or ()],
        limits=AlertLimits(closing=timedelta(minutes=closing), gas_money=gas_limit * GWEI),
        sending=SendingLimits(private=private),
    )
    follower = follow(client, database)
    if once:
        follower.advance()
        done = courier.look()
        shared.output.line(f"{done.found} new, {done.delivered} delivered, {done.failed} failed")
        return
    _until_told(follower, courier, timedelta(seconds=every))


# ---------------------------------------------------------------- inside


def _until_told(follower: Follower, courier: Courier, every: timedelta) -> None:
    with stop_on_signals() as stop:
        while not stop.is_set():
            for step in (follower.advance, courier.look):  # what is written down is delivered without a node
                try:
                    step()
                except MarketError as error:
                    tell("alerts_fail", level=WARNING, reason=error)
            stop.wait(every.total_seconds())


def _store(shared: AppContext) -> SqlAlerts:
    return alert_store(shared.client(), shared.database())


def _whose(subscription: Subscription) -> str:
    return subscription.party or "the operator"


def _machine(subscription: Subscription) -> dict[str, Any]:
    return {
        "subscription": subscription.id,
        "party": subscription.party,
        "url": subscription.url,
        "created_at": iso(subscription.created_at),
    }


def _counted(counts: dict[DeliveryState, int]) -> dict[str, int]:
    return {state.value: counts.get(state, 0) for state in DeliveryState}
