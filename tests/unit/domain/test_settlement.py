from __future__ import annotations

import pickle
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.ids import DisputeId
from molt_market.domain.proofs import Attestation, Confirmation, ExecutionProof
from molt_market.domain.settlement import (
    JobSettlementInput,
    Owed,
    SettlementResult,
    SettlementStatus,
    bond,
    bond_earned,
    due,
    gpu_seconds,
    held,
    owed,
    price,
    quote_settlement,
)
from molt_market.domain.terms import Terms
from molt_market.errors import InexactAmount, InvalidValue, ProofMismatch
from tests.factories import AGENT, DEAL_ID, NOON, VOUCHER_SIGNER, make_escrow, make_terms

SIGNATURE = "0x" + "51" * 65

bps = st.integers(0, 10_000)


@st.composite
def terms_of_deals(draw: st.DrawFn) -> Terms:
    gpus = draw(st.integers(1, 1_000) | st.integers(1, 34_000))
    hours = draw(st.integers(1, 8_760))
    units = draw(st.integers(1, 10**4) | st.integers(1, 2**95))
    return make_terms(price_per_gpu_hour=units, gpu_count=gpus, duration=hours * 3_600)


@st.composite
def deals(draw: st.DrawFn) -> tuple[EscrowAccount, int]:
    """Make a deal, stopped or not, and GPU-seconds that it may close at."""
    terms = draw(terms_of_deals())
    run = draw(st.just(terms.duration) | st.integers(60, terms.duration))
    paid, units = sorted(draw(st.tuples(*[st.integers(0, terms.gpu_seconds)] * 2)))
    deal = make_escrow(
        terms=terms,
        fee_bps=draw(st.integers(0, 300)),
        bond_bps=draw(st.integers(0, 5_000)),
        notice_minutes=draw(st.integers(1, 255)),
        ends_at=NOON + timedelta(seconds=run),
        paid_gpu_seconds=paid,
        excused=draw(st.booleans()),
    )
    return deal, units


@given(terms_of_deals(), st.data())
def test_due__is_the_floor_of_the_exact_price(terms: Terms, data: st.DataObject) -> None:
    units = data.draw(st.integers(0, terms.gpu_seconds))
    assert due(terms, units) == floor(Fraction(units * terms.price_per_gpu_hour, 3_600))


