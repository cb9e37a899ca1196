"""What was followed of the chain's log, in a database: the events, and the deals as they stand after them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, cast

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, Row, Table, delete, insert, or_, select, update

from molt_market.domain import events as kinds
from molt_market.domain.deals import Deal, DealStatus
from molt_market.domain.events import Block, DealEvent, Event
from molt_market.domain.ids import Address, EscrowId, Hash32, TransactionId
from molt_market.domain.policies import Policy
from molt_market.domain.terms import Terms
from molt_market.indexer.ports import Checkpoint
from molt_market.indexer.records import LIVE, DealRecord, Fact
from molt_market.indexer.statements import Logged
from molt_market.storage.compiled import insert_unless_there
from molt_market.storage.database import Database, in_parts
from molt_market.storage.schema import checkpoints, cursors, deals, events

CHECKPOINTS = (
    1_000  # so many places to go back to are kept; beyond them a reorganisation is read from the start
)
AT_ONCE = 500  # rows

_EVENTS: dict[str, TypeAdapter[Event]] = {
    name: TypeAdapter(kind)
    for name, kind in vars(kinds).items()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}
_OF_ACCOUNTS = ("Deposited", "Withdrawn", "DealRuled")  # they name the account whose balance they change
_POLICIES = TypeAdapter(kinds.PolicyRegistered)
_IS_LIVE = deals.c.status.in_([int(status) for status in LIVE])
_TERMS = tuple(each.name for each in fields(Terms))
_DEAL = tuple(each.name for each in fields(Deal))


def _names(account: Address) -> ColumnElement[bool]:
    """Match events that change an account's balance by naming it, and may match others that name it."""
    return events.c.name.in_(_OF_ACCOUNTS) & events.c.event.contains(f'"{account}"')


