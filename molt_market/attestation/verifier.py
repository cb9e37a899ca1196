"""Whether an attestor signs a receipt, judged by what he has seen himself: pure, and on no clock of its own.

Every check of the contract's `claim` is made too, by `molt_market.attestation.verdict`: what is accepted
here, the contract accepts in a block of the same time. `docs/attestations.md` lists the codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from molt_market.attestation.answered import answered_seconds
from molt_market.attestation.usage import GpuReading, Heartbeat, UsageLog, covered_seconds
from molt_market.attestation.verdict import verify_proof, verify_unsigned
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.fields import seconds
from molt_market.domain.ids import Address, EscrowId, Hash32
from molt_market.domain.jobs import JobResult
from molt_market.domain.pings import Ping, PingAnswer
from molt_market.domain.policies import Policy
from molt_market.domain.proofs import Attestation, ExecutionProof
from molt_market.errors import InvalidSignature, Refused, UnknownModel, counted
from molt_market.signing.hashes import model_hash, result_digest
from molt_market.signing.pings import verify_ping_answer
from molt_market.signing.typed_data import Domain

BYTES_OF_MIB, BYTES_OF_GB = 2**20, 10**9


class RejectionCode(StrEnum):
    """Why a receipt is not signed. The first ones are the contract's codes, by their names."""

    WRONG_STATUS = "WrongStatus"
    TOO_LATE = "TooLate"
    NOT_ABOVE_PAID = "NotAbovePaid"
    ABOVE_ELAPSED = "AboveElapsed"
    NOT_COMPLETED = "NotCompleted"
    BAD_SIGNATURE = "BadSignature"
    UNATTESTED_POLICY = "UnattestedPolicy"
    ATTESTOR_SET = "AttestorSet"
    QUORUM = "Quorum"
    ATTESTOR_ORDER = "AttestorOrder"
    ATTESTOR_IS_PARTY = "AttestorIsParty"
    ATTESTOR_UNKNOWN = "AttestorUnknown"

    WRONG_DEAL = "WrongDeal"
    ABOVE_ALLOCATION = "AboveAllocation"
    ALREADY_SIGNED = "AlreadySigned"
    RESULT_MISMATCH = "ResultMismatch"
    SEQUENCE = "Sequence"
    BACK_DATED = "BackDated"
    FUTURE = "Future"
    ROOT_MISMATCH = "RootMismatch"
    REPLAYED_ANSWER = "ReplayedAnswer"
    LOG_REWRITTEN = "LogRewritten"
    PROMISE_UNKNOWN = "PromiseUnknown"
    GPU_COUNT = "GpuCount"
    GPU_CHANGED = "GpuChanged"
    GPU_MODEL = "GpuModel"
    GPU_MEMORY = "GpuMemory"
    DEVICE_IN_USE = "DeviceInUse"
    GAP = "Gap"
    ABOVE_LOG = "AboveLog"
    ABOVE_PINGS = "AbovePings"
    BELOW_SEEN = "BelowSeen"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A receipt to sign. `payable` is what it could have claimed at most, in GPU-seconds."""

    gpu_seconds: int
    payable: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """A receipt not to sign: `actual` is what was found, `limit` what it is compared with."""

    code: RejectionCode
    text: str
    actual: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Promise:
    """The GPUs as the offer has them: the hash of their model's name, and the memory of each in GB."""

    model: Hash32
    vram_gb: int


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """A GPU was used by a deal from one time to another, as its log has it."""

    deal_id: EscrowId
    uuid: str
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Rules:
    """What an attestor lets pass.

    Args:
        longest_gap: between two heartbeats that count as one stretch.
        longest_ping_gap: between two answered pings, likewise.
        start_up: from the opening to the first of each (default: the policy's notice).
        clock_tolerance: how far two clocks that follow one chain may be apart.
        gpus_visible: each heartbeat has to show the allocated GPUs; without it, one may show none.
        least_percent: how much of what was seen a receipt has to claim.
    """

    longest_gap: timedelta = timedelta(seconds=30)
    longest_ping_gap: timedelta = timedelta(seconds=185)
    start_up: timedelta | None = None
    clock_tolerance: timedelta = timedelta(seconds=15)
    gpus_visible: bool = True
    least_percent: int = 75

    def start_up_of(self, policy: Policy) -> timedelta:
        """Return how long a machine of a policy may take to start."""
        return timedelta(minutes=policy.notice_minutes) if self.start_up is None else self.start_up


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an attestor has of a deal beside the receipt.

    Args:
        heartbeats: the whole usage log, as the gateway gave it.
        pings: his own, answered or not.
        promise: the GPUs as the offer has them; None: it could not be found.
        in_use: the GPUs of other deals that he has seen.
        received_at: when the receipt was there (default: when it is judged).
        signed: the receipt of this deal that he has signed before.
        result: what `result_digest` is of, for who has it: an attestor has not.
    """

    heartbeats: Sequence[Heartbeat]
    pings: Sequence[Ping]
    promise: Promise | None
    in_use: Sequence[DeviceUse] = ()
    received_at: datetime | None = None
    signed: Attestation | None = None
    result: JobResult | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    """All that one judgement is about. `log` is empty until it is read."""

    receipt: Attestation
    escrow: EscrowAccount
    policy: Policy
    domain: Domain
    evidence: Evidence
    rules: Rules
    now: datetime
    log: UsageLog | None = None

    @property
    def logged(self) -> UsageLog:
        return self.log or UsageLog(self.escrow.id)

    @property
    def opened_at(self) -> datetime:
        return self.escrow.opened_at or self.now

    @property
    def until(self) -> datetime:
        """The end of what may be paid."""
        return min(self.now, self.escrow.ends_at or self.now)

    @property
    def gpus(self) -> int:
        return self.escrow.terms.gpu_count

    @property
    def start_up(self) -> timedelta:
        return self.rules.start_up_of(self.policy)


def verify_receipt_of_agent(
    receipt: Attestation,
    evidence: Evidence,
    rules: Rules | None = None,
    *,
    escrow: EscrowAccount,
    policy: Policy,
    domain: Domain,
    now: datetime,
) -> Accepted | Rejected:
    """Judge a receipt that no attestor has signed yet: what an attestor does before he signs.

    Raises:
        InvalidValue: `policy` is not the deal's.
    """

    def of_contract() -> object:
        return verify_unsigned(receipt, escrow, policy, domain, now)

    case = _Case(receipt, escrow, policy, domain, evidence, rules or Rules(), now)
    return _judge(case, of_contract)


def verify_execution(
    proof: ExecutionProof,
    evidence: Evidence,
    rules: Rules | None = None,
    *,
    escrow: EscrowAccount,
    policy: Policy,
    domain: Domain,
    now: datetime,
) -> Accepted | Rejected:
    """Judge a whole proof: what is accepted, `claim` takes in a block of the time `now`.

    Raises:
        InvalidValue: `policy` is not the deal's.
    """

    def of_contract() -> object:
        return verify_proof(proof, escrow, policy, domain, now)

    case = _Case(proof.receipt, escrow, policy, domain, evidence, rules or Rules(), now)
    return _judge(case, of_contract)


def devices_of(
    heartbeats: Iterable[Heartbeat], deal_id: EscrowId, *, opened_at: datetime, until: datetime
) -> list[DeviceUse]:
    """Return which GPUs a log shows within the deal's time, each from its first heartbeat to its last."""
    first: dict[str, datetime] = {}
    last: dict[str, datetime] = {}
    for heartbeat in heartbeats:
        at = max(opened_at, min(heartbeat.at, until))
        for gpu in heartbeat.gpus:
            first.setdefault(gpu.uuid, at)
            last[gpu.uuid] = at
    return [DeviceUse(deal_id, uuid, first[uuid], last[uuid]) for uuid in first]


