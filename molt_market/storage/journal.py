"""The journal of payments in a database: it survives crashes, and any number of processes may share it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, case, func, insert, select, update

from molt_market.domain.clock import Clock, SystemClock
from molt_market.domain.ids import Address, EscrowId, OfferId, TransactionId
from molt_market.domain.orders import JobOrder
from molt_market.domain.transactions import Call, Fee, SignedTransaction, TransactionReceipt
from molt_market.payments.journal import (
    IN_FLIGHT,
    WITHOUT_EFFECT,
    Dispatch,
    Entry,
    EntryState,
    Opening,
    SignAt,
    SlotTaken,
    deal_of,
    require_follows,
)
from molt_market.storage.database import Database, insert_unless_there
from molt_market.storage.schema import accounts, dispatches, entries, transactions


class SqlJournal:
    """The journal of one chain's payments; `molt_market.payments.journal.Journal` says what each method does.

    Each method is one transaction of the database. Who takes a nonce locks the account's row until it is
    written down what the nonce is for.
    """

    def __init__(self, database: Database, chain: str, clock: Clock | None = None) -> None:
        self._database = database
        self._chain = chain
        self._clock = clock or SystemClock()

    # ---------------------------------------------------------------- intents

    def plan(
        self, key: str, *, note: str = "", opening: Opening | None = None, slot_is_new: bool = False
    ) -> Entry:
        with self._database.writing() as connection:
            if opening is not None and slot_is_new:
                self._require_free(connection, key, opening.order)
            return self._planned(connection, key, note, opening)

    def plan_all(self, notes: Mapping[str, str]) -> dict[str, Entry]:
        with self._database.writing() as connection:
            # in one order, so that two that plan the same at once do not wait for each other
            return {key: self._planned(connection, key, notes[key], None) for key in sorted(notes)}

    def _planned(self, connection: Connection, key: str, note: str, opening: Opening | None) -> Entry:
        fresh = {"planned_at": self._clock.now(), "dispatch_id": None, "failure": None}
        given = ({"note": note} if note else {}) | (_opening_row(opening) if opening else {})
        named = {"chain": self._chain, "key": key, "deal_id": deal_of(key)}
        row = named | {"note": "", "first_item": 0, "items": 1}
        insert_unless_there(connection, entries, row | fresh | given)
        known = self._entry(connection, key, for_update=True)
        if known.state not in WITHOUT_EFFECT:
            return known
        connection.execute(update(entries).where(self._is(key)).values(fresh | given))
        return self._entry(connection, key)

    def _require_free(self, connection: Connection, key: str, order: JobOrder) -> None:
        """Raise SlotTaken if another order is on its way with the slot of one that is not."""
        self._lock(connection, Address(order.buyer_id))
        known = self._entries(connection, self._is(key))
        if known and known[0].state not in WITHOUT_EFFECT:
            return
        same = (entries.c.buyer == order.buyer_id) & (entries.c.slot == order.slot)
        others = (entries.c.chain == self._chain) & same & (entries.c.order_id != order.id)
        if any(entry.state is not EntryState.FAILED for entry in self._entries(connection, others)):
            raise SlotTaken

    def get(self, key: str) -> Entry | None:
        with self._database.reading() as connection:
            found = self._entries(connection, self._is(key))
        return found[0] if found else None

    def fail(self, key: str, failure: str) -> Entry:
        with self._database.writing() as connection:
            unsigned = self._is(key) & entries.c.dispatch_id.is_(None)
            connection.execute(update(entries).where(unsigned).values(failure=failure))
            return self._entry(connection, key)

    # ---------------------------------------------------------------- dispatches

    def sign(
        self,
        items: Mapping[str, range],
        sender: Address,
        sign: SignAt,
        *,
        least_nonce: int,
        nonce: int | None = None,
    ) -> Dispatch | None:
        with self._database.writing() as connection:
            self._lock(connection, sender)
            planned = [self._entry(connection, key, for_update=True) for key in sorted(items)]
            used = self._free_nonce(connection, sender, least_nonce, nonce)
            if used is None or any(entry.state is not EntryState.PLANNED for entry in planned):
                return None
            dispatch_id = self._insert(connection, sign(used))
            for key, places in items.items():
                connection.execute(
                    update(entries)
                    .where(self._is(key))
                    .values(dispatch_id=dispatch_id, first_item=places.start, items=len(places))
                )
            return self._dispatch(connection, dispatch_id)

    def replace(self, dispatch: Dispatch, signed: SignedTransaction) -> Dispatch:
        with self._database.writing() as connection:
            if self._dispatch(connection, dispatch.id, for_update=True) == dispatch:
                require_follows(dispatch, EntryState.REPLACED)
                self._add_transaction(connection, dispatch.id, len(dispatch.transactions), signed)
                self._set(connection, dispatch.id, EntryState.REPLACED)
            return self._dispatch(connection, dispatch.id)

    def move(
        self,
        dispatch: Dispatch,
        to: EntryState,
        *,
        receipt: TransactionReceipt | None = None,
        failures: Mapping[str, str] | None = None,
    ) -> Dispatch:
        with self._database.writing() as connection:
            if self._dispatch(connection, dispatch.id, for_update=True) == dispatch:
                require_follows(dispatch, to)
                self._set(connection, dispatch.id, to, receipt)
                carried = entries.c.dispatch_id == dispatch.id
                connection.execute(update(entries).where(carried).values(failure=None))
                for key, failure in (failures or {}).items():
                    connection.execute(update(entries).where(self._is(key)).values(failure=failure))
            return self._dispatch(connection, dispatch.id)

    def give_back(self, dispatch: Dispatch, failure: str) -> Dispatch:
        with self._database.writing() as connection:
            self._lock(connection, dispatch.sender)
            present = self._dispatch(connection, dispatch.id, for_update=True)
            last = max(each.nonce for each in self._in_flight(connection, dispatch.sender) or [dispatch])
            if present.state is EntryState.SIGNED and dispatch.nonce >= last:
                self._set(connection, dispatch.id, EntryState.DROPPED)
                carried = entries.c.dispatch_id == dispatch.id
                connection.execute(update(entries).where(carried).values(failure=failure))
            return self._dispatch(connection, dispatch.id)

    # ---------------------------------------------------------------- reading

    def dispatch(self, dispatch_id: int) -> Dispatch:
        with self._database.reading() as connection:
            return self._dispatch(connection, dispatch_id)

    def carried(self, dispatch_id: int) -> list[Entry]:
        with self._database.reading() as connection:
            return self._entries(connection, entries.c.dispatch_id == dispatch_id)

    def in_flight(self, sender: Address | None = None) -> list[Dispatch]:
        with self._database.reading() as connection:
            return self._in_flight(connection, sender)

    def in_flight_of(self, deal_id: EscrowId) -> list[Entry]:
        about = (entries.c.chain == self._chain) & (entries.c.deal_id == deal_id)
        with self._database.reading() as connection:
            return [entry for entry in self._entries(connection, about) if entry.in_flight]

    def final_since(self, sender: Address, block: int) -> list[Dispatch]:
        final = (dispatches.c.state == EntryState.FINAL) & (dispatches.c.block >= block)
        wanted = select(dispatches).where(self._of(sender), final).order_by(dispatches.c.nonce)
        with self._database.reading() as connection:
            return self._dispatches(connection, wanted)

    def next_nonce(self, sender: Address) -> int | None:
        with self._database.reading() as connection:
            return self._next_nonce(connection, sender)

    def about(self, deal_id: EscrowId) -> list[Entry]:
        about = (entries.c.chain == self._chain) & (entries.c.deal_id == deal_id)
        with self._database.reading() as connection:
            return self._entries(connection, about)

    def entries(
        self, states: Iterable[EntryState], *, limit: int | None = None, newest: bool = False
    ) -> list[Entry]:
        order = entries.c.id.desc() if newest else entries.c.id
        in_these = _STATE.in_([state.value for state in states])
        wanted = select(entries).select_from(_WITH_CARRIER).where(self._mine, in_these)
        with self._database.reading() as connection:
            return self._read(connection, wanted.order_by(order).limit(limit))

    def counts(self) -> dict[EntryState, int]:
        counted = select(_STATE.label("entry_state"), func.count()).select_from(_WITH_CARRIER)
        wanted = counted.where(self._mine).group_by("entry_state")
        with self._database.reading() as connection:
            found = {row[0]: row[1] for row in connection.execute(wanted)}
        return {state: found.get(state.value, 0) for state in EntryState}

    def openings(self, buyer: Address) -> list[Entry]:
        with self._database.reading() as connection:
            return self._entries(connection, (entries.c.chain == self._chain) & (entries.c.buyer == buyer))

    # ---------------------------------------------------------------- rows

    @property
    def _mine(self) -> ColumnElement[bool]:
        return entries.c.chain == self._chain

    def _is(self, key: str) -> ColumnElement[bool]:
        return (entries.c.chain == self._chain) & (entries.c.key == key)

    def _lock(self, connection: Connection, sender: Address) -> None:
        """Let nobody else take a nonce of the account's until the end of the transaction."""
        row = {"chain": self._chain, "address": sender}
        insert_unless_there(connection, accounts, row)
        connection.execute(select(accounts).filter_by(**row).with_for_update())

    def _free_nonce(
        self, connection: Connection, sender: Address, least: int, wanted: int | None
    ) -> int | None:
        if wanted is None:
            return max(least, self._next_nonce(connection, sender) or 0)
        given_out = (dispatches.c.nonce == wanted) & (dispatches.c.state != EntryState.DROPPED)
        taken = connection.execute(select(dispatches.c.id).where(self._of(sender), given_out))
        return None if taken.first() else wanted

    def _next_nonce(self, connection: Connection, sender: Address) -> int | None:
        given_out = dispatches.c.state != EntryState.DROPPED
        last = connection.scalar(select(func.max(dispatches.c.nonce)).where(self._of(sender), given_out))
        return None if last is None else last + 1

    def _of(self, sender: Address) -> ColumnElement[bool]:
        return (dispatches.c.chain == self._chain) & (dispatches.c.sender == sender)

    def _insert(self, connection: Connection, signed: SignedTransaction) -> int:
        row = {
            "chain": self._chain,
            "sender": signed.sender,
            "nonce": signed.nonce,
            "call_to": signed.call.to,
            "call_data": signed.call.data,
            "state": EntryState.SIGNED.value,
            "since": self._clock.now(),
        }
        dispatch_id: int = connection.execute(
            insert(dispatches).values(row).returning(dispatches.c.id)
        ).scalar_one()
        self._add_transaction(connection, dispatch_id, 0, signed)
        return dispatch_id

    def _add_transaction(
        self, connection: Connection, dispatch_id: int, position: int, signed: SignedTransaction
    ) -> None:
        row = {
            "hash": signed.id,
            "dispatch_id": dispatch_id,
            "position": position,
            "gas": signed.gas,
            "fee_most": signed.fee.most,
            "fee_tip": signed.fee.tip,
            "raw": signed.raw,
            "signed_at": self._clock.now(),
        }
        connection.execute(insert(transactions).values(row))

    def _set(
        self,
        connection: Connection,
        dispatch_id: int,
        state: EntryState,
        receipt: TransactionReceipt | None = None,
    ) -> None:
        values = {
            "state": state.value,
            "since": self._clock.now(),
            "mined": receipt.transaction_id if receipt else None,
            "block": receipt.block if receipt else None,
        }
        connection.execute(update(dispatches).where(dispatches.c.id == dispatch_id).values(values))

    def _in_flight(self, connection: Connection, sender: Address | None) -> list[Dispatch]:
        mine = dispatches.c.chain == self._chain
        if sender is not None:
            mine &= dispatches.c.sender == sender
        live = dispatches.c.state.in_([state.value for state in IN_FLIGHT])
        return self._dispatches(connection, select(dispatches).where(mine, live).order_by(dispatches.c.nonce))

    def _dispatch(self, connection: Connection, dispatch_id: int, *, for_update: bool = False) -> Dispatch:
        wanted = select(dispatches).where(dispatches.c.id == dispatch_id)
        [found] = self._dispatches(connection, wanted.with_for_update() if for_update else wanted)
        return found

    def _dispatches(self, connection: Connection, wanted: Select[Any]) -> list[Dispatch]:
        rows = connection.execute(wanted).all()
        signed: dict[int, list[Row[Any]]] = {row.id: [] for row in rows}
        of_these = select(transactions).where(transactions.c.dispatch_id.in_(signed))
        for row in connection.execute(of_these.order_by(transactions.c.position)):
            signed[row.dispatch_id].append(row)
        return [_read_dispatch(row, signed[row.id]) for row in rows]

    def _entry(self, connection: Connection, key: str, *, for_update: bool = False) -> Entry:
        if for_update:
            connection.execute(select(entries.c.id).where(self._is(key)).with_for_update())
        [found] = self._entries(connection, self._is(key))
        return found

    def _entries(self, connection: Connection, which: ColumnElement[bool]) -> list[Entry]:
        return self._read(connection, select(entries).where(which).order_by(entries.c.id))

    def _read(self, connection: Connection, wanted: Select[Any]) -> list[Entry]:
        rows = connection.execute(wanted).all()
        carriers = {row.dispatch_id for row in rows if row.dispatch_id is not None}
        carried_by = {
            each.id: each
            for each in self._dispatches(connection, select(dispatches).where(dispatches.c.id.in_(carriers)))
        }
        return [_read_entry(row, carried_by.get(row.dispatch_id)) for row in rows]