@given(terms_of_deals())
def test_price__of_whole_hours__has_no_rounding(terms: Terms) -> None:
    """`open` takes price x GPUs x hours, the closing the due of the allocation: they are one figure."""
    assert price(terms) == terms.price_per_gpu_hour * terms.gpu_count * (terms.duration // 3_600)


@given(st.integers(0, 2**96), bps)
def test_bond__is_the_floor_of_its_share(price_: int, bond_bps: int) -> None:
    assert bond(price_, bond_bps) == floor(Fraction(price_ * bond_bps, 10_000))


@given(terms_of_deals(), bps, st.data())
def test_owed__split_in_any_way__adds_up_to_the_whole(
    terms: Terms, fee_bps: int, data: st.DataObject
) -> None:
    """Splitting a release changes nothing: neither the provider's money nor the fee."""
    steps = sorted(data.draw(st.lists(st.integers(0, terms.gpu_seconds), min_size=1, max_size=8)))
    parts = [
        owed(terms, now_paid, paid=paid, fee_bps=fee_bps)
        for paid, now_paid in zip([0, *steps], steps, strict=False)
    ]
    whole = owed(terms, steps[-1], paid=0, fee_bps=fee_bps)
    assert Owed(sum(part.to_provider for part in parts), sum(part.fee for part in parts)) == whole


@given(terms_of_deals(), bps, st.data())
def test_owed__is_never_negative_and_never_above_what_is_due(
    terms: Terms, fee_bps: int, data: st.DataObject
) -> None:
    paid, units = sorted(data.draw(st.tuples(*[st.integers(0, terms.gpu_seconds)] * 2)))
    part = owed(terms, units, paid=paid, fee_bps=fee_bps)
    assert part.to_provider >= 0
    assert part.fee >= 0
    assert part.to_provider + part.fee == due(terms, units) - due(terms, paid)


@given(terms_of_deals(), bps, st.data())
def test_fee__is_the_floor_of_its_share_of_the_cumulative_due(
    terms: Terms, fee_bps: int, data: st.DataObject
) -> None:
    units = data.draw(st.integers(0, terms.gpu_seconds))
    assert owed(terms, units, paid=0, fee_bps=fee_bps).fee == floor(
        Fraction(due(terms, units) * fee_bps, 10_000)
    )


@given(terms_of_deals(), st.integers(0, 5_000), st.integers(1, 255), st.data())
def test_bond_earned__grows_with_delivery_from_nothing_to_all(
    terms: Terms, bond_bps: int, notice: int, data: st.DataObject
) -> None:
    run = data.draw(st.integers(60, terms.duration))
    few, many = sorted(data.draw(st.tuples(*[st.integers(0, terms.gpu_count * run)] * 2)))

    def earned(units: int) -> int:
        return bond_earned(terms, units, bond_bps=bond_bps, run_seconds=run, notice_minutes=notice)

    whole = bond(price(terms), bond_bps)
    assert 0 == earned(0) <= earned(few) <= earned(many) <= earned(terms.gpu_count * run) == whole


def test_bond_earned__is_linear_until_one_notice_before_the_end() -> None:
    terms = make_terms(gpu_count=2, duration=10 * 3_600)
    whole = bond(price(terms), 1_000)
    deliverable, tolerated = 2 * 36_000, 2 * 15 * 60

    def earned(units: int) -> int:
        return bond_earned(terms, units, bond_bps=1_000, run_seconds=36_000, notice_minutes=15)

    assert earned(deliverable // 2) == whole // 2
    assert earned(deliverable - tolerated) == whole
    assert earned(deliverable - tolerated - 1) == whole * (deliverable - tolerated - 1) // deliverable


def test_bond_earned__of_nothing__is_nothing_however_long_the_notice() -> None:
    terms = make_terms(duration=3_600)
    assert bond_earned(terms, 0, bond_bps=1_000, run_seconds=60, notice_minutes=255) == 0


@given(deals())
def test_quote__sends_all_that_was_locked_somewhere(deal: tuple[EscrowAccount, int]) -> None:
    """Provider + fee + refund = locked, and the bond likewise."""
    escrow, units = deal
    quote = quote_settlement(escrow, units)
    assert quote.provider_payment + quote.platform_fee + quote.buyer_refund == escrow.amount
    assert quote.bond_to_provider + quote.bond_to_buyer == escrow.bond


@given(deals())
def test_quote__gives_the_dust_to_the_buyer(deal: tuple[EscrowAccount, int]) -> None:
    """He gets at least the exact price of what was not delivered, and less than one base unit more."""
    escrow, units = deal
    exact = Fraction((escrow.terms.gpu_seconds - units) * escrow.terms.price_per_gpu_hour, 3_600)
    assert exact <= quote_settlement(escrow, units).buyer_refund.base_units < exact + 1


@given(deals(), st.data())
def test_quote__of_more_delivery__never_lowers_what_the_provider_gets(
    deal: tuple[EscrowAccount, int], data: st.DataObject
) -> None:
    escrow, units = deal
    more = data.draw(st.integers(units, escrow.terms.gpu_seconds))
    low, high = quote_settlement(escrow, units), quote_settlement(escrow, more)
    assert low.provider_payment <= high.provider_payment
    assert low.platform_fee <= high.platform_fee
    assert low.bond_to_provider <= high.bond_to_provider
    assert low.buyer_refund >= high.buyer_refund


@given(deals())
def test_quote__is_what_was_paid_before_and_what_the_close_sends(deal: tuple[EscrowAccount, int]) -> None:
    """The contract's close: owed from `paid` on, the bond earned, the rest of `held` to the buyer."""
    escrow, units = deal
    terms, paid = escrow.terms, escrow.paid_gpu_seconds
    quote = quote_settlement(escrow, units)
    before = owed(terms, paid, paid=0, fee_bps=escrow.fee_bps)
    close = owed(terms, units, paid=paid, fee_bps=escrow.fee_bps)
    to_provider = close.to_provider + quote.bond_to_provider.base_units
    to_buyer = held(terms, paid=paid, bond_bps=escrow.bond_bps) - to_provider - close.fee
    assert quote.provider_payment.base_units == before.to_provider + close.to_provider
    assert quote.platform_fee.base_units == before.fee + close.fee
    assert quote.buyer_refund.base_units + quote.bond_to_buyer.base_units == to_buyer


@given(deals())
def test_quote__of_a_completed_or_excused_deal__returns_the_whole_bond(
    deal: tuple[EscrowAccount, int],
) -> None:
    escrow, units = deal
    assert quote_settlement(escrow, units, completed=True).bond_to_provider == escrow.bond
    excused = escrow.model_copy(update={"excused": True})
    assert quote_settlement(excused, units).bond_to_buyer == Amount.zero()


def test_quote__of_the_references_example__in_figures() -> None:
    """23.5 of 24 hours on 8 GPUs at 10 MOLT, 1 % fee, 10 % bond; more is missing than the notice."""
    escrow = make_escrow(terms=make_terms(gpu_count=8, duration=24 * 3_600))
    quote = quote_settlement(escrow, gpu_seconds("23.5", 8))
    assert str(quote.provider_payment) == "1861.2 MOLT"
    assert str(quote.platform_fee) == "18.8 MOLT"
    assert str(quote.buyer_refund) == "40 MOLT"
    assert str(quote.bond_to_provider) == "188 MOLT"
    assert str(quote.bond_to_buyer) == "4 MOLT"


def test_quote__of_nothing_delivered__gives_the_buyer_price_and_bond() -> None:
    quote = quote_settlement(make_escrow(), 0)
    assert (quote.provider_payment, quote.platform_fee, quote.bond_to_provider) == (Amount.zero(),) * 3
    assert (str(quote.buyer_refund), str(quote.bond_to_buyer)) == ("320 MOLT", "32 MOLT")


def test_quote__is_in_the_deals_token() -> None:
    usdc = Token("USDC", 6)
    terms = make_terms(price_per_gpu_hour=2_500_000)
    escrow = make_escrow(terms=terms, amount=Amount(price(terms), usdc))
    assert quote_settlement(escrow, terms.gpu_seconds).platform_fee == usdc.amount("0.8")


@pytest.mark.parametrize("units", [-1, 99, 4 * 28_800 + 1])
def test_quote__below_what_is_paid_or_above_the_allocation__is_refused(units: int) -> None:
    with pytest.raises(InvalidValue, match="100 are paid, 115200 are allocated"):
        quote_settlement(make_escrow(paid_gpu_seconds=100), units)


@pytest.mark.parametrize(
    ("hours", "units"),
    [
        ("23.5", 676_800),
        (Decimal("23.5"), 676_800),
        (24, 691_200),
        (0, 0),
        ("0.0002777777777777777777777777777777777", 0),  # a breath below one second
        ("0.00027777777777777777777777777777777778", 8),
        ("0.9999999999999999999999999999999999999999999", 8 * 3_599),
        ("1e-1", 8 * 360),
    ],
)
def test_gpu_seconds__of_hours__floors_to_seconds_first(hours: Any, units: int) -> None:
    assert gpu_seconds(hours, 8) == units


@given(st.fractions(0, 8_760), st.integers(1, 1_000))
def test_gpu_seconds__of_any_decimal__are_whole_seconds_of_every_gpu(hours: Fraction, gpus: int) -> None:
    written = Decimal(hours.numerator * 10**12 // hours.denominator).scaleb(-12)
    assert gpu_seconds(written, gpus) == floor(Fraction(written) * 3_600) * gpus


@pytest.mark.parametrize("hours", [23.5, True, None])
def test_gpu_seconds__of_what_is_not_exact__says_how_to_write_it(hours: Any) -> None:
    with pytest.raises(InexactAmount, match=r'Decimal\("23\.5"\)'):
        gpu_seconds(hours, 8)


@pytest.mark.parametrize(
    "hours", [-1, 8_761, "", "nan", "inf", "ten", "1e-999999", "0e999999999", "0." + "1" * 101, "9" * 5_000]
)
def test_gpu_seconds__of_no_number_of_hours__is_refused(hours: Any) -> None:
    with pytest.raises(InvalidValue):
        gpu_seconds(hours, 8)


def make_input(**overrides: Any) -> JobSettlementInput:
    """Make the input of 2 hours on 4 GPUs, confirmed."""
    receipt = Attestation(deal_id=DEAL_ID, gpu_seconds=28_800, signer=AGENT, signature=SIGNATURE)
    fields = {
        "escrow_id": DEAL_ID,
        "actual_hours": "2",
        "proof": ExecutionProof(receipt=receipt),
        "provider_attestation": receipt,
        "buyer_confirmation": Confirmation(
            deal_id=DEAL_ID, gpu_seconds=28_800, signer=VOUCHER_SIGNER, signature=SIGNATURE
        ),
    }
    return JobSettlementInput(**{**fields, **overrides})


@pytest.mark.parametrize("hours", ["2", 2, Decimal("2.0001")])
def test_input__whose_statements_agree__gives_their_gpu_seconds(hours: Any) -> None:
    assert make_input(actual_hours=hours).agreed_gpu_seconds(make_terms()) == 28_800
    assert make_input(buyer_confirmation=None).agreed_gpu_seconds(make_terms()) == 28_800


@pytest.mark.parametrize("change", [{"gpu_seconds": 28_799}, {"deal_id": "0x" + "01" * 32}])
@pytest.mark.parametrize("part", ["proof", "provider_attestation", "buyer_confirmation"])
def test_input__with_a_part_of_another_deal_or_hours__is_a_mismatch(
    part: str, change: dict[str, Any]
) -> None:
    given_input = make_input()
    if part == "proof":
        changed: Any = ExecutionProof(receipt=given_input.proof.receipt.model_copy(update=change))
    else:
        changed = getattr(given_input, part).model_copy(update=change)
    with pytest.raises(ProofMismatch):
        make_input(**{part: changed}).agreed_gpu_seconds(make_terms())


def test_input__of_other_hours__names_both_figures() -> None:
    with pytest.raises(ProofMismatch, match=r"says 28800 GPU-seconds, 1\.5 actual hours are 21600"):
        make_input(actual_hours="1.5").agreed_gpu_seconds(make_terms())


def test_input__with_an_attestation_of_another_receipt__is_a_mismatch() -> None:
    other = make_input().provider_attestation.model_copy(update={"usage_root": "0x" + "01" * 32})
    with pytest.raises(ProofMismatch, match="another receipt"):
        make_input(provider_attestation=other).agreed_gpu_seconds(make_terms())


def test_input__with_hours_as_a_float__says_how_to_write_them() -> None:
    with pytest.raises(ValidationError, match=r"23\.5 hours: write an exact number"):
        make_input(actual_hours=23.5)


def test_input__as_json__comes_back_equal() -> None:
    job = make_input()
    assert JobSettlementInput.model_validate_json(job.model_dump_json()) == job


VARIANTS = [
    SettlementStatus.Success(),
    SettlementStatus.PartialRefund(reason="half an hour missing"),
    SettlementStatus.FullRefund(reason="never started"),
    SettlementStatus.Disputed(dispute_id=DisputeId("dispute-1")),
    SettlementStatus.Pending(claimable_at=NOON),
]


def told(status: SettlementStatus) -> str:
    match status:
        case SettlementStatus.Success():
            return "success"
        case SettlementStatus.PartialRefund(reason=reason):
            return f"partial: {reason}"
        case SettlementStatus.FullRefund(reason=reason):
            return f"full: {reason}"
        case SettlementStatus.Disputed(dispute_id=dispute_id):
            return f"disputed: {dispute_id}"
        case SettlementStatus.Pending(claimable_at=claimable_at):
            return f"pending: {claimable_at:%H:%M}"
        case _:
            return "unknown"


def test_statuses__can_be_matched_with_their_data() -> None:
    assert [told(status) for status in VARIANTS] == [
        "success",
        "partial: half an hour missing",
        "full: never started",
        "disputed: dispute-1",
        "pending: 12:00",
    ]


@pytest.mark.parametrize("status", VARIANTS, ids=told)
def test_status__is_a_value_with_a_readable_name(status: SettlementStatus) -> None:
    assert isinstance(status, SettlementStatus)
    assert repr(status).startswith(f"SettlementStatus.{type(status).__name__.lstrip('_')}(")
    assert pickle.loads(pickle.dumps(status)) == status


def test_result__keeps_what_it_was_given() -> None:
    one = Amount.from_molt(1)
    result = SettlementResult(
        VARIANTS[0], provider_payment=one, buyer_refund=one, platform_fee=one, transactions=()
    )
    assert result.status == SettlementStatus.Success()
