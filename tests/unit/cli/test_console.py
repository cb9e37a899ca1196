"""How a command writes times and errors."""

from __future__ import annotations

import io
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from molt_market.cli.console import Output, ago, iso, when
from molt_market.cli.logs import Format, JsonFormatter, Seldom, TextFormatter, configure
from molt_market.errors import DealNotFound, InvalidQuery
from molt_market.telling import Said

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3_723, "1 h 2 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_ago__has_the_two_largest_units(seconds: int, text: str) -> None:
    assert ago(NOON, NOON + timedelta(seconds=seconds)) == text


def test_times__are_utc() -> None:
    assert (iso(NOON), iso(None)) == ("2026-01-01T12:00:00Z", None)
    assert when(None, None) == "now"
    assert when(NOON, NOON) == "from 2026-01-01 12:00:00 UTC\nbefore 2026-01-01 12:00:00 UTC"


def output(*, as_json: bool) -> tuple[Output, io.StringIO]:
    written = io.StringIO()
    console = Console(file=written, width=40, markup=False)
    return Output(as_json, console, console), written


def test_error__is_one_line__however_long() -> None:
    out, written = output(as_json=False)
    out.error(DealNotFound("0x" + "de" * 32))
    out.error(InvalidQuery("gpus>", 5, "a number is missing"))
    first, second = written.getvalue().splitlines()
    assert first.startswith("error: no deal 0xdede")
    assert second == "error: a number is missing (at position 5) gpus> ^"


def test_error__for_programs__is_json() -> None:
    out, written = output(as_json=True)
    out.error(DealNotFound("0xde"))
    assert json.loads(written.getvalue())["error"] == "DealNotFound"


def test_line__marks_of_a_text_are_not_read_as_style() -> None:
    out, written = output(as_json=False)
    out.line("[red]x[/red]")
    assert written.getvalue() == "[red]x[/red]\n"


# ---------------------------------------------------------------- the log


def record(message: object) -> logging.LogRecord:
    made = logging.LogRecord("molt_market.payments", logging.INFO, "", 0, message, (), None)
    made.created = NOON.timestamp()
    return made


SENT = Said("sent", {"key": "open:0xde", "nonce": 7, "block": None, "reason": "a b"})


def test_log__as_text() -> None:
    assert TextFormatter().format(record(SENT)) == (
        "2026-01-01T12:00:00Z INFO sent key=open:0xde nonce=7 reason='a b'"
    )


def test_log__as_json__has_the_fields() -> None:
    assert json.loads(JsonFormatter().format(record(SENT))) == {
        "time": "2026-01-01T12:00:00Z",
        "level": "INFO",
        "logger": "molt_market.payments",
        "event": "sent",
        "key": "open:0xde",
        "nonce": 7,
        "reason": "a b",
    }
    assert json.loads(JsonFormatter().format(record("a plain line")))["event"] == "a plain line"


def warned(reason: str, seconds: int, level: int = logging.WARNING) -> logging.LogRecord:
    made = record(Said("not_paid", {"deal_id": "0xde", "reason": reason}))
    made.levelno, made.created = level, NOON.timestamp() + seconds
    return made


def test_log__a_warning_that_goes_on__is_written_once_in_ten_minutes() -> None:
    seldom = Seldom()
    kept = [each for each in (warned("no gas", n) for n in range(0, 1_300, 2)) if seldom.filter(each)]
    assert [each.created - NOON.timestamp() for each in kept] == [0, 600, 1_200]
    assert [str(each.msg).partition("reason=")[2] for each in kept] == [
        "'no gas'",
        "'no gas' again=299",
        "'no gas' again=299",
    ]


def test_log__another_warning__and_what_is_no_warning__is_written_each_time() -> None:
    seldom = Seldom()
    assert seldom.filter(warned("no gas", 0))
    assert seldom.filter(warned("no node", 1))
    assert not seldom.filter(warned("no gas", 2))
    assert all(seldom.filter(warned("no gas", n, logging.INFO)) for n in (3, 4))
    assert all(seldom.filter(warned("no gas", n, logging.ERROR)) for n in (5, 6))


def test_log__a_warning_that_went_away__is_new_when_it_comes_again() -> None:
    seldom = Seldom()
    shown = [
        seldom.filter(each) for each in (warned("no gas", 0), warned("no gas", 2), warned("no gas", 5_000))
    ]
    assert shown == [True, False, True]
    for n in range(10_000):
        seldom.filter(warned(f"nonce {n}", 5_000 + n))
    assert len(seldom._shown) <= 2 * Seldom.SECONDS  # what is long over takes no memory


@pytest.mark.parametrize(("verbose", "level"), [(0, "WARNING"), (1, "INFO"), (2, "DEBUG"), (9, "DEBUG")])
def test_configure__verbose__says_how_much(verbose: int, level: str) -> None:
    log = logging.getLogger("molt_market")
    before = log.handlers, log.propagate, log.level
    try:
        configure(verbose, Format.JSON)
        assert logging.getLevelName(log.level) == level
        assert [type(each.formatter) for each in log.handlers] == [JsonFormatter]
    finally:
        log.handlers, log.propagate, level_ = before
        log.setLevel(level_)
