"""`molt audit`: account for all money of the escrow by its log alone."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from molt_market.audit.auditor import SPAN, Auditor, Outcome, Verdict
from molt_market.audit.contract import Contract
from molt_market.cli.console import SOME_FAILED, Output
from molt_market.cli.context import AppContext
from molt_market.cli.options import AsJson

Blocks = Annotated[int, typer.Option(help="Blocks in one question to the node.", min=1)]


def audit(context: typer.Context, *, blocks: Blocks = SPAN, as_json: AsJson = False) -> None:
    """Account for all money of the escrow by its log alone, and compare it with the contract.

    Exits with 1 if anything differs. Needs a node and the deployment's file: no database, no key.
    """
    shared: AppContext = context.obj
    client = shared.client()
    contract = Contract(client.node, client.deployment.escrow)
    auditor = Auditor(contract, client.deployment.block, blocks)
    verdict = auditor.compare(auditor.read())
    if shared.says_json(as_json=as_json):
        shared.output.json(_machine(auditor, verdict))
    else:
        _print(shared.output, auditor, verdict)
    raise typer.Exit(0 if verdict.outcome is Outcome.SAME else SOME_FAILED)


def _print(out: Output, auditor: Auditor, verdict: Verdict) -> None:
    contract = auditor.contract
    out.line(f"escrow {contract.address} at block {verdict.block}, by {verdict.events} events", "bold")
    rows = [(each.what, str(each.compared), str(len(each.differences))) for each in verdict.checks]
    out.table(("what", "compared", "differ"), rows)
    out.line()
    for what, units in _parts(verdict).items():
        out.line(f"{what:9}{contract.amount(units)}")
    out.line()
    for each in verdict.differences:
        out.line(f"DIFFERENT {each}", "red")
    if verdict.first_account is not None:
        out.line(f"the first account that differs is {verdict.first_account}", "bold red")
    if verdict.outcome is Outcome.SAME:
        out.line("the same: the log accounts for every unit", "bold green")


def _parts(verdict: Verdict) -> dict[str, int]:
    return {
        "balances": verdict.balances,
        "held": verdict.held,
        "gifts": verdict.gifts,
        "tokens": verdict.tokens,
    }


def _machine(auditor: Auditor, verdict: Verdict) -> dict[str, Any]:
    contract, books = auditor.contract, auditor.books
    return {
        "verdict": verdict.outcome.value,
        "first_account": verdict.first_account,
        "differences": [
            {"what": each.what, "name": each.name, "log": each.log, "chain": each.chain}
            for each in verdict.differences
        ],
        "chain_id": contract.chain_id,
        "escrow": contract.address,
        "block": verdict.block,
        "events": verdict.events,
        **{what: str(units) for what, units in _parts(verdict).items()},
        "compared": {each.what: each.compared for each in verdict.checks},
        "accounts": {address: str(each.balance) for address, each in books.accounts.items()},
        "deals": {
            id_: {"status": deal.deal.status.name, "held": str(deal.held)}
            for id_, deal in books.live().items()
        },
    }
