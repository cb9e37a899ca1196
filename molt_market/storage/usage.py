"""What a provider's gateway keeps: its deals, their usage logs, and what it leaves at the market."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from eth_utils import keccak
from sqlalchemy import ColumnElement, Connection, Table, func, insert, select, update

from molt_market.attestation.usage import Heartbeat, UsageLog
from molt_market.domain.documents import Document, DocumentKind, PostedDocument
from molt_market.domain.fields import moment, seconds
from molt_market.domain.handling import BEATING, Handling, HandlingPhase
from molt_market.domain.ids import ZERO_HASH, Address, EscrowId, Hash32
from molt_market.errors import TooManyDocuments
from molt_market.storage.compiled import insert_unless_there
from molt_market.storage.database import Database
from molt_market.storage.schema import agent_deals, agent_documents, agent_heartbeats, agent_mail


class SqlUsage:
    """The state of one gateway; `molt_market.agent.ports.Usage` says what each method does.

    Args:
        database: where it is.
        deployment: names it: `<chain>:<escrow>`.
    """

    def __init__(self, database: Database, deployment: str) -> None:
        self._database = database
        self._deployment = deployment

    # ---------------------------------------------------------------- deals

    def handling(self, deal_id: EscrowId) -> Handling | None:
        with self._database.reading() as connection:
            found = connection.execute(
                select(agent_deals.c.handling).where(self._deal(agent_deals, deal_id))
            ).scalar()
        return None if found is None else Handling.model_validate_json(found)

    def handlings(self, phases: Collection[HandlingPhase] = tuple(HandlingPhase)) -> Sequence[Handling]:
        wanted = select(agent_deals.c.handling).where(
            agent_deals.c.deployment == self._deployment,
            agent_deals.c.phase.in_([str(each) for each in phases]),
        )
        with self._database.reading() as connection:
            rows = connection.scalars(wanted.order_by(agent_deals.c.deal_id))
            return [Handling.model_validate_json(each) for each in rows]

    def put(self, handling: Handling) -> None:
        row = {"phase": str(handling.phase), "handling": handling.model_dump_json()}
        key = {"deployment": self._deployment, "deal_id": handling.deal_id}
        with self._database.writing() as connection:
            insert_unless_there(connection, agent_deals, key | row)
            mine = self._deal(agent_deals, handling.deal_id)
            connection.execute(update(agent_deals).where(mine).values(row))

    # ---------------------------------------------------------------- usage logs

    def beat(self, heartbeat: Heartbeat) -> bool:
        mine = self._deal(agent_deals, heartbeat.deal_id)
        with self._database.writing() as connection:
            phase = connection.execute(select(agent_deals.c.phase).where(mine).with_for_update()).scalar()
            if phase not in {str(each) for each in BEATING}:
                return False
            row = {
                "deployment": self._deployment,
                "deal_id": heartbeat.deal_id,
                "sequence": heartbeat.sequence,
                "digest": heartbeat.digest,
                "heartbeat": heartbeat.model_dump_json(),
            }
            connection.execute(insert(agent_heartbeats).values(row))
        return True

    def length(self, deal_id: EscrowId) -> tuple[int, Hash32]:
        last = self.last(deal_id)
        return (0, ZERO_HASH) if last is None else (last.sequence + 1, last.digest)

    def last(self, deal_id: EscrowId) -> Heartbeat | None:
        newest = select(func.max(agent_heartbeats.c.sequence)).where(self._deal(agent_heartbeats, deal_id))
        wanted = select(agent_heartbeats.c.heartbeat).where(
            self._deal(agent_heartbeats, deal_id), agent_heartbeats.c.sequence == newest.scalar_subquery()
        )
        with self._database.reading() as connection:
            found = connection.execute(wanted).scalar()
        return None if found is None else Heartbeat.model_validate_json(found)

    def heartbeats(self, deal_id: EscrowId, first: int, limit: int) -> Sequence[Heartbeat]:
        wanted = select(agent_heartbeats.c.heartbeat).where(
            self._deal(agent_heartbeats, deal_id), agent_heartbeats.c.sequence >= first
        )
        with self._database.reading() as connection:
            rows = connection.scalars(wanted.order_by(agent_heartbeats.c.sequence).limit(limit))
            return [Heartbeat.model_validate_json(each) for each in rows]

    def log(self, deal_id: EscrowId) -> UsageLog:
        wanted = select(agent_heartbeats.c.heartbeat).where(self._deal(agent_heartbeats, deal_id))
        with self._database.reading() as connection:
            rows = connection.scalars(wanted.order_by(agent_heartbeats.c.sequence))
            return UsageLog(deal_id, (Heartbeat.model_validate_json(each) for each in rows))

    # ---------------------------------------------------------------- documents

    def leave(self, name: str, document: Document, sender: Address, at: datetime) -> None:
        key = {"deployment": self._deployment, "deal_id": document.deal_id, "name": name}
        row = key | {"document": _written(document), "number": None}
        with self._database.writing() as connection:
            if insert_unless_there(connection, agent_documents, row):
                self._keep(connection, document, sender, at, most=None)

    def left(self, deal_id: EscrowId, name: str) -> Document | None:
        mine = self._deal(agent_documents, deal_id)
        wanted = select(agent_documents.c.document).where(mine, agent_documents.c.name == name)
        with self._database.reading() as connection:
            found = connection.execute(wanted).scalar()
        return None if found is None else Document.model_validate_json(found)

    def unposted(self, deal_id: EscrowId) -> Sequence[tuple[str, Document]]:
        mine = self._deal(agent_documents, deal_id)
        wanted = select(agent_documents).where(mine, agent_documents.c.number.is_(None))
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(agent_documents.c.name)).all()
        return [(row.name, Document.model_validate_json(row.document)) for row in rows]

    def posted(self, deal_id: EscrowId, name: str, number: int) -> None:
        mine = self._deal(agent_documents, deal_id)
        with self._database.writing() as connection:
            connection.execute(
                update(agent_documents).where(mine, agent_documents.c.name == name).values(number=number)
            )

    def unposted_deals(self) -> Sequence[EscrowId]:
        mine = (agent_documents.c.deployment == self._deployment) & agent_documents.c.number.is_(None)
        with self._database.reading() as connection:
            found = connection.scalars(select(agent_documents.c.deal_id).where(mine).distinct())
            return sorted(EscrowId(each) for each in found)

    def receive(self, document: Document, sender: Address, at: datetime, most: int | None = None) -> int:
        with self._database.writing() as connection:
            return self._keep(connection, document, sender, at, most=most)

    def mail(
        self,
        deal_id: EscrowId,
        after: int = 0,
        limit: int | None = None,
        *,
        kind: DocumentKind | None = None,
        sender: Address | None = None,
    ) -> Sequence[PostedDocument]:
        wanted = select(agent_mail).where(self._deal(agent_mail, deal_id), agent_mail.c.number > after)
        if kind is not None:
            wanted = wanted.where(agent_mail.c.kind == str(kind))
        if sender is not None:
            wanted = wanted.where(agent_mail.c.sender == sender)
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(agent_mail.c.number).limit(limit)).all()
        return [
            PostedDocument(
                number=row.number,
                sender=Address(row.sender),
                posted_at=moment(row.posted_at),
                document=Document.model_validate_json(row.document),
            )
            for row in rows
        ]

    # ---------------------------------------------------------------- inside

    def _keep(
        self, connection: Connection, document: Document, sender: Address, at: datetime, *, most: int | None
    ) -> int:
        """Give a document the next number of its deal, unless it has one. One after the other: no gaps."""
        mine = self._deal(agent_mail, document.deal_id)
        connection.execute(
            select(agent_deals.c.phase).where(self._deal(agent_deals, document.deal_id)).with_for_update()
        )
        body = _written(document)
        digest = Hash32.of(keccak(text=body))
        known = connection.execute(
            select(agent_mail.c.number).where(mine, agent_mail.c.digest == digest)
        ).scalar()
        if known is not None:
            return int(known)
        alike = (agent_mail.c.kind == str(document.kind)) & (agent_mail.c.sender == sender)
        if most is not None and self._count(connection, mine & alike) >= most:
            raise TooManyDocuments(most)
        last = connection.execute(select(func.max(agent_mail.c.number)).where(mine)).scalar() or 0
        row = {
            "deployment": self._deployment,
            "deal_id": document.deal_id,
            "number": last + 1,
            "digest": digest,
            "kind": str(document.kind),
            "sender": sender,
            "posted_at": seconds(at),
            "document": body,
        }
        connection.execute(insert(agent_mail).values(row))
        return last + 1

    def _count(self, connection: Connection, which: ColumnElement[bool]) -> int:
        return int(connection.execute(select(func.count()).where(which)).scalar_one())

    def _deal(self, table: Table, deal_id: EscrowId) -> ColumnElement[bool]:
        return (table.c.deployment == self._deployment) & (table.c.deal_id == deal_id)


def _written(document: Document) -> str:
    return document.model_dump_json(exclude_none=True)
