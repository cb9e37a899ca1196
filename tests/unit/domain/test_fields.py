from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from molt_market.domain.fields import MAX_UINT40, Hours, Moment, Uint40, Value, distinct, moment, now, seconds
from molt_market.errors import InvalidValue

MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


class Sample(Value):
    count: Uint40
    hours: Hours = 1


def test_value__is_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Sample(count=1).count = 2  # type: ignore[misc]


def test_value__with_an_unknown_field__is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Sample(count=1, cuont=2)  # type: ignore[call-arg]


@pytest.mark.parametrize("count", [1.0, "1", True, None, -1, MAX_UINT40 + 1])
def test_whole_number__of_another_kind_or_range__is_refused(count: Any) -> None:
    with pytest.raises(ValidationError):
        Sample(count=count)


@pytest.mark.parametrize("count", [0, MAX_UINT40])
def test_whole_number__at_its_bounds__is_taken(count: int) -> None:
    assert Sample(count=count).count == count


@pytest.mark.parametrize("hours", [0, 8_761])
def test_hours__out_of_the_contracts_range__are_refused(hours: int) -> None:
    with pytest.raises(ValidationError):
        Sample(count=1, hours=hours)


def test_moment__without_a_zone__says_how_to_give_one() -> None:
    with pytest.raises(ValidationError, match=r"no time zone: give it one, e\.g\. datetime\.now\(UTC\)"):
        MOMENT.validate_python(datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("value", [1_767_225_600, "yesterday", None, "2026-13-01T00:00:00Z"])
def test_moment__of_what_is_no_time__is_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match="is not a time"):
        MOMENT.validate_python(value)


@pytest.mark.parametrize("year", [1, 1969, 9999])
def test_moment__out_of_range__is_refused(year: int) -> None:
    with pytest.raises(ValidationError, match="out of range"):
        MOMENT.validate_python(datetime(year, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14))))


def test_moment__in_another_zone__becomes_utc_and_loses_its_fraction() -> None:
    local = datetime(2026, 1, 1, 12, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    found = MOMENT.validate_python(local)
    assert found == datetime(2026, 1, 1, 10, 0, tzinfo=UTC)
    assert found.tzinfo is UTC


def test_moment__as_json__comes_back() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert MOMENT.validate_json(MOMENT.dump_json(start)) == start


@given(st.integers(0, 2**37))
def test_seconds__and_back__is_the_same_moment(unix_seconds: int) -> None:
    assert seconds(moment(unix_seconds)) == unix_seconds


def test_now__is_a_whole_second() -> None:
    assert (now().microsecond, now().tzinfo) == (0, UTC)


def test_distinct__with_a_repetition__names_it() -> None:
    assert distinct(iter("ab"), "letter") == ("a", "b")
    with pytest.raises(InvalidValue, match="letter a is listed twice"):
        distinct("aba", "letter")
