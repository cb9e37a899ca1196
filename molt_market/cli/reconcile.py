"""`molt reconcile`: compare the journal with the chain, repair it, and push what is stuck."""

from __future__ import annotations

import typer

from molt_market.cli.context import AppContext
from molt_market.cli.options import AsJson


def reconcile(
    context: typer.Context,
    *,
    as_json: AsJson = False,
) -> None:
    """Compare the journal of your account with the chain, and repair it.

    What is stuck is sent again, or replaced under its own nonce for a higher fee, up to MOLT_MAX_FEE_GWEI;
    nothing new is paid. Needs --wallet and --database.
    """
    shared: AppContext = context.obj
    differences = shared.payments().reconcile()
    if shared.says_json(as_json=as_json):
        told = [{"kind": each.kind.value, "text": each.text} for each in differences]
        shared.output.json({"differences": told})
        return
    for each in differences:
        shared.output.line(f"{each.kind}: {each.text}")
    shared.output.line(f"{len(differences)} differences" if differences else "journal and chain agree")
