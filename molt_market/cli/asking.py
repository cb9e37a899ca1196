"""The options that describe GPUs: those of an order are the same for every command that takes one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from molt_market.cli.files import problem_of, read_value
from molt_market.domain.gpus import Feature, Location
from molt_market.domain.ids import Address, Hash32
from molt_market.domain.jobs import JobSpec
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.errors import InvalidValue, ServerError
from molt_market.sdk.buyer import Buyer
from molt_market.signing.hashes import job_spec_hash

Vram = Annotated[int | None, typer.Option(help="GB of each GPU.", min=0)]
Features = Annotated[
    list[Feature] | None, typer.Option(help="What the machine has; may be given more than once.")
]
Region = Annotated[str | None, typer.Option(help="Where, eu-west-1 for example.")]
Country = Annotated[str | None, typer.Option(help="Where, by the two letters of ISO 3166.")]
OnChain = Annotated[bool, typer.Option("--on-chain", help="Cancel it on the chain too; sends.")]


@dataclass(frozen=True)
class Needs:
    """What is asked for: each field is an option."""

    file: Annotated[
        Path | None, typer.Argument(help="File of the order, instead of the options.", metavar="FILE")
    ] = None
    gpus: Annotated[int | None, typer.Option(help="How many GPUs.", min=1)] = None
    vram: Vram = None
    hours: Annotated[int | None, typer.Option(help="For how many hours.", min=1)] = None
    max_price: Annotated[
        str | None, typer.Option(help="Most for each GPU and hour, in whole tokens: 3.50.")
    ] = None
    budget: Annotated[str | None, typer.Option(help="Most for all; default: what --max-price makes.")] = None
    model: Annotated[
        list[str] | None, typer.Option(help="A model that will do; default: any. May be repeated.")
    ] = None
    feature: Features = None
    region: Region = None
    country: Country = None
    policy: Annotated[str | None, typer.Option(help="Id of the policy; default: the offer's.")] = None
    job: Annotated[
        Path | None, typer.Option(help="File of the job that is going to run: its hash is signed.")
    ] = None
    voucher_signer: Annotated[
        str | None, typer.Option(help="Who signs vouchers and runs the job; default: you, who pay.")
    ] = None
    minutes: Annotated[int, typer.Option(help="How long the order stands.", min=1, max=525_600)] = 60

    def order(self, buyer: Buyer) -> JobOrder:
        """Return the buyer's order. Raises InvalidValue."""
        order = self._made(buyer) if self.file is None else read_value(self.file, JobOrder)
        if self.job is None:
            return order
        return order.model_copy(update={"job_spec_hash": job_spec_hash(read_value(self.job, JobSpec))})

    def require_enough(self) -> None:
        """Raise InvalidValue unless there is a file, or all that an order needs."""
        needed = {"--gpus": self.gpus, "--vram": self.vram, "--hours": self.hours}
        require_file_or_all(self.file, {**needed, "--max-price": self.max_price})

    def _made(self, buyer: Buyer) -> JobOrder:
        token, now = buyer.client.token, buyer.client.now()
        needs = {
            "min_gpu_count": self.gpus,
            "min_vram_gb": self.vram,
            "estimated_hours": self.hours,
            "max_price_per_hour": token.amount(self.max_price or ""),
            "required_models": self.model or [],
            "required_features": self.feature or [],
            "location": location(self.region, self.country),
        }
        fields = {
            "buyer_id": buyer.wallet.address,
            "max_budget": token.amount(self.budget) if self.budget else None,
            "policy_id": Hash32(self.policy) if self.policy else None,
            "voucher_signer": Address(self.voucher_signer) if self.voucher_signer else None,
            "created_at": now,
            "expires_at": now + timedelta(minutes=self.minutes),
        }
        try:
            return JobOrder.model_validate(fields | {"requirements": JobRequirements.model_validate(needs)})
        except ValidationError as error:
            raise InvalidValue(f"this is no order: {problem_of(error)}") from error


def takes_needs(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of an order: it gets them as one `needs`."""
    asked = inspect.signature(Needs, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True)
    kept = [each for each in own.parameters.values() if each.name != "needs"]
    first = [each for each in kept if each.kind is not inspect.Parameter.KEYWORD_ONLY]
    added = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in asked.values()]

    @wraps(command)
    def run(**given: Any) -> None:
        needs = Needs(**{name: given.pop(name) for name in asked})
        needs.require_enough()
        command(**given, needs=needs)

    run.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[*first, *added, *(each for each in kept if each not in first)]
    )
    return run


def location(region: str | None, country: str | None) -> Location | None:
    """Return a place, None if nothing is said of it. Raises InvalidValue."""
    if region is None and country is None:
        return None
    try:
        return Location(region=region, country=country)
    except ValidationError as error:
        raise InvalidValue(f"this is no place: {problem_of(error)}") from error


def require_file_or_all(file: Path | None, needed: Mapping[str, object]) -> None:
    """Raise InvalidValue unless there is either a file, or a value for each of these options."""
    there = [name for name, value in needed.items() if value is not None]
    missing = [name for name in needed if name not in there]
    if file is not None and there:
        raise InvalidValue(f"a file and {', '.join(there)}: give the file, or the options")
    if file is None and missing:
        raise InvalidValue(f"missing {', '.join(missing)}: give them, or a file")


def require_the_same(asked: str, digest: str, url: str) -> None:
    """Raise ServerError if a server answered with another offer or order than was asked for."""
    if asked != digest:
        raise ServerError(url, f"asked for {asked}, it answered {digest}")
