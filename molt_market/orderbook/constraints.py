"""The hard constraints: what the contract refuses on opening a deal, the book does not match.

Each is a line of CONSTRAINTS. A pair that keeps all of them fits; how good it is, is the score's business.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing


class Kind(Enum):
    """What a buyer would have to change."""

    NEEDS = "needs"
    MONEY = "money"
    GPUS = "gpus"


class Constraint(NamedTuple):
    name: str
    kind: Kind
    keeps: Callable[[Listing, Demand], bool]


CONSTRAINTS: tuple[Constraint, ...] = (
    Constraint("model", Kind.NEEDS, lambda o, d: not d.required_models or o.model in d.required_models),
    Constraint("vram", Kind.NEEDS, lambda o, d: o.vram_gb >= d.min_vram_gb),
    Constraint("features", Kind.NEEDS, lambda o, d: not d.features & ~o.features),
    Constraint("country", Kind.NEEDS, lambda o, d: d.country is None or d.country == o.country),
    Constraint("region", Kind.NEEDS, lambda o, d: d.region is None or d.region == o.region),
    Constraint("hours", Kind.NEEDS, lambda o, d: o.min_commitment_hours <= d.hours <= o.available_hours),
    Constraint("standing", Kind.NEEDS, lambda o, d: o.created_at <= d.now < o.expires_at),
    Constraint("token", Kind.NEEDS, lambda o, d: o.token == d.token),
    Constraint("parties", Kind.NEEDS, lambda o, d: d.buyer != o.provider),
    Constraint("voucher signer", Kind.NEEDS, lambda o, d: d.voucher_signer not in (o.provider, o.agent)),
    Constraint(
        "policy", Kind.NEEDS, lambda o, d: None in (o.policy_id, d.policy_id) or o.policy_id == d.policy_id
    ),
    Constraint("named offer", Kind.NEEDS, lambda o, d: d.offer_hash is None or d.offer_hash == o.offer_hash),
    Constraint("price", Kind.MONEY, lambda o, d: o.price <= d.price_limit),
    Constraint("budget", Kind.MONEY, lambda o, d: d.total_at(o.price) <= d.budget),
    Constraint("gpus", Kind.GPUS, lambda o, d: d.gpu_count <= o.free),
)


def fits(listing: Listing, demand: Demand) -> bool:
    return all(constraint.keeps(listing, demand) for constraint in CONSTRAINTS)


def broken(listing: Listing, demand: Demand) -> frozenset[Kind]:
    """Return the kinds of constraints that a pair breaks."""
    return frozenset(c.kind for c in CONSTRAINTS if not c.keeps(listing, demand))


def names_broken(listing: Listing, demand: Demand) -> frozenset[str]:
    """Return the names of the constraints that a pair breaks."""
    return frozenset(c.name for c in CONSTRAINTS if not c.keeps(listing, demand))
