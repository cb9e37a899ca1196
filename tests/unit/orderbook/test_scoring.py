"""Each part of a score, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.gpus import Feature
from molt_market.domain.ids import PartyId
from molt_market.domain.matches import ScorePart
from molt_market.errors import InvalidValue
from molt_market.orderbook import OrderBook, ScoreWeights
from molt_market.testing import ManualClock
from tests.factories import NOON, PROVIDER, make_offer, make_order

NAMES = ("price", "model", "utilization", "bandwidth", "features", "reliability")


def part(name: str, offered: dict[str, Any] | None = None, **asked: Any) -> ScorePart:
    """Score one offer by one part alone."""
    weights = ScoreWeights(**{each: 1_000_000 if each == name else 0 for each in NAMES})
    book = OrderBook(ManualClock(NOON), weights=weights)
    book.add_offer(make_offer(**offered or {}))
    [match] = book.match_order(make_order(**asked))
    assert tuple(reason.name for reason in match.reasons) == NAMES
    [found] = [reason for reason in match.reasons if reason.name == name]
    assert match.score_millionths == found.millionths
    return found


@pytest.mark.parametrize(
    ("price", "limit", "millionths"), [(10, 10, 0), (10, 15, 333_333), (1, 4, 750_000), (1, 3, 666_666)]
)
def test_price__share_saved_of_the_limit(price: int, limit: int, millionths: int) -> None:
    offered = {"price_per_hour": Amount.from_molt(price)}
    assert part("price", offered, max_price_per_hour=Amount.from_molt(limit)).millionths == millionths


@pytest.mark.parametrize(
    ("preferred", "millionths", "text"),
    [
        ([], 1_000_000, "no model is preferred"),
        (["H100"], 1_000_000, "H100 is choice 1"),
        (["H200", "H100"], 500_000, "H100 is choice 2"),
        (["H200", "A100", "H100"], 333_333, "H100 is choice 3"),
        (["A100"], 0, "H100 is not preferred"),
    ],
)
def test_model__rank_among_the_preferred(preferred: list[str], millionths: int, text: str) -> None:
    assert part("model", preferred_models=preferred) == ScorePart("model", millionths, text)


@pytest.mark.parametrize(
    ("busy", "millionths", "text"),
    [(None, 0, "not stated"), (0, 1_000_000, "0 % busy, unsigned"), (67, 330_000, "67 % busy, unsigned")],
)
def test_utilization__share_that_is_idle(busy: int | None, millionths: int, text: str) -> None:
    found = part("utilization", {"current_utilization": busy})
    assert found == ScorePart("utilization", millionths, text)


@pytest.mark.parametrize(
    ("speed", "millionths"), [(None, 0), (0, 0), (3_350, 418_750), (8_000, 1_000_000), (9_000, 1_000_000)]
)
def test_bandwidth__share_of_8000(speed: int | None, millionths: int) -> None:
    assert part("bandwidth", {"memory_bandwidth": speed}).millionths == millionths


def test_features__those_beyond_the_required() -> None:
    offered = {"features": [Feature.NVLINK, Feature.FP8, Feature.INFINIBAND]}
    found = part("features", offered, required_features=[Feature.NVLINK])
    assert found == ScorePart("features", 400_000, "also infiniband, fp8")
    assert part("features", {}).text == "none beyond the required"


def test_reliability__unknown__is_neutral() -> None:
    assert part("reliability") == ScorePart("reliability", 500_000, "no outcomes known yet")


def test_reliability__known__counts() -> None:
    asked: list[PartyId] = []

    def outcomes(provider_id: PartyId) -> int | None:
        asked.append(provider_id)
        return 900_000

    book = OrderBook(ManualClock(NOON), reliability=outcomes)
    book.add_offer(make_offer())
    [match] = book.match_order(make_order())
    assert match.reasons[-1] == ScorePart("reliability", 180_000, "90 % by past outcomes")
    assert asked == [PROVIDER]


def test_weights__each_part_is_rounded_down_by_itself() -> None:
    book = OrderBook(
        ManualClock(NOON), weights=ScoreWeights(500_001, 199_999, 50_000, 50_000, 50_000, 150_000)
    )
    book.add_offer(make_offer())
    [match] = book.match_order(make_order())
    assert match.reasons[0].millionths == 500_001 * 333_333 // 1_000_000
    assert match.score_millionths == 166_666 + 199_999 + 0 + 0 + 0 + 75_000


def test_weights__default__what_nobody_signed_is_told_and_decides_nothing() -> None:
    boasting = {"current_utilization": 0, "memory_bandwidth": 8_000}
    book = OrderBook(ManualClock(NOON))
    book.add_offer(make_offer(id="plain"))
    book.add_offer(make_offer(id="boasting", slot=1, **boasting))
    first, second = book.match_order(make_order())
    assert first.score_millionths == second.score_millionths
    [told] = [match.reasons for match in (first, second) if match.offer_id == "boasting"]
    assert [(part.millionths, part.text) for part in told if part.name in {"utilization", "bandwidth"}] == [
        (0, "0 % busy, unsigned"),
        (0, "8000 GB/s, unsigned"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"price": 500_001},
        {"price": 750_001, "model": -1},
        {"price": 499_999.5, "model": 250_000.5},
        {"price": True, "model": 749_999},
    ],
)
def test_weights__not_whole_or_not_adding_up__raises_invalid_value(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue, match="add up to 1,000,000"):
        ScoreWeights(**wrong)
