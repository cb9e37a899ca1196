"""Webhooks to a real server on this machine: what is signed, and what the other side may do to us."""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from molt_market.addresses import is_public
from molt_market.alerts.webhooks import (
    MOST_BODY,
    Message,
    SendingLimits,
    checked_url,
    post_all,
    verify_webhook,
)
from molt_market.errors import InvalidSignature, InvalidValue
from tests.hooks import Hooks, hook_server

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECRET = "5e" * 32
BODY = b'{"id":"claim_opened:0x12:7"}'
QUICK = SendingLimits(whole=timedelta(seconds=4), step=timedelta(seconds=2), private=True)


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with hook_server() as server:
        yield server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who vouches for the servers of this file, and for nobody else."""
    return trustme.CA()


@pytest.fixture
def certificate(authority: trustme.CA, tmp_path: Path) -> Path:
    """The certificate of `localhost` with its key, made for this test."""
    path = tmp_path / "localhost.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


@pytest.fixture
def believed(authority: trustme.CA) -> SendingLimits:
    """Limits of somebody who believes that authority."""
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    return replace(QUICK, trust=trust)


def message(url: str, **fields: object) -> Message:
    return replace(Message(url, SECRET, "claim_opened:0x12:7", BODY, NOON), **fields)  # type: ignore[arg-type]


def hmac_by_hand(key: bytes, text: bytes) -> str:
    """HMAC-SHA256 as RFC 2104 writes it."""
    block = key.ljust(64, b"\0") if len(key) <= 64 else hashlib.sha256(key).digest().ljust(64, b"\0")
    inner = hashlib.sha256(bytes(each ^ 0x36 for each in block) + text).digest()
    return hashlib.sha256(bytes(each ^ 0x5C for each in block) + inner).hexdigest()


# ---------------------------------------------------------------- what arrives


def test_post__arrives_signed(hooks: Hooks) -> None:
    assert post_all([message(f"{hooks.url}/ok")], QUICK) == [None]
    [got] = hooks.at("/ok")
    assert got.body == BODY
    assert got.headers["content-type"] == "application/json"
    assert got.headers["molt-alert-id"] == "claim_opened:0x12:7"
    assert got.headers["host"] == hooks.url.removeprefix("http://")
    timestamp = got.headers["molt-timestamp"]
    assert timestamp == str(int(NOON.timestamp()))
    expected = hmac_by_hand(SECRET.encode(), timestamp.encode() + b"." + got.body)
    assert got.headers["molt-signature"] == f"v1={expected}"
    assert verify_webhook(SECRET, got.headers, got.body, NOON) == "claim_opened:0x12:7"


def test_verify__what_is_not_from_here__is_refused() -> None:
    headers = message("https://host/").headers
    lower = {name.lower(): value for name, value in headers.items()}
    assert verify_webhook(SECRET, lower, BODY, NOON) == "claim_opened:0x12:7"
    wrong = [
        (SECRET, headers, BODY + b" ", NOON),
        ("other", headers, BODY, NOON),
        (SECRET, headers, BODY, NOON + timedelta(minutes=6)),
        (SECRET, headers, BODY, NOON - timedelta(minutes=6)),
        (SECRET, headers | {"Molt-Timestamp": "1767268801"}, BODY, NOON),
        (SECRET, headers | {"Molt-Timestamp": "soon"}, BODY, NOON),
        (SECRET, headers | {"Molt-Signature": "v1=é"}, BODY, NOON),
        (SECRET, {}, BODY, NOON),
    ]
    for each in wrong:
        with pytest.raises(InvalidSignature):
            verify_webhook(*each)


def test_secret__is_not_in_what_is_printed() -> None:
    assert SECRET not in repr(message("https://host/"))


# ---------------------------------------------------------------- what the other side may do


@pytest.mark.parametrize(
    ("path", "says"),
    [("/fail", "the answer was 500"), ("/gone", "the answer was 404"), ("/redirect", "the answer was 302")],
)
def test_answer__that_is_no_yes__is_a_failure(hooks: Hooks, path: str, says: str) -> None:
    assert post_all([message(hooks.url + path)], QUICK) == [says]
    assert len(hooks.received) == 1, "a redirect was followed, or a failure tried again at once"


@pytest.mark.parametrize("path", ["/hang", "/drip"])
def test_answer__that_never_ends__is_cut_off(hooks: Hooks, path: str) -> None:
    started = time.monotonic()
    [failure] = post_all([message(hooks.url + path)], QUICK)
    assert failure is not None
    assert time.monotonic() - started < 20


def test_answer__one_that_hangs__does_not_hold_up_the_others(hooks: Hooks) -> None:
    urls = [f"{hooks.url}{path}" for path in ("/hang", "/ok", "/hang", "/fail", "/ok")]
    started = time.monotonic()
    first, second, third, fourth, fifth = post_all([message(url) for url in urls], QUICK)
    assert (second, fifth, fourth) == (None, None, "the answer was 500")
    assert first is not None
    assert third is not None
    assert time.monotonic() - started < 20


def test_nobody_there__is_a_failure() -> None:
    [failure] = post_all([message("http://127.0.0.1:9/")], QUICK)
    assert failure is not None
    assert "Connect" in failure


def test_body__too_large__is_not_sent(hooks: Hooks) -> None:
    [failure] = post_all([message(f"{hooks.url}/ok", body=b"a" * (MOST_BODY + 1))], QUICK)
    assert failure is not None
    assert "more than" in failure
    assert hooks.received == []


# ---------------------------------------------------------------- https


def test_https__asks_for_the_host_by_name__though_its_address_is_used(
    certificate: Path, believed: SendingLimits
) -> None:
    with hook_server(certificate) as secure:
        assert post_all([message(f"{secure.url}/ok")], believed) == [None]
        [got] = secure.at("/ok")
        assert got.headers["host"] == secure.url.removeprefix("https://")
        assert secure.named == ["localhost"]


def test_https__a_certificate_of_nobody_known__or_of_another_host__is_refused(
    certificate: Path, believed: SendingLimits
) -> None:
    with hook_server(certificate) as secure:
        other = secure.url.replace("localhost", "127.0.0.1")
        for url, limits in ((secure.url, QUICK), (other, believed)):
            [failure] = post_all([message(f"{url}/ok")], limits)
            assert failure is not None
            assert "certificate" in failure
        assert secure.received == []


# ---------------------------------------------------------------- where to


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host/path",
        "file:///etc/passwd",
        "ftp://host/",
        "gopher://host",
        "javascript:alert(1)",
        "http://",
        "https:///path",
        "http://name:word@host/",
        "https://host/#part",
        "http://ho st/",
        "http://host:port/",
        "https://host/" + "a" * 2_000,
    ],
)
def test_url__that_is_no_webhook__is_refused(url: str) -> None:
    with pytest.raises(InvalidValue):
        checked_url(url)


def test_url__of_http_or_https__is_taken() -> None:
    for url in ("http://host/", "https://host:8443/path?token=1", "http://127.0.0.1:1/", "https://[::1]/"):
        assert checked_url(url) == url


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_private_address__is_not_posted_to__unless_allowed(hooks: Hooks, host: str) -> None:
    url = hooks.url.replace("127.0.0.1", host)
    [failure] = post_all([message(f"{url}/ok")], replace(QUICK, private=False))
    assert failure is not None
    assert "not public" in failure
    assert hooks.received == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.0.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:127.0.0.1", False),
        ("::127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("2001:0:7f00:1::", False),
        ("fec0::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:8.8.8.8", True),
    ],
)
def test_address__public_or_not(address: str, *, public: bool) -> None:
    assert is_public(address) is public
