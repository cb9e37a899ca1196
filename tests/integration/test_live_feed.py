"""The live feed: from the number one left off at, and without those who do not listen."""

from __future__ import annotations

import base64
import os
import socket
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from molt_market.api import live
from molt_market.domain.ids import OfferId
from molt_market.market.market import Market
from molt_market.sdk.feed import follow_feed
from molt_market.testing import Devnet
from tests.factories import make_offer
from tests.service import serving

ITEMS = 6_000  # of more than a kilobyte each: more than all buffers on the way hold


def post(market: Market, first: int, count: int) -> None:
    now = market.book._clock.now()
    offers = [
        make_offer(id=OfferId(f"0x{number:064x}"), created_at=now, slot=number)
        for number in range(first, first + count)
    ]
    market.store.post_offers(offers, now)
    market.catch_up()


def deaf(url: str) -> socket.socket:
    """Ask for the live feed, and never read what comes."""
    host, port = url.removeprefix("http://").split(":")
    asking = socket.socket()
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    asking.connect((host, int(port)))
    key = base64.b64encode(os.urandom(16)).decode()
    asking.sendall(
        f"GET /feed/live?after=0 HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    return asking


def test_slow_client__is_dropped__and_nobody_else(
    net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PATIENCE", 0.5)
    with serving(net, tmp_path) as (url, market):
        post(market, 0, ITEMS)
        with closing(deaf(url)) as asking:
            with closing(follow_feed(url)) as feed:  # who listens gets everything meanwhile
                assert [next(feed).sequence for _ in range(ITEMS)] == list(range(1, ITEMS + 1))
                time.sleep(3)
                post(market, ITEMS, 1)
                assert next(feed).sequence == ITEMS + 1
            asking.settimeout(10)
            came, chunk = b"", b"-"
            while chunk:  # what was on its way, and then the end
                chunk = asking.recv(1_000_000)
                came += chunk
        assert 0 < len(came) < ITEMS * 1_000


def test_feed__goes_on_behind_a_number__from_memory_and_from_the_database(
    net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "KEPT", 10)
    with serving(net, tmp_path) as (url, market):
        post(market, 0, 50)
        for after in (0, 5, 39, 40, 45, 49):
            with closing(follow_feed(url, after)) as feed:
                assert [next(feed).sequence for _ in range(50 - after)] == list(range(after + 1, 51))
        with closing(follow_feed(url, 50)) as feed:
            threading.Timer(0.2, post, [market, 50, 1]).start()
            assert next(feed).sequence == 51
