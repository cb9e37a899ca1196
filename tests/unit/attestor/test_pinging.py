"""When an attestor asks: at times that the one before does not tell, and never too far apart."""

from __future__ import annotations

from datetime import timedelta

from molt_market.attestor.pinging import WAITING, PingPlan

MINUTE = timedelta(minutes=1)


def test_intervals__are_within_what_counts_as_one_stretch() -> None:
    plan = PingPlan(MINUTE)
    drawn = [plan.draw() for _ in range(5_000)]
    assert timedelta() < min(drawn)
    assert max(drawn) <= plan.longest
    assert plan.longest + WAITING <= plan.longest_gap


def test_intervals__are_exponential__so_that_nobody_knows_when() -> None:
    """Whoever has waited half a mean without a ping waits on as long as one who has just been asked."""
    plan = PingPlan(MINUTE)
    drawn = [plan.draw() / MINUTE for _ in range(20_000)]
    at_once = sum(each > 0.5 for each in drawn) / len(drawn)
    longer = [each for each in drawn if each > 0.5]
    later = sum(each > 1 for each in longer) / len(longer)
    assert abs(at_once - 0.6065) < 0.03  # e^-0.5; twenty standard errors would be 0.07
    assert abs(later - at_once) < 0.04
    assert len(set(drawn)) > 15_000
