"""The journal of payments in a database: it survives crashes, and any number of processes may share it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    case,
    func,
    insert,
    select,
    tuple_,
    update,
)

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
    Intent,
    Opening,
    SignAt,
    by_deal,
    deal_of,
    new_slots,
    require_follows,
    require_free,
)
from molt_market.storage.compiled import insert_unless_there
from molt_market.storage.database import Database, in_parts
from molt_market.storage.schema import accounts, dispatches, entries, transactions

OF_OPENINGS = ("buyer", "slot", "order_id", "order", "offer_id")  # columns that only openings fill


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

    def plan(self, key: str, *, note: str = "") -> Entry:
        return self.plan_all([Intent(key, note)])[key]

    def plan_all(self, intents: Iterable[Intent]) -> dict[str, Entry]:
        wanted = {intent.key: intent for intent in intents}
        with self._database.writing() as connection:
            if any(intent.slot_is_new for intent in wanted.values()):
                self._require_free_slots(connection, wanted)
            return self._planned(connection, wanted) if wanted else {}

    def _planned(self, connection: Connection, intents: Mapping[str, Intent]) -> dict[str, Entry]:
        fresh = {"planned_at": self._clock.now(), "dispatch_id": None, "failure": None}
        unsaid = {"note": "", "first_item": 0, "items": 1} | dict.fromkeys(OF_OPENINGS)
        rows = {
            key: {"chain": self._chain, "key": key, "deal_id": deal_of(key)} | unsaid | fresh | _given(intent)
            for key, intent in intents.items()
        }
        # in one order, so that two that plan the same at once do not wait for each other
        insert_unless_there(connection, entries, *(rows[key] for key in sorted(rows)))
        known = self._by_key(connection, intents, for_update=True)
        anew = [key for key, entry in known.items() if entry.state in WITHOUT_EFFECT]
        for key in anew:
            connection.execute(update(entries).where(self._is(key)).values(fresh | _given(intents[key])))
        return known | self._by_key(connection, anew)

    def _require_free_slots(self, connection: Connection, intents: Mapping[str, Intent]) -> None:
        """Raise SlotTaken if another order is on its way with the new slot of one that is not."""
        openings = [intent.opening for intent in intents.values() if intent.opening and intent.slot_is_new]
        for buyer in sorted({opening.order.buyer_id for opening in openings}):
            self._lock(connection, Address(buyer))
        new = new_slots(intents.values(), self._by_key(connection, intents))
        for some in in_parts(list(new)):
            same = tuple_(entries.c.buyer, entries.c.slot).in_(some)
            require_free(new, self._entries(connection, self._mine & same))

    def get(self, key: str) -> Entry | None:
        return self.get_all([key]).get(key)

    def get_all(self, keys: Collection[str]) -> dict[str, Entry]:
        with self._database.reading() as connection:
            return self._by_key(connection, keys)

    def fail(self, key: str, failure: str) -> Entry:
        with self._database.writing() as connection:
            unsigned = self._is(key) & entries.c.dispatch_id.is_(None)
            connection.execute(update(entries).where(unsigned).values(failure=failure))
            return self._by_key(connection, [key])[key]

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
            planned = self._by_key(connection, items, for_update=True)
            used = self._free_nonce(connection, sender, least_nonce, nonce)
            if used is None or any(entry.state is not EntryState.PLANNED for entry in planned.values()):
                return None
            dispatch_id = self._insert(connection, sign(used))
            carried = (
                update(entries)
                .where(self._mine, entries.c.key == bindparam("of"))
                .values(dispatch_id=dispatch_id, first_item=bindparam("first"), items=bindparam("many"))
            )
            places = [
                {"of": key, "first": each.start, "many": len(each)} for key, each in sorted(items.items())
            ]
            connection.execute(carried, places)
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

    def in_flight_of(self, deal_ids: Collection[EscrowId]) -> dict[EscrowId, list[Entry]]:
        with self._database.reading() as connection:
            about = [
                entry
                for some in in_parts(sorted(deal_ids))
                for entry in self._entries(connection, self._mine & entries.c.deal_id.in_(some))
            ]
        return by_deal(deal_ids, [entry for entry in about if entry.in_flight])

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

    def _by_key(
        self, connection: Connection, keys: Iterable[str], *, for_update: bool = False
    ) -> dict[str, Entry]:
        """Return the entries of those keys that have one; locked in the order of the keys."""
        found: dict[str, Entry] = {}
        for some in in_parts(sorted(keys)):
            these = self._mine & entries.c.key.in_(some)
            if for_update:
                locked = select(entries.c.id).where(these).order_by(entries.c.key).with_for_update()
                connection.execute(locked)
            found |= {entry.key: entry for entry in self._entries(connection, these)}
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


def _given(intent: Intent) -> dict[str, Any]:
    """Return the columns of what an intent says."""
    note = {"note": intent.note} if intent.note else {}
    if intent.opening is None:
        return note
    order = intent.opening.order
    values = (order.buyer_id, order.slot, order.id, order.model_dump_json(), intent.opening.offer_id)
    return note | dict(zip(OF_OPENINGS, values, strict=True))


def _read_entry(row: Row[Any], dispatch: Dispatch | None) -> Entry:
    opening = None
    if row.order is not None:
        opening = _read_opening(row.order, row.offer_id)
    items = range(row.first_item, row.first_item + row.items)
    return Entry(row.key, row.planned_at, row.note, opening, dispatch, items, row.failure)


@lru_cache(maxsize=4096)  # an entry is read at each step of its payment
def _read_opening(order: str, offer_id: str) -> Opening:
    return Opening(JobOrder.model_validate_json(order), OfferId(offer_id))


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
