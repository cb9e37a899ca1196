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
    """Let the log of molt_market go to stderr: warnings, with 1 all that happens, with 2 details too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form is Format.JSON else TextFormatter())
    log = logging.getLogger("molt_market")
    log.handlers = [handler]
    log.propagate = False
    log.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG))


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(value: object) -> object:
    return value if isinstance(value, (int, bool)) else str(value)
