"""What a party lays before the arbiter, and what of it proves itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, ValidationError

from molt_market.attestation.merkle import verify_inclusion
from molt_market.attestation.tee import TdxEvidence
from molt_market.attestation.usage import Heartbeat, UsageLog
from molt_market.domain.disputes import MAX_TEXT, DisputeReason
from molt_market.domain.evidence import Evidence
from molt_market.domain.fields import Value
from molt_market.domain.ids import ZERO_HASH, Address, Hash32
from molt_market.domain.pings import Ping
from molt_market.errors import InvalidSignature, InvalidValue
from molt_market.signing.pings import verify_ping_answer
from molt_market.signing.typed_data import Domain


class HeartbeatInLog(Value):
    """One heartbeat of a usage log, and the Merkle proof that the log's root commits to it."""

    heartbeat: Heartbeat
    proof: tuple[Hash32, ...] = ()


class EvidenceContent(Value):
    """What a text of evidence says: the reason, single heartbeats of the log that `usage_root` commits to,
    all pings of who lays it, answered or not, and what trusted hardware says of the machine.

    >>> content = EvidenceContent(reason=DisputeReason.UNREACHABLE, text="no answer from noon on")
    >>> EvidenceContent.read(content.written).text
    'no answer from noon on'
    """

    reason: DisputeReason
    text: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    usage_root: Hash32 = ZERO_HASH
    heartbeats: tuple[HeartbeatInLog, ...] = ()
    pings: tuple[Ping, ...] = ()
    tdx: TdxEvidence | None = None
    nvidia_token: Annotated[str, Field(max_length=100_000)] | None = None

    @property
    def written(self) -> str:
        """The text that is signed and hashed."""
        return self.model_dump_json(exclude_none=True)

    @classmethod
    def read(cls, text: str) -> EvidenceContent:
        """Read such a text. Raises InvalidValue."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InvalidValue("the evidence is not of this form: read it as a text") from error


@dataclass(frozen=True, slots=True)
class EvidenceFindings:
    """What of an evidence proves itself: an arbiter need not take the party's word for these counts.

    `in_log` heartbeats are under the root that the receipt names. `answered` pings have the agent's
    signature over the nonce. `unanswered` ones are the party's word alone: nobody can prove a silence.
    """

    heartbeats: int
    in_log: int
    pings: int
    answered: int
    unanswered: int


def lay_heartbeats(log: UsageLog, sequences: Sequence[int]) -> tuple[HeartbeatInLog, ...]:
    """Return single heartbeats of a log with their proofs. Raises InvalidValue if it has no such one."""
    return tuple(
        HeartbeatInLog(proof=log.proof(sequence), heartbeat=log.heartbeats[sequence])
        for sequence in sequences
    )


def examine(evidence: Evidence, usage_root: Hash32, agent: Address, domain: Domain) -> EvidenceFindings:
    """Count what an evidence proves of a deal of this agent, whose receipt names this root.

    Raises InvalidValue if it has another form.
    """
    content = EvidenceContent.read(evidence.content)
    here = [each for each in content.heartbeats if each.heartbeat.deal_id == evidence.deal_id]
    in_log = [each for each in here if verify_inclusion(each.heartbeat.digest, each.proof, usage_root)]
    asked = [each for each in content.pings if each.deal_id == evidence.deal_id]
    answered = [each for each in asked if _is_answered(each, agent, domain)]
    silent = [each for each in asked if each.answer is None]
    return EvidenceFindings(
        len(content.heartbeats), len(in_log), len(content.pings), len(answered), len(silent)
    )


def _is_answered(ping: Ping, agent: Address, domain: Domain) -> bool:
    answer = ping.answer
    if answer is None or (answer.deal_id, answer.nonce) != (ping.deal_id, ping.nonce):
        return False
    try:
        verify_ping_answer(answer, agent, domain)
    except InvalidSignature:
        return False
    return True
