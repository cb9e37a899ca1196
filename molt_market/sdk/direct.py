"""A deal's gateway in the place of the market's mailbox: letters, vouchers and answers go straight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol, TypeVar

from pydantic import ValidationError

from molt_market.domain.documents import Document, DocumentKind, PostedDocument
from molt_market.domain.ids import EscrowId
from molt_market.errors import DealNotFound, InvalidValue, MoltError, ServerError, ServerUnreachable
from molt_market.sdk.gateways import Declined, GatewayCaller, GatewayLimits, Unanswered
from molt_market.sdk.transport import pause
from molt_market.wire.problems import Problem, error_of

ATTEMPTS = 3

Told = TypeVar("Told")


class Mailbox(Protocol):
    """Where a deal's parties leave documents for each other: a market's server, or the deal's gateway."""

    def post_document(self, document: Document) -> int:
        """Leave a document; return its number there. To do it again changes nothing."""
        ...

    def documents(
        self, deal_id: EscrowId, kind: DocumentKind | None = None, after: int = 0
    ) -> Iterator[PostedDocument]:
        """Yield the documents of a deal behind a number."""
        ...


class DirectMail:
    """The mailbox at a gateway. It needs no trust: whatever counts there is signed by the deal's agent.

    Args:
        url: the gateway's address. private: it may be one that is not public.
    """

    def __init__(self, url: str, *, private: bool = False) -> None:
        if not url.startswith(("http://", "https://")):
            raise InvalidValue(f"{url!r} is no address of a gateway: write e.g. https://gpus.example")
        self.url = url.rstrip("/")
        self._limits = GatewayLimits(private=private)

    def post_document(self, document: Document) -> int:
        """Hand a letter or a voucher to the deal's agent; return its number there.

        Raises:
            ServerUnreachable, ServerError: it cannot be had. DealNotFound: the gateway does not have the deal
            yet, or not any more. WrongSigner, TooManyDocuments and so on: it does not take it.
        """
        return self._told(lambda caller: caller.post_document(self.url, document))

    def documents(
        self, deal_id: EscrowId, kind: DocumentKind | None = None, after: int = 0
    ) -> Iterator[PostedDocument]:
        """Yield what the agent has left for a deal; nothing while the gateway does not have the deal.

        Raises ServerUnreachable, ServerError.
        """
        try:
            found = self._told(lambda caller: caller.documents(self.url, deal_id, kind, after))
        except DealNotFound:
            return
        yield from found

    def _told(self, ask: Callable[[GatewayCaller], Awaitable[Told]]) -> Told:
        async def call() -> Told:
            async with GatewayCaller(self._limits) as caller:
                return await ask(caller)

        for attempt in range(1, ATTEMPTS + 1):
            try:
                return asyncio.run(call())
            except Declined as error:
                raise self._error(error) from error
            except Unanswered as error:
                if attempt == ATTEMPTS:
                    raise ServerUnreachable(self.url, str(error)) from error
            pause(attempt)
        raise AssertionError("the last attempt returns or raises")  # pragma: no cover

    def _error(self, declined: Declined) -> MoltError:
        try:
            problem = Problem.model_validate_json(declined.said)
        except ValidationError:
            return ServerError(self.url, str(declined))
        return error_of(problem)
