"""What a proof of execution costs: heartbeats written and verified, and one heartbeat proved out of many.

What is compared, in the same run, is a plain loop: each heartbeat as a line of JSON, bound to the one before
by SHA-256 of hashlib, without models, trees or signatures.

- written: made, bound to the one before, and in a file that survives a power cut (fsync for each one);
- verified: a log as it comes from a gateway, judged as an attestor does, a ping every six heartbeats with it;
- one heartbeat proved against the root that a receipt names, out of 10^2 to 10^6: the plain loop has to
  hash its whole chain for that.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from eth_utils import keccak
from pydantic import TypeAdapter

from benchmarks._rows import Row, report
from molt_market import (
    Amount,
    DealStatus,
    EscrowAccount,
    GpuReading,
    Hash32,
    Heartbeat,
    OfferId,
    OrderId,
    Ping,
    Policy,
    Terms,
    UsageLog,
    sign_receipt,
)
from molt_market.attestation.merkle import MerkleTree, verify_inclusion
from molt_market.attestation.verifier import Accepted, Evidence, Promise, Rules, verify_receipt_of_agent
from molt_market.domain.ids import ZERO_HASH, EscrowId
from molt_market.signing.hashes import deal_id, model_hash, policy_id
from molt_market.signing.pings import sign_ping_answer
from molt_market.signing.signers import LocalSigner
from molt_market.signing.typed_data import Domain

WRITTEN = 1_000
VERIFIED = 8_640  # a day of heartbeats, one every ten seconds
INTERVAL = 10
GPUS = 8
LENGTHS = (10**2, 10**3, 10**4, 10**5, 10**6)
PROVED = 200  # heartbeats that are proved of each log
OPENED = datetime(2026, 1, 1, 12, tzinfo=UTC)
DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
AGENT, BUYER, PROVIDER, ATTESTOR, ARBITER = (
    LocalSigner.from_key(keccak(text=name)) for name in ("agent", "buyer", "provider", "attestor", "arbiter")
)
POLICY = Policy(arbiter=ARBITER.address, threshold=1, attestors=(ATTESTOR.address,))
READINGS = tuple(
    GpuReading(
        uuid=f"GPU-{number:032x}",
        model="NVIDIA H100 80GB HBM3",
        vram_mb=81_559,
        utilization_percent=97,
        memory_mb=70_000,
    )
    for number in range(GPUS)
)
PLAIN_READINGS = [each.model_dump(mode="json") for each in READINGS]
_LOGS: TypeAdapter[list[Heartbeat]] = TypeAdapter(list[Heartbeat])


def deal() -> EscrowAccount:
    """Make a deal of a day."""
    terms = Terms(
        buyer=BUYER.address,
        voucher_signer=BUYER.address,
        provider=PROVIDER.address,
        agent=AGENT.address,
        price_per_gpu_hour=10**18,
        gpu_count=GPUS,
        duration=86_400,
        commitment=3_600,
        slot=0,
        policy_id=policy_id(POLICY),
        order_hash=ZERO_HASH,
    )
    ends_at = OPENED + timedelta(days=1)
    return EscrowAccount(
        id=deal_id(terms, DOMAIN),
        order_id=OrderId("order"),
        offer_id=OfferId("offer"),
        buyer=terms.buyer,
        provider=terms.provider,
        amount=Amount(terms.gpu_seconds * 10**18 // 3_600),
        created_at=OPENED,
        locked_until=ends_at + timedelta(days=1),
        status=DealStatus.LOCKED,
        terms=terms,
        bond=Amount(0),
        fee_bps=0,
        bond_bps=0,
        notice_minutes=15,
        opened_at=OPENED,
        ends_at=ends_at,
    )


def heartbeat(log: UsageLog) -> Heartbeat:
    number = len(log.heartbeats)
    return Heartbeat(
        deal_id=log.deal_id,
        sequence=number,
        at=OPENED + timedelta(seconds=INTERVAL * number),
        gpus=READINGS,
        previous=log.head,
    )


def plain_line(number: int, previous: str, deal: str) -> str:
    at = (OPENED + timedelta(seconds=INTERVAL * number)).isoformat()
    made = {"deal_id": deal, "sequence": number, "at": at, "gpus": PLAIN_READINGS, "previous": previous}
    return json.dumps(made, sort_keys=True, separators=(",", ":"))


# ---------------------------------------------------------------- written


def written(path: Path, next_line: Callable[[], str]) -> float:
    """Return how many heartbeats a second are made and durably written."""
    started = time.perf_counter()
    with path.open("w") as file:
        for _ in range(WRITTEN):
            file.write(next_line() + "\n")
            file.flush()
            os.fsync(file.fileno())
    return WRITTEN / (time.perf_counter() - started)


def ours(deal_id: EscrowId) -> Callable[[], str]:
    log = UsageLog(deal_id)

    def next_line() -> str:
        made = heartbeat(log)
        log.append(made)
        return made.model_dump_json()

    return next_line


def plain(deal_id: EscrowId) -> Callable[[], str]:
    state: dict[str, Any] = {"number": 0, "head": ""}

    def next_line() -> str:
        line = plain_line(state["number"], state["head"], deal_id)
        state["number"], state["head"] = state["number"] + 1, hashlib.sha256(line.encode()).hexdigest()
        return line

    return next_line


# ---------------------------------------------------------------- verified


def judged(escrow: EscrowAccount) -> float:
    """Return how many heartbeats a second an attestor judges, from the JSON of the log on."""
    log = UsageLog(escrow.id)
    for _ in range(VERIFIED):
        log.append(heartbeat(log))
    said = _LOGS.dump_json(list(log.heartbeats))
    pings = [ping(log, number) for number in range(1, VERIFIED, 6)]
    covered = (VERIFIED - 1) * INTERVAL
    receipt = sign_receipt(
        escrow.id, GPUS * covered, AGENT, DOMAIN, result_digest=Hash32("0x" + "d0" * 32), usage_root=log.root
    )
    started = time.perf_counter()
    found = verify_receipt_of_agent(
        receipt,
        Evidence(_LOGS.validate_json(said), pings, Promise(model_hash("H100"), 80)),
        Rules(),
        escrow=escrow,
        policy=POLICY,
        domain=DOMAIN,
        now=OPENED + timedelta(seconds=covered),
    )
    took = time.perf_counter() - started
    assert isinstance(found, Accepted), found
    return VERIFIED / took


def ping(log: UsageLog, number: int) -> Ping:
    at, nonce = log.heartbeats[number - 1].at, Hash32(f"0x{number:064x}")
    head = log.head_after(number) or ZERO_HASH
    answer = sign_ping_answer(log.deal_id, nonce, AGENT, DOMAIN, answered_at=at, heartbeats=number, head=head)
    return Ping(deal_id=log.deal_id, at=at, nonce=nonce, answer=answer)


def plainly_checked(deal_id: EscrowId) -> float:
    """Return how many lines a second a plain loop reads, and checks their chain."""
    next_line = plain(deal_id)
    lines = [next_line() for _ in range(VERIFIED)]
    started = time.perf_counter()
    head = ""
    for number, line in enumerate(lines):
        read = json.loads(line)
        assert (read["sequence"], read["previous"]) == (number, head)
        head = hashlib.sha256(line.encode()).hexdigest()
    return VERIFIED / (time.perf_counter() - started)


# ---------------------------------------------------------------- one of many


def proved(length: int) -> tuple[int, float]:
    """Return the length of a proof in hashes, and the microseconds that its verification takes (median)."""
    digests = [Hash32.of(number.to_bytes(32, "big")) for number in range(length)]
    tree = MerkleTree(digests)
    some = digests[:: max(1, length // PROVED)][:PROVED]
    proofs = [(digest, tree.proof(digest)) for digest in some]
    took = []
    for digest, proof in proofs:
        started = time.perf_counter()
        held = verify_inclusion(digest, proof, tree.root)
        took.append(time.perf_counter() - started)
        assert held
    return max(len(proof) for _, proof in proofs), statistics.median(took) * 1e6


def plainly_hashed(length: int) -> float:
    """Return the microseconds that a chain of so many digests takes."""
    started = time.perf_counter()
    head = b""
    for number in range(length):
        head = hashlib.sha256(head + number.to_bytes(32, "big")).digest()
    return (time.perf_counter() - started) * 1e6


# ---------------------------------------------------------------- the table


def main() -> None:
    escrow = deal()
    with TemporaryDirectory() as folder:
        by_plain = written(Path(folder) / "plain", plain(escrow.id))
        by_us = written(Path(folder) / "ours", ours(escrow.id))
    rows = [
        rate("heartbeats written, each durably", WRITTEN, by_us, by_plain, by_plain / 2),
        rate(
            "heartbeats judged, with their pings",
            VERIFIED,
            judged(escrow),
            plainly_checked(escrow.id),
            VERIFIED / 5,
        ),
    ]
    first: float | None = None
    for length in LENGTHS:
        hashes, took = proved(length)
        first = first or took
        rows.append(
            Row.ceiling(
                f"proof of one of {length:,}",
                hashes,
                unit="hashes",
                metric="size",
                goal=(length - 1).bit_length(),
                baseline=None,
                n=PROVED,
            )
        )
        rows.append(
            Row.ceiling(
                f"one of {length:,} verified",
                round(took, 1),
                unit="us",
                metric="seconds",
                goal=round(4 * first, 1),
                baseline=round(plainly_hashed(length), 1),
                n=PROVED,
            )
        )
    report("proof", rows)


def rate(name: str, n: int, value: float, baseline: float, goal: float) -> Row:
    value, baseline, goal = round(value), round(baseline), round(goal)
    ratio = round(value / baseline, 3)
    return Row(name, n, "throughput", value, "heartbeats/s", goal, value >= goal, baseline, ratio)


if __name__ == "__main__":
    main()