# `Entry.state` in the words of the database
_WITH_CARRIER = entries.outerjoin(dispatches, entries.c.dispatch_id == dispatches.c.id)
_STATE = case(
    (
        entries.c.dispatch_id.is_(None),
        case((entries.c.failure.is_(None), EntryState.PLANNED.value), else_=EntryState.FAILED.value),
    ),
    (
        (dispatches.c.state == EntryState.FINAL.value) & entries.c.failure.is_not(None),
        EntryState.REVERTED.value,
    ),
    else_=dispatches.c.state,
)


def chains_in(database: Database) -> list[str]:
    """Return the names of the chains that a database has payments of, the one used last first."""
    wanted = select(entries.c.chain).group_by(entries.c.chain).order_by(func.max(entries.c.id).desc())
    with database.reading() as connection:
        return list(connection.scalars(wanted))


def _opening_row(opening: Opening) -> dict[str, Any]:
    order = opening.order
    return {
        "buyer": order.buyer_id,
        "slot": order.slot,
        "order_id": order.id,
        "order": order.model_dump_json(),
        "offer_id": opening.offer_id,
    }


def _read_entry(row: Row[Any], dispatch: Dispatch | None) -> Entry:
    opening = None
    if row.order is not None:
        opening = Opening(JobOrder.model_validate_json(row.order), OfferId(row.offer_id))
    items = range(row.first_item, row.first_item + row.items)
    return Entry(row.key, row.planned_at, row.note, opening, dispatch, items, row.failure)


def _read_dispatch(row: Row[Any], signed: Sequence[Row[Any]]) -> Dispatch:
    sender, call = Address(row.sender), Call(row.call_to and Address(row.call_to), row.call_data)
    return Dispatch(
        id=row.id,
        sender=sender,
        nonce=row.nonce,
        transactions=tuple(
            SignedTransaction(
                TransactionId(each.hash),
                sender,
                row.nonce,
                call,
                each.gas,
                Fee(each.fee_most, each.fee_tip),
                each.raw,
            )
            for each in signed
        ),
        signed_at=signed[-1].signed_at,
        since=row.since,
        state=EntryState(row.state),
        mined=row.mined and TransactionId(row.mined),
        block=row.block,
    )
