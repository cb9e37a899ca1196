"""What an attestor has seen, in a database: a receipt is judged once, and one of a deal is signed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from molt_market.attestation.ports import PingCount, Verdict
from molt_market.attestation.verifier import DeviceUse
from molt_market.domain.fields import moment, seconds
from molt_market.domain.ids import Address, EscrowId, Hash32
from molt_market.domain.pings import Ping, PingAnswer
from molt_market.domain.proofs import Attestation
from molt_market.storage.compiled import insert_unless_there
from molt_market.storage.database import Database, in_parts
from molt_market.storage.schema import attestor_devices
from molt_market.storage.schema import attestor_pings as pings
from molt_market.storage.schema import attestor_verdicts as verdicts


class SqlAttestor:
    """What one attestor has of one deployment; `molt_market.attestation.ports.AttestorStore` says what for.

    Args:
        database: where it is.
        deployment: names it: `<chain>:<escrow>`, as the facts do.
        attestor: whose it is; several may share a database.
    """

    def __init__(self, database: Database, deployment: str, attestor: Address) -> None:
        self._database = database
        self._whose = {"deployment": deployment, "attestor": attestor}

    # ---------------------------------------------------------------- pings

    def add_ping(self, ping: Ping, failure: str | None = None) -> None:
        row = self._whose | {
            "deal_id": ping.deal_id,
            "at": seconds(ping.at),
            "nonce": ping.nonce,
            "answer": None if ping.answer is None else ping.answer.model_dump_json(),
            "failure": failure,
        }
        with self._database.writing() as connection:
            connection.execute(insert(pings), row)

    def pings(self, deal_id: EscrowId) -> Sequence[Ping]:
        wanted = select(pings).where(self._of(pings), pings.c.deal_id == deal_id)
        with self._database.reading() as connection:
            return [_ping(row) for row in connection.execute(wanted.order_by(pings.c.at, pings.c.id))]

    def ping_counts(self) -> dict[EscrowId, PingCount]:
        """Return how often the gateway of each deal was asked."""
        counted = select(pings.c.deal_id, func.count(pings.c.answer), func.count()).where(self._of(pings))
        last = select(pings.c.deal_id, func.max(pings.c.id)).where(
            self._of(pings), pings.c.failure.is_not(None)
        )
        with self._database.reading() as connection:
            rows = connection.execute(counted.group_by(pings.c.deal_id)).all()
            newest = [id_ for _, id_ in connection.execute(last.group_by(pings.c.deal_id))]
            failures: dict[str, str] = {}
            for some in in_parts(newest):
                these = select(pings.c.deal_id, pings.c.failure).where(pings.c.id.in_(some))
                failures.update((row.deal_id, row.failure) for row in connection.execute(these))
        return {
            EscrowId(deal_id): PingCount(answered, asked - answered, failures.get(deal_id))
            for deal_id, answered, asked in rows
        }

    # ---------------------------------------------------------------- verdicts

    def verdicts(self, deal_id: EscrowId) -> Sequence[Verdict]:
        wanted = select(verdicts).where(self._of(verdicts), verdicts.c.deal_id == deal_id)
        ordered = wanted.order_by(verdicts.c.judged_at, verdicts.c.digest)
        with self._database.reading() as connection:
            return [_verdict(row) for row in connection.execute(ordered)]

    def judged_deals(self) -> Collection[EscrowId]:
        """Return the deals with a verdict."""
        wanted = select(verdicts.c.deal_id).where(self._of(verdicts)).distinct()
        with self._database.reading() as connection:
            return [EscrowId(each) for each in connection.scalars(wanted)]

    def decide(self, verdict: Verdict, devices: Collection[DeviceUse]) -> bool:
        deal_id = verdict.receipt.deal_id
        row = self._whose | {
            "deal_id": deal_id,
            "digest": verdict.digest,
            "receipt": verdict.receipt.model_dump_json(),
            "code": verdict.code,
            "text": verdict.text,
            "judged_at": seconds(verdict.judged_at),
            "posted": verdict.posted,
        }
        rows = [
            self._whose
            | {"deal_id": deal_id, "uuid": use.uuid, "first": seconds(use.first), "last": seconds(use.last)}
            for use in devices
        ]
        try:
            with self._database.writing() as connection:
                connection.execute(insert(verdicts), row)
                if rows:
                    insert_unless_there(connection, attestor_devices, *rows)
        except IntegrityError:
            return False
        return True

    def mark_posted(self, verdict: Verdict) -> None:
        this = (verdicts.c.deal_id == verdict.receipt.deal_id) & (verdicts.c.digest == verdict.digest)
        with self._database.writing() as connection:
            connection.execute(update(verdicts).where(self._of(verdicts), this).values(posted=True))

    def in_use(self, uuids: Collection[str]) -> Sequence[DeviceUse]:
        found = []
        with self._database.reading() as connection:
            for some in in_parts(sorted(uuids)):
                wanted = select(attestor_devices).where(
                    self._of(attestor_devices), attestor_devices.c.uuid.in_(some)
                )
                found += [_use(row) for row in connection.execute(wanted)]
        return found

    # ---------------------------------------------------------------- inside

    def _of(self, table: Table) -> ColumnElement[bool]:
        whose = self._whose
        return (table.c.deployment == whose["deployment"]) & (table.c.attestor == whose["attestor"])


def _ping(row: Row[Any]) -> Ping:
    answer = None if row.answer is None else PingAnswer.model_validate_json(row.answer)
    return Ping(deal_id=EscrowId(row.deal_id), at=moment(row.at), nonce=Hash32(row.nonce), answer=answer)


def _verdict(row: Row[Any]) -> Verdict:
    receipt = Attestation.model_validate_json(row.receipt)
    return Verdict(receipt, Hash32(row.digest), row.code, row.text, moment(row.judged_at), row.posted)


def _use(row: Row[Any]) -> DeviceUse:
    return DeviceUse(EscrowId(row.deal_id), row.uuid, moment(row.first), moment(row.last))
