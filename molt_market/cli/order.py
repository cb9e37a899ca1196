"""`molt order`: what a buyer does at a market, from the question to the deal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from molt_market.cli.asking import Needs, OnChain, require_the_same, takes_needs
from molt_market.cli.console import Output
from molt_market.cli.context import AppContext
from molt_market.cli.options import AsJson
from molt_market.cli.taking_back import tell_cancelled
from molt_market.cli.words import gpus_of, wanted_by, where
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.ids import Address, OrderId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.orders import OrderStatus
from molt_market.errors import InvalidValue, counted, utc
from molt_market.sdk.buyer import Buyer
from molt_market.signing.hashes import order_hash
from molt_market.wire.messages import Match, Matches, OrderState, QuoteAnswer

Order = Annotated[str, typer.Argument(help="The order's id.", metavar="ORDER")]
Limit = Annotated[int, typer.Option(help="How many at most.", min=1, max=100)]
DECLINED = 1  # ExitCode.FAILED

app = typer.Typer(no_args_is_help=True, help="Ask for GPUs at a market and take them, as a buyer.")


# ---------------------------------------------------------------- asking


@app.command()
@takes_needs
def quote(context: typer.Context, *, needs: Needs, as_json: AsJson = False) -> None:
    """Say what an order would get now, and what that costs. Nothing is kept of it."""
    shared: AppContext = context.obj
    buyer = shared.party(Buyer)
    answer = buyer.quote(needs.order(buyer))
    if shared.says_json(as_json=as_json):
        shared.output.json(answer.model_dump(mode="json"))
    else:
        _print_quote(shared.output, answer)


def _print_quote(out: Output, answer: QuoteAnswer) -> None:
    if answer.total_cost is None:
        out.line("nothing now" if answer.obstacle is None else f"nothing now: {answer.obstacle.detail}")
    else:
        out.line(f"costs {answer.total_cost}", "bold")
        _print_matches(out, answer.fill)
    if answer.missing_gpus and answer.fill:
        out.line(f"not to be had now: {counted(answer.missing_gpus, 'GPU')} of it")
    if answer.least_cost is not None:
        fits = "1 offer fits" if answer.offers == 1 else f"{answer.offers} offers fit"
        same = answer.least_cost == answer.most_cost
        out.line(f"{fits}, for {answer.least_cost}" + ("" if same else f" to {answer.most_cost}"))
    if answer.dispute_reserve is not None:
        out.line(f"to dispute all of it you would stake {answer.dispute_reserve} on top")


@app.command()
@takes_needs
def match(context: typer.Context, *, needs: Needs, limit: Limit = 8, as_json: AsJson = False) -> None:
    """List what fits an order and could be opened now, the best first; each is checked here."""
    shared: AppContext = context.obj
    buyer = shared.party(Buyer)
    found = tuple(Match.of(each) for each in buyer.match(needs.order(buyer), limit))
    if shared.says_json(as_json=as_json):
        shared.output.json(Matches(matches=found).model_dump(mode="json"))
    else:
        _print_matches(shared.output, found)


def _print_matches(out: Output, found: Sequence[Match]) -> None:
    rows = [
        (
            str(each.total_cost),
            str(each.offer.price_per_hour),
            f"{each.gpu_count} of {gpus_of(each.offer)}",
            where(each.offer),
            f"{each.score_millionths / 1_000_000:.3f}",
            each.offer.id,
        )
        for each in found
    ]
    out.table(("cost", "price", "GPUs", "where", "score", "offer"), rows)


@app.command()
@takes_needs
def explain(context: typer.Context, *, needs: Needs, as_json: AsJson = False) -> None:
    """Say why an order does not match, and the least that would make it match."""
    shared: AppContext = context.obj
    buyer = shared.party(Buyer)
    answer = buyer.explain(needs.order(buyer))
    if shared.says_json(as_json=as_json):
        shared.output.json(answer.model_dump(mode="json"))
    else:
        shared.output.line(answer.text)


# ---------------------------------------------------------------- taking


@app.command("open")
@takes_needs
def open_(
    context: typer.Context,
    *,
    needs: Needs,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Match an order, show the best match and what it costs, ask, and open the deal: locks the money."""
    shared: AppContext = context.obj
    out, for_programs = shared.output, shared.says_json(as_json=as_json)
    if for_programs and not yes:
        raise InvalidValue("a program is not asked: add --yes if the best match is to be opened")
    buyer = shared.party(Buyer)
    best = buyer.match(needs.order(buyer), 1)[0]
    if not for_programs:
        _show(out, best)
    if not yes and not typer.confirm(f"Lock {best.total_cost}?", err=True):
        out.note("nothing was sent")
        raise typer.Exit(DECLINED)
    escrow = buyer.open(best)
    if for_programs:
        told = {"deal_id": escrow.id, "status": escrow.status.name}
        out.json(told | Match.of(best).model_dump(mode="json"))
    else:
        _tell_opened(out, escrow)


