from __future__ import annotations

import inspect
import pickle
import re
from pathlib import Path

import pytest

from molt_market import refusals
from molt_market.domain.amounts import Token
from molt_market.domain.deals import DealStatus
from molt_market.errors import EscrowError, InvalidValue, Refused
from molt_market.refusals import REFUSALS, CodedRefusal, UnknownRefusal, in_units, refusal

INTERFACE = Path(__file__).parents[2] / "contracts" / "interfaces" / "IMoltEscrow.sol"
NOON = 1_767_268_800  # 2026-01-01 12:00:00 UTC


def members(enum: str) -> list[str]:
    """Read the members of an enum of the interface, in order."""
    source = re.sub(r"//.*", "", INTERFACE.read_text("utf-8"))
    found = re.search(rf"enum {enum} \{{(.*?)\}}", source, re.DOTALL)
    assert found is not None
    return re.findall(r"\w+", found[1])


def test_classes__are_the_contracts_codes_in_their_order() -> None:
    names = [REFUSALS[code].name for code in range(1, len(REFUSALS) + 1)]
    assert names == members("Code")[1:]


def test_codes__are_numbered_as_in_the_contract() -> None:
    for number, name in enumerate(members("Code")[1:], start=1):
        assert (REFUSALS[number].code, REFUSALS[number].name) == (number, name)


def test_status_names__are_the_contracts() -> None:
    assert list(refusals.STATUS_NAMES) == members("Status") == [status.name for status in DealStatus]


@pytest.mark.parametrize("code", REFUSALS, ids=lambda code: REFUSALS[code].name)
def test_refusal__of_each_code__is_its_class_and_keeps_the_words(code: int) -> None:
    error = refusal(code, 3, 2)
    assert type(error) is REFUSALS[code]
    assert (error.code, error.actual, error.limit) == (code, 3, 2)


@pytest.mark.parametrize("code", REFUSALS, ids=lambda code: REFUSALS[code].name)
def test_refusal__of_each_code__says_what_to_do(code: int) -> None:
    """The message has a way out after its colon, and the class a docstring of one such sentence."""
    assert ": " in str(refusal(code, 3, 2))
    assert re.fullmatch(r"[A-Z].*(: |, ).*\.", inspect.getdoc(REFUSALS[code]) or "")


@pytest.mark.parametrize("code", REFUSALS, ids=lambda code: REFUSALS[code].name)
@pytest.mark.parametrize("word", [0, 2**40 - 1, 2**160 - 1, 2**256 - 1])
def test_refusal__with_any_word__still_has_a_message(code: int, word: int) -> None:
    assert str(refusal(code, word, word))


def test_refusal__pickled__stays_itself() -> None:
    error = pickle.loads(pickle.dumps(refusal(2, NOON, NOON + 60)))
    assert isinstance(error, refusals.TooEarly)
    assert (error.code, error.actual, error.limit) == (2, NOON, NOON + 60)


def test_refusal__raised_by_name__needs_no_code() -> None:
    error = refusals.Quorum(1, 2)
    assert (error.code, str(error)) == (70, "1 attestors signed, 2 are needed: collect more signatures")


def test_refusal__of_an_unknown_code__says_so() -> None:
    error = refusal(250, 1, 2)
    assert isinstance(error, UnknownRefusal)
    assert (error.code, error.actual, error.limit) == (250, 1, 2)
    assert "update molt-market" in str(error)


def test_refusal__of_none__is_refused() -> None:
    with pytest.raises(InvalidValue, match="no refusal"):
        refusal(0, 0, 0)


def test_refused__is_an_escrow_error() -> None:
    assert issubclass(CodedRefusal, Refused)
    assert issubclass(Refused, EscrowError)


def test_times__are_written_in_utc() -> None:
    assert str(refusals.TooLate(NOON + 1, NOON)).startswith(
        "it is 2026-01-01 12:00:01 UTC, and too late since 2026-01-01 12:00:00 UTC"
    )


def test_times__beyond_the_calendar__are_written_as_seconds() -> None:
    assert "second 1099511627775" in str(refusals.TooEarly(2**40 - 1, 0))


def test_addresses__are_written_with_all_digits() -> None:
    assert "0x" + "00" * 19 + "0a" in str(refusals.BadSignature(10, 11))


def test_gpu_seconds_and_amounts__are_written_with_their_unit() -> None:
    assert "5 GPU-seconds" in str(refusals.NotAbovePaid(5, 6))
    assert "7 base units" in str(refusals.BuyerBalance(7, 8))
    assert "1 GPU would be in use" in str(refusals.CapacityExceeded(1, 0))


def test_amounts__in_a_tokens_unit() -> None:
    error = refusals.BuyerBalance(2_500_000, 3_000_000)
    says = "the buyer's balance is 2.5 USDC, 3 USDC are needed: deposit the difference"
    assert in_units(error, Token("USDC", 6).written) == says
    assert in_units(refusals.Quorum(1, 2), Token("USDC", 6).written) == str(refusals.Quorum(1, 2))
    assert in_units(InvalidValue("no sum"), Token("USDC", 6).written) == "no sum"


@pytest.mark.parametrize("values", [{}, {"actual": "1", "limit": 2}, {"actual": -1, "limit": 2}])
def test_amounts__of_a_refusal_over_the_wire_without_figures__are_left_as_they_came(
    values: dict[str, object],
) -> None:
    error = refusals.BuyerBalance.__new__(refusals.BuyerBalance, "as it came")
    error.__dict__.update(values)
    assert in_units(error, Token("USDC", 6).written) == "as it came"


def test_statuses__are_written_by_name() -> None:
    assert "the deal is CLAIMED, this needs LOCKED" in str(refusals.WrongStatus(2, 1))


def test_country__is_written_as_text() -> None:
    assert "'US', the order needs 'DE'" in str(refusals.CountryMismatch(0x5553, 0x4445))


def test_region__left_aligned__is_written_as_text_and_harmless() -> None:
    word = int.from_bytes(b"us-east-1".ljust(32, b"\0"), "big")
    assert "'us-east-1', the order needs not stated" in str(refusals.RegionMismatch(word, 0))
    assert "\x1b" not in str(refusals.RegionMismatch(0x1B << 248, 0))
