"""A proxy between the payments and a real node that drops, delays, doubles and mixes up, by a seeded plan."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar


class Fault(StrEnum):
    """What happens to a request."""

    LOST_REQUEST = "lost request"  # the node never sees it
    LOST_ANSWER = "lost answer"  # the node did it, nobody hears of it
    DELAYED = "delayed"
    DOUBLED = "doubled"  # the node sees it twice
    STALE_ANSWER = "stale answer"  # that of an earlier request comes instead
    OVERLOADED = "overloaded"  # the node says that it has no time
    HALF_AN_ANSWER = "half an answer"


class FaultyProxy(ThreadingHTTPServer):
    """Passes requests on, and lets faults strike some of them.

    `struck` counts the faults by kind, `at_sending` those that struck a transaction on its way.
    """

    daemon_threads = True

    def __init__(self, target: str, seed: int, rate: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.rate = target, rate
        self._chance, self._lock = random.Random(seed), threading.Lock()
        self._earlier = b"{}"
        self.struck: Counter[Fault] = Counter()
        self.at_sending: Counter[Fault] = Counter()
        self.passed = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fault(self, method: str) -> Fault | None:
        """Draw what happens to the next request; what sends a transaction, or asks for it, is struck most."""
        sending = method == "eth_sendRawTransaction"
        rate = 0.5 if sending else 0.25 if method == "eth_getTransactionReceipt" else self.rate
        with self._lock:
            if self._chance.random() >= rate:
                self.passed += 1
                return None
            fault = self._chance.choice(list(Fault))
            self.struck[fault] += 1
            self.at_sending[fault] += sending
            return fault

    def ask(self, body: bytes) -> bytes:
        request = urllib.request.Request(self.target, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())

    def answer(self, fault: Fault | None, body: bytes) -> bytes | None:
        """Return what is answered; None: the connection is cut."""
        if fault is Fault.LOST_REQUEST:
            return None
        if fault is Fault.OVERLOADED:
            error = {"code": -32005, "message": "limit exceeded"}
            asked = json.loads(body)
            id_ = None if isinstance(asked, list) else asked["id"]  # one answer to a whole batch has none
            return json.dumps({"jsonrpc": "2.0", "id": id_, "error": error}).encode()
        if fault is Fault.DELAYED:
            time.sleep(0.1)
        if fault is Fault.DOUBLED:
            self.ask(body)
        answer = self.ask(body)
        with self._lock:
            earlier, self._earlier = self._earlier, answer
        if fault is Fault.LOST_ANSWER:
            return None
        if fault is Fault.STALE_ANSWER:
            return earlier
        return answer[: len(answer) // 2] if fault is Fault.HALF_AN_ANSWER else answer


Proxy = TypeVar("Proxy", bound=FaultyProxy)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, else the client's kernel waits for 40 ms
    server: FaultyProxy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(body)
        method = asked[0]["method"] if isinstance(asked, list) else asked["method"]
        answer = self.server.answer(self.server.fault(method), body)
        if answer is None:
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def running(proxy: Proxy) -> Iterator[Proxy]:
    """Run a proxy for the length of the block."""
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


def faulty(target: str, *, seed: int, rate: float) -> AbstractContextManager[FaultyProxy]:
    """Run a proxy of a node for the length of the block; `rate` of the usual requests meet a fault."""
    return running(FaultyProxy(target, seed, rate))
