from __future__ import annotations

import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from molt_market.domain.amounts import MOLT, Amount, Price, Token
from molt_market.domain.ids import Address
from molt_market.errors import InexactAmount, InvalidValue, NegativeAmount, TokenMismatch

USDC = Token("USDC", 6)
ADAPTER: TypeAdapter[Amount] = TypeAdapter(Amount)
PRICE: TypeAdapter[Amount] = TypeAdapter(Price)

tokens = st.builds(
    Token,
    symbol=st.sampled_from(["MOLT", "USDC"]),
    decimals=st.integers(0, 18),
    address=st.none() | st.integers(1, 2**160 - 1).map(Address.of),
)
amounts = st.builds(Amount, st.integers(0, 2**100), tokens)


@pytest.mark.parametrize(
    ("value", "units"),
    [
        (10, 10 * 10**18),
        ("1.5", 15 * 10**17),
        (Decimal("0.000000000000000001"), 1),
        ("1e3", 1000 * 10**18),
        (" 2 ", 2 * 10**18),
        ("0.10", 10**17),
        (
            "123456789012345678901234567890.123456789012345678",
            123456789012345678901234567890123456789012345678,
        ),
        (0, 0),
        ("-0", 0),
    ],
)
def test_from_molt__of_an_exact_number__is_its_base_units(value: Any, units: int) -> None:
    assert Amount.from_molt(value) == Amount(units, MOLT)


def test_from_molt__of_a_float__names_the_way_to_write_it() -> None:
    with pytest.raises(InexactAmount, match=r'Amount\.from_molt\("1\.5"\)'):
        Amount.from_molt(1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [True, None, b"1", "1.0000000000000000001", Decimal("1E-19")])
def test_from_molt__of_what_is_not_exact__is_refused(value: Any) -> None:
    with pytest.raises(InexactAmount):
        Amount.from_molt(value)


@pytest.mark.parametrize(
    "value", ["", "ten", "nan", "inf", "1e999999999", "1e-999999999", "9" * 5_000, "0x10"]
)
def test_from_molt__of_what_is_no_sum__is_refused(value: str) -> None:
    with pytest.raises(InvalidValue):
        Amount.from_molt(value)


@pytest.mark.parametrize("value", [-1, "-0.5"])
def test_from_molt__below_zero__is_refused(value: Any) -> None:
    with pytest.raises(NegativeAmount):
        Amount.from_molt(value)


@pytest.mark.parametrize("units", [1.0, True, "1", Decimal(1), None])
def test_amount__of_base_units_that_are_no_int__is_refused(units: Any) -> None:
    with pytest.raises(InexactAmount):
        Amount(units)


def test_token__makes_amounts_with_its_own_decimals() -> None:
    assert USDC.amount("1.5").base_units == 1_500_000
    with pytest.raises(InexactAmount, match="more than 6 decimals"):
        USDC.amount("0.0000001")


@pytest.mark.parametrize("decimals", [-1, 19, 6.0, True])
def test_token__with_other_decimals_than_the_contract_takes__is_refused(decimals: Any) -> None:
    with pytest.raises(InvalidValue, match="decimals"):
        Token("X", decimals)


def test_token__without_symbol__is_refused() -> None:
    with pytest.raises(InvalidValue, match="symbol"):
        Token(" ", 18)


def test_token__of_another_contract__is_another_token() -> None:
    theirs = Token("MOLT", 18, Address.of(1))
    with pytest.raises(TokenMismatch) as caught:
        Amount.from_molt(1) + theirs.amount(1)
    assert (caught.value.left, caught.value.right) == (MOLT, theirs)
    assert "0x0000000000000000000000000000000000000001" in str(caught.value)


@pytest.mark.parametrize("operation", ["__add__", "__sub__", "__lt__", "__le__", "__gt__", "__ge__"])
def test_amounts__of_two_tokens__do_not_mix(operation: str) -> None:
    with pytest.raises(TokenMismatch):
        getattr(Amount.from_molt(1), operation)(USDC.amount(1))


def test_amounts__of_two_tokens__are_unequal() -> None:
    assert Amount(1, MOLT) != Amount(1, USDC)


@pytest.mark.parametrize("other", [1, 1.5, "1", None])
def test_amount__and_a_bare_number__do_not_mix(other: Any) -> None:
    with pytest.raises(InexactAmount):
        Amount.from_molt(1) + other


def test_subtraction__below_zero__is_refused() -> None:
    with pytest.raises(NegativeAmount, match="1 MOLT less 2 MOLT"):
        Amount.from_molt(1) - Amount.from_molt(2)


