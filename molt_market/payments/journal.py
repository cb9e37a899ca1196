"""What was intended, signed, sent and mined: written down before it happens, so that nothing happens twice.

An entry is one payment, named by its key. A dispatch is one nonce of an account with the transactions that
were signed for it, of which at most one is ever mined; it carries one payment, or a batch of them.

PLANNED -> SIGNED -> BROADCAST (-> REPLACED) -> MINED -> FINAL, or REVERTED in the end. FAILED: refused before
anything was signed. DROPPED: another transaction has the nonce. What failed, reverted or was dropped moved
nothing, so that its key may be planned again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice
from threading import RLock
from typing import Protocol

from molt_market.domain.clock import Clock, SystemClock
from molt_market.domain.ids import Address, EscrowId, OfferId, OrderId, PartyId, TransactionId
from molt_market.domain.orders import JobOrder
from molt_market.domain.transactions import Call, SignedTransaction, TransactionReceipt
from molt_market.errors import InvalidStateTransition


class EntryState(StrEnum):
    """Where a payment stands."""

    PLANNED = "planned"  # written down
    SIGNED = "signed"  # a nonce is taken; it may have been sent
    BROADCAST = "broadcast"  # a node took it
    REPLACED = "replaced"  # sent again under the same nonce, for a higher fee
    MINED = "mined"  # in a block that may still be reorganised away
    FINAL = "final"  # in a block that has its confirmations
    REVERTED = "reverted"  # mined, and the contract refused it
    DROPPED = "dropped"  # its nonce went to another transaction
    FAILED = "failed"  # refused before anything was signed


IN_FLIGHT = frozenset({EntryState.SIGNED, EntryState.BROADCAST, EntryState.REPLACED, EntryState.MINED})
UNFINISHED = IN_FLIGHT | {EntryState.PLANNED}
WITHOUT_EFFECT = frozenset({EntryState.REVERTED, EntryState.DROPPED, EntryState.FAILED})
FOLLOWS: Mapping[EntryState, frozenset[EntryState]] = {
    EntryState.SIGNED: frozenset(
        {EntryState.BROADCAST, EntryState.REPLACED, EntryState.MINED, EntryState.DROPPED}
    ),
    EntryState.BROADCAST: frozenset({EntryState.REPLACED, EntryState.MINED, EntryState.DROPPED}),
    EntryState.REPLACED: frozenset({EntryState.REPLACED, EntryState.MINED, EntryState.DROPPED}),
    # back: a reorganisation; again: into another block
    EntryState.MINED: frozenset(
        {EntryState.BROADCAST, EntryState.REPLACED, EntryState.MINED, EntryState.FINAL}
    ),
    EntryState.FINAL: frozenset({EntryState.BROADCAST, EntryState.REPLACED}),  # deeper than was waited for
    EntryState.DROPPED: frozenset(),
}
"""The states of dispatches; those that an entry has by itself are PLANNED, FAILED and REVERTED."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What the opening of a deal is about: the signed order, and which of a book's offers it takes."""

    order: JobOrder
    offer_id: OfferId


@dataclass(frozen=True, slots=True)
class Intent:
    """A payment that is to be written down: its key, the caller's reason, and what an opening is about.

    `slot_is_new`: the order's slot was chosen just now, from those that seemed free.
    """

    key: str
    note: str = ""
    opening: Opening | None = None
    slot_is_new: bool = False


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One nonce of an account, and the transactions signed for it, the latest last.

    `since`: when it came into its state; `signed_at`: when the latest transaction was signed (UTC). `mined`
    is the one that is in a block, with that block's number.
    """

    id: int
    sender: Address
    nonce: int
    transactions: tuple[SignedTransaction, ...]
    signed_at: datetime
    since: datetime
    state: EntryState = EntryState.SIGNED
    mined: TransactionId | None = None
    block: int | None = None

    @property
    def latest(self) -> SignedTransaction:
        return self.transactions[-1]

    @property
    def call(self) -> Call:
        return self.transactions[0].call

    @property
    def in_flight(self) -> bool:
        """Whether it may still be mined, or reorganised away."""
        return self.state in IN_FLIGHT

    @property
    def when_unmined(self) -> EntryState:
        """The state that it falls back to if its block is reorganised away."""
        return EntryState.BROADCAST if len(self.transactions) == 1 else EntryState.REPLACED


@dataclass(frozen=True, slots=True)
class Entry:
    """One payment. `note` is the caller's reason, `failure` why it came to nothing.

    `items` are its places in the batch that carries it.
    """

    key: str
    planned_at: datetime
    note: str = ""
    opening: Opening | None = None
    dispatch: Dispatch | None = None
    items: range = field(default_factory=lambda: range(1))
    failure: str | None = None

    @property
    def state(self) -> EntryState:
        if self.dispatch is None:
            return EntryState.PLANNED if self.failure is None else EntryState.FAILED
        if self.dispatch.state is EntryState.FINAL and self.failure is not None:
            return EntryState.REVERTED
        return self.dispatch.state

    @property
    def since(self) -> datetime:
        """When it came into its state."""
        return self.planned_at if self.dispatch is None else self.dispatch.since

    @property
    def in_flight(self) -> bool:
        """Whether it is signed, and how it ends is not known for sure yet."""
        return self.state in IN_FLIGHT


SignAt = Callable[[int], SignedTransaction]
"""Signs a transaction with a nonce."""


class SlotTaken(Exception):
    """Another order of the buyer's has just been given the slot: choose another one."""


