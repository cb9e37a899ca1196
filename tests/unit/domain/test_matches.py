from __future__ import annotations

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.matches import ScorePart
from tests.factories import make_match, make_offer, make_order


def test_match__carries_the_references_figures() -> None:
    match = make_match(offer=make_offer(price_per_hour=Amount.from_molt(10)), order=make_order())
    assert (match.gpu_count, match.hours) == (4, 8)
    assert match.total_cost == Amount.from_molt(10 * 4 * 8)
    assert (match.offer_id, match.order_id) == (match.offer.id, match.order.id)


@pytest.mark.parametrize(("millionths", "score"), [(0, 0.0), (250_000, 0.25), (1_000_000, 1.0)])
def test_score__is_the_millionths_for_display(millionths: int, score: float) -> None:
    assert make_match(score_millionths=millionths).score == score


def test_match__is_an_immutable_hashable_value() -> None:
    reasons = (ScorePart("price", 500_000, "a third below the limit"),)
    assert make_match(reasons=reasons) == make_match(reasons=reasons)
    assert len({make_match(), make_match()}) == 1
    with pytest.raises(AttributeError):
        make_match().gpu_count = 1  # type: ignore[misc]
