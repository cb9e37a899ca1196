"""`molt market`: what a market's server says of itself, of its book and of its trades."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Annotated

import typer

from molt_market.cli.console import Output
from molt_market.cli.context import AppContext
from molt_market.cli.options import AsJson
from molt_market.cli.stopping import stop_on_signals
from molt_market.cli.words import place_of, told
from molt_market.domain.fields import Value
from molt_market.domain.updates import FeedItem
from molt_market.errors import utc
from molt_market.sdk.feed import follow_feed
from molt_market.wire.messages import MarketInfo, PriceLevelAnswer

Model = Annotated[str | None, typer.Option(help="Only GPUs of this model.")]
Region = Annotated[str | None, typer.Option(help="Only GPUs of this region.")]

app = typer.Typer(no_args_is_help=True, help="See which market this is, its prices and what happens in it.")


def _asked(context: typer.Context, answer: Value, *, as_json: bool) -> Output | None:
    """Answer a program; return where a person is answered."""
    shared: AppContext = context.obj
    if not shared.says_json(as_json=as_json):
        return shared.output
    shared.output.json(answer.model_dump(mode="json"))
    return None


# ---------------------------------------------------------------- the market itself


@app.command()
def info(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Say which market this is: chain, escrow, token, fee, and the policies that it points to."""
    api = context.obj.api()
    market = api.market()
    if out := _asked(context, market, as_json=as_json):
        _print(out, api.transport.url, market)


def _print(out: Output, url: str, market: MarketInfo) -> None:
    token = market.token
    rows = {
        "chain": str(market.chain_id),
        "escrow": market.escrow,
        "token": f"{token.symbol} with {token.decimals} decimals",
        "fee": f"{market.fee_bps / 100:g}% of what a provider is paid",
        "opener": market.opener or "none: nobody here opens the deals of orders that wait",
        "version": market.version,
    }
    if market.paused_until is not None:
        rows["paused"] = f"no deal opens before {utc(market.paused_until)}"
    out.line(f"market at {url}", "bold")
    for name, value in rows.items():
        out.line(f"{name:9}{value}")
    for each in market.policies:
        policy = each.policy
        out.line(f"\npolicy   {each.policy_id}")
        out.line(f"         arbiter {policy.arbiter}, bond {policy.bond_bps / 100:g}% of the price")
        attestors = f"{policy.threshold} of {len(policy.attestors)} attestors"
        out.line(f"         {attestors}, a claim can be contested for {policy.challenge_seconds // 3600} h")
        for attestor in policy.attestors:
            out.line(f"         attestor {attestor}")


@app.command()
def health(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Say how far the server has followed the chain's log, and which step of the market was the last."""
    found = context.obj.api().health()
    if out := _asked(context, found, as_json=as_json):
        followed = "nothing" if found.followed_block is None else f"the log to block {found.followed_block}"
        out.line(f"{found.status}: followed {followed}; step {found.sequence}; it is {utc(found.time)}")


# ---------------------------------------------------------------- prices


@app.command()
def depth(
    context: typer.Context, *, model: Model = None, region: Region = None, as_json: AsJson = False
) -> None:
    """List the GPUs to be had, and those wanted, at each price per GPU-hour."""
    found = context.obj.api().depth(model, region)
    if out := _asked(context, found, as_json=as_json):
        _levels(out, "to be had", found.asks)
        out.line()
        _levels(out, "wanted", found.bids)


def _levels(out: Output, what: str, levels: Sequence[PriceLevelAnswer]) -> None:
    rows = [(str(each.price), str(each.gpu_count)) for each in levels]
    out.table((what, "GPUs"), rows or [("nothing", "0")])


@app.command()
def trades(
    context: typer.Context,
    *,
    model: Model = None,
    region: Region = None,
    since: Annotated[
        datetime | None, typer.Option(help="The first time that counts, UTC.", formats=["%Y-%m-%d"])
    ] = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=100)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the latest deals as market data tell them, the newest last."""
    start = None if since is None else since.replace(tzinfo=UTC)
    found = context.obj.api().trades(model, region, since=start, limit=limit)
    if out := _asked(context, found, as_json=as_json):
        rows = [
            (
                utc(each.time),
                f"{each.gpu_count} {each.gpu_model}",
                place_of(each.region, each.country),
                f"{each.hours}",
                str(each.price_per_hour),
                each.deal_id,
            )
            for each in found.trades
        ]
        out.table(("when", "GPUs", "where", "hours", "price", "deal"), rows)


@app.command()
def prices(
    context: typer.Context,
    *,
    days: Annotated[int, typer.Option(help="How many days of trades count.", min=1, max=365)] = 7,
    as_json: AsJson = False,
) -> None:
    """List the best prices now, and what was traded in the last days."""
    found = context.obj.api().prices(days)
    if out := _asked(context, found, as_json=as_json):
        best = [
            (each.gpu_model, each.region or "-", str(each.price), str(each.gpu_count)) for each in found.best
        ]
        out.table(("model", "where", "best price", "GPUs"), best)
        out.line()
        traded = [
            (
                each.gpu_model,
                each.region or "-",
                str(each.trades),
                str(each.gpu_hours),
                ", ".join(f"{part.percent}%: {part.price}" for part in each.percentiles),
            )
            for each in found.traded
        ]
        out.table(("model", "where", "trades", "GPU-hours", "at or below"), traded)


# ---------------------------------------------------------------- the live feed


@app.command()
def watch(
    context: typer.Context,
    *,
    after: Annotated[
        int | None, typer.Option(help="The last step that you have; default: the newest.", min=0)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print each step of the market as it comes, one a line, until it is told to stop."""
    shared: AppContext = context.obj
    api, for_programs = shared.api(), shared.says_json(as_json=as_json)
    start = api.health().sequence if after is None else after
    with stop_on_signals() as stop:
        steps = _Steps(api.transport.url, start)
        while not stop.is_set():
            item = steps.next()
            if item is not None and for_programs:
                shared.output.json_line(item.model_dump(mode="json"))
            elif item is not None:
                shared.output.line(f"{item.sequence}  {utc(item.time)}  {told(item.update)}")


class _Steps:
    """Reads the feed beside the program, so that a signal is heard while nothing comes."""

    def __init__(self, url: str, after: int) -> None:
        self._come: SimpleQueue[FeedItem | Exception] = SimpleQueue()
        Thread(target=self._read, args=(url, after), daemon=True).start()

    def next(self, wait_seconds: float = 0.2) -> FeedItem | None:
        """Return the next step, None if there is none yet. Raises what ended the feed."""
        try:
            come = self._come.get(timeout=wait_seconds)
        except Empty:
            return None
        if isinstance(come, Exception):
            raise come
        return come

    def _read(self, url: str, after: int) -> None:
        try:
            with closing(follow_feed(url, after)) as feed:
                for item in feed:
                    self._come.put(item)
        except Exception as error:  # noqa: BLE001 - who waits for the next step raises it again
            self._come.put(error)
