"""Webhooks: a small signed POST, to an address that was checked, with a limit on everything.

The receiver computes HMAC-SHA256 of `<timestamp>.<body>` under the subscription's secret, and compares.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

import httpx

from molt_market.addresses import NotPublic, address_of
from molt_market.domain.fields import seconds
from molt_market.domain.subscriptions import MOST_URL
from molt_market.errors import InvalidSignature, InvalidValue

TIMESTAMP = "Molt-Timestamp"
SIGNATURE = "Molt-Signature"
ALERT_ID = "Molt-Alert-Id"
VERSION = "v1="
SECRET_BYTES = 32
MOST_BODY = 4_096  # bytes
MOST_TEXT = 200  # characters of a failure that are kept
TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class SendingLimits:
    """What an attempt may take, and where it may go.

    Args:
        whole: the whole attempt, whatever the other side does.
        step: to connect, to send, to wait for something.
        private: also addresses that are not public: this machine's, or of its own network.
        trust: whose certificates are believed (default: those that httpx comes with).
    """

    whole: timedelta = timedelta(seconds=10)
    step: timedelta = timedelta(seconds=5)
    private: bool = False
    trust: ssl.SSLContext | None = None


class _Failed(Exception):
    """An attempt that came to nothing; its text says why."""


def new_secret() -> str:
    """Return a secret that signs what is posted to one subscription."""
    return secrets.token_hex(SECRET_BYTES)


def checked_url(url: str) -> str:
    """Return the URL of a webhook.

    Raises:
        InvalidValue: it is not http(s), has no host, or carries a name and password.
    """
    try:
        read = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise InvalidValue(
            f"a webhook's URL cannot be read ({error}): write e.g. https://host/path"
        ) from error
    plain = all("!" <= character <= "~" for character in url)
    if not plain or len(url) > MOST_URL or read.scheme not in {"http", "https"} or not read.host:
        raise InvalidValue(f"{url[:MOST_TEXT]!r} is no webhook: write e.g. https://host/path")
    if read.userinfo or read.fragment:
        raise InvalidValue("a webhook's URL carries a name, a password or a fragment: leave that out")
    return url


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Return what stands in the signature's header.

    >>> signature("secret", 1767268800, b"{}")[:11]
    'v1=a8b9e69d'
    """
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, sha256)
    return VERSION + mac.hexdigest()


def verify_webhook(
    secret: str, headers: Mapping[str, str], body: bytes, now: datetime, *, tolerance: timedelta = TOLERANCE
) -> str:
    """Return the id of the alert that a webhook brings: for who receives one.

    Raises:
        InvalidSignature: it is not signed with the secret, or was too long ago (or will be).
    """
    given = {name.lower(): value for name, value in headers.items()}
    timestamp = given.get(TIMESTAMP.lower(), "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < MOST_TEXT):
        raise InvalidSignature(f"the webhook has no {TIMESTAMP}: it is not from here")
    expected = signature(secret, int(timestamp), body)
    if not hmac.compare_digest(expected.encode(), given.get(SIGNATURE.lower(), "").encode()):
        raise InvalidSignature("the webhook is not signed with this secret: do not trust it")
    if abs(int(timestamp) - seconds(now)) > tolerance.total_seconds():
        raise InvalidSignature(f"the webhook was signed at {timestamp}, too far from now: check the clock")
    return given.get(ALERT_ID.lower(), "")


def post_all(messages: Sequence[Message], limits: SendingLimits) -> list[str | None]:
    """Send messages at the same time, and return for each why it came to nothing; None: it was taken.

    Only an answer of 200 to 299 is one that took it. Redirects are not followed, and no answer is read.
    """
    return asyncio.run(_post_all(messages, limits))


@dataclass(frozen=True, slots=True)
class Message:
    """What is posted where: `body` as it is signed, at a time (UTC)."""

    url: str
    secret: str = field(repr=False)
    alert_id: str
    body: bytes
    at: datetime

    @property
    def headers(self) -> dict[str, str]:
        timestamp = seconds(self.at)
        return {
            "Content-Type": "application/json",
            "User-Agent": "molt-market",
            TIMESTAMP: str(timestamp),
            SIGNATURE: signature(self.secret, timestamp, self.body),
            ALERT_ID: self.alert_id,
        }


# ---------------------------------------------------------------- inside


async def _post_all(messages: Sequence[Message], limits: SendingLimits) -> list[str | None]:
    step = httpx.Timeout(limits.step.total_seconds())
    # no proxy or password out of the environment: the request goes where the URL says, or nowhere
    verify = limits.trust or True
    async with httpx.AsyncClient(
        verify=verify, follow_redirects=False, trust_env=False, timeout=step
    ) as client:
        return await asyncio.gather(*(_outcome(client, each, limits) for each in messages))


async def _outcome(client: httpx.AsyncClient, message: Message, limits: SendingLimits) -> str | None:
    try:
        async with asyncio.timeout(limits.whole.total_seconds()):
            await _post(client, message, limits)
    except _Failed as failure:
        return str(failure)[:MOST_TEXT]
    except TimeoutError:
        return f"no answer in {limits.whole.total_seconds():g} seconds"
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"[:MOST_TEXT]
    return None


async def _post(client: httpx.AsyncClient, message: Message, limits: SendingLimits) -> None:
    if len(message.body) > MOST_BODY:
        raise _Failed(f"the body has {len(message.body)} bytes, more than {MOST_BODY}")
    url = httpx.URL(checked_url(message.url))
    try:
        address = await address_of(url, private=limits.private)
    except NotPublic as error:
        raise _Failed("the host is not public: this market sends no alerts to private addresses") from error
    # The address that was checked is the one that is used: asked again, a name may have another one.
    pinned = url.copy_with(host=address)
    headers = message.headers | {"Host": url.netloc.decode("ascii")}
    named = {"sni_hostname": url.host}
    request = client.build_request("POST", pinned, content=message.body, headers=headers, extensions=named)
    response = await client.send(request, stream=True)
    await response.aclose()
    if not response.is_success:
        raise _Failed(f"the answer was {response.status_code}")
