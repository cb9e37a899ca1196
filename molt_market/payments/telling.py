"""What happens to payments, told once: a line of the log with its fields, and a figure for Prometheus.

A line reads `<event> <field>=<value> ...`. The fields are kept beside the text, so that a formatter can write
them as JSON (`record.msg.fields`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from molt_market.metrics import happened
from molt_market.payments.journal import Dispatch, deal_of

log = logging.getLogger("molt_market.payments")


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


def tell_of(
    event: str,
    keys: Iterable[str],
    dispatch: Dispatch,
    *,
    level: int = logging.INFO,
    reason: object = None,
) -> None:
    """Log and count an event of a dispatch: for each payment that it carries, with its key and its deal."""
    for key in keys:
        happened(event)
        tell(
            event,
            level=level,
            key=key,
            deal_id=deal_of(key),
            sender=dispatch.sender,
            nonce=dispatch.nonce,
            hash=dispatch.mined or dispatch.latest.id,
            block=dispatch.block,
            reason=reason,
        )


def _written(value: str) -> str:
    """Put what is more than one word between marks, on one line."""
    return repr(value) if not value or any(c.isspace() or not c.isprintable() for c in value) else value
