"""A provider's gateway for tests: real HTTP, by nothing but the protocol, honest or not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from molt_market.attestation.usage import GpuReading, Heartbeat, UsageLog
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.documents import Document
from molt_market.domain.ids import ZERO_HASH, EscrowId, Hash32
from molt_market.domain.proofs import Attestation
from molt_market.sdk.api import MarketApi
from molt_market.signing.pings import sign_gateway, sign_ping_answer
from molt_market.signing.statements import sign_receipt
from molt_market.testing import Devnet

SEALING_KEY = Hash32("0x" + "5e" * 32)


def readings(name: str, count: int = 4) -> tuple[GpuReading, ...]:
    """Make what NVML says of so many H100."""
    return tuple(
        GpuReading(uuid=f"GPU-{name}-{number}", model="NVIDIA H100 80GB HBM3", vram_mb=81_559)
        for number in range(count)
    )


@dataclass
class Machine:
    """The GPUs of one deal: a heartbeat each second, until it is told to stop."""

    net: Devnet
    escrow: EscrowAccount
    gpus: tuple[GpuReading, ...]
    log: UsageLog = field(init=False)
    beats: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.log = UsageLog(self.escrow.id)

    def beat(self) -> None:
        """Log a heartbeat, if the chain's time has gone on."""
        now = self.net.clock.now()
        with self.lock:
            if self.beats and (not self.log.heartbeats or now > self.log.heartbeats[-1].at):
                self.log.append(heartbeat_after(self.log, now, self.gpus))

    def rewrite(self) -> None:
        """Write the whole log anew, as if its GPUs had been others."""
        with self.lock:
            anew = UsageLog(self.escrow.id)
            for each in self.log.heartbeats:
                anew.append(heartbeat_after(anew, each.at, readings("other")))
            self.log = anew

    def answer(self, nonce: str) -> str:
        with self.lock:
            count, head = len(self.log.heartbeats), self.log.head
        return sign_ping_answer(
            self.escrow.id,
            Hash32(nonce),
            self.net.agent,
            self.net.domain,
            answered_at=self.net.clock.now(),
            heartbeats=count,
            head=head,
        ).model_dump_json()

    def page(self, after: int, limit: int) -> str:
        with self.lock:
            some = self.log.heartbeats[after : after + limit]
        return json.dumps({"heartbeats": [each.model_dump(mode="json") for each in some]})

    def covered(self) -> int:
        """Return the seconds from the opening to the last heartbeat."""
        assert self.escrow.opened_at is not None
        return int((self.log.heartbeats[-1].at - self.escrow.opened_at).total_seconds())

    def receipt(self, gpu_seconds: int, *, result: Hash32 = ZERO_HASH) -> Attestation:
        """Stop, and state as the agent that so much was available."""
        self.beats = False
        with self.lock:
            return sign_receipt(
                self.escrow.id,
                gpu_seconds,
                self.net.agent,
                self.net.domain,
                result_digest=result,
                usage_root=self.log.root,
            )


def heartbeat_after(log: UsageLog, at: datetime, gpus: Sequence[GpuReading]) -> Heartbeat:
    return Heartbeat(
        deal_id=log.deal_id, sequence=len(log.heartbeats), at=at, gpus=tuple(gpus), previous=log.head
    )


class Agent:
    """The gateway of some machines at an address of its own."""

    def __init__(self, net: Devnet, machines: Sequence[Machine], url: str) -> None:
        self.net = net
        self.url = url
        self._machines = machines

    def announce(self, api: MarketApi, deal_id: EscrowId, url: str | None = None) -> None:
        """Say at the market where a deal is answered for."""
        gateway = sign_gateway(deal_id, url or self.url, SEALING_KEY, self.net.agent, self.net.domain)
        api.post_document(Document(gateway=gateway))


@contextmanager
def agent(net: Devnet, machines: Sequence[Machine]) -> Iterator[Agent]:
    """Answer for machines, and let them log, until the block is left."""
    by_deal = {each.escrow.id: each for each in machines}
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(by_deal.__getitem__))
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(0.4):
            for each in machines:
                each.beat()

    threads = [threading.Thread(target=act, daemon=True) for act in (server.serve_forever, beat)]
    for each in threads:
        each.start()
    try:
        yield Agent(net, machines, f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        for each in threads:
            each.join(10)


def _handler(machine: Callable[[EscrowId], Machine]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._say(machine(EscrowId(asked["deal_id"])).answer(asked["nonce"]))

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            given = {name: int(values[0]) for name, values in parse_qs(url.query).items()}
            self._say(machine(EscrowId(url.path.split("/")[2])).page(given["after"], given["limit"]))

        def _say(self, text: str) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
            pass

    return Handler


def until(holds: Callable[[], object], *, seconds: float = 30) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.1)
