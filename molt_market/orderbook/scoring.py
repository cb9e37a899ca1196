"""How good a match is, in whole millionths.

Six parts, each a share of 0 to 1,000,000 millionths, rounded down. A part adds `weight * share // 1,000,000`,
and the score is the sum of what the parts add: whole numbers throughout, so the same figure everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

from molt_market.domain.gpus import Feature, features_from_bits
from molt_market.domain.ids import PartyId
from molt_market.domain.matches import MILLION, ScorePart
from molt_market.errors import InvalidValue
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing

FULL_BANDWIDTH_GB_PER_SECOND = 8_000  # of the fastest GPUs on the market; more than that counts no further
NEUTRAL_RELIABILITY = MILLION // 2

Reliability = Callable[[PartyId], int | None]
"""Says how reliable a provider was, in millionths; None while no outcome is known."""

Share = tuple[int, str]


@dataclass(frozen=True, slots=True)
class ScoreWeights:
    """How many millionths of the score each part is worth; together 1,000,000.

    `utilization` and `bandwidth` are advisory: no signature covers what a provider states there, so by
    default they are told and decide nothing. Who measures them himself may give them a weight.

    >>> ScoreWeights(price=700_000, reliability=0).model
    250000
    """

    price: int = 500_000
    model: int = 250_000
    utilization: int = 0
    bandwidth: int = 0
    features: int = 50_000
    reliability: int = 200_000

    def __post_init__(self) -> None:
        weights = astuple(self)
        if any(type(weight) is not int or weight < 0 for weight in weights) or sum(weights) != MILLION:
            raise InvalidValue(f"weights {weights}: give whole numbers from 0 that add up to {MILLION:,}")


class Scoring:
    """Scores by fixed weights; reliability comes from whoever counts outcomes, who may know its bounds."""

    def __init__(
        self,
        weights: ScoreWeights,
        reliability: Reliability,
        bounds: Callable[[], tuple[int, int]] = lambda: (0, MILLION),
    ) -> None:
        self.weights = weights
        self._reliability = reliability
        self._bounds = bounds

    def parts(self, listing: Listing, demand: Demand) -> tuple[ScorePart, ...]:
        weights = self.weights
        return (
            _part("price", weights.price, _price(listing.price, demand)),
            _part("model", weights.model, _model(listing.model, demand.preferred_models)),
            _part("utilization", weights.utilization, _utilization(listing)),
            _part("bandwidth", weights.bandwidth, _bandwidth(listing)),
            _part("features", weights.features, _features(listing.features, demand)),
            _part("reliability", weights.reliability, self._outcomes(listing)),
        )

    def at_most(self, price: int, model: str, features: int, demand: Demand) -> int:
        """Return the most that an offer of this model with these features scores at this price or above."""
        weights = self.weights
        known = (
            (weights.price, _price(price, demand)[0]),
            (weights.model, share_of_model(model, demand.preferred_models)),
            (weights.features, _features(features, demand)[0]),
        )
        others = weights.utilization + weights.bandwidth + self.by_reliability()[1]
        return others + sum(weight * millionths // MILLION for weight, millionths in known)

    def by_reliability(self) -> tuple[int, int]:
        """Return the least and the most that reliability adds to any score now."""
        least, most = self._bounds()
        weight = self.weights.reliability
        return weight * least // MILLION, weight * most // MILLION

    def reliability_of(self, provider: PartyId) -> int:
        """Return what a provider's reliability adds to a score now."""
        known = self._reliability(provider)
        return self.weights.reliability * (NEUTRAL_RELIABILITY if known is None else known) // MILLION

    def _outcomes(self, listing: Listing) -> Share:
        known = self._reliability(listing.provider)
        if known is None:
            return NEUTRAL_RELIABILITY, "no outcomes known yet"
        return known, f"{known // 10_000} % by past outcomes"


def _part(name: str, weight: int, share: Share) -> ScorePart:
    millionths, text = share
    return ScorePart(name, weight * millionths // MILLION, text)


def _price(price: int, demand: Demand) -> Share:
    saved = (demand.price_limit - price) * MILLION // demand.price_limit
    return saved, f"{saved // 10_000} % below the limit price"


def share_of_model(model: str, preferred: Sequence[str]) -> int:
    """Return the share of a model: of the first choice all, of what is not preferred nothing."""
    if not preferred:
        return MILLION
    if model not in preferred:
        return 0
    return (len(preferred) - preferred.index(model)) * MILLION // len(preferred)


def _model(model: str, preferred: Sequence[str]) -> Share:
    share = share_of_model(model, preferred)
    if not preferred:
        return share, "no model is preferred"
    return share, f"{model} is choice {preferred.index(model) + 1}" if share else f"{model} is not preferred"


def _utilization(listing: Listing) -> Share:
    busy = listing.offer.gpu_capacity.current_utilization
    if busy is None:
        return 0, "not stated"
    return (100 - busy) * (MILLION // 100), f"{busy} % busy, unsigned"


def _bandwidth(listing: Listing) -> Share:
    speed = listing.offer.gpu_capacity.memory_bandwidth
    if speed is None:
        return 0, "not stated"
    full = FULL_BANDWIDTH_GB_PER_SECOND
    return min(speed, full) * MILLION // full, f"{speed} GB/s, unsigned"


def _features(features: int, demand: Demand) -> Share:
    extra = features_from_bits(features & ~demand.features)
    text = f"also {', '.join(extra)}" if extra else "none beyond the required"
    return len(extra) * MILLION // len(Feature), text
