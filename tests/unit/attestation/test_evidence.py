"""What an arbiter is shown: only what proves itself is counted as proven."""

from __future__ import annotations

from datetime import timedelta

import pytest

from molt_market.attestation.evidence import EvidenceContent, HeartbeatInLog, examine, lay_heartbeats
from molt_market.attestation.usage import UsageLog
from molt_market.domain.disputes import DisputeReason
from molt_market.domain.ids import ZERO_HASH, Hash32
from molt_market.domain.pings import Ping
from molt_market.errors import InvalidSignature, InvalidValue
from molt_market.signing.evidence import evidence_hash, sign_evidence, verify_evidence
from molt_market.signing.pings import sign_ping_answer
from molt_market.signing.signers import LocalSigner
from tests.factories import NOON
from tests.unit.attestation.deals import DOMAIN, escrow
from tests.unit.attestation.test_usage import make_heartbeat
from tests.unit.signing.keys import AGENT, BUYER, STRANGER

DEAL = escrow().id
NONCE, OTHER = Hash32("0x" + "01" * 32), Hash32("0x" + "02" * 32)


def log_of(count: int) -> UsageLog:
    log = UsageLog(DEAL)
    for sequence in range(count):
        at = NOON + timedelta(minutes=sequence)
        log.append(make_heartbeat(deal_id=DEAL, sequence=sequence, at=at, previous=log.head))
    return log


def ping(by: LocalSigner | None = AGENT, nonce: Hash32 = NONCE) -> Ping:
    answer = None
    if by is not None:
        answer = sign_ping_answer(DEAL, NONCE, by, DOMAIN, answered_at=NOON, heartbeats=0, head=ZERO_HASH)
    return Ping(deal_id=DEAL, at=NOON, nonce=nonce, answer=answer)


def laid(content: EvidenceContent, root: Hash32 = ZERO_HASH) -> tuple[int, ...]:
    evidence = sign_evidence(DEAL, content.written, BUYER, DOMAIN)
    found = examine(evidence, root, AGENT.address, DOMAIN)
    return found.heartbeats, found.in_log, found.pings, found.answered, found.unanswered


def test_heartbeats__count_as_proven_under_the_receipts_root_alone() -> None:
    log = log_of(9)
    content = EvidenceContent(reason=DisputeReason.OTHER, heartbeats=lay_heartbeats(log, [0, 4, 8]))
    assert laid(content, log.root) == (3, 3, 0, 0, 0)
    assert laid(content, log_of(8).root) == (3, 0, 0, 0, 0)
    foreign = make_heartbeat(sequence=4)
    swapped = (HeartbeatInLog(heartbeat=foreign, proof=content.heartbeats[1].proof),)
    assert laid(content.model_copy(update={"heartbeats": swapped}), log.root) == (1, 0, 0, 0, 0)


def test_pings__count_as_answered_by_the_agents_signature_of_the_nonce_alone() -> None:
    pings = (ping(), ping(STRANGER), ping(nonce=OTHER), ping(None))
    assert laid(EvidenceContent(reason=DisputeReason.UNREACHABLE, pings=pings)) == (0, 0, 4, 1, 1)


def test_evidence__binds_its_text_and_its_sender() -> None:
    content = EvidenceContent(reason=DisputeReason.OTHER, text="as it was", pings=(ping(),))
    evidence = sign_evidence(DEAL, content.written, BUYER, DOMAIN)
    verify_evidence(evidence, DOMAIN)
    assert EvidenceContent.read(evidence.content) == content
    other = content.model_copy(update={"text": "as it was not"}).written
    assert evidence_hash(other) != evidence_hash(evidence.content)
    for change in ({"content": other}, {"sender": STRANGER.address}, {"deal_id": OTHER}):
        with pytest.raises(InvalidSignature):
            verify_evidence(evidence.model_copy(update=change), DOMAIN)


@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"reason":"other","more":1}'])
def test_evidence__of_another_form__is_told(text: str) -> None:
    evidence = sign_evidence(DEAL, text, BUYER, DOMAIN)
    with pytest.raises(InvalidValue, match="not of this form"):
        examine(evidence, ZERO_HASH, AGENT.address, DOMAIN)