class SqlFacts:
    """The facts of one deployment; `molt_market.indexer.ports.Facts` says what each method does.

    Args:
        database: where they are.
        deployment: names it: `<chain>:<escrow>`, the chain as the journal of payments names it.
    """

    def __init__(self, database: Database, deployment: str) -> None:
        self._database = database
        self._deployment = deployment

    # ---------------------------------------------------------------- how far

    def cursor(self) -> Checkpoint | None:
        with self._database.reading() as connection:
            return _checkpoint(connection.execute(select(cursors).where(self._of(cursors))).one_or_none())

    def checkpoints(self) -> Sequence[Checkpoint]:
        newest_first = select(checkpoints).where(self._of(checkpoints)).order_by(checkpoints.c.number.desc())
        with self._database.reading() as connection:
            return [_known(row) for row in connection.execute(newest_first)]

    # ---------------------------------------------------------------- what is known

    def history(self, deal_ids: Collection[EscrowId]) -> Mapping[EscrowId, Sequence[Fact]]:
        found: dict[EscrowId, list[Fact]] = {}
        with self._database.reading() as connection:
            for some in in_parts(sorted(deal_ids)):
                rows = select(events).where(self._of(events), events.c.deal_id.in_(some))
                for row in connection.execute(rows.order_by(events.c.block, events.c.log_index)):
                    event = _EVENTS[row.name].validate_json(row.event)
                    found.setdefault(EscrowId(row.deal_id), []).append(Fact(cast(DealEvent, event), row.time))
        return found

    def touched_after(self, block: int) -> Collection[EscrowId]:
        touched = select(events.c.deal_id).where(
            self._of(events), events.c.block > block, events.c.deal_id.is_not(None)
        )
        with self._database.reading() as connection:
            return {EscrowId(row.deal_id) for row in connection.execute(touched.distinct())}

    def deal(self, deal_id: EscrowId) -> DealRecord | None:
        """Return a deal as it stands; None if it is not known."""
        with self._database.reading() as connection:
            found = connection.execute(
                select(deals).where(self._of(deals), deals.c.deal_id == deal_id)
            ).one_or_none()
            return None if found is None else _record(found)

    def account_log(
        self, account: Address, *, all_deals: bool = False
    ) -> tuple[Checkpoint | None, Sequence[Logged]]:
        """Return how far the log is followed, and all events that may move an account's money, in order.

        `all_deals`: also those of deals that it is no party of, as for who gets the fee.
        """
        party = or_(deals.c.buyer == account, deals.c.provider == account)
        ruled = select(events.c.deal_id).where(self._of(events), _names(account))
        ours = select(deals.c.deal_id).where(self._of(deals), or_(party, deals.c.deal_id.in_(ruled)))
        of_deals = events.c.deal_id.is_not(None) if all_deals else events.c.deal_id.in_(ours)
        wanted = select(events).where(self._of(events), or_(of_deals, _names(account)))
        with self._database.reading() as connection:
            at = connection.execute(select(cursors).where(self._of(cursors))).one_or_none()
            rows = connection.execute(wanted.order_by(events.c.block, events.c.log_index))
            return _checkpoint(at), [
                Logged(_EVENTS[row.name].validate_json(row.event), row.time) for row in rows
            ]

    def arbiters(self) -> Mapping[Hash32, Address]:
        """Return the arbiter of each registered policy."""
        return {policy_id: policy.arbiter for policy_id, policy in self.policies().items()}

    def policies(self) -> Mapping[Hash32, Policy]:
        """Return the registered policies by their ids."""
        registered = select(events.c.event).where(self._of(events), events.c.name == "PolicyRegistered")
        with self._database.reading() as connection:
            told = [_POLICIES.validate_json(each) for each in connection.scalars(registered)]
        return {each.policy_id: each.policy for each in told}

    def deals_of(self, party: Address, after: EscrowId | None, limit: int) -> Sequence[DealRecord]:
        """Return an account's deals, in whichever of these roles, by their ids, behind one of them."""
        roles = (deals.c.buyer, deals.c.voucher_signer, deals.c.provider, deals.c.agent)
        his = or_(*(role == party for role in roles))
        wanted = select(deals).where(self._of(deals), his, deals.c.deal_id > (after or ""))
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(deals.c.deal_id).limit(limit))
            return [_record(row) for row in rows]

    def live(self) -> Sequence[DealRecord]:
        with self._database.reading() as connection:
            rows = connection.execute(select(deals).where(self._of(deals), _IS_LIVE))
            return [_record(row) for row in rows]

    def due(self, time: int) -> Sequence[EscrowId]:
        due = select(deals.c.deal_id).where(self._of(deals), _IS_LIVE, deals.c.deadline <= time)
        with self._database.reading() as connection:
            rows = connection.execute(due.order_by(deals.c.deadline, deals.c.deal_id))
            return [EscrowId(row.deal_id) for row in rows]

    def closed(self, since: int) -> Iterator[DealRecord]:
        closed = select(deals).where(self._of(deals), deals.c.closed_at >= since)
        with self._database.reading() as connection:
            rows = connection.execution_options(yield_per=AT_ONCE).execute(closed)
            yield from map(_record, rows)

    # ---------------------------------------------------------------- going on, and back

    def append(self, at: Checkpoint | None, blocks: Sequence[Block], records: Collection[DealRecord]) -> bool:
        to = Checkpoint.of(blocks[-1])
        with self._database.writing() as connection:
            if not self._is_at(connection, at):
                return False
            self._insert(
                connection, events, [self._event(block, e) for block in blocks for e in block.events]
            )
            self._put(connection, records)
            self._insert(connection, checkpoints, [_place(to)])
            self._forget_old(connection)
            self._move(connection, to)
        return True

    def rewind(
        self,
        at: Checkpoint,
        to: Checkpoint | None,
        records: Collection[DealRecord],
        gone: Collection[EscrowId],
    ) -> bool:
        number = -1 if to is None else to.number
        with self._database.writing() as connection:
            if not self._is_at(connection, at):
                return False
            connection.execute(delete(events).where(self._of(events), events.c.block > number))
            connection.execute(
                delete(checkpoints).where(self._of(checkpoints), checkpoints.c.number > number)
            )
            self._remove(connection, gone)
            self._put(connection, records)
            self._move(connection, to)
        return True

    # ---------------------------------------------------------------- inside

    def _of(self, table: Table) -> ColumnElement[bool]:
        return table.c.deployment == self._deployment

    def _is_at(self, connection: Connection, at: Checkpoint | None) -> bool:
        """Lock the cursor until the transaction ends, and tell whether it is there."""
        insert_unless_there(connection, cursors, {"deployment": self._deployment})
        locked = select(cursors).where(self._of(cursors)).with_for_update()
        return _checkpoint(connection.execute(locked).one()) == at

    def _move(self, connection: Connection, to: Checkpoint | None) -> None:
        place = {"number": None, "hash": None, "time": None} if to is None else _place(to)
        connection.execute(update(cursors).where(self._of(cursors)).values(place))

    def _forget_old(self, connection: Connection) -> None:
        numbers = select(checkpoints.c.number).where(self._of(checkpoints))
        oldest = connection.execute(
            numbers.order_by(checkpoints.c.number.desc()).offset(CHECKPOINTS).limit(1)
        ).scalar()
        if oldest is not None:
            connection.execute(
                delete(checkpoints).where(self._of(checkpoints), checkpoints.c.number <= oldest)
            )

    def _put(self, connection: Connection, records: Collection[DealRecord]) -> None:
        self._remove(connection, [record.id for record in records])
        self._insert(connection, deals, [_row(record) for record in records])

    def _remove(self, connection: Connection, deal_ids: Collection[EscrowId]) -> None:
        for some in in_parts(sorted(deal_ids)):
            connection.execute(delete(deals).where(self._of(deals), deals.c.deal_id.in_(some)))

    def _insert(self, connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            connection.execute(insert(table), [row | {"deployment": self._deployment} for row in rows])

    def _event(self, block: Block, event: Event) -> dict[str, Any]:
        name = type(event).__name__
        return {
            "block": block.number,
            "log_index": event.log_index,
            "time": block.time,
            "name": name,
            "deal_id": getattr(event, "deal_id", None),
            "event": _EVENTS[name].dump_json(event).decode(),
        }


def _place(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"number": checkpoint.number, "hash": checkpoint.hash, "time": checkpoint.time}


def _checkpoint(row: Row[Any] | None) -> Checkpoint | None:
    return None if row is None or row.number is None else _known(row)


def _known(row: Row[Any]) -> Checkpoint:
    return Checkpoint(row.number, Hash32(row.hash), row.time)


def _row(record: DealRecord) -> dict[str, Any]:
    terms = {name: getattr(record.terms, name) for name in _TERMS}
    word = {name: getattr(record.deal, name) for name in _DEAL} | {"status": int(record.deal.status)}
    money = {name: getattr(record, name) for name in _MONEY}
    return {"deal_id": record.id} | terms | word | money


_MONEY = ("to_provider", "fee", "to_buyer", "share", "stake", "opened_by", "closed_by", "closed_at")


def _record(row: Row[Any]) -> DealRecord:
    terms = Terms(**{name: getattr(row, name) for name in _TERMS})
    status, *word = (getattr(row, name) for name in _DEAL)
    money = {name: getattr(row, name) for name in _MONEY}
    money["opened_by"] = TransactionId(row.opened_by)
    money["closed_by"] = None if row.closed_by is None else TransactionId(row.closed_by)
    return DealRecord(EscrowId(row.deal_id), terms, Deal(DealStatus(status), *word), **money)
