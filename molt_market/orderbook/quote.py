"""What an order would get now, and what it would cost; nothing is held or changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import Hash32
from molt_market.domain.matches import OrderMatch
from molt_market.domain.orders import JobOrder
from molt_market.domain.settlement import bond
from molt_market.errors import MarketError
from molt_market.orderbook.fills import Fill, Open

BondBps = Callable[[Hash32], int]
"""Says what share of the price a policy makes the provider stake, in basis points. Raises PolicyNotFound."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What the book would do with an order now.

    `fill` is what `execute` would hold, None if that is nothing; then `obstacle` says why. `offers` is how
    many fit all that is open of it; `least_cost` to `most_cost` is the range of what these and the fill cost.
    `missing_gpus` are left open by the fill. `dispute_reserve` is the most that the buyer may have to stake,
    on top of the price, to dispute the fill's deals: the providers' bonds; None while a policy is unknown.
    """

    order: JobOrder
    fill: Fill | None
    obstacle: MarketError | None
    offers: int
    least_cost: Amount | None
    most_cost: Amount | None
    missing_gpus: int
    dispute_reserve: Amount | None


def quote(
    rest: Open, filled: Fill | MarketError, matches: Sequence[OrderMatch], bond_bps: BondBps | None
) -> Quote:
    """Put together what a fill, or the obstacle to one, and the matches of all that is open come to."""
    fill = filled if isinstance(filled, Fill) else None
    costs = [match.total_cost.base_units for match in matches]
    if fill is not None:
        costs.append(fill.total_cost.base_units)
    token = rest.demand.token
    return Quote(
        order=rest.order,
        fill=fill,
        obstacle=filled if isinstance(filled, MarketError) else None,
        offers=len(matches),
        least_cost=Amount(min(costs), token) if costs else None,
        most_cost=Amount(max(costs), token) if costs else None,
        missing_gpus=rest.demand.gpu_count - (fill.gpu_count if fill else 0),
        dispute_reserve=_bonds(fill.matches, bond_bps) if fill and bond_bps else None,
    )


def _bonds(matches: Sequence[OrderMatch], bond_bps: BondBps) -> Amount | None:
    """Add up what the buyer stakes if he contests all of every deal: as much as its provider's bond."""
    total = Amount.zero(matches[0].total_cost.token)
    for match in matches:
        policy = match.offer.policy_id or match.order.policy_id
        if policy is None:
            return None
        try:
            share = bond_bps(policy)
        except MarketError:
            return None
        total += Amount(bond(match.total_cost.base_units, share), total.token)
    return total