def _show(out: Output, best: OrderMatch) -> None:
    out.line(f"{best.gpu_count} of {gpus_of(best.offer)} for {best.hours} h at {best.price_per_hour}", "bold")
    out.line(f"provider {best.provider_id}")
    out.line(f"offer    {best.offer_id}")
    out.line(f"policy   {best.order.policy_id or best.offer.policy_id}")
    out.line(f"cost     {best.total_cost}, from your balance in the escrow first, then from your wallet")


def _tell_opened(out: Output, escrow: EscrowAccount) -> None:
    out.line(f"deal {escrow.id}", "bold")
    out.line(f"{escrow.status.name}: `molt deal show` says what comes next")


@app.command()
@takes_needs
def post(context: typer.Context, *, needs: Needs, as_json: AsJson = False) -> None:
    """Sign an order and let it wait: the market opens its deal when an offer fits.

    Its whole budget has to lie in the escrow: `molt wallet deposit`. It names a --policy, and at most one
    --model.
    """
    if needs.file is None and needs.policy is None:
        raise InvalidValue("an order that waits names its --policy: `molt market info` shows some")
    shared: AppContext = context.obj
    buyer = shared.party(Buyer)
    _tell(shared, buyer.post(needs.order(buyer)), as_json=as_json)


# ---------------------------------------------------------------- what was posted


@app.command("list")
def list_(
    context: typer.Context,
    *,
    buyer: Annotated[str | None, typer.Option(help="Whose; default: your account's.")] = None,
    as_json: AsJson = False,
) -> None:
    """List all orders of a buyer that the market knows, the newest first."""
    shared: AppContext = context.obj
    whose = Address(buyer) if buyer else shared.account_of_wallet()
    found = sorted(shared.api().orders(whose), key=lambda each: each.order.created_at, reverse=True)
    if shared.says_json(as_json=as_json):
        shared.output.json({"orders": [each.model_dump(mode="json") for each in found]})
        return
    if not found:
        shared.output.note(f"the market knows no order of {whose}; `molt deal list` shows deals")
        return
    rows = [
        (
            _status(each),
            wanted_by(each.order),
            str(each.order.requirements.max_price_per_hour),
            utc(each.order.expires_at),
            each.order.id,
        )
        for each in found
    ]
    shared.output.table(("status", "wants", "at most", "until", "order"), rows)


def _status(state: OrderState) -> str:
    waits = state.rests and state.order.status is OrderStatus.PENDING
    return "pending, waits" if waits else state.order.status.value


@app.command()
def show(context: typer.Context, order: Order, *, as_json: AsJson = False) -> None:
    """Show an order as it stands, and the deal that it opened."""
    shared: AppContext = context.obj
    _tell(shared, shared.api().order(OrderId(order)), as_json=as_json)


def _tell(shared: AppContext, state: OrderState, *, as_json: bool) -> None:
    if shared.says_json(as_json=as_json):
        shared.output.json(state.model_dump(mode="json"))
        return
    out, order = shared.output, state.order
    out.line(f"order {order.id}", "bold")
    rows = {"status": _status(state), "buyer": order.buyer_id, "wants": wanted_by(order)}
    rows |= {"at most": f"{order.requirements.max_price_per_hour}, {order.budget} in all"}
    rows |= {"opener": order.opener or "-", "until": utc(order.expires_at), "deal": state.deal_id or "-"}
    for name, value in rows.items():
        out.line(f"{name:8}{value}")


@app.command()
def cancel(
    context: typer.Context, order: Order, *, on_chain: OnChain = False, as_json: AsJson = False
) -> None:
    """Take an order off the book. Until the time that is told it can still be opened on the chain.

    With --on-chain that time comes soon, for all orders of its group of 128 slots.
    """
    shared: AppContext = context.obj
    order_id = OrderId(order)
    buyer = shared.party(Buyer)
    found = buyer.api.order(order_id).order
    require_the_same(order_id, order_hash(found, buyer.domain), buyer.api.transport.url)
    tell_cancelled(shared, buyer.cancel(found, on_chain=on_chain), as_json=as_json)
