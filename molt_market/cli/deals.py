"""`molt deal list`: all deals of an account, how each stands, and what comes next for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from molt_market.app import account_deals
from molt_market.cli.console import Output, iso
from molt_market.cli.context import AppContext
from molt_market.cli.options import AsJson
from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus
from molt_market.domain.fields import SECONDS_PER_HOUR
from molt_market.domain.ids import Address
from molt_market.errors import InvalidValue, counted, utc
from molt_market.payments.results import hours_of
from molt_market.payments.steps import CLOSED
from molt_market.wire.messages import DealState


class Status(StrEnum):
    """A deal's status, as it is asked for."""

    LOCKED = "locked"
    CLAIMED = "claimed"
    DISPUTED = "disputed"
    RELEASED = "released"
    REFUNDED = "refunded"


STYLES = {DealStatus.LOCKED: "cyan", DealStatus.CLAIMED: "yellow", DealStatus.DISPUTED: "red"}


def list_(
    context: typer.Context,
    account: Annotated[
        str | None, typer.Argument(help="Whose; default: the account of --wallet.", metavar="ADDRESS")
    ] = None,
    *,
    status: Annotated[
        list[Status] | None,
        typer.Option(help="Only those in this status; may be given more than once.", case_sensitive=False),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the deals in which an account has a part, the newest first, and what comes next for each.

    As the market's server has followed them; without --server by the chain's log, up to its latest block.
    """
    shared: AppContext = context.obj
    whose = _whose(shared, account)
    deals, now = _followed(shared, whose) if shared.server else _logged(shared, whose)
    wanted = {DealStatus[each.name] for each in status or Status}
    found = sorted(
        (each for each in deals if each.status in wanted),
        key=lambda each: (each.opened_at, each.deal_id),
        reverse=True,
    )
    told = Listed(whose, whose == shared.own_address(), found[:limit], len(found) - len(found[:limit]), now)
    if shared.says_json(as_json=as_json):
        shared.output.json(_machine(told))
    else:
        _print(shared.output, told)
        if deals and not found:
            shared.output.note(f"it has {counted(len(deals), 'deal')}, none in that status")


def _whose(shared: AppContext, given: str | None) -> Address:
    own = Address(given) if given else shared.own_address()
    if own is None:
        raise InvalidValue("whose deals: give an address, or --wallet")
    return own


def _followed(shared: AppContext, whose: Address) -> tuple[list[DealState], datetime]:
    """Return the deals as the market's server tells them, and the chain's time there."""
    api = shared.api()
    return list(api.deals(whose)), api.health().time


def _logged(shared: AppContext, whose: Address) -> tuple[list[DealState], datetime]:
    """Return the deals as the chain's log tells them, and the chain's time."""
    client = shared.client()
    return account_deals(client, whose), client.now()


@dataclass(frozen=True, slots=True)
class Listed:
    """An account's deals as they are listed; `more` are left out. `is_own`: it is that of the key file."""

    account: Address
    is_own: bool
    deals: Sequence[DealState]
    more: int
    now: datetime


# ---------------------------------------------------------------- in words


def role_of(account: Address, deal: DealState) -> str:
    """Say which part an account has in a deal; of several, the first."""
    names = ("buyer", "provider", "voucher signer", "agent")
    terms = deal.terms
    accounts = (terms.buyer, terms.provider, terms.voucher_signer, terms.agent)
    return next(name for name, each in zip(names, accounts, strict=True) if each == account)


def says_of(deal: DealState, now: datetime) -> str:
    """Say in words how a deal stands."""
    paid, claim, whole = (
        hours_of(deal.terms, each)
        for each in (deal.paid_gpu_seconds, deal.claimed_gpu_seconds, deal.terms.gpu_seconds)
    )
    match deal.status:
        case DealStatus.LOCKED if now < deal.ends_at:
            return f"runs until {utc(deal.ends_at)}"
        case DealStatus.LOCKED:
            return f"ended at {utc(deal.ends_at)}"
        case DealStatus.CLAIMED:
            return f"{claim} of {whole} hours are claimed"
        case DealStatus.DISPUTED:
            return f"{claim} hours are claimed, the buyer accepts {paid}"
        case _:
            at = "" if deal.closed_at is None else f" at {utc(deal.closed_at)}"
            return f"closed{at}, {paid} of {whole} hours paid"


def next_of(deal: DealState, now: datetime) -> str:
    """Say what comes next for a deal, if nobody does anything else that he may."""
    if deal.status in CLOSED:
        return "nothing: it is closed for ever"
    if deal.deadline <= now:
        return "anyone may close it: `molt deal finalize`"
    before = f"before {utc(deal.deadline)}"
    match deal.status:
        case DealStatus.CLAIMED:
            return f"the buyer may contest the claim {before}; then it is paid"
        case DealStatus.DISPUTED:
            return f"the arbiter may rule {before}"
        case _ if now < deal.ends_at:
            return f"it ends, and what it ran is claimed {before}"
        case _:
            return f"the provider claims what it ran {before}, or the rest goes back to the buyer"


# ---------------------------------------------------------------- for people


def _print(out: Output, told: Listed) -> None:
    number = len(told.deals) + told.more
    what = "no deals" if number == 0 else counted(number, "deal")
    out.line(f"{what} of {told.account}", "bold")
    for deal in told.deals:
        out.line()
        out.line(str(deal.deal_id), STYLES.get(deal.status, "green"))
        for name, text in _rows(deal, told):
            out.line(f"  {name:8}{text}")
    if told.more:
        out.line(f"\n{told.more} more: --limit shows them")


def _rows(deal: DealState, told: Listed) -> Sequence[tuple[str, str]]:
    terms, role = deal.terms, role_of(told.account, deal)
    price = Amount(terms.price_per_gpu_hour, deal.held.token)
    hours = counted(terms.duration // SECONDS_PER_HOUR, "hour")
    on_sale = role in {"provider", "agent"}
    other = f"the buyer is {terms.buyer}" if on_sale else f"the provider is {terms.provider}"
    return [
        ("status", f"{deal.status.name}: {says_of(deal, told.now)}"),
        ("you" if told.is_own else "it", f"{role}; {other}"),
        ("GPUs", f"{counted(terms.gpu_count, 'GPU')} for {hours} at {price} for each GPU and hour"),
        ("held", _money(deal)),
        ("next", next_of(deal, told.now)),
    ]


def _money(deal: DealState) -> str:
    """Say what a deal holds, and what went out of it: of price, bond and stakes together."""
    gone = ((deal.to_provider, "to the provider"), (deal.fee, "as fee"), (deal.to_buyer, "to the buyer"))
    went = ", ".join(f"{amount} {where}" for amount, where in gone if amount.base_units)
    return f"{deal.held}; out of it went {went}" if went else str(deal.held)


# ---------------------------------------------------------------- for programs


def _machine(told: Listed) -> dict[str, Any]:
    return {
        "account": told.account,
        "now": iso(told.now),
        "deals": [_machine_deal(each, told) for each in told.deals],
        "more": told.more,
    }


def _machine_deal(deal: DealState, told: Listed) -> dict[str, Any]:
    terms, token = deal.terms, deal.held.token
    return {
        "deal_id": deal.deal_id,
        "status": deal.status.name,
        "says": says_of(deal, told.now),
        "next": next_of(deal, told.now),
        "role": role_of(told.account, deal),
        "buyer": terms.buyer,
        "voucher_signer": terms.voucher_signer,
        "provider": terms.provider,
        "agent": terms.agent,
        "gpu_count": terms.gpu_count,
        "gpu_seconds": terms.gpu_seconds,
        "paid_gpu_seconds": deal.paid_gpu_seconds,
        "claimed_gpu_seconds": deal.claimed_gpu_seconds,
        "opened_at": iso(deal.opened_at),
        "ends_at": iso(deal.ends_at),
        "deadline": iso(deal.deadline),
        "closed_at": iso(deal.closed_at),
        "token": {"symbol": token.symbol, "decimals": token.decimals},
        "price_per_gpu_hour": str(terms.price_per_gpu_hour),
        "held": str(deal.held.base_units),
        "to_provider": str(deal.to_provider.base_units),
        "fee": str(deal.fee.base_units),
        "to_buyer": str(deal.to_buyer.base_units),
    }
