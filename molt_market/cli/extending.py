"""`molt deal extend`: the next deal on the GPUs of one that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molt_market.cli.context import AppContext
from molt_market.cli.files import read_value
from molt_market.cli.options import AsJson, Deal
from molt_market.domain.agreements import SplitAgreement
from molt_market.domain.ids import EscrowId, OfferId
from molt_market.errors import InvalidValue
from molt_market.sdk.buyer import Buyer

DECLINED = 1  # ExitCode.FAILED


def extend(
    context: typer.Context,
    deal: Deal,
    agreement: Annotated[Path, typer.Argument(help="File of the agreement on this deal.", metavar="FILE")],
    *,
    offer: Annotated[str, typer.Option(help="The provider's next offer, of the same slot.")],
    hours: Annotated[int, typer.Option(help="For how many hours.", min=1)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Close a deal as agreed, and open the next on its GPUs, in one transaction: they are never free.

    The next deal has as many GPUs as this one, at the offer's price.
    """
    shared: AppContext = context.obj
    out, for_programs = shared.output, shared.says_json(as_json=as_json)
    if for_programs and not yes:
        raise InvalidValue("a program is not asked: add --yes if the next deal is to be opened")
    agreed, buyer = read_value(agreement, SplitAgreement), shared.party(Buyer)
    escrow = buyer.escrow(EscrowId(deal))
    match = buyer.next_match(escrow, buyer.api.offer(OfferId(offer)), hours)
    if not yes:
        asks = (
            f"Close this deal at {agreed.gpu_seconds} GPU-seconds, and lock {match.total_cost} for the next?"
        )
        if not typer.confirm(asks, err=True):
            out.note("nothing was sent")
            raise typer.Exit(DECLINED)
    after = buyer.extend(escrow, agreed, match)
    if for_programs:
        out.json({"deal_id": after.id, "status": after.status.name, "before": escrow.id})
        return
    out.line(f"deal {after.id}", "bold")
    out.line(f"{after.status.name}: in the place of {escrow.id}")
