"""What the indexer needs of a node and of a database: ports, so that it knows neither."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from molt_market.domain.deals import Deal
from molt_market.domain.events import Block
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.indexer.records import DealRecord, Fact


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A block up to which the log was followed. `time` is its Unix second."""

    number: int
    hash: Hash32
    time: int

    @classmethod
    def of(cls, block: Block) -> Checkpoint:
        return cls(block.number, block.hash, block.time)


class Log(Protocol):
    """The escrow's log as a node tells it; `molt_market.chain.log.EscrowLog` is one."""

    def head(self) -> int: ...

    def hash_at(self, number: int) -> Hash32 | None: ...

    def blocks(self, numbers: range) -> Sequence[Block]: ...

    def deals(self, deal_ids: Sequence[EscrowId], block: int) -> Sequence[Deal]: ...


class Facts(Protocol):
    """Keeps what was followed. Any number of processes may share one; each method is one transaction."""

    def cursor(self) -> Checkpoint | None:
        """Return the last block that was followed; None at the start."""
        ...

    def checkpoints(self) -> Sequence[Checkpoint]:
        """Return the blocks that may be gone back to, the latest first; the cursor is one."""
        ...

    def history(self, deal_ids: Collection[EscrowId]) -> Mapping[EscrowId, Sequence[Fact]]:
        """Return the events about deals, in order; a deal without any is left out."""
        ...

    def touched_after(self, block: int) -> Collection[EscrowId]:
        """Return the deals with events in later blocks."""
        ...

    def append(self, at: Checkpoint | None, blocks: Sequence[Block], records: Collection[DealRecord]) -> bool:
        """Go on from `at` by these blocks, after which these are the records of the deals in them.

        False, and nothing is written, if the cursor is elsewhere: another process was first.
        """
        ...

    def rewind(
        self,
        at: Checkpoint,
        to: Checkpoint | None,
        records: Collection[DealRecord],
        gone: Collection[EscrowId],
    ) -> bool:
        """Go back from `at` to `to`, where these are the records of the deals, and some are not open yet.

        False, and nothing is written, if the cursor is elsewhere.
        """
        ...

    def live(self) -> Sequence[DealRecord]:
        """Return all deals that still hold money."""
        ...

    def due(self, time: int) -> Sequence[EscrowId]:
        """Return the live deals whose deadline is at most a Unix second, the earliest first."""
        ...

    def closed(self, since: int) -> Iterable[DealRecord]:
        """Return the deals that were closed at this Unix second or later."""
        ...
