"""`molt deal`: the verbs of a deal's parties, and of anybody. Each is a method of PaymentService."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from molt_market.cli.console import SOME_FAILED
from molt_market.cli.context import AppContext
from molt_market.cli.deals import list_
from molt_market.cli.explain import explain, read_deal
from molt_market.cli.extending import extend
from molt_market.cli.files import read_value
from molt_market.cli.leaving import collect, release
from molt_market.cli.options import AsJson, Deal, GpuSeconds, Hours, one_of
from molt_market.cli.signed import agree, voucher
from molt_market.domain.agreements import (
    ProviderCancellation,
    SplitAgreement,
    StopRequest,
    UnattestedClaim,
)
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.ids import EscrowId, TransactionId
from molt_market.domain.proofs import Confirmation, ExecutionProof
from molt_market.errors import MoltError
from molt_market.payments.explanation import status_of
from molt_market.payments.service import PaymentService

Signed = Annotated[
    Path | None,
    typer.Option(help="File with the party's signature, if your account is not that party.", metavar="FILE"),
]

app = typer.Typer(no_args_is_help=True, help="Look at a deal, and do what its parties may.")
app.command("list")(list_)


@app.command()
def show(context: typer.Context, deal: Deal, *, as_json: AsJson = False) -> None:
    """Say where each unit of a deal's money is, and who may do what next: `molt explain`."""
    explain(context, deal, as_json=as_json)


# ---------------------------------------------------------------- while the job runs


@app.command()
def redeem(
    context: typer.Context,
    deal: Deal,
    voucher: Annotated[Path, typer.Argument(help="File of the buyer's voucher.", metavar="FILE")],
    *,
    as_json: AsJson = False,
) -> None:
    """Have the provider paid what a voucher of the buyer's allows. Anyone may."""
    confirmation = read_value(voucher, Confirmation)
    bench = Bench.of(context, deal, as_json=as_json)
    bench.tell(bench.payments.redeem(bench.escrow, confirmation))


@app.command()
def stop(context: typer.Context, deal: Deal, *, signed: Signed = None, as_json: AsJson = False) -> None:
    """End a deal early, as its buyer: one notice from now. What is delivered until then is still owed."""
    request = None if signed is None else read_value(signed, StopRequest)
    bench = Bench.of(context, deal, as_json=as_json)
    bench.tell(bench.payments.stop(bench.escrow, request))


@app.command()
def cancel(
    context: typer.Context,
    deal: Deal,
    *,
    reason: Annotated[str, typer.Option(help="For your journal.")] = "",
    signed: Signed = None,
    as_json: AsJson = False,
) -> None:
    """Give a deal up, as its provider: what is not paid goes back to the buyer."""
    cancellation = None if signed is None else read_value(signed, ProviderCancellation)
    bench = Bench.of(context, deal, as_json=as_json)
    bench.tell(bench.payments.cancel(bench.escrow, cancellation, reason=reason))


# ---------------------------------------------------------------- when it is over


@app.command()
def claim(
    context: typer.Context,
    deal: Deal,
    *,
    proof: Annotated[
        Path | None,
        typer.Option(help="File of the proof: receipt, attestors' signatures.", metavar="FILE"),
    ] = None,
    hours: Hours = None,
    gpu_seconds: GpuSeconds = None,
    signed: Signed = None,
    as_json: AsJson = False,
) -> None:
    """Claim what the allocation ran: by a proof, or as the provider without attestors.

    With --proof anyone may, and the buyer may contest it; again, once his time for that is over, it is paid.
    With --hours (or --gpu-seconds, or a claim that the provider has --signed) the arbiter has to rule.
    """
    given = one_of({"--proof": proof, "--hours": hours, "--gpu-seconds": gpu_seconds, "--signed": signed})
    shown = None if proof is None else read_value(proof, ExecutionProof)
    word = None if signed is None else read_value(signed, UnattestedClaim)
    bench = Bench.of(context, deal, as_json=as_json)
    payments, escrow = bench.payments, bench.escrow
    if given == "--proof" and shown is not None:
        bench.tell(payments.release_payment(escrow, shown))
    else:
        bench.tell(payments.claim_unattested(escrow, hours, gpu_seconds=gpu_seconds, claim=word))


@app.command()
def finalize(
    context: typer.Context,
    deals: Annotated[list[str], typer.Argument(help="The deals' ids.", metavar="DEAL...")],
    *,
    as_json: AsJson = False,
) -> None:
    """Close deals whose deadline is over, in few transactions. Anyone may."""
    shared: AppContext = context.obj
    ids = [EscrowId(each) for each in deals]
    answers = dict(zip(ids, shared.payments(unwritten=True).finalize_all(ids), strict=True))
    failures = {each: answer for each, answer in answers.items() if isinstance(answer, MoltError)}
    if len(ids) == 1 and failures:
        raise failures[ids[0]]
    if shared.says_json(as_json=as_json):
        shared.output.json({"deals": [_machine_ending(*each) for each in answers.items()]})
    else:
        for deal_id, answer in answers.items():
            how = f"not closed: {answer}" if isinstance(answer, MoltError) else f"closed by {answer}"
            shared.output.line(f"deal {deal_id} {how}")
    if failures:
        raise typer.Exit(SOME_FAILED)


def _machine_ending(deal_id: EscrowId, answer: TransactionId | MoltError) -> dict[str, str | None]:
    failed = isinstance(answer, MoltError)
    return {
        "deal_id": deal_id,
        "transaction": None if failed else str(answer),
        "error": type(answer).__name__ if failed else None,
        "message": str(answer) if failed else None,
    }


@app.command()
def settle(
    context: typer.Context,
    deal: Deal,
    agreement: Annotated[Path, typer.Argument(help="File of the agreement.", metavar="FILE")],
    *,
    as_json: AsJson = False,
) -> None:
    """Close a deal as both parties have signed; your own signature may be missing if you are one of them."""
    agreed = read_value(agreement, SplitAgreement)
    bench = Bench.of(context, deal, as_json=as_json)
    bench.tell(bench.payments.settle_split(bench.escrow, agreed))


# ---------------------------------------------------------------- inside


@dataclass(frozen=True, slots=True)
class Bench:
    """The payments of the account that sends, and one deal as it is before."""

    shared: AppContext
    payments: PaymentService
    escrow: EscrowAccount
    as_json: bool

    @classmethod
    def of(cls, context: typer.Context, deal: str, *, as_json: bool) -> Bench:
        """Open the key file, and read the deal. Raises DealNotFound."""
        shared: AppContext = context.obj
        deal_id = EscrowId(deal)
        payments = shared.payments(unwritten=True)
        return cls(shared, payments, payments.escrow(deal_id), as_json)

    def tell(self, sent: TransactionId) -> None:
        """Say which transaction did it, and how the deal stands now."""
        out, client = self.shared.output, self.payments.client
        escrow, events = read_deal(client, self.escrow.id)
        says = status_of(escrow, events, client.now())
        if self.shared.says_json(as_json=self.as_json):
            told = {"deal_id": escrow.id, "transaction": sent, "status": escrow.status.name, "says": says}
            out.json(told)
            return
        out.line(f"deal {escrow.id}", "bold")
        out.line(f"transaction {sent}")
        out.line(f"{escrow.status.name}: {says}")


for command in (voucher, agree, extend, release, collect):
    app.command()(command)
