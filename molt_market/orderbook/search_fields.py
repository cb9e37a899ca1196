"""What offers are searched and sorted by: how a value of each field is written, and what an offer states."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from pydantic import ValidationError

from molt_market.domain.catalogue import canonical_model, models
from molt_market.domain.gpus import Feature, Location
from molt_market.domain.ids import PartyId
from molt_market.errors import InvalidValue, UnknownModel
from molt_market.orderbook.listing import Listing

MAX_DIGITS = 40  # more than any figure of an offer has

Value = str | int | Decimal | tuple[int, int]
"""What a filter compares with: names, whole numbers, prices in whole tokens, (major, minor)."""


class Source(StrEnum):
    """Why to believe what an offer states."""

    SIGNED = "signed"
    CATALOGUE = "from the catalogue"
    BOOK = "counted by the book"
    ADVISORY = "advisory, unsigned"


@dataclass(frozen=True, slots=True)
class Kind:
    """How values are written. `read` raises InvalidValue that says what a text is not, and what to write."""

    name: str
    read: Callable[[str], Value]
    is_ordered: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One line of FIELDS. `stated` gives what an offer states, None if nothing, a set if several things."""

    name: str
    kind: Kind
    source: Source
    stated: Callable[[Listing], Value | frozenset[Feature] | None]
    examples: tuple[str, str]

    @property
    def example(self) -> str:
        """One filter, for messages."""
        return f"{self.name}{'>=' if self.kind.is_ordered else '='}{self.examples[0]}"

    @property
    def list_example(self) -> str:
        """One filter with a list, for messages."""
        return f"{self.name} in [{','.join(self.examples)}]"


# ------------------------------------------------------------------------------------ how values are written


def _whole(text: str) -> int:
    if re.fullmatch(r"[0-9]+", text) is None:
        raise InvalidValue("not a whole number: write digits only, e.g. 80")
    return int(_within_reason(text))


def _price(text: str) -> Decimal:
    if re.fullmatch(r"[0-9]*\.?[0-9]+", text) is None:
        raise InvalidValue("not a price: write whole tokens per GPU and hour, e.g. 2.5")
    return Decimal(_within_reason(text))


def _capability(text: str) -> tuple[int, int]:
    if re.fullmatch(r"[0-9]+\.[0-9]+", text) is None:
        raise InvalidValue("not a compute capability: write major and minor with a point, e.g. 9.0")
    major, minor = _within_reason(text).split(".")
    return int(major), int(minor)


def _within_reason(digits: str) -> str:
    if len(digits) > MAX_DIGITS:
        raise InvalidValue(f"too long: write at most {MAX_DIGITS} digits")
    return digits


def _model(text: str) -> str:
    try:
        return canonical_model(text).name
    except UnknownModel as unknown:
        near = f"did you mean {any_of(unknown.nearest)}? N" if unknown.nearest else "write e.g. H100; n"
        raise InvalidValue(f"no known GPU model: {near}ames with spaces go in quotes") from None


def _form_factor(text: str) -> str:
    known = {model.form_factor.lower(): model.form_factor for model in models()}
    if text.lower() not in known:
        raise InvalidValue(f"no form factor: write {any_of(known.values())}")
    return known[text.lower()]


def _feature(text: str) -> Feature:
    try:
        return Feature(text.lower())
    except ValueError:
        raise InvalidValue(f"no feature: write {any_of(Feature)}") from None


def _country(text: str) -> str:
    try:
        return Location(country=text).country or ""
    except ValidationError:
        raise InvalidValue("no country: write the two letters of ISO 3166-1, e.g. DE") from None


def _region(text: str) -> str:
    try:
        return Location(region=text).region or ""
    except ValidationError:
        raise InvalidValue("no region: write 1 to 31 letters, digits, '.', '_' or '-', e.g. eu-1") from None


def _provider(text: str) -> str:
    try:
        return PartyId(text)
    except InvalidValue:
        raise InvalidValue(
            "no provider: write an address with the right checksum, or a name without spaces"
        ) from None


def _symbol(text: str) -> str:
    if not text.strip():
        raise InvalidValue("no token: write its symbol, e.g. MOLT")
    return text


def any_of(names: Iterable[str]) -> str:
    """Join names for a message.

    >>> any_of(["SXM", "PCIe", "OAM"])
    'SXM, PCIe or OAM'
    """
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else str(last)


# --------------------------------------------------------------------------------------- what an offer states


def _stated_form_factor(listing: Listing) -> str:
    return canonical_model(listing.model).form_factor


def _stated_capability(listing: Listing) -> tuple[int, int] | None:
    """Read what nobody signed: what is out of all bounds counts as not stated."""
    stated = listing.offer.gpu_capacity.compute_capability
    return None if stated is None or len(stated) > MAX_DIGITS else _capability(stated)


# ---------------------------------------------------------------------------------------------------- fields

MODEL = Kind("GPU model", _model)
FORM_FACTOR = Kind("form factor", _form_factor)
WHOLE = Kind("whole number", _whole, is_ordered=True)
PRICE = Kind("decimal", _price, is_ordered=True)
CAPABILITY = Kind("major.minor", _capability, is_ordered=True)
COUNTRY = Kind("two letters", _country)
REGION = Kind("name", _region)
FEATURE = Kind("feature", _feature)
PARTY = Kind("address or name", _provider)
SYMBOL = Kind("symbol", _symbol)

FIELDS = {
    field.name: field
    for field in (
        Field("gpu_model", MODEL, Source.SIGNED, lambda o: o.model, ("H100", "H200")),
        Field("form_factor", FORM_FACTOR, Source.CATALOGUE, _stated_form_factor, ("SXM", "PCIe")),
        Field("vram_gb", WHOLE, Source.SIGNED, lambda o: o.vram_gb, ("80", "141")),
        Field("gpu_count", WHOLE, Source.SIGNED, lambda o: o.gpu_count, ("4", "8")),
        Field("free_gpus", WHOLE, Source.BOOK, lambda o: o.free, ("4", "8")),
        Field("price", PRICE, Source.SIGNED, lambda o: o.offer.price_per_hour.to_decimal(), ("2.5", "3")),
        Field("token", SYMBOL, Source.SIGNED, lambda o: o.token.symbol, ("MOLT", "USDC")),
        Field("available_hours", WHOLE, Source.SIGNED, lambda o: o.available_hours, ("24", "48")),
        Field("min_commitment_hours", WHOLE, Source.SIGNED, lambda o: o.min_commitment_hours, ("1", "2")),
        Field("country", COUNTRY, Source.SIGNED, lambda o: o.country, ("DE", "FR")),
        Field("region", REGION, Source.SIGNED, lambda o: o.region, ("eu-1", "us-1")),
        Field(
            "features",
            FEATURE,
            Source.SIGNED,
            lambda o: frozenset(o.offer.features),
            ("nvlink", "fp8"),
        ),
        Field("provider", PARTY, Source.SIGNED, lambda o: o.provider, ("provider-1", "provider-2")),
        Field(
            "memory_bandwidth",
            WHOLE,
            Source.ADVISORY,
            lambda o: o.offer.gpu_capacity.memory_bandwidth,
            ("3350", "4800"),
        ),
        Field(
            "current_utilization",
            WHOLE,
            Source.ADVISORY,
            lambda o: o.offer.gpu_capacity.current_utilization,
            ("0", "50"),
        ),
        Field("compute_capability", CAPABILITY, Source.ADVISORY, _stated_capability, ("9.0", "10.0")),
    )
}

SCORE = "score"
SORTABLE = (*(name for name in FIELDS if name != "features"), SCORE)
