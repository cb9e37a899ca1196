"""Asking a gateway: with a limit on everything, since whoever answers there need not mean well."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import BaseModel, ValidationError

from molt_market.addresses import NotPublic, address_of
from molt_market.attestation.usage import Heartbeat
from molt_market.domain.documents import Document, DocumentKind, PostedDocument
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.domain.pings import Gateway, PingAnswer
from molt_market.wire import messages as wire

PAGE = 1_000  # heartbeats
MOST_ANSWER = 4_096  # bytes of an answer to a ping
MOST_PAGE = 8 * 2**20  # bytes of a page of heartbeats
MOST_HEARTBEATS = 1_000_000  # of a log
MOST_LOG = 512 * 2**20  # bytes of a whole log
MOST_DOCUMENTS = 10_000  # of a deal
MOST_DOCUMENTS_PAGE = 16 * 2**20  # bytes of a page of them
MOST_TEXT = 200  # characters of a failure that are kept
PLAIN = {"Accept-Encoding": "identity", "User-Agent": "molt-market"}  # nothing that unfolds to more


class _Page(BaseModel):
    heartbeats: list[Heartbeat]


class Unanswered(Exception):
    """A gateway did not give what it was asked for; the text says why."""


class Declined(Unanswered):
    """A gateway has answered with an HTTP `status` that is no success; `said` is all that came with it."""

    def __init__(self, status: int, said: bytes) -> None:
        super().__init__(f"the answer was {status}")
        self.status = status
        self.said = said


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """What a question may take, and where it may go.

    Args:
        ping: a whole ping, or a document that is handed over, whatever the other side does.
        log: a whole usage log, or all documents of a deal.
        private: also addresses that are not public: this machine's, or of its own network.
    """

    ping: timedelta = timedelta(seconds=5)
    log: timedelta = timedelta(minutes=2)
    private: bool = False


class GatewayCaller:
    """Asks gateways, within one event loop: `async with GatewayCaller(limits) as caller`."""

    def __init__(self, limits: GatewayLimits) -> None:
        self._limits = limits
        # no proxy or password out of the environment: the question goes where the URL says, or nowhere
        self._http = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            timeout=limits.ping.total_seconds(),
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ping(self, gateway: Gateway, nonce: Hash32) -> PingAnswer:
        """Ask whether a deal's GPUs are there; whose answer it is the caller checks.

        Raises:
            Unanswered: nothing that can be read came in time.
        """
        body = {"deal_id": gateway.deal_id, "nonce": nonce}
        with _asking(self._limits.ping, "answer"):
            async with asyncio.timeout(self._limits.ping.total_seconds()):
                url = httpx.URL(gateway.url.rstrip("/") + "/pings")
                said = await self._ask("POST", url, MOST_ANSWER, json=body)
            return PingAnswer.model_validate_json(said)

    async def heartbeats(self, gateway: Gateway, after: int = 0) -> list[Heartbeat]:
        """Return a deal's usage log behind its first `after` heartbeats; the caller checks that it fits.

        Raises:
            Unanswered: it did not come whole in time, cannot be read, or is longer than a log can be.
        """
        with _asking(self._limits.log, "whole log"):
            async with asyncio.timeout(self._limits.log.total_seconds()):
                return await self._pages(gateway, after)

    async def post_document(self, url: str, document: Document) -> int:
        """Hand a document to the gateway at an address; return the number that it has there.

        Raises:
            Unanswered: nothing that can be read came in time; Declined, if it does not take the document.
        """
        with _asking(self._limits.ping, "answer"):
            async with asyncio.timeout(self._limits.ping.total_seconds()):
                said = await self._ask(
                    "POST",
                    _documents_url(url, document.deal_id),
                    MOST_ANSWER,
                    json=document.model_dump(mode="json", exclude_none=True),
                )
            return wire.DocumentNumber.model_validate_json(said).number

    async def documents(
        self, url: str, deal_id: EscrowId, kind: DocumentKind | None = None, after: int = 0
    ) -> list[PostedDocument]:
        """Return what lies for a deal, behind a number, at the gateway at an address.

        Raises:
            Unanswered: it did not come whole in time, cannot be read, or is more than a deal can have;
            Declined, if the gateway does not give it.
        """
        with _asking(self._limits.log, "documents"):
            async with asyncio.timeout(self._limits.log.total_seconds()):
                return await self._documents(_documents_url(url, deal_id), deal_id, kind, after)

    # ---------------------------------------------------------------- inside

    async def _pages(self, gateway: Gateway, after: int) -> list[Heartbeat]:
        found: list[Heartbeat] = []
        left = MOST_LOG
        while True:
            said = await self._page(gateway.url, gateway.deal_id, after + len(found), min(left, MOST_PAGE))
            page = _Page.model_validate_json(said).heartbeats
            left -= len(said)
            found += page
            if len(page) > PAGE:
                raise Unanswered(f"a page of {len(page)} heartbeats: {PAGE} were asked for")
            if len(page) < PAGE:
                return found
            if len(found) >= MOST_HEARTBEATS:
                raise Unanswered(f"the log has more than {MOST_HEARTBEATS:,} heartbeats")

    async def _documents(
        self, url: httpx.URL, deal_id: EscrowId, kind: DocumentKind | None, after: int
    ) -> list[PostedDocument]:
        found: list[PostedDocument] = []
        wanted = {} if kind is None else {"kind": str(kind)}
        while True:
            at = url.copy_with(params=wanted | {"after": str(after), "limit": str(wire.PAGE)})
            said = await self._ask("GET", at, MOST_DOCUMENTS_PAGE)
            page = wire.Documents.model_validate_json(said).documents
            numbers = [after, *(each.number for each in page)]
            if sorted(set(numbers)) != numbers or any(each.document.deal_id != deal_id for each in page):
                raise Unanswered("the documents are of another deal, or in no order")
            found += page
            after = numbers[-1]
            if len(page) < wire.PAGE:
                return found
            if len(found) >= MOST_DOCUMENTS:
                raise Unanswered(f"the deal has more than {MOST_DOCUMENTS:,} documents")

    async def _page(self, url: str, deal_id: EscrowId, after: int, most: int) -> bytes:
        at = httpx.URL(f"{url.rstrip('/')}/deals/{deal_id}/heartbeats").copy_with(
            params={"after": after, "limit": PAGE}
        )
        return await self._ask("GET", at, most)

    async def _ask(
        self, method: str, url: httpx.URL, most: int, json: Mapping[str, Any] | None = None
    ) -> bytes:
        """Ask at the address that was looked at, and read no more than so many bytes."""
        try:
            pinned = url.copy_with(host=await address_of(url, private=self._limits.private))
        except NotPublic as error:
            raise Unanswered("its address is not public: see --allow-private") from error
        headers = PLAIN | {"Host": url.netloc.decode("ascii")}
        request = self._http.build_request(
            method, pinned, json=json, headers=headers, extensions=self._extensions(url)
        )
        response = await self._http.send(request, stream=True)
        try:
            if not response.is_success:
                raise Declined(response.status_code, await _read(response, MOST_ANSWER))
            return await _read(response, most)
        finally:
            await response.aclose()

    def _extensions(self, url: httpx.URL) -> dict[str, object]:
        step = self._limits.ping.total_seconds()
        timeout = {"connect": step, "read": step, "write": step, "pool": step}
        return {"sni_hostname": url.host, "timeout": timeout}


async def _read(response: httpx.Response, most: int) -> bytes:
    said = bytearray()
    async for part in response.aiter_raw():
        said += part
        if len(said) > most:
            raise Unanswered(f"the answer has more than {most:,} bytes")
    return bytes(said)


@contextmanager
def _asking(limit: timedelta, what: str) -> Iterator[None]:
    """Have whatever goes wrong in the block told as Unanswered."""
    try:
        yield
    except TimeoutError:
        raise Unanswered(f"no {what} in {limit.total_seconds():g} seconds") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise Unanswered(_told(error)) from error


def _documents_url(url: str, deal_id: EscrowId) -> httpx.URL:
    return httpx.URL(f"{url.rstrip('/')}/deals/{deal_id}/documents")


def _told(error: Exception) -> str:
    """Say in a line what went wrong; what the other side sent is not repeated."""
    if isinstance(error, ValidationError):
        return f"the answer cannot be read ({error.error_count()} faults)"
    return f"{type(error).__name__}: {error}"[:MOST_TEXT]


class GatewayClient:
    """One deal's gateway, asked by who has no event loop; each call is one of GatewayCaller's."""

    def __init__(self, gateway: Gateway, limits: GatewayLimits | None = None) -> None:
        self.gateway = gateway
        self._limits = limits or GatewayLimits()

    def ping(self, nonce: Hash32) -> PingAnswer:
        """Ask whether the deal's GPUs are there; whose answer it is the caller checks. Raises Unanswered."""

        async def ask() -> PingAnswer:
            async with GatewayCaller(self._limits) as caller:
                return await caller.ping(self.gateway, nonce)

        return asyncio.run(ask())

    def heartbeats(self, after: int = 0) -> list[Heartbeat]:
        """Return the usage log behind its first `after` heartbeats. Raises Unanswered."""

        async def ask() -> list[Heartbeat]:
            async with GatewayCaller(self._limits) as caller:
                return await caller.heartbeats(self.gateway, after)

        return asyncio.run(ask())