class Journal(Protocol):
    """Keeps entries and dispatches. Every method has written what it says when it returns.

    Any number of threads and processes may share one. Each of its methods is one transaction of its own:
    they decide who is first.
    """

    def plan(self, key: str, *, note: str = "") -> Entry:
        """Write an intent down, and return its entry: the one of before, unless that came to nothing."""
        ...

    def plan_all(self, intents: Iterable[Intent]) -> dict[str, Entry]:
        """Write intents down, all or none; return their entries by key, those of before as `plan` does.

        One that came to nothing starts anew, and keeps its note and opening unless others are given.

        Raises SlotTaken if a slot is new, and another order of the buyer's is on its way with it.
        """
        ...

    def get(self, key: str) -> Entry | None: ...

    def get_all(self, keys: Collection[str]) -> dict[str, Entry]:
        """Return the entries of those keys that have one."""
        ...

    def fail(self, key: str, failure: str) -> Entry:
        """Write down why an intent was refused, unless somebody has signed it; return the entry."""
        ...

    def sign(
        self,
        items: Mapping[str, range],
        sender: Address,
        sign: SignAt,
        *,
        least_nonce: int,
        nonce: int | None = None,
    ) -> Dispatch | None:
        """Take a nonce of the sender's for these intents, sign, and write all of it down, or nothing.

        The nonce is the sender's next, at least `least_nonce`; or `nonce` itself. None if one of the intents
        is signed already, or the nonce is taken.
        """
        ...

    def replace(self, dispatch: Dispatch, signed: SignedTransaction) -> Dispatch:
        """Add a transaction to a dispatch that is as given; return the dispatch as it is then."""
        ...

    def move(
        self,
        dispatch: Dispatch,
        to: EntryState,
        *,
        receipt: TransactionReceipt | None = None,
        failures: Mapping[str, str] | None = None,
    ) -> Dispatch:
        """Bring a dispatch that is as given into another state; return the dispatch as it is then.

        `failures`: those of its entries that were refused. Raises InvalidStateTransition.
        """
        ...

    def give_back(self, dispatch: Dispatch, failure: str) -> Dispatch:
        """Drop a dispatch that no node took, if its nonce is the sender's last; return it as it is then."""
        ...

    def dispatch(self, dispatch_id: int) -> Dispatch: ...

    def carried(self, dispatch_id: int) -> list[Entry]:
        """Return the entries of a dispatch."""
        ...

    def in_flight(self, sender: Address | None = None) -> list[Dispatch]:
        """Return the dispatches in flight, by nonce."""
        ...

    def in_flight_of(self, deal_ids: Collection[EscrowId]) -> dict[EscrowId, list[Entry]]:
        """Return the entries in flight that are about each of these deals, the oldest first."""
        ...

    def about(self, deal_id: EscrowId) -> list[Entry]:
        """Return all entries that are about a deal, the oldest first."""
        ...

    def final_since(self, sender: Address, block: int) -> list[Dispatch]:
        """Return the sender's dispatches that are final, mined in this block or later, by nonce."""
        ...

    def next_nonce(self, sender: Address) -> int | None:
        """Return the nonce after all that were given out for a sender; None if there was none."""
        ...

    def entries(
        self, states: Iterable[EntryState], *, limit: int | None = None, newest: bool = False
    ) -> list[Entry]:
        """Return the entries in these states, the oldest first; at most `limit`, or all.

        With `newest` the newest come first, and are those that the limit leaves.
        """
        ...

    def counts(self) -> dict[EntryState, int]:
        """Return how many entries are in each state; in a database it is counted there."""
        ...

    def openings(self, buyer: Address) -> list[Entry]:
        """Return the openings of a buyer's orders, in any state."""
        ...


