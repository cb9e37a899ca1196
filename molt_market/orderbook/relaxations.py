"""The least changes to an order that would make it match."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from molt_market.domain.amounts import Amount
from molt_market.domain.fields import MAX_UINT40, MAX_UINT96, SECONDS_PER_HOUR
from molt_market.domain.gpus import Location, features_from_bits
from molt_market.domain.matches import OrderMatch
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.errors import counted
from molt_market.orderbook.constraints import names_broken
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.matcher import Matcher

MOST_SIZES = 64
"""How many sizes of the job are tried: GPU counts with hours, the nearest to what was asked."""

Reach = int | frozenset[str]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to alter in an order: `field`, of the order or its requirements, becomes `value`.

    `reach` is how far that goes from what was asked, in the units of the field or as the set of what is given
    up. Changes of one `direction` compare by it; changes of two directions do not compare.
    """

    direction: str
    field: str
    value: Any
    reach: Reach
    text: str

    def goes_no_further_than(self, other: Change) -> bool:
        here, there = self.reach, other.reach
        if isinstance(here, int) and isinstance(there, int):
            return here <= there
        return isinstance(here, frozenset) and isinstance(there, frozenset) and here <= there


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Changes that make an order match: the altered order, unsigned, and the match that it really has."""

    changes: tuple[Change, ...]
    order: JobOrder
    match: OrderMatch

    def __str__(self) -> str:
        changes = ", ".join(change.text for change in self.changes)
        return f"{changes}: {self.match.offer_id} for {self.match.total_cost}"


Changes = tuple[Change, ...]


def relaxations(
    listings: Sequence[Listing], order: JobOrder, now: datetime, matcher: Matcher
) -> list[Relaxation]:
    """Return every minimal relaxation: none of them goes as far as another one in all that it changes.

    For each size of the job, offers say what else would have to change for their sake: everything but the
    budget is then known, and the budget is what the cheapest offer costs that fits the order so changed.
    """
    by_price = sorted(listings, key=lambda listing: listing.price)
    wanted: dict[Changes, Changes] = {}  # by all but the price: the same at a higher price is no help
    for size, some in _by_size(by_price, order):
        if not _can_be_asked(size, 0, order):
            continue
        demand = Demand.of_order(applied(size, order), now)
        for listing in some:
            changes = _for_the_sake_of(listing, order, demand)
            if changes is not None and _can_be_asked(size, listing.price, order):
                others = tuple(change for change in changes if change.direction != "price")
                wanted.setdefault((*size, *others), (*size, *changes))
    complete = [_with_budget(changes, order, by_price, now) for changes in wanted.values()]
    found = [_proved(changes, order, now, matcher) for changes in _minimal(complete)]
    return sorted(found, key=lambda r: (len(r.changes), r.match.total_cost.base_units, str(r)))


def _proved(changes: Changes, order: JobOrder, now: datetime, matcher: Matcher) -> Relaxation:
    """Match the changed order, as anyone could: what does not match is not told."""
    changed = applied(changes, order)
    demand = Demand.of_order(changed, now)
    return Relaxation(changes, changed, matcher.find(demand)[0].match(changed, demand))


def applied(changes: Changes, order: JobOrder) -> JobOrder:
    """Return the order with these changes, for one provider, without the signature of what was asked."""
    values = {change.field: change.value for change in changes}
    needs = {name: values.pop(name) for name in JobRequirements.model_fields if name in values}
    place = {name: values.pop(name) for name in Location.model_fields if name in values}
    if place and (old := order.requirements.location):
        kept = {name: None if name in place else getattr(old, name) for name in Location.model_fields}
        needs["location"] = Location(**kept) if any(kept.values()) else None
    requirements = JobRequirements(**{**dict(order.requirements), **needs})
    whole = {"signature": None, "min_quantity": None, "split": False}
    return JobOrder(**{**dict(order), **whole, **values, "requirements": requirements})


def _minimal(wanted: Iterable[Changes]) -> list[Changes]:
    """Leave out what goes at least as far as another one, in everything that the other one changes."""
    kept: list[Changes] = []
    for changes in sorted(wanted, key=len):
        if not any(_within(one, changes) for one in kept):
            kept = [one for one in kept if not _within(changes, one)] + [changes]
    return kept


def _within(less: Changes, more: Changes) -> bool:
    by_direction = {change.direction: change for change in more}
    return all(
        change.direction in by_direction and change.goes_no_further_than(by_direction[change.direction])
        for change in less
    )


def _by_size(listings: Sequence[Listing], order: JobOrder) -> list[tuple[Changes, Sequence[Listing]]]:
    """Return the sizes of the job to try, as changes to GPUs and hours, each with the offers to try it with.

    If the budget is limited, a smaller job may save it whatever offer it is for, so that every size goes with
    every offer: no change first, then the least. Else each offer goes with the size that it needs.
    """
    own: dict[Changes, list[Listing]] = {}
    for listing in listings:
        if listing.free:
            own.setdefault(_own_size(listing, order), []).append(listing)
    if order.max_budget is None:
        return list(own.items())
    gpus = {change for size in own for change in size if change.direction == "gpus"}
    hours = {change for size in own for change in size if change.direction != "gpus"}
    sizes = [(*some, *long) for some in ((), *((g,) for g in gpus)) for long in ((), *((h,) for h in hours))]
    nearest = sorted(sizes, key=lambda size: (len(size), [change.reach for change in size]))
    return [(size, listings) for size in nearest[:MOST_SIZES]]


def _own_size(listing: Listing, order: JobOrder) -> Changes:
    needs = order.requirements
    hours = min(max(needs.estimated_hours, listing.min_commitment_hours), listing.available_hours)
    gpus = min(needs.min_gpu_count, listing.free)
    return (
        *((_gpus(gpus, order),) if gpus < needs.min_gpu_count else ()),
        *((_hours(hours, order),) if hours != needs.estimated_hours else ()),
    )


def _for_the_sake_of(listing: Listing, order: JobOrder, demand: Demand) -> Changes | None:
    """Return what else must change, size and budget apart, for a listing to fit; None if nothing helps."""
    names = names_broken(listing, demand) - {"budget"}
    if not names <= _CHANGES.keys() or listing.free == 0:
        return None
    return tuple(_CHANGES[name](listing, order) for name in _CHANGES if name in names)


def _can_be_asked(size: Changes, price: int, order: JobOrder) -> bool:
    """Tell whether a job of this size keeps within what the contract can count: GPU-seconds, and its price.

    The price is that of an offer, or more if the price limit makes the budget.
    """
    values = {change.field: change.value for change in size}
    needs = order.requirements
    gpus = values.get("min_gpu_count", needs.min_gpu_count)
    hours = values.get("estimated_hours", needs.estimated_hours)
    dearest = max(price, needs.max_price_per_hour.base_units if order.max_budget is None else 0)
    return bool(gpus * hours * SECONDS_PER_HOUR <= MAX_UINT40 and dearest * gpus * hours <= MAX_UINT96)


def _with_budget(changes: Changes, order: JobOrder, by_price: Sequence[Listing], now: datetime) -> Changes:
    """Add the budget that the cheapest offer takes which fits the changed order."""
    if order.max_budget is None:  # it follows the price limit
        return changes
    changed = applied(changes, order)
    demand = Demand.of_order(changed, now)
    cheapest = next(o for o in by_price if names_broken(o, demand) <= {"budget"})
    total = demand.total_at(cheapest.price)
    if total <= demand.budget:
        return changes
    return (*changes, _budget(Amount(total, demand.token), changed.budget))


# ---------------------------------------------------------------------------- what each constraint asks for


def _price(listing: Listing, order: JobOrder) -> Change:
    limit, price = order.requirements.max_price_per_hour, listing.offer.price_per_hour
    text = f"raise the price limit to {price}"
    return Change("price", "max_price_per_hour", price, (price - limit).base_units, text)


def _budget(total: Amount, budget: Amount) -> Change:
    return Change("budget", "max_budget", total, (total - budget).base_units, f"raise the budget to {total}")


def _model(listing: Listing, order: JobOrder) -> Change:
    models = (*order.requirements.required_models, listing.model)
    text = f"accept {listing.model}"
    return Change("model", "required_models", models, frozenset({listing.model}), text)


def _vram(listing: Listing, order: JobOrder) -> Change:
    less = order.requirements.min_vram_gb - listing.vram_gb
    return Change("vram", "min_vram_gb", listing.vram_gb, less, f"accept {listing.vram_gb} GB of VRAM")


def _features(listing: Listing, order: JobOrder) -> Change:
    offered = features_from_bits(listing.features)
    needed = order.requirements.required_features
    kept = tuple(feature for feature in needed if feature in offered)
    dropped = [feature.name for feature in needed if feature not in offered]
    return Change("features", "required_features", kept, frozenset(dropped), f"drop {', '.join(dropped)}")


def _place(field: str) -> Callable[[Listing, JobOrder], Change]:
    def change(listing: Listing, order: JobOrder) -> Change:  # noqa: ARG001 - any place will do then
        return Change(field, field, None, frozenset({field}), f"accept any {field}")

    return change


def _hours(hours: int, order: JobOrder) -> Change:
    asked = order.requirements.estimated_hours
    direction = "longer" if hours > asked else "shorter"
    return Change(
        direction, "estimated_hours", hours, abs(hours - asked), f"run for {counted(hours, 'hour')}"
    )


def _gpus(gpus: int, order: JobOrder) -> Change:
    less = order.requirements.min_gpu_count - gpus
    return Change("gpus", "min_gpu_count", gpus, less, f"ask for {counted(gpus, 'GPU')}")


def _policy(listing: Listing, order: JobOrder) -> Change:  # noqa: ARG001
    return Change("policy", "policy_id", None, frozenset({"policy"}), "accept any policy")


def _named_offer(listing: Listing, order: JobOrder) -> Change:  # noqa: ARG001
    return Change("named offer", "offer_hash", None, frozenset({"named offer"}), "name no offer")


# What a buyer can give way in besides size and budget, in the order in which it is told. Not among them: the
# token, who trades with whom, and whether an offer stands.
_CHANGES: Mapping[str, Callable[[Listing, JobOrder], Change]] = {
    "price": _price,
    "model": _model,
    "vram": _vram,
    "features": _features,
    "country": _place("country"),
    "region": _place("region"),
    "policy": _policy,
    "named offer": _named_offer,
}
RELAXABLE = ("gpus", "hours", *_CHANGES, "budget")
