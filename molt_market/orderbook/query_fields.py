"""What of an offer can be searched for: names, how values are written, and which operators compare them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from molt_market.domain.catalogue import canonical_model
from molt_market.domain.gpus import Feature, features_from_bits
from molt_market.errors import InvalidValue
from molt_market.orderbook.listing import Listing

Known = int | Decimal | str | tuple[int, int]
"""A value in a query: whole numbers, prices in whole tokens, names, and versions."""

EQUALITY = ("=", "!=", "in", "not in")
ORDERING = ("=", "!=", "<", "<=", ">", ">=", "in", "not in")


@dataclass(frozen=True, slots=True)
class Kind:
    """How values of one kind are written and compared. `read` raises InvalidValue."""

    name: str
    operators: tuple[str, ...]
    read: Callable[[str], Known]
    write: Callable[[Known], str] = str


@dataclass(frozen=True, slots=True)
class Field:
    """What a query can name: `of` finds it in a listing, None if the offer does not state it.

    What is not `signed` is the provider's word only: advisory.
    """

    name: str
    kind: Kind
    of: Callable[[Listing], object]
    signed: bool = True


def _whole(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,40}", text) is None:
        raise InvalidValue(f"{text!r} is not a whole number")
    return int(text)


def _price(text: str) -> Decimal:
    if re.fullmatch(r"[0-9]{1,40}(\.[0-9]{1,40})?", text) is None:
        raise InvalidValue(f"{text!r} is not a price in whole tokens, e.g. 2.5")
    return Decimal(text)


def _version(text: str) -> tuple[int, int]:
    if re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", text) is None:
        raise InvalidValue(f"{text!r} is not a version, e.g. 9.0")
    major, minor = text.split(".")
    return int(major), int(minor)


def _feature(text: str) -> str:
    if text.lower() not in set(Feature):
        raise InvalidValue(f"no feature {text!r}: write {', '.join(Feature)}")
    return Feature(text.lower()).value


def _dotted(version: Known) -> str:
    return f"{version[0]}.{version[1]}" if isinstance(version, tuple) else str(version)


NUMBER = Kind("whole number", ORDERING, _whole)
PRICE = Kind("price", ORDERING, _price)
VERSION = Kind("version", ORDERING, _version, _dotted)
MODEL = Kind("GPU model", EQUALITY, lambda text: canonical_model(text).name)
FEATURE = Kind("feature", EQUALITY, _feature)
UPPER = Kind("name in capitals", EQUALITY, str.upper)
LOWER = Kind("name in small letters", EQUALITY, str.lower)
NAME = Kind("name", EQUALITY, str)


def _compute_capability(listing: Listing) -> object:
    stated = listing.offer.gpu_capacity.compute_capability
    return None if stated is None else tuple(int(part) for part in stated.split("."))


_FIELDS = (
    Field("gpu_model", MODEL, lambda o: o.model),
    Field("form_factor", LOWER, lambda o: canonical_model(o.model).form_factor.lower()),
    Field("vram_gb", NUMBER, lambda o: o.vram_gb),
    Field("gpu_count", NUMBER, lambda o: o.gpu_count),
    Field("free_gpus", NUMBER, lambda o: o.free),
    Field("price", PRICE, lambda o: Fraction(o.price, 10**o.token.decimals)),
    Field("token", NAME, lambda o: o.token.symbol),
    Field("available_hours", NUMBER, lambda o: o.available_hours),
    Field("min_commitment_hours", NUMBER, lambda o: o.min_commitment_hours),
    Field("country", UPPER, lambda o: o.country),
    Field("region", LOWER, lambda o: o.region),
    Field("features", FEATURE, lambda o: frozenset(each.value for each in features_from_bits(o.features))),
    Field("provider", NAME, lambda o: str(o.provider)),
    Field("memory_bandwidth", NUMBER, lambda o: o.offer.gpu_capacity.memory_bandwidth, signed=False),
    Field("current_utilization", NUMBER, lambda o: o.offer.gpu_capacity.current_utilization, signed=False),
    Field("compute_capability", VERSION, _compute_capability, signed=False),
)
FIELDS: Mapping[str, Field] = {field.name: field for field in _FIELDS}
