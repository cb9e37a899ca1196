"""`molt explain`: where a deal's money is, and who may do what next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.table import Table

from molt_market.app import journal_in
from molt_market.chain.client import MoltClient
from molt_market.cli.console import Output, iso, when
from molt_market.cli.context import AppContext
from molt_market.cli.options import AsJson
from molt_market.cli.payments import machine_payment, print_payment
from molt_market.domain.amounts import Amount
from molt_market.domain.clock import SystemClock
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.events import Event
from molt_market.domain.fields import SECONDS_PER_HOUR
from molt_market.domain.ids import Address, EscrowId
from molt_market.errors import NodeError, counted
from molt_market.payments.explanation import DealExplanation, Move, explain_deal
from molt_market.payments.outlook import Outlook, View, first_nonces, outlook
from molt_market.payments.ports import EscrowChain

# The command of each move, by the method of PaymentService that sends it.
COMMANDS = {
    "redeem": "deal release",
    "release_payment": "deal claim",
    "claim_unattested": "deal claim",
    "stop": "deal stop",
    "cancel": "deal cancel",
    "handle_dispute": "dispute open",
    "resolve": "arbiter rule",
    "concede": "dispute concede",
    "settle_split": "deal agree",
    "refund_payment": "deal finalize",
}
LOOKS = 5  # how often a deal is read until nothing happened to it in between


def explain(
    context: typer.Context,
    deal: Annotated[str, typer.Argument(help="The deal's id: 0x and 64 hexadecimal digits.", metavar="DEAL")],
    *,
    as_json: AsJson = False,
) -> None:
    """Say where each unit of a deal's money is, and who may do what next, from when on.

    Asks the chain. With --database the deal's payments are listed too, with --wallet your part is marked.
    """
    shared: AppContext = context.obj
    deal_id = EscrowId(deal)
    client, own = shared.client(), shared.own_address()
    escrow, events = read_deal(client, deal_id)
    policy = client.policy(escrow.terms.policy_id)
    explanation = explain_deal(escrow, policy, events, client.now())
    payments = _payments(shared, client, deal_id)
    if shared.says_json(as_json=as_json):
        shared.output.json(_machine(explanation, payments))
    else:
        _print(shared.output, explanation, payments, own)


def read_deal(client: EscrowChain, deal_id: EscrowId) -> tuple[EscrowAccount, Sequence[Event]]:
    """Read a deal and its log as of one moment.

    Raises:
        DealNotFound: the contract has no such deal. NodeError: it changes all the time.
    """
    for _ in range(LOOKS):
        escrow, events = client.escrow(deal_id), client.deal_events(deal_id)
        if client.escrow(deal_id) == escrow:
            return escrow, events
    raise NodeError(f"deal {deal_id} changes all the time: ask again")


def _payments(shared: AppContext, client: MoltClient, deal_id: EscrowId) -> list[Outlook]:
    """Return what a journal has about the deal; nothing without a database."""
    if shared.database_url is None:
        return []
    journal = journal_in(shared.database(), client)
    view = View(
        now=SystemClock().now(),
        head=client.transactions.head(),
        confirmations=shared.network.confirmations,
        fees=shared.fees,
        first_nonces=first_nonces(journal.in_flight()),
    )
    return [outlook(entry, view) for entry in journal.about(deal_id)]


# ---------------------------------------------------------------- for people


def _print(out: Output, told: DealExplanation, payments: Sequence[Outlook], own: Address | None) -> None:
    escrow = told.escrow
    out.line(f"deal {escrow.id}", "bold")
    out.line(f"{escrow.status.name}: {told.says}")
    out.line()
    terms = escrow.terms
    gpus, hours = counted(terms.gpu_count, "GPU"), counted(terms.duration // SECONDS_PER_HOUR, "hour")
    price = Amount(terms.price_per_gpu_hour, escrow.token)
    out.line(f"{gpus} for {hours} at {price} for each GPU and hour")
    for name, account in (
        ("buyer", escrow.buyer),
        ("provider", escrow.provider),
        ("arbiter", told.policy.arbiter),
    ):
        out.line(f"{name:9}{account}{' (you)' if account == own else ''}")
    out.line()
    _money(out, told)
    out.line()
    if told.moves:
        out.show(_moves(told.moves, own))
    else:
        out.line("Nothing comes next: the deal is closed for ever.")
    if payments:
        out.line("\npayments in the journal", "bold")
        for row in payments:
            print_payment(out, row, SystemClock().now())


def _money(out: Output, told: DealExplanation) -> None:
    """Print where the money is. A sum may have 18 decimals: not one of its digits is left out."""
    staked = "bond and stake" if told.stake.base_units else "bond"
    escrow = told.escrow
    rows = [
        (share.place, str(share.price), str(share.bond), str(share.together))
        for share in told.shares
        if share.together.base_units
    ]
    in_all = ("locked in all", str(escrow.amount), str(escrow.bond + told.stake), str(told.in_all))
    out.table(("where the money is", "price", staked, "together"), [*rows, in_all], figures=(1, 2, 3))


def _moves(moves: Sequence[Move], own: Address | None) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("what may come next", no_wrap=True)
    table.add_column("by", max_width=22)
    table.add_column("which")
    for move in moves:
        you = " (you)" if own in move.accounts else ""
        told = f"{move.then}\n`molt {COMMANDS[move.verb]}`"
        table.add_row(when(move.from_, move.before), move.who + you, told)
    return table


# ---------------------------------------------------------------- for programs


def _machine(told: DealExplanation, payments: Sequence[Outlook]) -> dict[str, Any]:
    escrow = told.escrow
    return {
        "deal_id": escrow.id,
        "status": escrow.status.name,
        "says": told.says,
        "buyer": escrow.buyer,
        "provider": escrow.provider,
        "arbiter": told.policy.arbiter,
        "token": {"symbol": escrow.token.symbol, "decimals": escrow.token.decimals},
        "paid_gpu_seconds": escrow.paid_gpu_seconds,
        "claimed_gpu_seconds": escrow.claimed_gpu_seconds,
        "gpu_seconds": escrow.terms.gpu_seconds,
        "ends_at": iso(escrow.ends_at),
        "deadline": iso(escrow.locked_until),
        "money": [
            {"where": share.place, "price": _units(share.price), "bond": _units(share.bond)}
            for share in told.shares
        ],
        "in_all": {
            "price": _units(escrow.amount),
            "bond": _units(escrow.bond),
            "stake": _units(told.stake),
        },
        "next": [_machine_move(move) for move in told.moves],
        "payments": [machine_payment(row, SystemClock().now()) for row in payments],
    }


def _units(amount: Amount) -> str:
    """Write base units as a string: they may be larger than a float is exact."""
    return str(amount.base_units)


def _machine_move(move: Move) -> dict[str, Any]:
    return {
        "verb": move.verb,
        "who": move.who,
        "accounts": list(move.accounts),
        "from": iso(move.from_),
        "before": iso(move.before),
        "then": move.then,
    }
