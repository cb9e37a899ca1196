"""Gateways that mean no good, over real HTTP: nothing that they do takes more than its limit."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from molt_market.attestation.usage import Heartbeat
from molt_market.domain.ids import Hash32
from molt_market.domain.pings import Gateway, PingAnswer
from molt_market.sdk import gateways
from molt_market.sdk.gateways import GatewayCaller, GatewayLimits, Unanswered
from molt_market.signing.pings import sign_gateway
from tests.unit.attestation.deals import DOMAIN
from tests.unit.attestation.evidence import good_log, ping
from tests.unit.signing.keys import AGENT

LOG = good_log()
NONCE = Hash32("0x" + "0c" * 32)
SOON = GatewayLimits(ping=timedelta(seconds=0.5), log=timedelta(seconds=1), private=True)
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """Serve, answering every request so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer(self)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def saying(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        try:
            handler.wfile.write(body)
        except ConnectionError:  # the other side has had enough
            return

    return answer


def gateway(url: str) -> Gateway:
    return sign_gateway(LOG.deal_id, url, Hash32("0x" + "5e" * 32), AGENT, DOMAIN)


def pinged(url: str, limits: GatewayLimits = SOON) -> PingAnswer:
    async def ask() -> PingAnswer:
        async with GatewayCaller(limits) as caller:
            return await caller.ping(gateway(url), NONCE)

    return asyncio.run(ask())


def logged(url: str, limits: GatewayLimits = SOON) -> list[Heartbeat]:
    async def ask() -> list[Heartbeat]:
        async with GatewayCaller(limits) as caller:
            return await caller.heartbeats(gateway(url))

    return asyncio.run(ask())


def pages_of(beats: list[Any], seen: list[str]) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.path)
        after, limit = (int(each.split("=")[1]) for each in handler.path.split("?")[1].split("&"))
        saying(json.dumps({"heartbeats": beats[after : after + limit]}).encode())(handler)

    return answer


def test_ping__asks_as_the_protocol_says() -> None:
    seen: list[Any] = []
    right = ping(LOG, 7).answer
    assert right is not None

    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.append((handler.command, handler.path, handler.headers["Host"]))
        saying(right.model_dump_json().encode())(handler)

    with answering(answer) as url:
        assert pinged(url + "/") == right
    assert seen == [("POST", "/pings", url.removeprefix("http://"))]


def test_heartbeats__are_fetched_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "PAGE", 5)
    seen: list[str] = []
    with answering(pages_of([each.model_dump(mode="json") for each in LOG.heartbeats], seen)) as url:
        assert logged(url) == list(LOG.heartbeats)
    path = f"/deals/{LOG.deal_id}/heartbeats"
    assert seen == [f"{path}?after={after}&limit=5" for after in (0, 5, 10)]


def test_heartbeats__without_end__are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "PAGE", 1)
    monkeypatch.setattr(gateways, "MOST_HEARTBEATS", 3)
    one = {"heartbeats": [LOG.heartbeats[0].model_dump(mode="json")]}
    with answering(saying(json.dumps(one).encode())) as url, pytest.raises(Unanswered, match="more than 3"):
        logged(url)


def test_heartbeats__more_than_were_asked_for__are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "PAGE", 1)
    two = {"heartbeats": [each.model_dump(mode="json") for each in LOG.heartbeats[:2]]}
    with answering(saying(json.dumps(two).encode())) as url, pytest.raises(Unanswered, match="a page of 2"):
        logged(url)


def test_heartbeats__with_more_bytes_than_a_log_has__are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "PAGE", 1)
    one = json.dumps({"heartbeats": [LOG.heartbeats[0].model_dump(mode="json")]}).encode()
    monkeypatch.setattr(gateways, "MOST_LOG", len(one) + 10)
    with answering(saying(one)) as url, pytest.raises(Unanswered, match="more than 10 bytes"):
        logged(url)


def slowly(handler: BaseHTTPRequestHandler) -> None:
    """A byte now and then, so that no single wait is long."""
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
    except ConnectionError:
        return


def silently(_: BaseHTTPRequestHandler) -> None:
    time.sleep(2)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (saying(b"[" * 100_000), "more than"),
        (saying(b"x" * 5_000), "more than 4,096 bytes"),
        (saying(gzip.compress(b"{}" * 10**6), Content_Encoding="gzip"), "cannot be read"),
        (saying(b"{}"), "cannot be read"),
        (saying(b"\xff\xfe"), "cannot be read"),
        (saying(b"{}", 500), "was 500"),
        (saying(b"", 302, Location="http://127.0.0.1:1/"), "was 302"),
        (slowly, "no answer in 0.5 seconds"),
        (silently, "no answer in 0.5 seconds|Timeout"),
        (lambda handler: handler.wfile.write(b"nothing like HTTP\r\n\r\n"), "Protocol"),
    ],
    ids=["deep", "long", "bomb", "empty", "bytes", "500", "redirect", "slow", "silent", "garbage"],
)
def test_ping__of_a_gateway_that_misbehaves__is_unanswered(answer: Answer, says: str) -> None:
    began = time.monotonic()
    with answering(answer) as url, pytest.raises(Unanswered, match=says):
        pinged(url)
    assert time.monotonic() - began < 5


def test_heartbeats__slowly__are_given_up_in_time() -> None:
    with answering(slowly) as url, pytest.raises(Unanswered, match="no whole log in 1 seconds"):
        logged(url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "0.0.0.0"]
)
def test_private_addresses__are_not_asked__unless_allowed(host: str) -> None:
    with pytest.raises(Unanswered, match="not public"):
        pinged(f"http://{host}:9", GatewayLimits())


def test_ping__nobody_there__is_unanswered() -> None:
    with pytest.raises(Unanswered, match="ConnectError"):
        pinged("http://127.0.0.1:9")
