"""A deal that went well: its usage log, an attestor's pings of it, and all that a judgement takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from molt_market.attestation.usage import GpuReading, Heartbeat, UsageLog
from molt_market.attestation.verifier import (
    Accepted,
    Evidence,
    Promise,
    Rejected,
    Rules,
    verify_receipt_of_agent,
)
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.ids import ZERO_HASH, EscrowId, Hash32
from molt_market.domain.pings import Ping
from molt_market.domain.proofs import Attestation
from molt_market.signing.hashes import model_hash
from molt_market.signing.pings import sign_ping_answer
from molt_market.signing.signers import LocalSigner
from molt_market.signing.statements import sign_receipt
from tests.factories import NOON
from tests.unit.attestation.deals import DOMAIN, DONE, GPUS, escrow, policy
from tests.unit.signing.keys import AGENT

SECOND = timedelta(seconds=1)
BEATS = 13  # one every 20 seconds
EVERY = 20
END = (BEATS - 1) * EVERY  # seconds from the opening to the last heartbeat
NOW = NOON + timedelta(seconds=END)
RULES = Rules(longest_gap=timedelta(seconds=30), longest_ping_gap=timedelta(seconds=90))
PROMISE = Promise(model_hash("H100"), 80)


def readings(name: str = "a", count: int = GPUS, **overrides: Any) -> tuple[GpuReading, ...]:
    given = {"model": "NVIDIA H100 80GB HBM3", "vram_mb": 81_559, **overrides}
    return tuple(GpuReading(uuid=f"GPU-{name}{number}", **given) for number in range(count))


def beat(log: UsageLog, at: datetime, gpus: Sequence[GpuReading] = readings()) -> Heartbeat:
    return Heartbeat(
        deal_id=log.deal_id,
        sequence=len(log.heartbeats),
        at=at,
        gpus=tuple(gpus),
        previous=log.head,
    )


def log_of(
    offsets: Iterable[int], deal_id: EscrowId | None = None, gpus: Sequence[GpuReading] = readings()
) -> UsageLog:
    """Make a log with heartbeats so many seconds after the opening."""
    log = UsageLog(deal_id or escrow().id)
    for offset in offsets:
        log.append(beat(log, NOON + timedelta(seconds=offset), gpus))
    return log


def good_log(**fields: Any) -> UsageLog:
    return log_of(range(0, END + 1, EVERY), **fields)


def ping(log: UsageLog, offset: int, *, answered: bool = True, **overrides: Any) -> Ping:
    """Make a ping at so many seconds after the opening: its answer is of the log as it was then."""
    at, nonce = NOON + timedelta(seconds=offset), Hash32(f"0x{offset + 1:064x}")
    signer: LocalSigner = overrides.pop("signer", AGENT)
    seen = sum(heartbeat.at <= at for heartbeat in log.heartbeats)
    fields: dict[str, Any] = {
        "answered_at": at,
        "heartbeats": seen,
        "head": log.head_after(seen) or ZERO_HASH,
    }
    answer = sign_ping_answer(
        overrides.pop("deal_id", log.deal_id),
        overrides.pop("nonce", nonce),
        signer,
        DOMAIN,
        **fields | overrides,
    )
    return Ping(deal_id=log.deal_id, at=at, nonce=nonce, answer=answer if answered else None)


def good_pings(log: UsageLog) -> list[Ping]:
    return [ping(log, offset) for offset in range(7, END, 60)]


def receipt_of(log: UsageLog, gpu_seconds: int = GPUS * END, **overrides: Any) -> Attestation:
    fields = {"result_digest": DONE, "usage_root": log.root, **overrides}
    signer: LocalSigner = fields.pop("agent", AGENT)
    domain = fields.pop("domain", DOMAIN)
    deal_id = fields.pop("deal_id", log.deal_id)
    return sign_receipt(deal_id, gpu_seconds, signer, domain, **fields)


def evidence_of(log: UsageLog, **overrides: Any) -> Evidence:
    good = Evidence(heartbeats=log.heartbeats, pings=good_pings(log), promise=PROMISE)
    return replace(good, **overrides)


def judge(
    receipt: Attestation,
    evidence: Evidence,
    *,
    deal: EscrowAccount | None = None,
    now: datetime = NOW,
    rules: Rules = RULES,
) -> Accepted | Rejected:
    return verify_receipt_of_agent(
        receipt, evidence, rules, escrow=deal or escrow(), policy=policy(), domain=DOMAIN, now=now
    )
