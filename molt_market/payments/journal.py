"""What was intended, signed, sent and mined: written down before it happens, so that nothing happens twice.

Each payment has a key. PLANNED -> SIGNED (the raw transaction is kept) -> BROADCAST -> FINAL; or FAILED,
which moved nothing, so that the same key may be planned again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from threading import RLock
from typing import Any, Protocol

from molt_market.domain.ids import Address, OfferId
from molt_market.domain.orders import JobOrder
from molt_market.domain.transactions import SignedTransaction, TransactionReceipt
from molt_market.errors import InvalidStateTransition


class EntryState(StrEnum):
    """Where a payment stands."""

    PLANNED = "planned"
    SIGNED = "signed"
    BROADCAST = "broadcast"
    FINAL = "final"
    FAILED = "failed"


FOLLOWS = {
    EntryState.PLANNED: {EntryState.SIGNED, EntryState.FAILED},
    EntryState.SIGNED: {EntryState.BROADCAST, EntryState.FAILED},
    EntryState.BROADCAST: {EntryState.BROADCAST, EntryState.FINAL, EntryState.FAILED},
    EntryState.FINAL: set[EntryState](),
    EntryState.FAILED: {EntryState.PLANNED},
}
IN_FLIGHT = frozenset({EntryState.SIGNED, EntryState.BROADCAST})


@dataclass(frozen=True, slots=True)
class Opening:
    """What the opening of a deal is about: the signed order, and which of a book's offers it takes."""

    order: JobOrder
    offer_id: OfferId


@dataclass(frozen=True, slots=True)
class Entry:
    """One payment. `note` is the caller's reason, `failure` why it failed last."""

    key: str
    state: EntryState = EntryState.PLANNED
    note: str = ""
    opening: Opening | None = None
    transaction: SignedTransaction | None = None
    receipt: TransactionReceipt | None = None
    failure: str | None = None

    @property
    def in_flight(self) -> bool:
        """Whether it is signed, and how it ends is not known yet."""
        return self.state in IN_FLIGHT


class Journal(Protocol):
    """Keeps the entries. Every method has written what it says when it returns."""

    def exclusive(self, key: str) -> AbstractContextManager[None]:
        """Let one caller at a time work on a key."""
        ...

    def get(self, key: str) -> Entry | None: ...

    def plan(self, key: str, *, note: str = "", opening: Opening | None = None) -> Entry:
        """Write an intent down, and return the entry: the one of before unless that failed."""
        ...

    def signed(self, key: str, transaction: SignedTransaction) -> Entry: ...

    def broadcast(self, key: str) -> Entry: ...

    def final(self, key: str, receipt: TransactionReceipt) -> Entry: ...

    def failed(self, key: str, failure: str) -> Entry: ...

    def openings(self, buyer: Address) -> list[Entry]:
        """Return the openings of a buyer's orders, in any state."""
        ...

    def next_nonce(self, sender: Address) -> int:
        """Return the nonce after all that are in flight from an account; 0 if none is."""
        ...


class MemoryJournal:
    """A journal that lives as long as the process."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._locks: dict[str, RLock] = defaultdict(RLock)
        self._writing = RLock()

    @contextmanager
    def exclusive(self, key: str) -> Iterator[None]:
        with self._writing:
            lock = self._locks[key]
        with lock:
            yield

    def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def plan(self, key: str, *, note: str = "", opening: Opening | None = None) -> Entry:
        with self._writing:
            known = self._entries.get(key)
            if known is not None and known.state is not EntryState.FAILED:
                return known
            self._entries[key] = Entry(key, note=note, opening=opening)
            return self._entries[key]

    def signed(self, key: str, transaction: SignedTransaction) -> Entry:
        return self._move(key, EntryState.SIGNED, transaction=transaction)

    def broadcast(self, key: str) -> Entry:
        return self._move(key, EntryState.BROADCAST)

    def final(self, key: str, receipt: TransactionReceipt) -> Entry:
        return self._move(key, EntryState.FINAL, receipt=receipt)

    def failed(self, key: str, failure: str) -> Entry:
        return self._move(key, EntryState.FAILED, failure=failure)

    def openings(self, buyer: Address) -> list[Entry]:
        with self._writing:
            entries = list(self._entries.values())
        return [each for each in entries if each.opening and each.opening.order.buyer_id == buyer]

    def next_nonce(self, sender: Address) -> int:
        with self._writing:
            sent = [each.transaction for each in self._entries.values() if each.in_flight]
        return max((each.nonce + 1 for each in sent if each and each.sender == sender), default=0)

    def _move(self, key: str, state: EntryState, **changes: Any) -> Entry:
        with self._writing:
            entry = self._entries[key]
            if state not in FOLLOWS[entry.state]:
                raise InvalidStateTransition(entry.state.name, state.name)
            self._entries[key] = replace(entry, state=state, **changes)
            return self._entries[key]
