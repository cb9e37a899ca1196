"""The live feed over WebSocket: every step from where a client left off, and slow clients dropped."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from fastapi import WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketState

from molt_market.domain.updates import FeedItem
from molt_market.market.ports import MarketStore

KEPT = 10_000  # steps that are sent without asking the database
AT_ONCE = 500  # steps in one message
PATIENCE = 10.0  # seconds that a client may take to accept a message
TOO_SLOW, GOING_AWAY = 1013, 1001


class LiveFeed:
    """Sends a market's steps to any number of clients. Any thread may `note` one, the loop does the rest."""

    def __init__(self, store: MarketStore) -> None:
        self._store = store
        self._recent: deque[tuple[int, str]] = deque(maxlen=KEPT)
        self._more = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def start(self) -> None:
        """Begin, in the event loop that serves."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Say good-bye to all clients."""
        self._closed = True
        self._wake()

    def note(self, item: FeedItem) -> None:
        """Take in the next step."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, item.sequence, item.shown.model_dump_json())

    def _take(self, sequence: int, text: str) -> None:
        self._recent.append((sequence, text))
        self._wake()

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    async def serve(self, socket: WebSocket, after: int) -> None:
        """Send the steps behind `after`, and then each as it comes, until the client goes or is too slow."""
        await socket.accept()
        gone = asyncio.create_task(_until_gone(socket))
        try:
            await self._send_all(socket, after, gone)
        except TimeoutError:
            await _close(socket, TOO_SLOW, "too slow: come again with the last sequence number you have")
        except (WebSocketDisconnect, RuntimeError):
            pass  # it went while something was being sent
        finally:
            gone.cancel()
        if self._closed:
            await _close(socket, GOING_AWAY, "the server stops: come again")

    async def _send_all(self, socket: WebSocket, after: int, gone: asyncio.Task[None]) -> None:
        at = after
        while not (gone.done() or self._closed):
            more = asyncio.create_task(self._more.wait())
            try:
                texts, at = await self._behind(at)
                if texts:
                    async with asyncio.timeout(PATIENCE):
                        await socket.send_text(f'{{"items":[{",".join(texts)}]}}')
                else:
                    await asyncio.wait({more, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                more.cancel()

    async def _behind(self, at: int) -> tuple[list[str], int]:
        """Return the next steps behind a number, as JSON, and the number of the last of them."""
        if self._recent and self._recent[0][0] <= at + 1:
            first = at + 1 - self._recent[0][0]
            found = [self._recent[n] for n in range(first, min(first + AT_ONCE, len(self._recent)))]
        else:
            items = await asyncio.to_thread(self._store.feed, at, AT_ONCE)
            found = [(item.sequence, item.shown.model_dump_json()) for item in items]
        return [text for _, text in found], found[-1][0] if found else at


async def _until_gone(socket: WebSocket) -> None:
    """Wait until a client has gone; what it sends is not read."""
    with suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await socket.receive()


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    if socket.client_state is WebSocketState.CONNECTED:
        with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(1):
                await socket.close(code, reason)
