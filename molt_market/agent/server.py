"""What a gateway answers: pings, the usage log, what is handed over directly, and the files a job left."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from typing import Annotated, BinaryIO

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from molt_market.agent.here import Here
from molt_market.agent.mail import Mail
from molt_market.agent.outputs import NoFile, opened
from molt_market.api.beside import Beside
from molt_market.api.bodies import LimitBodies
from molt_market.api.errors import RESPONSES, tell_errors
from molt_market.api.limits import Limits
from molt_market.api.service import VERSION
from molt_market.attestation.usage import Heartbeat
from molt_market.domain.documents import Document, DocumentKind
from molt_market.domain.fields import MAX_UINT40, Value
from molt_market.domain.handling import Handling
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.domain.jobs import OutputFile
from molt_market.domain.pings import PingAnswer
from molt_market.errors import DealNotFound
from molt_market.signing.pings import sign_ping_answer
from molt_market.wire.messages import PAGE as MOST_DOCUMENTS
from molt_market.wire.messages import DocumentNumber, Documents

PAGE = 1_000
CHUNK = 2**18
MOST = 2**31 - 1  # a document's number
ABOUT = """\
The gateway of a provider: it answers for the deals of its agent. Attestors ping it and read usage logs,
buyers hand jobs and vouchers over, and fetch what their jobs left. Errors are problem details (RFC 9457),
as the market's.
"""


class PingQuestion(Value):
    """Whether a deal's GPUs are there; the nonce is the asker's own."""

    deal_id: EscrowId
    nonce: Hash32


class HeartbeatPage(Value):
    """A part of a usage log, in its order."""

    heartbeats: tuple[Heartbeat, ...]


class GatewayHealth(Value):
    """Whether it answers, and for how many deals."""

    ok: bool
    deals: int


def create_app(here: Here, *beside: Beside, limits: Limits | None = None) -> FastAPI:
    """Make the app of a gateway; what is `beside` it runs as long as it does.

    `limits` are those of each network address.
    """
    mail = Mail(here)
    callers = limits or Limits(per_second=50, burst=500)

    def limited(request: Request) -> None:
        callers.take(request.client.host if request.client else "unknown")

    app = FastAPI(
        title="molt-market agent",
        version=VERSION,
        description=ABOUT,
        lifespan=_lifespan(beside),
        responses=RESPONSES,
        redoc_url=None,
        dependencies=[Depends(limited)],
    )
    app.add_middleware(LimitBodies)
    tell_errors(app)

    @app.get("/health", operation_id="health")
    def health() -> GatewayHealth:
        """Say that it answers."""
        return GatewayHealth(ok=True, deals=len(here.usage.handlings()))

    @app.post("/pings", operation_id="answer_ping")
    def answer_ping(body: PingQuestion) -> PingAnswer:
        """Answer a ping, signed by the agent: so long is the usage log now, and it ends so."""
        _with_gpus(here, body.deal_id)
        heartbeats, head = here.usage.length(body.deal_id)
        return sign_ping_answer(
            body.deal_id,
            body.nonce,
            here.agent,
            here.domain,
            answered_at=here.now(),
            heartbeats=heartbeats,
            head=head,
        )

    @app.get("/deals/{deal_id}/heartbeats", operation_id="list_heartbeats")
    def list_heartbeats(
        deal_id: EscrowId,
        after: Annotated[int, Query(ge=0, le=MAX_UINT40, description="How many of the log you have.")] = 0,
        limit: Annotated[int, Query(ge=1, le=PAGE, description="How many at most.")] = PAGE,
    ) -> HeartbeatPage:
        """List the heartbeats of a deal's usage log: the first has the sequence number `after`."""
        _with_gpus(here, deal_id)
        return HeartbeatPage(heartbeats=tuple(here.usage.heartbeats(deal_id, after, limit)))

    @app.post("/deals/{deal_id}/documents", status_code=201, operation_id="post_document")
    def post_document(deal_id: EscrowId, body: Document) -> DocumentNumber:
        """Take a sealed letter for the agent, or a voucher, as if it had lain at the market."""
        record = here.facts.deal(deal_id)
        if record is None or not here.reads_mail_of(_handling(here, deal_id), record):
            raise DealNotFound(deal_id)
        return DocumentNumber(deal_id=deal_id, number=mail.hand_in(body, record))

    @app.get("/deals/{deal_id}/documents", operation_id="list_documents")
    def list_documents(
        deal_id: EscrowId,
        kind: DocumentKind | None = None,
        after: Annotated[int, Query(ge=0, le=MOST, description="The last number that you have.")] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_DOCUMENTS, description="How many at most.")] = 50,
    ) -> Documents:
        """List what the agent has left for a deal; letters are sealed, and all else is for everybody."""
        _handling(here, deal_id)
        left = here.usage.mail(deal_id, after, limit, kind=kind, sender=here.agent.address)
        return Documents(documents=tuple(left))

    @app.get("/deals/{deal_id}/files/{path:path}", operation_id="get_file")
    def get_file(deal_id: EscrowId, path: str, request: Request) -> StreamingResponse:
        """Return a file that the job's result lists, to who has the token of its access."""
        handling = _handling(here, deal_id)
        _require_token(handling, request.headers.get("Authorization", ""))
        listed = handling.result.outputs if handling.result is not None else ()
        return _file(here, handling, path, listed)

    return app


def _handling(here: Here, deal_id: EscrowId) -> Handling:
    found = here.usage.handling(deal_id)
    if found is None:
        raise DealNotFound(deal_id)
    return found


def _with_gpus(here: Here, deal_id: EscrowId) -> None:
    """Raise DealNotFound for a deal that has no GPUs here, or never had: an answer would vouch for them."""
    if not _handling(here, deal_id).devices:
        raise DealNotFound(deal_id)


def _require_token(handling: Handling, given: str) -> None:
    expected = f"Bearer {handling.token}"
    if handling.token is None or not hmac.compare_digest(given.encode(), expected.encode()):
        raise HTTPException(403, "Not the token of this deal")


def _file(here: Here, handling: Handling, path: str, listed: Sequence[OutputFile]) -> StreamingResponse:
    output = next((each for each in listed if each.path == path), None)
    if output is None:
        raise HTTPException(404, "File not found")
    with ExitStack() as stack:
        folder = here.runner.folder(handling.job_id)
        try:
            file = stack.enter_context(opened(folder, path, handling.user))
        except (NoFile, OSError) as error:
            raise HTTPException(404, "File not found") from error
        held = stack.pop_all()
    headers = {"Content-Length": str(output.size), "Digest": f"sha-256={output.sha256}"}
    return StreamingResponse(
        _chunks(file, output.size, held), media_type="application/octet-stream", headers=headers
    )


def _chunks(file: BinaryIO, size: int, held: ExitStack) -> Iterator[bytes]:
    with held:
        while size > 0 and (chunk := file.read(min(CHUNK, size))):
            size -= len(chunk)
            yield chunk


def _lifespan(
    beside: Sequence[Beside],
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        for each in beside:
            each.start()
        try:
            yield
        finally:
            for each in beside:
                each.stop()

    return running
