"""`molt dispute`: contesting a claim, giving in, laying evidence, and what both sides say."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from molt_market.cli.contested import show
from molt_market.cli.deal import Bench, Signed
from molt_market.cli.evidence import evidence
from molt_market.cli.files import problem_of, read_value
from molt_market.cli.options import AsJson, Deal, GpuSeconds, Hours, one_of
from molt_market.domain.agreements import Concession
from molt_market.domain.disputes import Dispute, DisputeReason
from molt_market.domain.ids import ZERO_HASH, EscrowId, Hash32
from molt_market.domain.settlement import exact_hours
from molt_market.errors import InvalidValue

app = typer.Typer(no_args_is_help=True, help="Contest a claim, give in, lay evidence, see both sides.")

app.command()(show)


@app.command("open")
def open_(
    context: typer.Context,
    deal: Deal,
    *,
    hours: Hours = None,
    gpu_seconds: GpuSeconds = None,
    reason: Annotated[DisputeReason, typer.Option(help="For your journal.")] = (
        DisputeReason.LESS_THAN_CLAIMED
    ),
    text: Annotated[str, typer.Option(help="For your journal.")] = "",
    evidence: Annotated[
        str,
        typer.Option(
            help="A hash of it, as `dispute evidence` prints; it goes to the chain.", show_default="none"
        ),
    ] = ZERO_HASH,
    signed: Annotated[
        Path | None, typer.Option(help="File of a dispute that the buyer has signed.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Contest a claim, as the buyer: the --hours that you accept are paid, the rest is staked on."""
    one_of({"--hours": hours, "--gpu-seconds": gpu_seconds, "--signed": signed})
    counter = exact_hours(hours) if hours is not None else None
    words = {"reason": reason, "text": text, "evidence": Hash32(evidence)}
    if signed is not None:
        contested = read_value(signed, Dispute)
    else:
        contested = _dispute(EscrowId(deal), counter, gpu_seconds, words)
    bench = Bench.of(context, deal, as_json=as_json)
    bench.tell(bench.payments.handle_dispute(bench.escrow, contested).transactions[-1])


def _dispute(
    deal_id: EscrowId, hours: Decimal | None, gpu_seconds: int | None, words: dict[str, str]
) -> Dispute:
    """Make the buyer's dispute. Raises InvalidValue, for a text that is too long for example."""
    fields = {"escrow_id": deal_id, "counter_hours": hours, "counter_gpu_seconds": gpu_seconds}
    try:
        return Dispute.model_validate(fields | words)
    except ValidationError as error:
        raise InvalidValue(f"this is no dispute: {problem_of(error)}") from error


@app.command()
def concede(context: typer.Context, deal: Deal, *, signed: Signed = None, as_json: AsJson = False) -> None:
    """Give in to a dispute: the provider to the buyer's hours, the buyer to the claimed ones."""
    concession = None if signed is None else read_value(signed, Concession)
    bench = Bench.of(context, deal, as_json=as_json)
    bench.tell(bench.payments.concede(bench.escrow, concession))


app.command()(evidence)
