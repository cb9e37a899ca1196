"""What the parties of a deal leave for each other, in a database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from eth_utils import keccak
from sqlalchemy import ColumnElement, Connection, and_, func, insert, select

from molt_market.domain.documents import Document, DocumentKind, PostedDocument
from molt_market.domain.fields import moment, seconds
from molt_market.domain.ids import Address, EscrowId, Hash32
from molt_market.domain.updates import DocumentPosted
from molt_market.errors import TooManyDocuments
from molt_market.storage import feed
from molt_market.storage.compiled import insert_unless_there
from molt_market.storage.schema import documents, feeds

MOST = 10_000  # of one deal


def post(connection: Connection, deployment: str, document: Document, sender: Address, now: datetime) -> int:
    """Keep a document; see MarketStore.post_document."""
    body = document.model_dump_json(exclude_none=True)
    digest = Hash32.of(keccak(text=body))
    mine = _of(deployment, document.deal_id)
    _take_turns(connection, deployment)
    known = connection.execute(select(documents.c.number).where(mine, documents.c.digest == digest)).scalar()
    if known is not None:
        return int(known)
    last = connection.execute(select(func.max(documents.c.number)).where(mine)).scalar() or 0
    if last >= MOST:
        raise TooManyDocuments(MOST)
    row = {
        "deployment": deployment,
        "deal_id": document.deal_id,
        "number": last + 1,
        "digest": digest,
        "kind": str(document.kind),
        "sender": sender,
        "posted_at": seconds(now),
        "document": body,
    }
    connection.execute(insert(documents).values(row))
    told = DocumentPosted(deal_id=document.deal_id, document=document.kind, sender=sender, number=last + 1)
    feed.append(connection, deployment, now, [told])
    return last + 1


def read(
    connection: Connection,
    deployment: str,
    deal_id: EscrowId,
    after: int,
    *,
    limit: int,
    kind: DocumentKind | None,
) -> Sequence[PostedDocument]:
    """Return documents; see MarketStore.documents."""
    wanted = select(documents).where(_of(deployment, deal_id), documents.c.number > after)
    if kind is not None:
        wanted = wanted.where(documents.c.kind == str(kind))
    rows = connection.execute(wanted.order_by(documents.c.number).limit(limit))
    return [
        PostedDocument(
            number=row.number,
            sender=Address(row.sender),
            posted_at=moment(row.posted_at),
            document=Document.model_validate_json(row.document),
        )
        for row in rows
    ]


def _of(deployment: str, deal_id: EscrowId) -> ColumnElement[bool]:
    return and_(documents.c.deployment == deployment, documents.c.deal_id == deal_id)


def _take_turns(connection: Connection, deployment: str) -> None:
    """Wait for others who post, so that numbers have no gap. Nothing is locked before it, or after it."""
    insert_unless_there(connection, feeds, {"deployment": deployment, "last": 0})
    connection.execute(select(feeds.c.last).where(feeds.c.deployment == deployment).with_for_update())
