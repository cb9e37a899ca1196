"""Fetching what a job left, each file checked against what the agent has signed for."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

from molt_market.addresses import NotPublic, address_of
from molt_market.domain.jobs import Access, OutputFile
from molt_market.errors import ResultMismatch, ServerError, ServerUnreachable

CHUNK = 2**16


def fetch_outputs(
    access: Access, outputs: Sequence[OutputFile], folder: Path, *, private: bool = False
) -> list[Path]:
    """Fetch a job's files into a folder, and check each against its size and SHA-256 digest.

    A file that differs is not kept. `private`: also from an address that is not public.

    Raises:
        ResultMismatch: a file is not the one of the result.
        ServerUnreachable, ServerError: the gateway does not give it.
    """
    url = httpx.URL(access.files_url.rstrip("/"))
    try:
        address = asyncio.run(address_of(url, private=private))
    except NotPublic as error:
        raise ServerUnreachable(
            str(url), "its address is not public: see --allow-private, private=True"
        ) from error
    except OSError as error:
        raise ServerUnreachable(str(url), str(error)) from error
    headers = {"Authorization": f"Bearer {access.token}", "Host": url.netloc.decode("ascii")}
    with httpx.Client(timeout=30, follow_redirects=False, trust_env=False, headers=headers) as http:
        at = Place(http, url.copy_with(host=address), url.host)
        return [_fetch(at, each, folder) for each in outputs]


@dataclass(frozen=True, slots=True)
class Place:
    """Where files are fetched: at an address that was looked at, under the name it goes by."""

    http: httpx.Client
    url: httpx.URL
    name: str

    def stream(self, path: str) -> AbstractContextManager[httpx.Response]:
        return self.http.stream("GET", f"{self.url}/{quote(path)}", extensions={"sni_hostname": self.name})


def _fetch(at: Place, output: OutputFile, folder: Path) -> Path:
    path = folder / output.path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    try:
        digest = _download(at, output.path, partial, most=output.size)
        if digest != output.sha256:
            raise ResultMismatch(f"SHA-256 of {output.path}", output.sha256, digest)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _download(at: Place, path: str, to: Path, *, most: int) -> str:
    """Write what is there into a file; return its SHA-256. Reads one byte more than it may have, at most."""
    digest, size = hashlib.sha256(), 0
    try:
        with at.stream(path) as response, to.open("wb") as file:
            if not response.is_success:
                raise ServerError(f"{at.url}/{path}", str(response.status_code))
            for chunk in response.iter_bytes(CHUNK):
                size += len(chunk)
                if size > most:
                    raise ResultMismatch(f"the size of {path}", f"{most} bytes", "more")
                digest.update(chunk)
                file.write(chunk)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServerUnreachable(f"{at.url}/{path}", str(error)) from error
    return digest.hexdigest()
