"""`molt offer`: what a provider does with his offers at a market."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from molt_market.cli.asking import (
    Country,
    Features,
    OnChain,
    Region,
    Vram,
    location,
    require_file_or_all,
    require_the_same,
)
from molt_market.cli.context import AppContext
from molt_market.cli.files import problem_of, read_value
from molt_market.cli.options import AsJson
from molt_market.cli.taking_back import tell_cancelled
from molt_market.cli.words import gpus_of, hours_of, where
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.ids import Address, Hash32, OfferId
from molt_market.domain.offers import CapacityOffer
from molt_market.errors import InvalidValue, utc
from molt_market.sdk.provider import Provider
from molt_market.signing.hashes import offer_hash

Offer = Annotated[str, typer.Argument(help="The offer's id.", metavar="OFFER")]

app = typer.Typer(no_args_is_help=True, help="Offer GPUs at a market, as a provider.")


@app.command()
def post(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="File of the offer, instead of the options.", metavar="FILE")
    ] = None,
    *,
    gpus: Annotated[int | None, typer.Option(help="How many GPUs.", min=1)] = None,
    model: Annotated[str | None, typer.Option(help="Their model, H100 for example.")] = None,
    vram: Vram = None,
    price: Annotated[str | None, typer.Option(help="Whole tokens for each GPU and hour: 2.50.")] = None,
    hours: Annotated[int | None, typer.Option(help="For how many hours at most.", min=1)] = None,
    min_hours: Annotated[int, typer.Option(help="For how many hours at least.", min=1)] = 1,
    policy: Annotated[str | None, typer.Option(help="Id of the policy: `molt market info`.")] = None,
    agent: Annotated[str | None, typer.Option(help="Who signs receipts; default: you.")] = None,
    slot: Annotated[int, typer.Option(help="Offers of one slot share its GPUs.", min=0)] = 0,
    feature: Features = None,
    region: Region = None,
    country: Country = None,
    days: Annotated[int, typer.Option(help="How long the offer stands.", min=1, max=365)] = 7,
    as_json: AsJson = False,
) -> None:
    """Sign an offer and list it. Its bond has to lie in the escrow: `molt wallet deposit`."""
    needed = {"--gpus": gpus, "--model": model, "--vram": vram, "--price": price, "--hours": hours}
    require_file_or_all(file, {**needed, "--policy": policy})
    given = None if file is None else read_value(file, CapacityOffer)
    shared: AppContext = context.obj
    provider = shared.party(Provider)
    if given is None:
        now = provider.client.now()
        fields = {
            "provider_id": provider.wallet.address,
            "gpu_capacity": {"gpu_count": gpus, "gpu_model": model, "vram_gb": vram},
            "price_per_hour": provider.client.token.amount(price or ""),
            "available_hours": hours,
            "min_commitment_hours": min_hours,
            "policy_id": Hash32(policy or ""),
            "agent": Address(agent) if agent else None,
            "slot": slot,
            "features": feature or [],
            "location": location(region, country),
            "created_at": now,
            "expires_at": now + timedelta(days=days),
        }
        given = _made(fields)
    posted = provider.offer(given)
    if shared.says_json(as_json=as_json):
        shared.output.json(posted.model_dump(mode="json"))
    else:
        shared.output.line(f"offer {posted.id}", "bold")
        shared.output.line(f"{gpus_of(posted)} at {posted.price_per_hour} until {utc(posted.expires_at)}")


def _made(fields: dict[str, Any]) -> CapacityOffer:
    try:
        gpus = GpuCapacity.model_validate(fields["gpu_capacity"])
        return CapacityOffer(**fields | {"gpu_capacity": gpus})
    except ValidationError as error:
        raise InvalidValue(f"this is no offer: {problem_of(error)}") from error


@app.command(name="list")
def list_(
    context: typer.Context,
    *,
    provider: Annotated[str | None, typer.Option(help="Whose; default: your account's.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the offers of a provider that stand, the newest first."""
    shared: AppContext = context.obj
    whose = Address(provider) if provider else shared.account_of_wallet()
    found = sorted(shared.api().offers(whose), key=lambda each: each.created_at, reverse=True)
    if shared.says_json(as_json=as_json):
        shared.output.json({"offers": [each.model_dump(mode="json") for each in found]})
        return
    if not found:
        shared.output.note(f"no offer of {whose} stands; `molt market depth` shows what all offer")
        return
    rows = [
        (
            gpus_of(each),
            where(each),
            hours_of(each),
            str(each.price_per_hour),
            utc(each.expires_at),
            each.id,
        )
        for each in found
    ]
    shared.output.table(("GPUs", "where", "hours", "price", "until", "offer"), rows)


@app.command()
def show(context: typer.Context, offer: Offer, *, as_json: AsJson = False) -> None:
    """Show an offer as it stands; with --json it is a file that `post` takes."""
    shared: AppContext = context.obj
    found = shared.api().offer(OfferId(offer))
    if shared.says_json(as_json=as_json):
        shared.output.json(found.model_dump(mode="json"))
        return
    out = shared.output
    out.line(f"offer {found.id}", "bold")
    rows = {"status": found.status.value, "provider": found.provider_id, "GPUs": gpus_of(found)}
    rows |= {"where": where(found), "hours": hours_of(found), "price": str(found.price_per_hour)}
    rows |= {"policy": str(found.policy_id), "slot": str(found.slot), "until": utc(found.expires_at)}
    for name, value in rows.items():
        out.line(f"{name:9}{value}")


@app.command()
def cancel(
    context: typer.Context, offer: Offer, *, on_chain: OnChain = False, as_json: AsJson = False
) -> None:
    """Take an offer off the book. Until the time that is told it can still be taken on the chain.

    With --on-chain that time comes soon, for all offers of its group of 4 slots.
    """
    shared: AppContext = context.obj
    offer_id = OfferId(offer)
    provider = shared.party(Provider)
    found = provider.api.offer(offer_id)
    require_the_same(offer_id, offer_hash(found, provider.domain), provider.api.transport.url)
    tell_cancelled(shared, provider.cancel(found, on_chain=on_chain), as_json=as_json)