# ---------------------------------------------------------------- inside


def _judge(case: _Case, of_contract: Callable[[], object]) -> Accepted | Rejected:
    outside = _of_receipt(case) or _of_contract(of_contract) or _of_signed(case)
    if outside is not None:
        return outside
    log = _log_of(case.evidence.heartbeats, case.escrow.id)
    if isinstance(log, Rejected):
        return log
    known = replace(case, log=log)
    for check in (_times, _root, _answers, _gpus, _overlap):
        found = check(known)
        if found is not None:
            return found
    return _measured(known)


def _of_receipt(case: _Case) -> Rejected | None:
    receipt, escrow = case.receipt, case.escrow
    if receipt.deal_id != escrow.id:
        text = f"the receipt is of deal {receipt.deal_id}, this is {escrow.id}"
        return Rejected(RejectionCode.WRONG_DEAL, text)
    claimed, allocated = receipt.gpu_seconds, escrow.terms.gpu_seconds
    if claimed > allocated:
        text = f"the receipt says {claimed} GPU-seconds, the deal has {allocated}"
        return Rejected(RejectionCode.ABOVE_ALLOCATION, text, claimed, allocated)
    return None


def _of_contract(check: Callable[[], object]) -> Rejected | None:
    """Return the contract's refusal, if it would refuse."""
    try:
        check()
    except Refused as refused:
        return Rejected(RejectionCode[refused.name], str(refused), refused.actual, refused.limit)
    return None


