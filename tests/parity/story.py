"""Random deals played to their end by the contract itself, each in one simulated chain of blocks.

A deal is written into the escrow's storage in any state that a deal can have, the parties' calls are made one
after the other, and the log says where the money went. Nothing of it is kept.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from eth_utils import keccak

from molt_market.chain.calls import EscrowCalls
from molt_market.chain.events import decode_logs
from molt_market.domain.amounts import Amount
from molt_market.domain.deals import ATTESTED, EXCUSED, STOPPED, DealStatus, EscrowAccount
from molt_market.domain.endings import ContestQuote
from molt_market.domain.events import Event
from molt_market.domain.fields import MAX_UINT32, MAX_UINT40, moment
from molt_market.domain.ids import Address
from molt_market.domain.policies import Policy
from molt_market.domain.settlement import bond, price
from molt_market.domain.terms import Terms
from molt_market.domain.transactions import Call
from molt_market.signing.hashes import deal_id
from tests.factories import make_escrow
from tests.parity.stage import Stage
from tests.unit.attestation.deals import terms

OPENED_AT = 2_000_000_000
GRACE = 86_400
MAX_PRICE = 2**94  # of a whole deal, so that bond, stakes and balances have room below 2^96


@dataclass
class Story:
    """One deal: as it is at the start, what is done with it, and what the log said to that."""

    stage: Stage
    escrow: EscrowAccount
    buyer_balance: int = MAX_PRICE
    contest: ContestQuote | None = None  # what we say that the opening of its dispute moves
    calls: list[tuple[int, Address, Call]] = field(default_factory=list)

    @property
    def encode(self) -> EscrowCalls:
        return EscrowCalls(Address(self.stage.escrow.address), Address(self.stage.token.address))

    def does(self, time: int, sender: Address, call: Call) -> None:
        """Make a call in a block of its own."""
        self.calls.append((time, sender, call))

    def play(self) -> tuple[Event, ...]:
        """Make all calls, and return what was logged. Fails if one is refused."""
        results = self.results()
        assert all(result["status"] == "0x1" for result in results), results
        escrow = Address(self.stage.escrow.address)
        return tuple(event for result in results for event in decode_logs(result["logs"], escrow))

    def results(self) -> list[dict[str, Any]]:
        """Make all calls, and return what came of each."""
        blocks: list[dict[str, Any]] = [
            {
                "blockOverrides": {"time": hex(time)},
                "calls": [{"from": sender, "to": call.to, "data": "0x" + call.data.hex(), "gas": hex(10**6)}],
            }
            for time, sender, call in self.calls
        ]
        blocks[0]["stateOverrides"] = {self.stage.escrow.address: {"stateDiff": self._storage()}}
        answer = self.stage.rpc("eth_simulateV1", {"blockStateCalls": blocks, "validation": False}, "latest")
        return [block["calls"][0] for block in answer["result"]]

    def _storage(self) -> dict[str, str]:
        agreed, at = self.escrow.terms, self.stage.storage
        lane = agreed.gpu_count << (agreed.slot & 3) * 32
        maker = _slot(agreed.provider, at["_groups"])
        return {
            _slot(self.escrow.id, at["_deals"]): _word(packed(self.escrow)),
            _slot(agreed.buyer, at["_accounts"]): _word(self.buyer_balance),
            _slot(hex(agreed.slot >> 2), int(maker, 16)): _word(lane),
        }


def packed(escrow: EscrowAccount) -> int:
    """Write a deal as the contract stores it."""
    flags = EXCUSED * escrow.excused | ATTESTED * escrow.attested | STOPPED * escrow.stopped
    assert escrow.opened_at is not None
    assert escrow.ends_at is not None
    fields = (
        (int(escrow.status), 8),
        (flags, 8),
        (escrow.fee_bps, 16),
        (escrow.bond_bps, 16),
        (int(escrow.opened_at.timestamp()), 40),
        (int(escrow.ends_at.timestamp()), 40),
        (int(escrow.locked_until.timestamp()), 40),
        (escrow.paid_gpu_seconds, 40),
        (escrow.claimed_gpu_seconds, 40),
        (escrow.notice_minutes, 8),
    )
    word = shift = 0
    for value, bits in fields:
        word |= value << shift
        shift += bits
    return word


def random_deal(rng: random.Random, stage: Stage, policy: Policy) -> EscrowAccount:
    """Make a LOCKED deal; sizes, prices and times lean to the ends of their ranges."""
    gpu_count = rng.choice([1, 8, rng.randint(1, 100_000)])
    duration = rng.choice([3_600, 86_400, rng.randint(1, min(MAX_UINT32, MAX_UINT40 // gpu_count))])
    most = min(MAX_PRICE, MAX_PRICE * 3_600 // (gpu_count * duration))
    agreed: Terms = replace(
        terms(policy),
        gpu_count=gpu_count,
        duration=duration,
        commitment=0,
        slot=rng.randrange(2**64),
        price_per_gpu_hour=rng.choice([1, most, rng.randint(1, 10_000), rng.randint(1, most)]),
    )
    run = rng.choice([duration, duration, rng.randint(1, duration)])
    bond_bps = rng.choice([0, 1_000, 5_000, rng.randint(0, 5_000)])
    return make_escrow(
        terms=agreed,
        id=deal_id(agreed, stage.domain),
        bond_bps=bond_bps,
        bond=Amount(bond(price(agreed), bond_bps)),
        fee_bps=rng.choice([0, 100, 300, rng.randint(0, 300)]),
        notice_minutes=rng.choice([1, 15, 255, rng.randint(1, 255)]),
        opened_at=moment(OPENED_AT),
        ends_at=moment(OPENED_AT + run),
        locked_until=moment(OPENED_AT + run + GRACE),
        excused=rng.random() < 0.2,
        stopped=run < duration,
        paid_gpu_seconds=rng.choice([0, 0, rng.randint(0, gpu_count * run - 1)]),
    )


def between(rng: random.Random, least: int, most: int, *likely: int) -> int:
    """Return a number in a range, often an end of it or one of the likely ones."""
    inside = [number for number in (least, most, *likely) if least <= number <= most]
    return rng.choice([*inside, rng.randint(least, most), rng.randint(least, most)])


def step_of_the_bond(escrow: EscrowAccount) -> int:
    """Return the GPU-seconds from which the whole bond is earned."""
    run = escrow.run_seconds - escrow.notice_minutes * 60
    return escrow.terms.gpu_count * max(run, 0)


def claimed(escrow: EscrowAccount, gpu_seconds: int, *, completed: bool) -> EscrowAccount:
    """Return a deal after an attested claim."""
    changes = {
        "status": DealStatus.CLAIMED,
        "claimed_gpu_seconds": gpu_seconds,
        "attested": True,
        "excused": escrow.excused or completed,
    }
    return escrow.model_copy(update=changes)


def contested(escrow: EscrowAccount, counter: int, claim: int) -> EscrowAccount:
    """Return a deal after its claim is contested, or made without attestors."""
    changes = {
        "status": DealStatus.DISPUTED,
        "paid_gpu_seconds": counter,
        "claimed_gpu_seconds": claim,
    }
    return escrow.model_copy(update=changes)


def _slot(key: str, at: int) -> str:
    """Return where a mapping at a slot keeps a key."""
    return "0x" + keccak(bytes.fromhex(key[2:].rjust(64, "0")) + at.to_bytes(32, "big")).hex()


def _word(value: int) -> str:
    return f"0x{value:064x}"
