"""A real HTTP server on this machine that takes webhooks, and answers as its paths say."""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOCATION = "/ok"  # where a redirect points


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Hooks:
    """What the server has got. `flaky` fails so often before it answers; `slow` is how long /slow takes."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    flaky: int = 0
    slow: float = 0.0
    named: list[str | None] = field(default_factory=list)  # the hosts that were asked for by TLS
    closing: threading.Event = field(default_factory=threading.Event)
    alone: threading.Lock = field(default_factory=threading.Lock)

    def at(self, path: str) -> list[Received]:
        with self.alone:
            return [each for each in self.received if each.path == path]

    def ids(self, path: str) -> Counter[str]:
        """Count how often each alert came."""
        return Counter(each.headers["molt-alert-id"] for each in self.at(path))

    def take(self, received: Received) -> int:
        """Note a request, and return its answer."""
        with self.alone:
            self.received.append(received)
            if received.path == "/flaky" and self.flaky:
                self.flaky -= 1
                return 503
        return {"/fail": 500, "/redirect": 302, "/gone": 404}.get(received.path, 204)


def _handler(hooks: Hooks) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:
                return  # who asked was killed in the middle of it: it has not come
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = hooks.take(Received(self.path, headers, body))
            if self.path == "/hang":
                hooks.closing.wait(30)
                return
            if self.path == "/drip":
                self._drip()
                return
            if self.path == "/slow":
                time.sleep(hooks.slow)
            with suppress(OSError):  # whoever asked may be gone
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", hooks.url + LOCATION)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def _drip(self) -> None:
            """Answer a byte at a time, without end: each step is in time, the whole never ends."""
            with suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
                while not hooks.closing.wait(0.05):
                    self.wfile.write(b"a")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    return Handler


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the usual 5, connections that come at once wait for a second


@contextmanager
def hook_server(certificate: Path | None = None) -> Iterator[Hooks]:
    """Run the server for the length of the block; with a certificate by https, as `localhost`."""
    hooks = Hooks()
    server = Server(("127.0.0.1", 0), _handler(hooks))
    hooks.url = f"http://127.0.0.1:{server.server_address[1]}"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.sni_callback = lambda _socket, name, _context: hooks.named.append(name)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        hooks.url = f"https://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hooks
    finally:
        hooks.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
