"""Following the chain's log: confirmed blocks only, and back where they are reorganised away."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from logging import WARNING
from threading import Event as Flag

from molt_market.domain.events import DEAL_EVENTS, Block
from molt_market.domain.fields import seconds
from molt_market.domain.ids import EscrowId
from molt_market.errors import MarketError
from molt_market.indexer.nodes import Nodes
from molt_market.indexer.ports import Checkpoint, Facts, Log
from molt_market.indexer.records import DealRecord, Fact, record_of
from molt_market.signing.typed_data import Domain
from molt_market.telling import tell

BLOCKS_AT_ONCE = 500
STATE_KEPT = 64  # blocks below the confirmed head whose state every node has; most keep 128 below the head


@dataclass(frozen=True, slots=True)
class Change:
    """One step, on or back: how far the log is followed then, and which deals stand otherwise than before.

    `gone` are those whose opening a reorganisation took away. `before` is how far it was followed before: if
    a listener heard of less, another process took the steps between.
    """

    at: Checkpoint | None
    records: tuple[DealRecord, ...] = ()
    gone: tuple[EscrowId, ...] = ()
    before: Checkpoint | None = None


Listener = Callable[[Change], None]


class Follower:
    """Brings the facts up to the chain's last confirmed block, again and again.

    Any number of followers may share one database: each step is written once.

    Args:
        logs: the escrow's log as each node tells it; one node is enough, two find out each other's lies.
        facts: where what is read is kept.
        domain: of the escrow; deal ids are hashed under it.
        first_block: of the deployment.
        confirmations: blocks on top before one is followed.
        span: blocks that are read, and written, at a time.
    """

    def __init__(
        self,
        logs: Sequence[Log],
        facts: Facts,
        *,
        domain: Domain,
        first_block: int = 0,
        confirmations: int = 0,
        span: int = BLOCKS_AT_ONCE,
    ) -> None:
        self.facts = facts
        self._nodes = Nodes(logs, domain, confirmations)
        self._first_block = first_block
        self._span = span
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Have `listener` told of every step that this follower writes, after it is written."""
        self._listeners.append(listener)

    def leave(self, listener: Listener) -> None:
        """Tell `listener` no more."""
        self._listeners.remove(listener)

    def due(self, now: datetime) -> Sequence[EscrowId]:
        """Return the deals that anyone may finalize at a time, the earliest first: what a Keeper asks."""
        return self.facts.due(seconds(now))

    def advance(self) -> Checkpoint | None:
        """Follow all that is confirmed now; return how far that is. To call it again is harmless.

        Raises:
            NodeUnreachable, NodeError: a node does not answer, or contradicts itself.
            NodesDisagree: two nodes tell different things.
            StorageUnavailable: the database fails.

        What was written before stays right; the next call goes on from there.
        """
        while self._step():
            pass
        return self.facts.cursor()

    def start_anew(self) -> None:
        """Forget all that was followed: the next call of `advance` reads the log from the start.

        For facts that were read from a node that has lost logs, before another node was at hand.
        """
        while (at := self.facts.cursor()) is not None:
            self._go_back(at, None)

    def run(self, stop: Flag, *, every: timedelta = timedelta(seconds=2)) -> None:
        """Follow until `stop` is set; what goes wrong is logged, and tried again."""
        while not stop.is_set():
            try:
                self.advance()
            except MarketError as error:
                tell("follower_fails", level=WARNING, reason=error)
            stop.wait(every.total_seconds())

    # ---------------------------------------------------------------- inside

    def _step(self) -> bool:
        """Go one step on, or back; False if there is nothing to do now."""
        at = self.facts.cursor()
        if at is not None and not self._nodes.stands(at):
            self._rewind(at)
            return True
        first = self._first_block if at is None else at.number + 1
        last = self._nodes.confirmed_beyond(first - 1)
        if last is None:
            return False
        self._append(at, range(first, min(last, first + self._span - 1) + 1), last)
        return True

    def _append(self, at: Checkpoint | None, numbers: range, last: int) -> None:
        blocks = self._nodes.blocks(numbers, at)
        added = _about_deals(blocks)
        known = _before(numbers.start, self.facts.history(added.keys()))
        records = tuple(record_of([*known.get(deal_id, ()), *facts]) for deal_id, facts in added.items())
        if numbers[-1] >= last - STATE_KEPT:
            unchecked = self._unchecked(at, last, added.keys())
            self._nodes.require_stored([*unchecked, *records], numbers[-1])
        if self.facts.append(at, blocks, records):
            to = Checkpoint.of(blocks[-1])
            tell("followed", block=to.number, hash=to.hash, deals=len(records))
            self._tell(Change(to, records, before=at))

    def _unchecked(
        self, at: Checkpoint | None, last: int, touched: Collection[EscrowId]
    ) -> Sequence[DealRecord]:
        """Return the live deals that were not compared with the contract's state, as it was too old."""
        if at is None or at.number >= last - STATE_KEPT:
            return ()
        return [record for record in self.facts.live() if record.id not in touched]

    def _rewind(self, at: Checkpoint) -> None:
        """Go back to the last block that still stands, or to the start."""
        self._go_back(at, next(filter(self._nodes.stands, self.facts.checkpoints()), None))

    def _go_back(self, at: Checkpoint, to: Checkpoint | None) -> None:
        block = -1 if to is None else to.number
        kept = _before(block + 1, self.facts.history(self.facts.touched_after(block)))
        records = tuple(record_of(facts) for facts in kept.values() if facts)
        gone = tuple(deal_id for deal_id, facts in kept.items() if not facts)
        if self.facts.rewind(at, to, records, gone):
            tell("went_back", level=WARNING, from_block=at.number, to_block=block, deals=len(kept))
            self._tell(Change(to, records, gone, before=at))

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            listener(change)


def _about_deals(blocks: Sequence[Block]) -> dict[EscrowId, list[Fact]]:
    found: defaultdict[EscrowId, list[Fact]] = defaultdict(list)
    for block in blocks:
        for event in block.events:
            if isinstance(event, DEAL_EVENTS):
                found[event.deal_id].append(Fact(event, block.time))
    return dict(found)


def _before(block: int, history: Mapping[EscrowId, Sequence[Fact]]) -> dict[EscrowId, list[Fact]]:
    """Return what happened before a block; another follower may have written more meanwhile."""
    return {id_: [fact for fact in facts if fact.event.block < block] for id_, facts in history.items()}
