"""The log of what happens: one line for each event, with its fields.

A line reads `<event> <field>=<value> ...`. The fields are kept beside the text, so that a formatter can write
them as JSON (`record.msg.fields`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

log = logging.getLogger("molt_market")


@dataclass(frozen=True, slots=True)
class Said:
    """One line of the log: an event, and what it is about. Fields that are None are left out.

    >>> str(Said("sent", {"nonce": 7, "reason": "a new block"}))
    "sent nonce=7 reason='a new block'"
    """

    event: str
    fields: Mapping[str, object]

    def __str__(self) -> str:
        told = ((name, value) for name, value in self.fields.items() if value is not None)
        return " ".join([self.event, *(f"{name}={_written(str(value))}" for name, value in told)])


def tell(event: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Log an event."""
    log.log(level, Said(event, fields))


def _written(value: str) -> str:
    """Put what is more than one word between marks, on one line."""
    return repr(value) if not value or any(c.isspace() or not c.isprintable() for c in value) else value