def _of_signed(case: _Case) -> Rejected | None:
    """One receipt of a deal is signed, ever: whatever else its agent says later."""
    receipt, signed, result = case.receipt, case.evidence.signed, case.evidence.result
    if signed is not None and not signed.same_receipt_as(receipt):
        text = f"another receipt of this deal is signed already, over {signed.gpu_seconds} GPU-seconds"
        return Rejected(RejectionCode.ALREADY_SIGNED, text, receipt.gpu_seconds, signed.gpu_seconds)
    if result is not None and result_digest(result) != receipt.result_digest:
        text = f"the receipt is of result {receipt.result_digest}, the job's is {result_digest(result)}"
        return Rejected(RejectionCode.RESULT_MISMATCH, text)
    return None


def _log_of(heartbeats: Iterable[Heartbeat], deal_id: EscrowId) -> UsageLog | Rejected:
    """Put the log together anew: each heartbeat has to continue it."""
    log = UsageLog(deal_id)
    before: Heartbeat | None = None
    for due, heartbeat in enumerate(heartbeats):
        if heartbeat.deal_id != deal_id:
            text = f"heartbeat {due} is of deal {heartbeat.deal_id}, the log of {deal_id}"
            return Rejected(RejectionCode.WRONG_DEAL, text)
        if heartbeat.sequence != due:
            text = f"heartbeat {heartbeat.sequence} comes where {due} is due"
            return Rejected(RejectionCode.SEQUENCE, text, heartbeat.sequence, due)
        if heartbeat.previous != log.head:
            text = f"heartbeat {due} follows {heartbeat.previous}, the one before it is {log.head}"
            return Rejected(RejectionCode.SEQUENCE, text, due, due)
        if before is not None and heartbeat.at <= before.at:
            text = f"heartbeat {due} is of {heartbeat.at}, the one before it of {before.at}"
            return Rejected(RejectionCode.BACK_DATED, text, seconds(heartbeat.at), seconds(before.at))
        log.append(heartbeat)
        before = heartbeat
    return log


def _times(case: _Case) -> Rejected | None:
    """The log has to lie between the opening and now."""
    if not case.logged.heartbeats:
        return None
    first, last = case.logged.heartbeats[0].at, case.logged.heartbeats[-1].at
    earliest, latest = case.opened_at - case.rules.clock_tolerance, case.now + case.rules.clock_tolerance
    if first < earliest:
        text = f"the log begins at {first}, the deal at {case.opened_at}"
        return Rejected(RejectionCode.BACK_DATED, text, seconds(first), seconds(earliest))
    if last > latest:
        text = f"the log ends at {last}, and now it is {case.now}"
        return Rejected(RejectionCode.FUTURE, text, seconds(last), seconds(latest))
    return None


def _root(case: _Case) -> Rejected | None:
    if case.logged.root != case.receipt.usage_root:
        text = f"the log's root is {case.logged.root}, the receipt says {case.receipt.usage_root}"
        return Rejected(RejectionCode.ROOT_MISMATCH, text)
    return None


