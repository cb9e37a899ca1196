"""Threads for answers that take long, so that those who ask for quick ones always find a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, FastAPI, Request

Answer = TypeVar("Answer")

PRICES_AT_ONCE = 2
WHOLE_AT_ONCE = 1  # they wait for each other anyway


class Aside:
    """Works out so many answers at once; who asks beyond that waits without keeping a thread."""

    def __init__(self, at_once: int) -> None:
        self._limiter = CapacityLimiter(at_once)

    async def answer(self, work: Callable[[], Answer]) -> Answer:
        """Return what `work` returns in one of these threads."""
        return await to_thread.run_sync(work, limiter=self._limiter)


def set_aside(app: FastAPI) -> None:
    """Let an app's routes have these threads."""
    app.state.prices, app.state.whole = Aside(PRICES_AT_ONCE), Aside(WHOLE_AT_ONCE)


def _prices(request: Request) -> Aside:
    aside: Aside = request.app.state.prices
    return aside


def _whole(request: Request) -> Aside:
    aside: Aside = request.app.state.whole
    return aside


AsidePrices = Annotated[Aside, Depends(_prices)]
"""For what is asked of all prices."""

AsideWhole = Annotated[Aside, Depends(_whole)]
"""For what is asked of all offers."""
