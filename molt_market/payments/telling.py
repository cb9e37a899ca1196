"""What happens to payments, told once: a line of the log for each, and a figure for Prometheus."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from molt_market.metrics import happened
from molt_market.payments.journal import Dispatch, deal_of
from molt_market.telling import tell


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
