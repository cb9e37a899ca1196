"""Inputs of jobs, from a real server on this machine."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from molt_market.agent.inputs import REDIRECTS, FetchLimits, InputRefused, fetch_inputs
from molt_market.domain.jobs import InputFile

TEXT = b"input"
LIMITS = FetchLimits(mib=1, private=True, step=timedelta(seconds=5))


class Handler(BaseHTTPRequestHandler):
    """/ok is the text, /big too much, /drip never ends, /to redirects to what follows, /gone is not there."""

    def do_GET(self) -> None:
        where = self.path.partition("?")[0]
        if where == "/to":
            self.send_response(302)
            self.send_header("Location", self.path.partition("?")[2])
            self.end_headers()
        elif where == "/gone":
            self.send_error(404)
        else:
            self.send_response(200)
            self.end_headers()
            self._write(where)

    def _write(self, where: str) -> None:
        try:
            if where == "/big":
                for _ in range(3):
                    self.wfile.write(b"x" * 2**20)
            while where == "/drip":
                self.wfile.write(b"x")
                time.sleep(0.05)
            self.wfile.write(TEXT)
        except OSError:
            return  # who asked has gone

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def wanted(url: str, path: str = "data/in", content: bytes = TEXT) -> InputFile:
    return InputFile(path=path, url=url, sha256=hashlib.sha256(content).hexdigest())


def test_inputs__lie_where_the_job_wants_them(url: str, tmp_path: Path) -> None:
    redirected = wanted(f"{url}/to?/ok", "b")
    fetch_inputs((wanted(f"{url}/ok"), redirected), tmp_path, LIMITS)
    assert (tmp_path / "data" / "in").read_bytes() == (tmp_path / "b").read_bytes() == TEXT


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/gone", "the answer was 404"),
        ("/big", "more than 1 MiB"),
        ("/to?/to?/to?/to?/to?/to?/ok", f"more than {REDIRECTS} redirects"),
        ("/to?ftp://host/x", "neither http nor https"),
        ("/to?file:///etc/shadow", "neither http nor https"),
    ],
)
def test_input__that_cannot_be_had__is_refused(url: str, tmp_path: Path, path: str, why: str) -> None:
    with pytest.raises(InputRefused, match=why):
        fetch_inputs((wanted(url + path),), tmp_path, LIMITS)


def test_input__of_another_digest__is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="SHA-256"):
        fetch_inputs((wanted(f"{url}/ok", content=b"another"),), tmp_path, LIMITS)


def test_private_address__is_not_asked__nor_redirected_to(url: str, tmp_path: Path) -> None:
    public_only = FetchLimits(mib=1)
    for address in (f"{url}/ok", "http://localhost/", "http://169.254.169.254/latest", "http://[::1]/"):
        with pytest.raises(InputRefused, match="is not public"):
            fetch_inputs((wanted(address),), tmp_path / address[7:12].strip("[:./"), public_only)


def test_drip__ends_with_the_time_and_with_the_deal(url: str, tmp_path: Path) -> None:
    soon = FetchLimits(mib=1, whole=timedelta(seconds=1), private=True)
    with pytest.raises(InputRefused, match="too long"):
        fetch_inputs((wanted(f"{url}/drip"),), tmp_path, soon)
    with pytest.raises(InputRefused, match="too long"):
        fetch_inputs((wanted(f"{url}/drip", "other"),), tmp_path, LIMITS, goes_on=lambda: False)


def test_two_inputs__that_cannot_both_be__are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="input a/b"):
        fetch_inputs((wanted(f"{url}/ok", "a"), wanted(f"{url}/ok", "a/b")), tmp_path, LIMITS)
