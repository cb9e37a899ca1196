"""How much gas is paid for whom, and when a budget is whole again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.ids import Address
from molt_market.errors import InvalidValue
from molt_market.payments.gas import GasBudget, GasPolicy

SIX = Token("SIX", 6)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_allowance__grows_with_what_is_held__rounded_down() -> None:
    gas = GasPolicy(wei_per_token=3)
    assert [gas.allowance(Amount(units, SIX)) for units in (0, 333_333, 333_334, 10**6)] == [0, 0, 1, 3]
    assert gas.allowance(Amount.from_molt(2)) == 6


def test_allowance__ends_at_the_most() -> None:
    gas = GasPolicy(wei_per_token=3, most=10)
    assert [gas.allowance(SIX.amount(tokens)) for tokens in (3, 4)] == [9, 10]


def test_period__begins_at_midnight_by_default() -> None:
    gas = GasPolicy(wei_per_token=1)
    midnight = datetime(2026, 1, 2, tzinfo=UTC)
    assert gas.renews_at(NOON) == midnight
    assert gas.period_of(midnight - timedelta(seconds=1)) == gas.period_of(NOON)
    assert gas.period_of(midnight) == gas.period_of(NOON) + 1


def test_budget__used_up__has_nothing_left() -> None:
    left = [GasBudget(Address.of(1), 10, used, NOON).left for used in (0, 9, 10, 11)]
    assert left == [10, 1, 0, 0]


@pytest.mark.parametrize(
    ("wei", "most", "period"),
    [
        (-1, None, timedelta(days=1)),
        (1, -1, timedelta(days=1)),
        (1, 1, timedelta(0)),
        (1, 1, timedelta(seconds=1.5)),
    ],
)
def test_policy__that_is_none__is_refused(wei: int, most: int | None, period: timedelta) -> None:
    with pytest.raises(InvalidValue):
        GasPolicy(wei, most, period)