def _answers(case: _Case) -> Rejected | None:
    """What was answered binds the log: it is not written anew, nor dated otherwise than it grew."""
    logged = case.logged.heartbeats
    for ping in case.evidence.pings:
        if ping.deal_id != case.escrow.id:
            return Rejected(RejectionCode.WRONG_DEAL, f"the ping of {ping.at} is of deal {ping.deal_id}")
        if ping.answer is not None:
            wrong = (
                answer_fault(ping, ping.answer, case.escrow.terms.agent, case.domain, case.rules)
                or _head(ping.answer, case.logged, len(logged))
                or _dates(ping, ping.answer, logged, case.rules.clock_tolerance)
            )
            if wrong is not None:
                return wrong
    return None


def answer_fault(
    ping: Ping, answer: PingAnswer, agent: Address, domain: Domain, rules: Rules
) -> Rejected | None:
    """Say what is wrong with an answer by itself: it has to be the agent's, to this question, and fresh."""
    asked, apart = ping.at, abs(answer.answered_at - ping.at)
    if (answer.deal_id, answer.nonce) != (ping.deal_id, ping.nonce):
        return Rejected(RejectionCode.REPLAYED_ANSWER, f"the answer at {asked} is to another question")
    if apart > rules.clock_tolerance:
        text = f"the answer to the ping of {asked} is of {answer.answered_at}"
        return Rejected(RejectionCode.REPLAYED_ANSWER, text, seconds(answer.answered_at), seconds(asked))
    try:
        verify_ping_answer(answer, agent, domain)
    except InvalidSignature as error:
        text = f"the answer to the ping of {asked} is not the agent's: {error}"
        return Rejected(RejectionCode.REPLAYED_ANSWER, text)
    return None


def _head(answer: PingAnswer, log: UsageLog, length: int) -> Rejected | None:
    if log.head_after(answer.heartbeats) != answer.head:
        text = f"at {answer.answered_at} the log had {answer.heartbeats} heartbeats up to {answer.head}"
        return Rejected(RejectionCode.LOG_REWRITTEN, text, length, answer.heartbeats)
    return None


def _dates(
    ping: Ping, answer: PingAnswer, logged: Sequence[Heartbeat], tolerance: timedelta
) -> Rejected | None:
    """A heartbeat that a ping saw is not later than it, one that it did not see not earlier."""
    latest, earliest = ping.at + tolerance, ping.at - tolerance
    if answer.heartbeats and logged[answer.heartbeats - 1].at > latest:
        at = logged[answer.heartbeats - 1].at
        text = f"heartbeat {answer.heartbeats - 1} is of {at}, and was there at {ping.at}"
        return Rejected(RejectionCode.FUTURE, text, seconds(at), seconds(latest))
    if answer.heartbeats < len(logged) and logged[answer.heartbeats].at < earliest:
        at = logged[answer.heartbeats].at
        text = f"heartbeat {answer.heartbeats} is of {at}, and was not there at {ping.at}"
        return Rejected(RejectionCode.BACK_DATED, text, seconds(at), seconds(earliest))
    return None


def _gpus(case: _Case) -> Rejected | None:
    """Each heartbeat shows the GPUs of the deal, always the same ones, and as they were offered."""
    first: frozenset[str] = frozenset()
    for heartbeat in case.logged.heartbeats:
        if not heartbeat.gpus and not case.rules.gpus_visible:
            continue
        shown = frozenset(gpu.uuid for gpu in heartbeat.gpus)
        if len(shown) != case.gpus:
            text = (
                f"heartbeat {heartbeat.sequence} shows {counted(len(shown), 'GPU')}, the deal has {case.gpus}"
            )
            return Rejected(RejectionCode.GPU_COUNT, text, len(shown), case.gpus)
        first = first or shown
        if shown != first:
            text = f"heartbeat {heartbeat.sequence} shows other GPUs than those before it"
            return Rejected(RejectionCode.GPU_CHANGED, text, len(shown - first), 0)
    return _readings(case)


