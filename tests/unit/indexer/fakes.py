"""A chain in memory whose log is about deals, and nodes that tell it, truly or not."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from molt_market.domain import events
from molt_market.domain.deals import Deal, DealStatus
from molt_market.domain.events import Block, Event
from molt_market.domain.ids import ZERO_HASH, Address, EscrowId, Hash32, TransactionId
from molt_market.domain.terms import Terms
from molt_market.errors import NodeError
from molt_market.signing.hashes import deal_id
from molt_market.signing.typed_data import Domain

DOMAIN = Domain(31_337, Address.of(0xE5C0))
GENESIS = 1_800_000_000
HOUR = 3_600
BOND_BPS = 1_000
FEE_BPS = 100


def hash_of(*parts: object) -> str:
    return "0x" + sha256(repr(parts).encode()).hexdigest()


def terms(number: int, *, buyer: int = 1, provider: int = 2, gpu_count: int = 2, hours: int = 2) -> Terms:
    """Return the terms of a deal of so many GPUs and hours, at 3,600 base units for a GPU-hour."""
    return Terms(
        buyer=Address.of(0xB000 + buyer),
        voucher_signer=Address.of(0xB100 + buyer),
        provider=Address.of(0xA000 + provider),
        agent=Address.of(0xA100 + provider),
        price_per_gpu_hour=HOUR,
        gpu_count=gpu_count,
        duration=hours * HOUR,
        commitment=0,
        slot=0,
        policy_id=ZERO_HASH,
        order_hash=Hash32(hash_of("order", number)),
    )


@dataclass
class Chain:
    """Blocks, each with the deals' words after it. Seeded: the same calls make the same chain."""

    seed: int = 0
    blocks: list[Block] = field(default_factory=list)
    words: list[dict[EscrowId, Deal]] = field(default_factory=list)
    terms: dict[EscrowId, Terms] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.mine(0)

    @property
    def head(self) -> int:
        return len(self.blocks) - 1

    def mine(self, happenings: int) -> None:
        """Add a block in which so much happens to deals, old and new."""
        number = len(self.blocks)
        words = dict(self.words[-1]) if self.words else {}
        logged: list[Event] = []
        for _ in range(happenings):
            logged.append(self._happen(words, number, len(logged)))
        parent = self.blocks[-1].hash if self.blocks else ZERO_HASH
        own = Hash32(hash_of("block", number, parent, self._random.random()))
        self.blocks.append(Block(number, own, parent, GENESIS + 12 * number, tuple(logged)))
        self.words.append(words)

    def reorganise(self, depth: int, blocks: int, happenings: int) -> None:
        """Take the last blocks back, and mine others."""
        kept = max(len(self.blocks) - depth, 1)
        del self.blocks[kept:], self.words[kept:]
        for _ in range(blocks):
            self.mine(happenings)

    def _happen(self, words: dict[EscrowId, Deal], block: int, log_index: int) -> Event:
        where: dict[str, Any] = {
            "transaction_id": TransactionId(hash_of(block, log_index, self._random.random())),
            "block": block,
            "log_index": log_index,
        }
        live = [id_ for id_, word in words.items() if word.status is DealStatus.LOCKED]
        if not live or self._random.random() < 0.4:
            return self._open(words, block, where)
        id_ = self._random.choice(live)
        word, whole = words[id_], self.terms[id_].gpu_seconds
        paid = self._random.randint(word.paid, whole)
        fee = paid * FEE_BPS // 10_000 - word.paid * FEE_BPS // 10_000
        to_provider = paid - word.paid - fee  # a GPU-second costs one base unit
        if paid > word.paid and self._random.random() < 0.5:
            words[id_] = replace(word, paid=paid)
            return events.DealPaid(deal_id=id_, gpu_seconds=paid, to_provider=to_provider, fee=fee, **where)
        status = DealStatus.RELEASED if paid else DealStatus.REFUNDED
        words[id_] = replace(word, status=status, paid=paid)
        return events.DealClosed(
            deal_id=id_,
            status=status,
            gpu_seconds=paid,
            to_provider=to_provider + whole * BOND_BPS // 10_000,
            fee=fee,
            to_buyer=whole - paid,
            **where,
        )

    def _open(self, words: dict[EscrowId, Deal], block: int, where: dict[str, Any]) -> Event:
        number = self._random.randrange(2**32)
        agreed = terms(number, buyer=number % 3, provider=number % 5)
        id_ = deal_id(agreed, DOMAIN)
        self.terms[id_] = agreed
        opened_at = GENESIS + 12 * block
        ends_at = opened_at + agreed.duration
        words[id_] = Deal(
            DealStatus.LOCKED, 0, FEE_BPS, BOND_BPS, opened_at, ends_at, ends_at + HOUR, 0, 0, 15
        )
        return events.DealOpened(deal_id=id_, terms=agreed, deal=words[id_], **where)


@dataclass
class FakeNode:
    """Tells a chain as it is; the fields say what is wrong with the node."""

    chain: Chain
    behind: int = 0
    ahead: int = 0
    down: bool = False
    hides: bool = False  # all logs of the last block that has some
    mixes: bool = False  # one block is of another chain
    keeps: int = 10**9  # blocks below the head whose state it still has

    def head(self) -> int:
        self._require_up()
        return max(self.chain.head - self.behind, 0) + self.ahead

    def hash_at(self, number: int) -> Hash32 | None:
        self._require_up()
        return self.chain.blocks[number].hash if number <= self.chain.head - self.behind else None

    def blocks(self, numbers: range) -> Sequence[Block]:
        self._require_up()
        if numbers[-1] > self.chain.head - self.behind:
            raise NodeError(f"block {numbers[-1]} is missing")
        found = [self.chain.blocks[number] for number in numbers]
        if self.hides:
            busy = [place for place, block in enumerate(found) if block.events]
            if busy:
                found[busy[-1]] = replace(found[busy[-1]], events=())
        if self.mixes and len(found) > 1:
            found[-1] = replace(found[-1], parent=Hash32(hash_of("elsewhere")))
        return found

    def deals(self, deal_ids: Sequence[EscrowId], block: int) -> Sequence[Deal]:
        self._require_up()
        if block < self.chain.head - self.keeps:
            raise NodeError(f"missing trie node of block {block}")
        unknown = Deal(DealStatus.NONE, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        return [self.chain.words[block].get(deal_id, unknown) for deal_id in deal_ids]

    def _require_up(self) -> None:
        if self.down:
            raise NodeError("down")