@pytest.mark.parametrize("times", [0.5, True, Decimal(2)])
def test_multiplication__by_what_is_no_int__is_refused(times: Any) -> None:
    with pytest.raises(InexactAmount):
        Amount.from_molt(1) * times


@given(st.integers(0, 2**96), st.integers(0, 2**96), st.integers(0, 1000))
def test_arithmetic__is_that_of_its_base_units(a: int, b: int, times: int) -> None:
    high, low = Amount(max(a, b)), Amount(min(a, b))
    assert (high + low).base_units == a + b
    assert (high - low) + low == high
    assert times * high == high * times == Amount(max(a, b) * times)
    assert (Amount(a) < Amount(b), Amount(a) <= Amount(b)) == (a < b, a <= b)
    assert (Amount(a) > Amount(b), Amount(a) >= Amount(b)) == (a > b, a >= b)


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (Amount.from_molt("1.5"), "1.5 MOLT"),
        (Amount.from_molt(300), "300 MOLT"),
        (Amount(1), "0.000000000000000001 MOLT"),
        (Amount.zero(USDC), "0 USDC"),
        (Amount(7, Token("PTS", 0)), "7 PTS"),
        (Amount(2**96), "79228162514.264337593543950336 MOLT"),
    ],
)
def test_str__is_exact_and_short(amount: Amount, written: str) -> None:
    assert str(amount) == written


@given(amounts)
def test_to_decimal__and_back__is_the_same_amount(amount: Amount) -> None:
    assert amount.token.amount(amount.to_decimal()) == amount
    assert amount.token.amount(str(amount).split()[0]) == amount


def test_as_float__is_for_display() -> None:
    assert Amount.from_molt("2.5").as_float() == 2.5


@given(amounts)
def test_json__and_back__is_the_same_amount(amount: Amount) -> None:
    assert ADAPTER.validate_json(ADAPTER.dump_json(amount)) == amount
    assert ADAPTER.validate_python(ADAPTER.dump_python(amount)) == amount


def test_json__writes_base_units_as_text() -> None:
    assert ADAPTER.dump_python(Amount.from_molt(10), mode="json") == {
        "base_units": "10000000000000000000",
        "token": {"symbol": "MOLT", "decimals": 18, "address": None},
    }


def test_json_schema__describes_the_same_form() -> None:
    assert set(ADAPTER.json_schema()["properties"]) == {"base_units", "token"}


@pytest.mark.parametrize(
    "written",
    [
        {"base_units": 1, "token": {"symbol": "MOLT", "decimals": 18}},
        {"base_units": "-1", "token": {"symbol": "MOLT", "decimals": 18}},
        {"base_units": "1.0", "token": {"symbol": "MOLT", "decimals": 18}},
        {"base_units": "9" * 101, "token": {"symbol": "MOLT", "decimals": 18}},
        {"base_units": "1"},
        {"base_units": "1", "token": "MOLT"},
        {"base_units": "1", "token": {"symbol": "MOLT"}},
        {"base_units": "1", "token": {"symbol": "MOLT", "decimals": 18, "name": "x"}},
        {"base_units": "1", "token": {"symbol": "MOLT", "decimals": 18, "address": "0x1"}},
    ],
)
def test_json__in_another_form__is_refused(written: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(written)


@pytest.mark.parametrize("price", [2.5, 2, "2.5", Decimal("2.5")])
def test_field__of_a_bare_number__says_how_to_write_it(price: Any) -> None:
    with pytest.raises(ValidationError, match=rf'Amount\.from_molt\("{price}"\)'):
        PRICE.validate_python(price)


@pytest.mark.parametrize("units", [0, 2**96])
def test_price__that_the_contract_cannot_charge__is_refused(units: int) -> None:
    with pytest.raises(ValidationError, match="cannot be charged"):
        PRICE.validate_python(Amount(units))


@pytest.mark.parametrize("units", [1, 2**96 - 1])
def test_price__at_its_bounds__is_taken(units: int) -> None:
    assert PRICE.validate_python(Amount(units)) == Amount(units)


def test_amount__is_hashable_immutable_and_pickles() -> None:
    amount = USDC.amount("1.5")
    assert pickle.loads(pickle.dumps(amount)) == amount
    assert len({amount, USDC.amount("1.50")}) == 1
    with pytest.raises(AttributeError):
        amount.base_units = 2  # type: ignore[misc]