def _readings(case: _Case) -> Rejected | None:
    """Compare what the driver says of each GPU with the offer."""
    readings = {(gpu.model, gpu.vram_mb): gpu for each in case.logged.heartbeats for gpu in each.gpus}
    promise = case.evidence.promise
    if promise is None:
        # Who opened the deal by a contract of his own has hidden its offer: nothing can be compared.
        if not readings:
            return None
        text = "what was offered is not to be found in the deal's opening"
        return Rejected(RejectionCode.PROMISE_UNKNOWN, text)
    for gpu in readings.values():
        wrong = _unlike(gpu, promise)
        if wrong is not None:
            return wrong
    return None


def _unlike(gpu: GpuReading, promise: Promise) -> Rejected | None:
    if _hash_of_model(gpu.model) != promise.model:
        text = f"GPU {gpu.uuid} is a {gpu.model!r}, and that was not offered"
        return Rejected(RejectionCode.GPU_MODEL, text)
    needed = -(-promise.vram_gb * BYTES_OF_GB // BYTES_OF_MIB)  # MiB, a begun one counts
    if gpu.vram_mb < needed:
        text = f"GPU {gpu.uuid} has {gpu.vram_mb} MiB, {promise.vram_gb} GB are at least {needed}"
        return Rejected(RejectionCode.GPU_MEMORY, text, gpu.vram_mb, needed)
    return None


def _hash_of_model(name: str) -> Hash32 | None:
    try:
        return model_hash(name)
    except UnknownModel:
        return None


def _overlap(case: _Case) -> Rejected | None:
    """A GPU is in one deal at a time."""
    others: dict[str, list[DeviceUse]] = {}
    for other in case.evidence.in_use:
        if other.deal_id != case.escrow.id:
            others.setdefault(other.uuid, []).append(other)
    mine = devices_of(case.logged.heartbeats, case.escrow.id, opened_at=case.opened_at, until=case.until)
    for use in mine:
        for other in others.get(use.uuid, ()):
            shared = min(use.last, other.last) - max(use.first, other.first)
            if shared > timedelta():
                text = f"GPU {use.uuid} was used by deal {other.deal_id} too, from {other.first} on"
                return Rejected(RejectionCode.DEVICE_IN_USE, text, int(shared.total_seconds()), 0)
    return None


def _measured(case: _Case) -> Accepted | Rejected:
    """Compare what is claimed with the log, the pings, the chain's time and the allocation."""
    claimed, gpus = case.receipt.gpu_seconds, case.gpus
    logged = gpus * _covered(case, case.rules.longest_gap)
    if claimed > logged:
        without_gaps = gpus * _covered(case, timedelta.max)
        code = RejectionCode.GAP if claimed <= without_gaps else RejectionCode.ABOVE_LOG
        text = f"the receipt says {claimed} GPU-seconds, the log has {logged}"
        text += f" in gaps of at most {case.rules.longest_gap.total_seconds():g} seconds"
        return Rejected(code, text, claimed, logged)
    answered = gpus * _answered(case)
    if claimed > answered:
        text = f"the receipt says {claimed} GPU-seconds, the answered pings have {answered}"
        return Rejected(RejectionCode.ABOVE_PINGS, text, claimed, answered)
    elapsed = gpus * int((case.until - case.opened_at).total_seconds())
    payable = min(logged, answered, elapsed, case.escrow.terms.gpu_seconds)
    least = -(-payable * case.rules.least_percent // 100)
    if claimed < least:
        # Who has stolen the agent's key could close the deal with a receipt of a second.
        text = (
            f"the receipt says {claimed} GPU-seconds, {payable} were seen: at least {least} are to be claimed"
        )
        return Rejected(RejectionCode.BELOW_SEEN, text, claimed, least)
    return Accepted(claimed, payable)


def _covered(case: _Case, longest_gap: timedelta) -> int:
    return covered_seconds(
        case.logged,
        opened_at=case.opened_at,
        until=case.until,
        longest_gap=longest_gap,
        start_up=case.start_up if longest_gap != timedelta.max else timedelta.max,
    )


def _answered(case: _Case) -> int:
    received = case.evidence.received_at or case.now
    return answered_seconds(
        case.evidence.pings,
        opened_at=case.opened_at,
        until=min(received, case.until),
        longest_gap=case.rules.longest_ping_gap,
        start_up=case.start_up,
    )
