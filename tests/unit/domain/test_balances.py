from __future__ import annotations

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.balances import Balances


def test_total__is_wallet_and_escrow() -> None:
    assert Balances(Amount(3), Amount(4), Amount(2)).total == Amount(7)


@pytest.mark.parametrize(("escrow", "withdrawing", "staying"), [(4, 0, 4), (4, 3, 1), (4, 4, 0), (1, 4, 0)])
def test_staying__is_what_is_not_marked__and_deals_may_have_spent_of_that(
    escrow: int, withdrawing: int, staying: int
) -> None:
    assert Balances(Amount(9), Amount(escrow), Amount(withdrawing)).staying == Amount(staying)
