"""The log on stderr: one line for each event, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum

from molt_market.telling import Said


class Format(StrEnum):
    """How lines are written."""

    TEXT = "text"  # 2026-01-01T12:00:00Z INFO sent key=.. nonce=..
    JSON = "json"  # one object a line, with the fields of the event beside time, level and event


class Seldom(logging.Filter):
    """Lets a warning through when it comes up, and then once in ten minutes for as long as it goes on.

    What fails is tried again every few seconds: with a line each time a night of it would bury all else.
    `again` of a line says how often the same was told since the last one.
    """

    SECONDS = 600

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[str, tuple[float, int]] = {}  # when, and how often it was held back since

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        text, now = record.getMessage(), record.created
        at, again = self._shown.get(text, (now - self.SECONDS, 0))
        if now - at < self.SECONDS:
            self._shown[text] = at, again + 1
            return False
        self._shown = {each: (at, n) for each, (at, n) in self._shown.items() if now - at < 2 * self.SECONDS}
        self._shown[text] = now, 0
        if again and isinstance(record.msg, Said):
            record.msg = Said(record.msg.event, {**record.msg.fields, "again": again})
        return True


class TextFormatter(logging.Formatter):
    """Writes a record as text."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{_time(record)} {record.levelname} {record.getMessage()}"


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object; large numbers and ids are strings as they are in the text."""

    def format(self, record: logging.LogRecord) -> str:
        said = record.msg if isinstance(record.msg, Said) else Said(record.getMessage(), {})
        head = {"time": _time(record), "level": record.levelname, "logger": record.name, "event": said.event}
        fields = {name: _plain(value) for name, value in said.fields.items() if value is not None}
        return json.dumps(head | fields)


def configure(verbose: int, form: Format) -> None:
    """Let the log of molt_market go to stderr: warnings, with 1 all that happens, with 2 details too.

    The same warning is written once in ten minutes.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Seldom())
    handler.setFormatter(JsonFormatter() if form is Format.JSON else TextFormatter())
    log = logging.getLogger("molt_market")
    log.handlers = [handler]
    log.propagate = False
    log.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG))


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(value: object) -> object:
    return value if isinstance(value, (int, bool)) else str(value)
