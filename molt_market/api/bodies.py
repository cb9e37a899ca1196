"""How large a request's body may be, told before it is read."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from molt_market.api.errors import answer
from molt_market.wire.problems import TYPE, Problem

MOST_BYTES = 1_000_000


class LimitBodies:
    """An ASGI app that refuses bodies above MOST_BYTES, whether their length is told or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await _read(receive, _told_length(scope))
        if body is None:
            await _too_large(scope, receive, send)
            return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def read_again() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, read_again, send)


def _told_length(scope: Scope) -> int:
    told = dict(scope["headers"]).get(b"content-length", b"0")
    return int(told) if told.isdigit() else 0


async def _read(receive: Receive, told: int) -> bytes | None:
    """Return the body; None if it is too large, however much of it has come."""
    if told > MOST_BYTES:
        return None
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > MOST_BYTES:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


async def _too_large(scope: Scope, receive: Receive, send: Send) -> None:
    told = f"the body is larger than {MOST_BYTES:,} bytes: post less at a time"
    problem = Problem(type=TYPE + "BodyTooLarge", title=told, status=413, detail=told, code="BodyTooLarge")
    await answer(problem, {"Connection": "close"})(scope, receive, send)
