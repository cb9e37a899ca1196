"""What fits a demand, the best first; and if nothing does, what stands in the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from molt_market.domain.amounts import Amount
from molt_market.errors import InsufficientCapacity, MarketError, NoMatchingOffers, PriceExceedsBudget
from molt_market.orderbook.constraints import Kind, broken
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.index import OfferIndex, ranking
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.ranked import Ranked
from molt_market.orderbook.scoring import Scoring
from molt_market.orderbook.surplus import Outcome, Refused


class Matcher:
    """Looks a demand up in an index and ranks what fits."""

    def __init__(self, index: OfferIndex, scoring: Scoring) -> None:
        self._index = index
        self._scoring = scoring

    def find(self, demand: Demand) -> Sequence[Ranked]:
        """Return all that fits, the best first."""
        return self._index.find(demand, self._scoring)

    def best(self, demand: Demand, limit: int) -> Sequence[Ranked]:
        """Return the first `limit` of what `find` returns, without looking at all that fits."""
        return self._index.best(demand, self._scoring, limit)

    def match_round(self, demands: Sequence[Demand]) -> list[Ranked | None]:
        """Let demands in turn each take all its GPUs from the best offer that fits what is left by then."""
        listings = self._index.match_round(demands, self._scoring)
        return [
            None if listing is None else self.ranked(listing, demand)
            for listing, demand in zip(listings, demands, strict=True)
        ]

    def prepare_for_surplus(self) -> None:
        """Get ready for `most_surplus`. Raises InvalidValue if the index cannot do that."""
        self._index.prepare_for_surplus()

    def most_surplus(self, demands: Sequence[Demand], refused: Refused, *, share_slots: bool) -> Outcome:
        """Assign offers to demands in one token for the most surplus."""
        return self._index.most_surplus(demands, refused, share_slots=share_slots)

    def ranked(self, listing: Listing, demand: Demand) -> Ranked:
        return Ranked.of(listing, demand, self._scoring)

    def rank(self, listings: Iterable[Listing], demand: Demand) -> list[Ranked]:
        """Sort listings, none above the price limit, the best first."""
        return ranking(listings, demand, self._scoring)

    def near(self, demand: Demand) -> list[Listing]:
        """Return what has free GPUs and meets all but money and the GPU count."""
        found = self._index.candidates_at_any_price(demand)
        return [o for o in found if o.free and Kind.NEEDS not in broken(o, demand)]

    def obstacle(self, demand: Demand) -> MarketError | None:
        """Say why nothing fits; None if there are several reasons."""
        return obstacle(self._index.candidates_at_any_price(demand), demand)


def obstacle(listings: Iterable[Listing], demand: Demand) -> MarketError | None:
    """Say what alone keeps listings that do not fit from fitting: money, or GPUs; None if both do."""
    near = [(o, kinds) for o in listings if Kind.NEEDS not in (kinds := broken(o, demand))]
    if not near:
        return nothing_fits()
    dear = [o for o, kinds in near if kinds == {Kind.MONEY}]
    small = [o for o, kinds in near if kinds == {Kind.GPUS}]
    if dear and not small:
        cheapest = min(demand.total_at(o.price) for o in dear)
        return PriceExceedsBudget(Amount(cheapest, demand.token), Amount(demand.spendable, demand.token))
    if small and not dear:
        return InsufficientCapacity(demand.gpu_count, max(o.free for o in small))
    return None


def nothing_fits() -> NoMatchingOffers:
    return NoMatchingOffers(
        "no active offer meets the order, price and GPU count apart: ask for less, or wait for providers"
    )
