"""What the endings bring, in round figures; that they are the contract's, tests/parity/test_endings.py says.

4 GPUs for 8 hours at 10 MOLT: 320 MOLT, a fee of 1 %, a bond of 32, whole again 15 minutes before the end.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.endings import (
    quote_default,
    quote_dispute,
    quote_ruling,
    quote_split,
    quote_unattested_claim,
)
from molt_market.domain.settlement import SettlementQuote, gpu_seconds
from molt_market.errors import InvalidStateTransition
from molt_market.refusals import (
    AboveElapsed,
    CounterOutOfRange,
    NotAbovePaid,
    RulingOutOfRange,
    SplitOutOfRange,
)
from tests.factories import make_escrow

ALL = 4 * 8 * 3_600


def hours(value: str | int) -> int:
    return gpu_seconds(value, 4)


def molt(value: str | int) -> Amount:
    return Amount.from_molt(value)


def claimed(**overrides: Any) -> EscrowAccount:
    fields = {"status": DealStatus.CLAIMED, "claimed_gpu_seconds": hours("7.5"), "attested": True}
    return make_escrow(**{**fields, **overrides})


def disputed(*, attested: bool = True, **overrides: Any) -> EscrowAccount:
    """Make a dispute: 7.5 hours claimed, 4 of them not contested."""
    fields = {
        "status": DealStatus.DISPUTED,
        "claimed_gpu_seconds": hours("7.5"),
        "paid_gpu_seconds": hours(4),
        "attested": attested,
    }
    return make_escrow(**{**fields, **overrides})


def all_of(quote: SettlementQuote) -> Amount:
    price = quote.provider_payment + quote.platform_fee + quote.buyer_refund
    return price + quote.bond_to_provider + quote.bond_to_buyer + quote.arbiter_share


# ---------------------------------------------------------------- a dispute opens


def test_dispute__pays_the_counter__and_the_stake_is_the_bond_of_the_rest() -> None:
    quote = quote_dispute(claimed(), hours(4))
    assert (quote.to_provider, quote.platform_fee) == (molt("158.4") + molt(16), molt("1.6"))
    assert quote.to_buyer == molt(20) + molt(2)  # half an hour was not claimed, nor its bond
    assert (quote.stake, quote.pot) == (molt(14), molt(28))


def test_dispute__after_vouchers__pays_what_is_new() -> None:
    quote = quote_dispute(claimed(paid_gpu_seconds=hours(3)), hours(4))
    assert (quote.to_provider, quote.platform_fee) == (molt("39.6") + molt(16), molt("0.4"))


def test_dispute__excused__spares_the_bond_of_what_is_not_claimed() -> None:
    quote = quote_dispute(claimed(excused=True), hours(4))
    assert (quote.to_buyer, quote.to_provider) == (molt(20), molt("158.4") + molt(16) + molt(2))


@pytest.mark.parametrize(("counter", "bound"), [("2.9", "3"), ("7.5", "7.5"), ("8", "7.5")])
def test_dispute__out_of_range__is_refused(counter: str, bound: str) -> None:
    with pytest.raises(CounterOutOfRange) as caught:
        quote_dispute(claimed(paid_gpu_seconds=hours(3)), hours(counter))
    assert caught.value.limit == hours(bound) - (bound == "7.5")


@pytest.mark.parametrize("status", set(DealStatus) - {DealStatus.CLAIMED})
def test_dispute__nothing_is_claimed__is_refused(status: DealStatus) -> None:
    with pytest.raises(InvalidStateTransition) as caught:
        quote_dispute(make_escrow(status=status), 0)
    assert (caught.value.from_, caught.value.to) == (status.name, "DISPUTED")


def test_unattested_claim__stakes_the_providers_bond_alone() -> None:
    quote = quote_unattested_claim(make_escrow(paid_gpu_seconds=hours(2)), hours("7.5"))
    assert (quote.to_provider, quote.platform_fee) == (molt(8), molt(0))  # the earned bond only
    assert quote.to_buyer == molt(20) + molt(2)
    assert (quote.stake, quote.pot) == (molt(0), molt(22))


def test_unattested_claim__out_of_range__is_refused() -> None:
    with pytest.raises(NotAbovePaid):
        quote_unattested_claim(make_escrow(paid_gpu_seconds=hours(2)), hours(2))
    with pytest.raises(AboveElapsed):
        quote_unattested_claim(make_escrow(), ALL + 1)
    with pytest.raises(InvalidStateTransition):
        quote_unattested_claim(claimed(), ALL)


# ---------------------------------------------------------------- it closes


@pytest.mark.parametrize(
    ("figure", "payment", "to_provider", "to_buyer"),
    [("4", "158.4", "16", "30"), ("6", "237.6", "32", "14"), ("7.5", "297", "44", "2")],
)
def test_ruling__stakes_follow_the_bond_of_the_figure(
    figure: str, payment: str, to_provider: str, to_buyer: str
) -> None:
    quote = quote_ruling(disputed(), hours(figure))
    assert quote.provider_payment == molt(payment)
    assert (quote.bond_to_provider, quote.bond_to_buyer) == (molt(to_provider), molt(to_buyer))
    assert (quote.stake, quote.arbiter_share) == (molt(14), molt(0))


def test_ruling__the_arbiters_share_comes_off_the_stakes() -> None:
    quote = quote_ruling(disputed(), hours(6), arbiter_share_bps=500)
    assert quote.arbiter_share == molt("1.4")
    assert (quote.bond_to_provider, quote.bond_to_buyer) == (molt("31.2"), molt("13.4"))


def test_ruling__unattested__splits_the_providers_stake() -> None:
    quote = quote_ruling(disputed(attested=False), hours(6))
    assert (quote.bond_to_provider, quote.bond_to_buyer, quote.stake) == (molt(24), molt(8), molt(0))


def test_ruling__where_nothing_is_at_stake__moves_the_price_only() -> None:
    quote = quote_ruling(disputed(bond_bps=0), hours(6))
    assert (quote.bond_to_provider, quote.bond_to_buyer) == (molt(0), molt(0))


@pytest.mark.parametrize(("figure", "bound"), [("3.9", "4"), ("7.6", "7.5")])
def test_ruling__out_of_bounds__is_refused(figure: str, bound: str) -> None:
    with pytest.raises(RulingOutOfRange) as caught:
        quote_ruling(disputed(), hours(figure))
    assert caught.value.limit == hours(bound)


@pytest.mark.parametrize("status", [DealStatus.LOCKED, DealStatus.CLAIMED])
def test_split__gives_the_whole_bond_back(status: DealStatus) -> None:
    quote = quote_split(make_escrow(status=status), hours(2))
    assert (quote.provider_payment, quote.buyer_refund) == (molt("79.2"), molt(240))
    assert (quote.bond_to_provider, quote.bond_to_buyer) == (molt(32), molt(0))


@pytest.mark.parametrize(("attested", "stake"), [(True, 14), (False, 0)])
def test_split__of_a_dispute__gives_each_his_stake(*, attested: bool, stake: int) -> None:
    quote = quote_split(disputed(attested=attested), hours(6))
    assert (quote.bond_to_provider, quote.bond_to_buyer) == (molt(30), molt(2) + molt(stake))
    assert quote.stake == molt(stake)


def test_split__out_of_range__is_refused() -> None:
    for escrow, figure, bound in (
        (make_escrow(paid_gpu_seconds=hours(3)), hours(2), hours(3)),
        (make_escrow(), ALL + 1, ALL),
        (disputed(), hours(3), hours(4)),
        (disputed(), hours(8), hours("7.5")),
    ):
        with pytest.raises(SplitOutOfRange) as caught:
            quote_split(escrow, figure)
        assert caught.value.limit == bound


@pytest.mark.parametrize("status", [DealStatus.NONE, DealStatus.RELEASED, DealStatus.REFUNDED])
def test_closed__has_no_ending_any_more(status: DealStatus) -> None:
    with pytest.raises(InvalidStateTransition):
        quote_split(make_escrow(status=status), 0)
    with pytest.raises(InvalidStateTransition):
        quote_default(make_escrow(status=status))


def test_default__of_each_status() -> None:
    running = make_escrow(paid_gpu_seconds=hours(2))
    assert quote_default(running).gpu_seconds == hours(2)
    assert quote_default(claimed()).gpu_seconds == hours("7.5")
    assert quote_default(disputed()) == quote_ruling(disputed(), hours("7.5"))
    fallen = disputed(attested=False)
    assert quote_default(fallen) == quote_ruling(fallen, hours(4))


# ---------------------------------------------------------------- whatever happens

UNITS = st.lists(st.integers(0, ALL), min_size=3, max_size=3, unique=True).map(sorted)
BPS = st.integers(0, 5_000)


@given(units=UNITS, bond_bps=BPS, share=BPS, attested=st.booleans(), excused=st.booleans())
def test_every_unit__goes_somewhere(
    *, units: list[int], bond_bps: int, share: int, attested: bool, excused: bool
) -> None:
    counter, figure, claim = units
    escrow = disputed(
        bond_bps=bond_bps,
        paid_gpu_seconds=counter,
        claimed_gpu_seconds=claim,
        attested=attested,
        excused=excused,
    )
    for quote in (
        quote_ruling(escrow, figure, arbiter_share_bps=share),
        quote_split(escrow, figure),
        quote_default(escrow),
    ):
        assert all_of(quote) == escrow.amount + escrow.bond + quote.stake


@given(units=UNITS, bond_bps=BPS, share=BPS)
def test_ruling__more_hours_never_bring_less(units: list[int], bond_bps: int, share: int) -> None:
    counter, figure, claim = units
    escrow = disputed(bond_bps=bond_bps, paid_gpu_seconds=counter, claimed_gpu_seconds=claim)
    quotes = [quote_ruling(escrow, at, arbiter_share_bps=share) for at in (counter, figure, claim)]
    got = [quote.provider_payment + quote.bond_to_provider for quote in quotes]
    assert got == sorted(got)
