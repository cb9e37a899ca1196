"""The live feed, from where one left off: no step twice, none left out, however often it breaks off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Iterator

from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from molt_market.domain.updates import FeedItem
from molt_market.errors import ServerError
from molt_market.telling import tell
from molt_market.wire.messages import FeedItems

MOST_BYTES = 64_000_000  # of one message
FIRST_WAIT, MOST_WAIT = 0.2, 10.0  # seconds before the connection is made again


def follow_feed(url: str, after: int = 0) -> Generator[FeedItem]:
    """Yield the steps of a server's market behind a sequence number, and then each as it comes.

    The connection is made again whenever it breaks, behind the last step. Raises ServerError if the server
    leaves a step out.
    """
    at, wait = after, FIRST_WAIT
    while True:
        try:
            with connect(_address(url, at), max_size=MOST_BYTES) as socket:
                for message in socket:
                    for item in _steps(url, at, message):
                        at, wait = item.sequence, FIRST_WAIT
                        yield item
        except (OSError, WebSocketException) as error:
            tell("feed_broke", url=url, at=at, reason=error)
        time.sleep(wait)
        wait = min(wait * 2, MOST_WAIT)


async def follow_feed_async(url: str, after: int = 0) -> AsyncGenerator[FeedItem]:
    """Yield what `follow_feed` yields, to `async for`; a task that does so can be cancelled at any time."""
    at, wait = after, FIRST_WAIT
    while True:
        try:
            async with connect_async(_address(url, at), max_size=MOST_BYTES) as socket:
                async for message in socket:
                    for item in _steps(url, at, message):
                        at, wait = item.sequence, FIRST_WAIT
                        yield item
        except (OSError, WebSocketException) as error:
            tell("feed_broke", url=url, at=at, reason=error)
        await asyncio.sleep(wait)
        wait = min(wait * 2, MOST_WAIT)


def _address(url: str, after: int) -> str:
    return f"ws{url.removeprefix('http')}/feed/live?after={after}"


def _steps(url: str, at: int, message: str | bytes) -> Iterator[FeedItem]:
    """Yield the steps of a message, each the next one after `at`. Raises ServerError."""
    for item in FeedItems.model_validate_json(message).items:
        if item.sequence != at + 1:
            raise ServerError(url, f"step {item.sequence} of the feed came after step {at}")
        at = item.sequence
        yield item
