"""What the routes share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request

from molt_market.api.service import Service
from molt_market.wire.messages import PAGE


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Here = Annotated[Service, Depends(_service)]
"""The service that the app is of."""

PageLimit = Annotated[int, Query(ge=1, le=PAGE, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=100, description="`next` of the page before.")]


def caller(request: Request) -> str:
    """Return the network address that a request came from."""
    return request.client.host if request.client else "unknown"


def next_cursor(ids: list[str], limit: int) -> str | None:
    """Return the cursor of the page behind these; None: they are the last."""
    return ids[-1] if len(ids) == limit else None


def limited(request: Request) -> None:
    """Count a request that nobody signs against its network address. Raises TooManyRequests."""
    _service(request).limits.take(caller(request))
