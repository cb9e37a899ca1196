"""Fetching a job's inputs: of the right digest, not too large, and from where one may ask."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import httpx

from molt_market.addresses import NotPublic, address_of
from molt_market.domain.jobs import InputFile
from molt_market.errors import MarketError

REDIRECTS = 5
LOOK_SECONDS = 1
MIB = 2**20


class InputRefused(MarketError):
    """An input cannot be had as the job names it: the message says which, and why."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What the inputs of one job may take, and where they may come from.

    Args:
        mib: all of them together, in MiB.
        whole: all of them together, however slowly they come.
        step: to connect, or to wait for something.
        private: also from addresses that are not public: this machine's, or of its own network.
    """

    mib: int
    whole: timedelta = timedelta(hours=1)
    step: timedelta = timedelta(seconds=30)
    private: bool = False


def fetch_inputs(
    inputs: tuple[InputFile, ...],
    folder: Path,
    limits: FetchLimits,
    *,
    goes_on: Callable[[], bool] = lambda: True,
) -> None:
    """Put a job's inputs into its folder, where nothing else writes yet.

    Raises InputRefused if one of them cannot be had, or `goes_on` says no.
    """
    left, until = limits.mib * MIB, time.monotonic() + limits.whole.total_seconds()
    step = httpx.Timeout(limits.step.total_seconds())
    # no proxy or password out of the environment: the request goes where the URL says, or nowhere
    with httpx.Client(follow_redirects=False, trust_env=False, timeout=step) as client:
        for each in inputs:
            path = folder / each.path
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with path.open("xb") as file:
                    fetching = _Fetching(client, limits, left, until, goes_on)
                    left -= fetching.fetch(each, file)
            except OSError as error:
                raise InputRefused(f"input {each.path}: {error.strerror or error}") from error
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                raise InputRefused(f"input {each.path}: {type(error).__name__}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Fetching:
    client: httpx.Client
    limits: FetchLimits
    left: int
    until: float
    goes_on: Callable[[], bool]

    def fetch(self, wanted: InputFile, file: BinaryIO) -> int:
        """Write an input to a file; return its size in bytes."""
        url = httpx.URL(wanted.url)
        for _ in range(REDIRECTS + 1):
            response = self.client.send(self._request(wanted, url), stream=True)
            try:
                if not response.has_redirect_location:
                    return self._take(wanted, response, file)
                url = url.join(response.headers["Location"])
            finally:
                response.close()
        raise InputRefused(f"input {wanted.path}: more than {REDIRECTS} redirects")

    def _request(self, wanted: InputFile, url: httpx.URL) -> httpx.Request:
        """Ask the address that was checked: asked again, a name may have another one."""
        if url.scheme not in {"http", "https"} or not url.host:
            raise InputRefused(f"input {wanted.path}: {url.scheme or 'no scheme'} is neither http nor https")
        try:
            address = asyncio.run(address_of(url, private=self.limits.private))
        except NotPublic as error:
            raise InputRefused(f"input {wanted.path}: {url.host} is not public, and is not asked") from error
        return self.client.build_request(
            "GET",
            url.copy_with(host=address),
            headers={"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"},
            extensions={"sni_hostname": url.host},
        )

    def _take(self, wanted: InputFile, response: httpx.Response, file: BinaryIO) -> int:
        if not response.is_success:
            raise InputRefused(f"input {wanted.path}: the answer was {response.status_code}")
        digest, size, looked = hashlib.sha256(), 0, 0.0
        for chunk in response.iter_raw():  # as they come, however small: who drips is noticed too
            size += len(chunk)
            if size > self.left:
                raise InputRefused(f"input {wanted.path}: more than {self.limits.mib} MiB of inputs")
            if (now := time.monotonic()) - looked >= LOOK_SECONDS:
                looked = now
                if now >= self.until or not self.goes_on():
                    raise InputRefused(f"input {wanted.path}: it takes too long")
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != wanted.sha256:
            raise InputRefused(
                f"input {wanted.path}: its SHA-256 is {digest.hexdigest()}, not {wanted.sha256}"
            )
        return size
