"""The market's HTTP server: one app over a Service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI, WebSocket

from molt_market.api import alerting, deals, market_data, matching, posting, relaying
from molt_market.api.aside import set_aside
from molt_market.api.beside import Beside
from molt_market.api.bodies import LimitBodies
from molt_market.api.errors import RESPONSES, tell_errors
from molt_market.api.live import LiveFeed
from molt_market.api.openapi import describe
from molt_market.api.service import VERSION, Service

ABOUT = """\
Signed offers and orders of GPU capacity meet here; the money moves on the chain.

A wallet is the account: what is posted is the EIP-712 message that the contract checks, and its hash is its
id, so that to post it again is harmless. Errors are problem details (RFC 9457) whose `code` names the SDK's
error. Amounts are base units of the deployment's token, times UTC, GPUs counted one by one.
"""


def create_app(service: Service, *beside: Beside) -> FastAPI:
    """Make the app of a market; what is `beside` it runs as long as it does."""
    live = LiveFeed(service.market.store)
    service.market.listen(live.note)
    app = FastAPI(
        title="molt-market",
        version=VERSION,
        description=ABOUT,
        lifespan=_lifespan(live, beside),
        responses=RESPONSES,
        redoc_url=None,
    )
    app.state.service = service
    set_aside(app)
    app.add_middleware(LimitBodies)
    tell_errors(app)
    describe(app, service)
    for part in (market_data, posting, matching, deals, relaying, alerting):
        app.include_router(part.router)

    @app.websocket("/feed/live")
    async def feed_live(socket: WebSocket, after: int = 0) -> None:
        await live.serve(socket, min(max(after, 0), market_data.LARGEST))

    return app


def _lifespan(
    live: LiveFeed, beside: Sequence[Beside]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        live.start()
        for each in beside:
            each.start()
        try:
            yield
        finally:
            live.stop()
            for each in beside:
                each.stop()

    return running
