"""An agent's gateway, as its parties ask it: pings, the usage log, files. Nothing it says is trusted."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from molt_market.attestation.usage import Heartbeat
from molt_market.domain.fields import Value
from molt_market.domain.ids import Address, EscrowId, Hash32
from molt_market.domain.jobs import Access, OutputFile
from molt_market.domain.pings import PingAnswer
from molt_market.errors import InvalidSignature, ResultMismatch, ServerError, ServerUnreachable
from molt_market.signing.pings import verify_ping_answer
from molt_market.signing.typed_data import Domain

MOST_ANSWER = 2_000_000  # bytes
PAGE = 500  # heartbeats
CHUNK = 2**16


class PingRequest(Value):
    """The question whether a deal's GPUs are there; the answer is bound to the nonce."""

    deal_id: EscrowId
    nonce: Hash32


class HeartbeatPage(BaseModel):
    """Heartbeats of a usage log, in their order."""

    model_config = ConfigDict(frozen=True)

    heartbeats: tuple[Heartbeat, ...]


class GatewayClient:
    """The gateway at one address.

    Args:
        url: as the agent has it at the market (`Gateway.url`).
        timeout_seconds: for each step of a request.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 5) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(timeout=timeout_seconds, follow_redirects=False, trust_env=False)

    def ping(self, deal_id: EscrowId, agent: Address, domain: Domain) -> tuple[Hash32, PingAnswer | None]:
        """Ask whether a deal's GPUs are there; return the nonce, and the agent's answer to it or None.

        An answer that is not the agent's, or not to this nonce, is none.
        """
        nonce = Hash32.of(secrets.token_bytes(32))
        body = PingRequest(deal_id=deal_id, nonce=nonce).model_dump_json()
        try:
            answer = PingAnswer.model_validate_json(self._ask("POST", "/pings", content=body))
            verify_ping_answer(answer, agent, domain)
        except (ServerUnreachable, ServerError, ValidationError, InvalidSignature):
            return nonce, None
        return nonce, answer if (answer.deal_id, answer.nonce) == (deal_id, nonce) else None

    def heartbeats(self, deal_id: EscrowId, after: int = 0) -> Iterator[Heartbeat]:
        """Yield a deal's heartbeats from sequence number `after` on.

        Raises ServerUnreachable, ServerError.
        """
        while True:
            path = f"/deals/{deal_id}/heartbeats?after={after}&limit={PAGE}"
            try:
                page = HeartbeatPage.model_validate_json(self._ask("GET", path)).heartbeats
            except ValidationError as error:
                raise ServerError(self.url, "no usage log") from error
            yield from page
            after += len(page)
            if not page:
                return

    def _ask(self, method: str, path: str, *, content: str | None = None) -> bytes:
        headers = {} if content is None else {"Content-Type": "application/json"}
        try:
            with self._http.stream(method, self.url + path, content=content, headers=headers) as response:
                read = b""
                for chunk in response.iter_bytes(CHUNK):
                    read += chunk
                    if len(read) > MOST_ANSWER:
                        raise ServerError(self.url, f"an answer of more than {MOST_ANSWER:,} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServerUnreachable(self.url, str(error)) from error
        if not response.is_success:
            raise ServerError(self.url, f"{response.status_code} {read[:200]!r}")
        return read

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()


def fetch_outputs(access: Access, outputs: Sequence[OutputFile], folder: Path) -> list[Path]:
    """Fetch a job's files into a folder, and check each against its size and SHA-256 digest.

    A file that differs is not kept.

    Raises:
        ResultMismatch: a file is not the one of the result.
        ServerUnreachable, ServerError: the gateway does not give it.
    """
    headers = {"Authorization": f"Bearer {access.token}"}
    with httpx.Client(timeout=30, follow_redirects=False, trust_env=False, headers=headers) as http:
        return [_fetch(http, access.files_url.rstrip("/"), each, folder) for each in outputs]


def _fetch(http: httpx.Client, url: str, output: OutputFile, folder: Path) -> Path:
    path = folder / output.path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    try:
        digest = _download(http, f"{url}/{output.path}", partial, most=output.size)
        if digest != output.sha256:
            raise ResultMismatch(f"SHA-256 of {output.path}", output.sha256, digest)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _download(http: httpx.Client, url: str, to: Path, *, most: int) -> str:
    """Write what is there into a file; return its SHA-256. Reads one byte more than it may have, at most."""
    digest, size = hashlib.sha256(), 0
    try:
        with http.stream("GET", url) as response, to.open("wb") as file:
            if not response.is_success:
                raise ServerError(url, str(response.status_code))
            for chunk in response.iter_bytes(CHUNK):
                size += len(chunk)
                if size > most:
                    raise ResultMismatch(f"the size of {to.stem}", f"{most} bytes", "more")
                digest.update(chunk)
                file.write(chunk)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServerUnreachable(url, str(error)) from error
    return digest.hexdigest()