class MemoryJournal:
    """A journal that lives as long as the process."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._entries: dict[str, Entry] = {}
        self._carried_by: dict[str, int] = {}
        self._dispatches: dict[int, Dispatch] = {}
        self._alone = RLock()

    def plan(self, key: str, *, note: str = "") -> Entry:
        return self.plan_all([Intent(key, note)])[key]

    def plan_all(self, intents: Iterable[Intent]) -> dict[str, Entry]:
        wanted = {intent.key: intent for intent in intents}
        with self._alone:
            known = self.get_all(wanted)
            new = new_slots(wanted.values(), known)
            if new:
                require_free(new, self._entries_of_openings())
            for key, intent in wanted.items():
                before = known.get(key)
                if before is not None and before.state not in WITHOUT_EFFECT:
                    continue
                self._carried_by.pop(key, None)
                note, opening = intent.note, intent.opening
                if before is not None:
                    note, opening = note or before.note, opening or before.opening
                self._entries[key] = Entry(key, self._clock.now(), note, opening)
            return self.get_all(wanted)

    def get(self, key: str) -> Entry | None:
        with self._alone:
            entry, carrier = self._entries.get(key), self._carried_by.get(key)
            if entry is None or carrier is None:
                return entry
            return replace(entry, dispatch=self._dispatches[carrier])

    def get_all(self, keys: Collection[str]) -> dict[str, Entry]:
        with self._alone:
            return {key: self._known(key) for key in keys if key in self._entries}

    def fail(self, key: str, failure: str) -> Entry:
        with self._alone:
            if key not in self._carried_by:
                self._entries[key] = replace(self._entries[key], failure=failure)
            return self._known(key)

    def sign(
        self,
        items: Mapping[str, range],
        sender: Address,
        sign: SignAt,
        *,
        least_nonce: int,
        nonce: int | None = None,
    ) -> Dispatch | None:
        with self._alone:
            taken = self._nonces(sender)
            used = max(least_nonce, self.next_nonce(sender) or 0) if nonce is None else nonce
            if used in taken or any(self._known(key).state is not EntryState.PLANNED for key in items):
                return None
            signed, now = sign(used), self._clock.now()
            dispatch = Dispatch(len(self._dispatches) + 1, sender, used, (signed,), now, now)
            self._dispatches[dispatch.id] = dispatch
            for key, places in items.items():
                self._carried_by[key] = dispatch.id
                self._entries[key] = replace(self._entries[key], items=places)
            return dispatch

    def replace(self, dispatch: Dispatch, signed: SignedTransaction) -> Dispatch:
        with self._alone:
            if self._dispatches[dispatch.id] != dispatch:
                return self._dispatches[dispatch.id]
            require_follows(dispatch, EntryState.REPLACED)
            transactions, now = (*dispatch.transactions, signed), self._clock.now()
            return self._write(
                replace(dispatch, transactions=transactions, signed_at=now, since=now), EntryState.REPLACED
            )

    def move(
        self,
        dispatch: Dispatch,
        to: EntryState,
        *,
        receipt: TransactionReceipt | None = None,
        failures: Mapping[str, str] | None = None,
    ) -> Dispatch:
        with self._alone:
            if self._dispatches[dispatch.id] != dispatch:
                return self._dispatches[dispatch.id]
            require_follows(dispatch, to)
            for entry in self.carried(dispatch.id):
                failure = (failures or {}).get(entry.key)
                self._entries[entry.key] = replace(self._entries[entry.key], failure=failure)
            mined, block = (receipt.transaction_id, receipt.block) if receipt else (None, None)
            return self._write(replace(dispatch, mined=mined, block=block, since=self._clock.now()), to)

    def give_back(self, dispatch: Dispatch, failure: str) -> Dispatch:
        with self._alone:
            later = any(each.nonce > dispatch.nonce for each in self.in_flight(dispatch.sender))
            if later or self._dispatches[dispatch.id].state is not EntryState.SIGNED:
                return self._dispatches[dispatch.id]
            for entry in self.carried(dispatch.id):
                self._entries[entry.key] = replace(self._entries[entry.key], failure=failure)
            return self._write(replace(dispatch, since=self._clock.now()), EntryState.DROPPED)

    def dispatch(self, dispatch_id: int) -> Dispatch:
        return self._dispatches[dispatch_id]

    def carried(self, dispatch_id: int) -> list[Entry]:
        with self._alone:
            return [self._known(key) for key, by in self._carried_by.items() if by == dispatch_id]

    def in_flight(self, sender: Address | None = None) -> list[Dispatch]:
        with self._alone:
            known = [each for each in self._dispatches.values() if each.in_flight]
        return sorted((each for each in known if sender in {None, each.sender}), key=lambda each: each.nonce)

    def in_flight_of(self, deal_ids: Collection[EscrowId]) -> dict[EscrowId, list[Entry]]:
        with self._alone:
            entries = [self._known(key) for key in self._carried_by if deal_of(key) in deal_ids]
        return by_deal(deal_ids, [entry for entry in entries if entry.in_flight])

    def about(self, deal_id: EscrowId) -> list[Entry]:
        with self._alone:
            return [self._known(key) for key in self._entries if deal_of(key) == deal_id]

    def final_since(self, sender: Address, block: int) -> list[Dispatch]:
        with self._alone:
            known = [each for each in self._dispatches.values() if each.sender == sender]
        final = [each for each in known if each.state is EntryState.FINAL and (each.block or 0) >= block]
        return sorted(final, key=lambda each: each.nonce)

    def next_nonce(self, sender: Address) -> int | None:
        with self._alone:
            return max((nonce + 1 for nonce in self._nonces(sender)), default=None)

    def entries(
        self, states: Iterable[EntryState], *, limit: int | None = None, newest: bool = False
    ) -> list[Entry]:
        wanted = frozenset(states)
        with self._alone:
            keys = reversed(self._entries) if newest else iter(self._entries)
            found = (each for key in keys if (each := self._known(key)).state in wanted)
            return list(islice(found, limit))

    def counts(self) -> dict[EntryState, int]:
        with self._alone:
            found = Counter(self._known(key).state for key in self._entries)
        return {state: found[state] for state in EntryState}

    def openings(self, buyer: Address) -> list[Entry]:
        with self._alone:
            known = self._entries_of_openings()
        return [each for each in known if each.opening and each.opening.order.buyer_id == buyer]

    def _entries_of_openings(self) -> list[Entry]:
        return [self._known(key) for key, entry in self._entries.items() if entry.opening]

    def _nonces(self, sender: Address) -> set[int]:
        known = [each for each in self._dispatches.values() if each.sender == sender]
        return {each.nonce for each in known if each.state is not EntryState.DROPPED}

    def _known(self, key: str) -> Entry:
        entry = self.get(key)
        if entry is None:
            raise KeyError(key)
        return entry

    def _write(self, dispatch: Dispatch, state: EntryState) -> Dispatch:
        self._dispatches[dispatch.id] = replace(dispatch, state=state)
        return self._dispatches[dispatch.id]


def opening_key(deal_id: EscrowId) -> str:
    """Return the key of the payment that opens a deal."""
    return f"open:{deal_id}"


def deal_of(key: str) -> EscrowId | None:
    """Return the deal that a key is about; None: it is about none.

    >>> deal_of("release:0x" + "5f" * 32 + ":3600")[:8]
    '0x5f5f5f'
    """
    found = re.search(r":(0x[0-9a-f]{64})(?::|$)", key)
    return EscrowId(found[1]) if found else None


def by_deal(deal_ids: Collection[EscrowId], entries: Iterable[Entry]) -> dict[EscrowId, list[Entry]]:
    """Sort entries by the deals that they are about; those about others fall away."""
    found: dict[EscrowId, list[Entry]] = {deal_id: [] for deal_id in deal_ids}
    for entry in entries:
        deal_id = deal_of(entry.key)
        if deal_id in found:
            found[deal_id].append(entry)
    return found


def new_slots(
    intents: Iterable[Intent], known: Mapping[str, Entry]
) -> dict[tuple[PartyId, int | None], OrderId]:
    """Return which order was given which new slot of a buyer's; those that are on their way keep theirs."""
    orders = [
        each.opening.order
        for each in intents
        if each.opening is not None
        and each.slot_is_new
        and (each.key not in known or known[each.key].state in WITHOUT_EFFECT)
    ]
    return {(order.buyer_id, order.slot): order.id for order in orders}


def require_free(slots: Mapping[tuple[PartyId, int | None], OrderId], openings: Iterable[Entry]) -> None:
    """Raise SlotTaken if one of these slots has another order, which may still be opened."""
    for entry in openings:
        if entry.opening is None or entry.state is EntryState.FAILED:
            continue
        order = entry.opening.order
        if slots.get((order.buyer_id, order.slot), order.id) != order.id:
            raise SlotTaken


def require_follows(dispatch: Dispatch, to: EntryState) -> None:
    """Raise InvalidStateTransition unless a dispatch may come into a state."""
    if to not in FOLLOWS[dispatch.state]:
        raise InvalidStateTransition(dispatch.state.name, to.name)
