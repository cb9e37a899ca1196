"""Each way to cheat an attestor, refused with its code; and what is honest, accepted to the second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molt_market.attestation.receipts import assemble_proof, countersign
from molt_market.attestation.usage import Heartbeat, UsageLog, covered_seconds
from molt_market.attestation.verifier import (
    Accepted,
    DeviceUse,
    Evidence,
    Promise,
    Rejected,
    RejectionCode,
    Rules,
    devices_of,
    verify_execution,
)
from molt_market.domain.deals import DealStatus
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.domain.jobs import JobResult
from molt_market.domain.proofs import Attestation, ExecutionProof
from molt_market.errors import InvalidValue
from molt_market.signing.hashes import model_hash, result_digest
from molt_market.signing.typed_data import Domain
from tests.factories import NOON
from tests.oracle.attest import logged_seconds, pinged_seconds
from tests.unit.attestation.deals import ALL, DOMAIN, DONE, ENDS_AT, GPUS, escrow, policy
from tests.unit.attestation.evidence import (
    END,
    EVERY,
    NOW,
    PROMISE,
    RULES,
    SECOND,
    beat,
    evidence_of,
    good_log,
    good_pings,
    judge,
    log_of,
    ping,
    readings,
    receipt_of,
)
from tests.unit.signing.keys import ATTESTORS, PROVIDER, STRANGER

LOG = good_log()
OTHER = EscrowId("0x" + "01" * 32)
Case = Callable[[], Accepted | Rejected]


def heartbeats(*changes: tuple[int, dict[str, Any]]) -> tuple[Heartbeat, ...]:
    """Return the good log's heartbeats with some changed, and nothing else repaired."""
    made = list(LOG.heartbeats)
    for at, fields in changes:
        made[at] = made[at].model_copy(update=fields)
    return tuple(made)


def tampered(log: tuple[Heartbeat, ...]) -> Accepted | Rejected:
    return judge(receipt_of(LOG), evidence_of(LOG, heartbeats=log))


def of_log(log: UsageLog, gpu_seconds: int = GPUS * END, **evidence: Any) -> Accepted | Rejected:
    """Judge a log whose receipt and pings are its own."""
    return judge(receipt_of(log, gpu_seconds), evidence_of(log, **evidence))


def use(first: int, last: int, uuid: str = "GPU-a0") -> DeviceUse:
    return DeviceUse(OTHER, uuid, NOON + first * SECOND, NOON + last * SECOND)


def shown(*lists: tuple[Any, ...]) -> UsageLog:
    """Make a log whose heartbeats show these GPUs, the last ones on and on."""
    log = UsageLog(escrow().id)
    for number in range(END // EVERY + 1):
        log.append(beat(log, NOON + number * EVERY * SECOND, lists[min(number, len(lists) - 1)]))
    return log


REWRITTEN = good_log(gpus=readings("b"))
LATE = log_of(range(100, END + 1, EVERY))

REFUSED: dict[str, tuple[RejectionCode, Case]] = {
    "receipt of another deal": (
        RejectionCode.WRONG_DEAL,
        lambda: judge(receipt_of(LOG, deal_id=OTHER), evidence_of(LOG)),
    ),
    "ping of another deal": (
        RejectionCode.WRONG_DEAL,
        lambda: judge(
            receipt_of(LOG),
            evidence_of(LOG, pings=[good_pings(LOG)[0].model_copy(update={"deal_id": OTHER})]),
        ),
    ),
    "log of another deal": (
        RejectionCode.WRONG_DEAL,
        lambda: tampered(good_log(deal_id=OTHER).heartbeats),
    ),
    "receipt for another chain": (
        RejectionCode.BAD_SIGNATURE,
        lambda: judge(receipt_of(LOG, domain=Domain(1, DOMAIN.escrow)), evidence_of(LOG)),
    ),
    "receipt by another": (
        RejectionCode.BAD_SIGNATURE,
        lambda: judge(receipt_of(LOG, agent=PROVIDER), evidence_of(LOG)),
    ),
    "receipt whose result was changed": (
        RejectionCode.BAD_SIGNATURE,
        lambda: judge(
            receipt_of(LOG).model_copy(update={"result_digest": Hash32("0x" + "d1" * 32)}), evidence_of(LOG)
        ),
    ),
    "claimed already": (
        RejectionCode.WRONG_STATUS,
        lambda: judge(receipt_of(LOG), evidence_of(LOG), deal=escrow(status=DealStatus.CLAIMED)),
    ),
    "after the deadline": (
        RejectionCode.TOO_LATE,
        lambda: judge(receipt_of(LOG), evidence_of(LOG), now=escrow().locked_until),
    ),
    "paid already": (
        RejectionCode.NOT_ABOVE_PAID,
        lambda: judge(receipt_of(LOG), evidence_of(LOG), deal=escrow(paid_gpu_seconds=GPUS * END)),
    ),
    "not completed": (
        RejectionCode.NOT_COMPLETED,
        lambda: judge(receipt_of(LOG, result_digest=Hash32("0x" + "00" * 32)), evidence_of(LOG)),
    ),
    "over the chain's time": (
        RejectionCode.ABOVE_ELAPSED,
        lambda: of_log(LOG, GPUS * END + 1),
    ),
    "over the allocation": (RejectionCode.ABOVE_ALLOCATION, lambda: of_log(LOG, ALL + 1)),
    "another one is signed": (
        RejectionCode.ALREADY_SIGNED,
        lambda: judge(receipt_of(LOG), evidence_of(LOG, signed=receipt_of(LOG, 5))),
    ),
    "result that is not the job's": (
        RejectionCode.RESULT_MISMATCH,
        lambda: judge(receipt_of(LOG), evidence_of(LOG, result=JobResult(deal_id=LOG.deal_id, exit_code=1))),
    ),
    "heartbeats swapped": (
        RejectionCode.SEQUENCE,
        lambda: tampered((LOG.heartbeats[1], LOG.heartbeats[0], *LOG.heartbeats[2:])),
    ),
    "heartbeat dropped": (
        RejectionCode.SEQUENCE,
        lambda: tampered(LOG.heartbeats[:4] + LOG.heartbeats[5:]),
    ),
    "heartbeat twice": (
        RejectionCode.SEQUENCE,
        lambda: tampered(LOG.heartbeats[:4] + LOG.heartbeats[3:]),
    ),
    "heartbeat changed": (
        RejectionCode.SEQUENCE,
        lambda: tampered(heartbeats((3, {"gpus": readings("b")}))),
    ),
    "heartbeat earlier than the one before": (
        RejectionCode.BACK_DATED,
        lambda: tampered(heartbeats((3, {"at": NOON}))),
    ),
    "log from before the deal": (
        RejectionCode.BACK_DATED,
        lambda: of_log(log_of(range(-100, END, EVERY)), pings=[]),
    ),
    "log into the future": (
        RejectionCode.FUTURE,
        lambda: of_log(log_of(range(0, END + 200, EVERY)), pings=[]),
    ),
    "last heartbeat dropped": (
        RejectionCode.ROOT_MISMATCH,
        lambda: tampered(LOG.heartbeats[:-1]),
    ),
    "another log": (
        RejectionCode.ROOT_MISMATCH,
        lambda: judge(receipt_of(LOG), evidence_of(REWRITTEN)),
    ),
    "answer to another nonce": (
        RejectionCode.REPLAYED_ANSWER,
        lambda: of_log(LOG, pings=[ping(LOG, 7, nonce=Hash32("0x" + "ff" * 32))]),
    ),
    "answer of another deal": (
        RejectionCode.REPLAYED_ANSWER,
        lambda: of_log(LOG, pings=[ping(LOG, 7, deal_id=OTHER)]),
    ),
    "answer by another": (
        RejectionCode.REPLAYED_ANSWER,
        lambda: of_log(LOG, pings=[ping(LOG, 7, signer=STRANGER)]),
    ),
    "answer of another time": (
        RejectionCode.REPLAYED_ANSWER,
        lambda: of_log(LOG, pings=[ping(LOG, 7, answered_at=NOON + 23 * SECOND)]),
    ),
    "log written anew after a ping": (
        RejectionCode.LOG_REWRITTEN,
        lambda: judge(receipt_of(REWRITTEN), evidence_of(REWRITTEN, pings=good_pings(LOG))),
    ),
    "log shorter than a ping saw": (
        RejectionCode.LOG_REWRITTEN,
        lambda: of_log(
            LOG, pings=[ping(LOG, END, heartbeats=len(LOG.heartbeats) + 1, head=Hash32("0x" + "0e" * 32))]
        ),
    ),
    "heartbeats written afterwards": (
        RejectionCode.BACK_DATED,
        lambda: of_log(LOG, pings=[ping(LOG, 100, heartbeats=2, head=LOG.head_after(2))]),
    ),
    "heartbeats written ahead": (
        RejectionCode.FUTURE,
        lambda: of_log(LOG, pings=[ping(LOG, 100, heartbeats=9, head=LOG.head_after(9))]),
    ),
    "no GPUs": (RejectionCode.GPU_COUNT, lambda: of_log(good_log(gpus=()))),
    "too few GPUs": (RejectionCode.GPU_COUNT, lambda: of_log(good_log(gpus=readings(count=3)))),
    "too many GPUs": (RejectionCode.GPU_COUNT, lambda: of_log(good_log(gpus=readings(count=5)))),
    "other GPUs on the way": (
        RejectionCode.GPU_CHANGED,
        lambda: of_log(shown(readings("a"), readings("b"))),
    ),
    "GPUs of another model": (
        RejectionCode.GPU_MODEL,
        lambda: of_log(good_log(gpus=readings(model="NVIDIA A100-SXM4-80GB", vram_mb=81_920))),
    ),
    "GPUs of no known model": (
        RejectionCode.GPU_MODEL,
        lambda: of_log(good_log(gpus=readings(model="Voodoo 2"))),
    ),
    "GPUs with less memory": (
        RejectionCode.GPU_MEMORY,
        lambda: of_log(good_log(gpus=readings(vram_mb=76_293))),
    ),
    "nobody knows what was offered": (
        RejectionCode.PROMISE_UNKNOWN,
        lambda: of_log(LOG, promise=None),
    ),
    "GPU of another deal": (
        RejectionCode.DEVICE_IN_USE,
        lambda: of_log(LOG, in_use=[use(END - 1, END + 100)]),
    ),
    "gap": (
        RejectionCode.GAP,
        lambda: of_log(log_of([*range(0, 101, EVERY), *range(131, END + 1, EVERY)]), GPUS * (END - 31)),
    ),
    "gap at the start": (
        RejectionCode.GAP,
        lambda: judge(
            receipt_of(LATE, GPUS * 180), evidence_of(LATE), rules=replace(RULES, start_up=99 * SECOND)
        ),
    ),
    "over the log": (
        RejectionCode.ABOVE_LOG,
        lambda: of_log(log_of(range(0, 101, EVERY)), GPUS * 100 + 1),
    ),
    "over no log": (RejectionCode.ABOVE_LOG, lambda: of_log(log_of([]), 1, pings=[])),
    "over the pings": (
        RejectionCode.ABOVE_PINGS,
        lambda: of_log(LOG, pings=[*good_pings(LOG), ping(LOG, 130, answered=False)]),
    ),
    "far below what was there": (
        RejectionCode.BELOW_SEEN,
        lambda: of_log(LOG, GPUS * END * 3 // 4 - 1),
    ),
    "never pinged": (RejectionCode.ABOVE_PINGS, lambda: of_log(LOG, 1, pings=[])),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused__with_its_code(name: str) -> None:
    code, act = REFUSED[name]
    found = act()
    assert isinstance(found, Rejected), found
    assert found.code is code, found
    assert found.text


def test_codes__are_all_tried() -> None:
    of_quorum = {"AttestorSet", "Quorum", "AttestorOrder", "AttestorIsParty", "AttestorUnknown"}
    untried = set(RejectionCode) - {code for code, _ in REFUSED.values()}
    assert {str(code) for code in untried} == {*of_quorum, "UnattestedPolicy"}  # below, and tests/parity


# ---------------------------------------------------------------- what is honest


def test_accepted__all_that_was_there() -> None:
    assert of_log(LOG) == Accepted(GPUS * END, GPUS * END)


def test_accepted__three_quarters_of_what_was_there() -> None:
    assert of_log(LOG, GPUS * END * 3 // 4) == Accepted(GPUS * END * 3 // 4, GPUS * END)


def test_accepted__the_receipt_that_is_signed__again() -> None:
    assert isinstance(of_log(LOG, signed=receipt_of(LOG)), Accepted)


def test_accepted__the_jobs_result() -> None:
    result = JobResult(deal_id=LOG.deal_id, exit_code=0)
    receipt = receipt_of(LOG, result_digest=result_digest(result))
    assert isinstance(judge(receipt, evidence_of(LOG, result=result)), Accepted)


def test_accepted__without_gpus__where_none_need_be_seen() -> None:
    log = good_log(gpus=())
    rules = replace(RULES, gpus_visible=False)
    assert isinstance(judge(receipt_of(log), evidence_of(log, promise=None), rules=rules), Accepted)


@pytest.mark.parametrize("span", [(-50, 0), (END, END + 50)])
def test_accepted__gpus_that_were_in_another_deal_before_or_after(span: tuple[int, int]) -> None:
    assert isinstance(of_log(LOG, in_use=[use(*span)]), Accepted)


def test_accepted__its_own_gpus__judged_before() -> None:
    mine = devices_of(LOG.heartbeats, LOG.deal_id, opened_at=NOON, until=NOW)
    assert isinstance(of_log(LOG, in_use=mine), Accepted)
    assert {each.uuid for each in mine} == {gpu.uuid for gpu in readings()}


@pytest.mark.parametrize(
    ("model", "gb", "reported", "name"),
    [
        ("H100", 80, 81_559, "NVIDIA H100 80GB HBM3"),
        ("H100-PCIE", 80, 81_559, "NVIDIA H100 PCIe"),
        ("H200", 141, 143_771, "NVIDIA H200"),
        ("A100", 40, 40_960, "NVIDIA A100-SXM4-40GB"),
        ("A100-PCIE", 80, 81_920, "NVIDIA A100 80GB PCIe"),
        ("L4", 24, 23_034, "NVIDIA L4"),
        ("T4", 16, 15_360, "Tesla T4"),
        ("L40S", 48, 46_068, "NVIDIA L40S"),
        ("A10", 24, 23_028, "NVIDIA A10"),
        ("B200", 192, 183_359, "NVIDIA B200"),
        ("GH200", 144, 147_456, "NVIDIA GH200 144G HBM3e"),
        ("A800-PCIE", 80, 81_920, "NVIDIA A800 80GB PCIe"),
        ("B300", 288, 275_040, "NVIDIA B300 SXM6 AC"),
    ],
)
def test_accepted__gpus_as_their_driver_names_them(model: str, gb: int, reported: int, name: str) -> None:
    log = good_log(gpus=readings(model=name, vram_mb=reported))
    assert isinstance(of_log(log, promise=Promise(model_hash(model), gb)), Accepted)


def test_start_up__is_the_policys_notice__unless_told() -> None:
    assert Rules().start_up_of(policy()) == timedelta(minutes=policy().notice_minutes)
    assert Rules(start_up=SECOND).start_up_of(policy()) == SECOND


def test_another_policy__is_the_callers_mistake() -> None:
    receipt = receipt_of(LOG)
    with pytest.raises(InvalidValue, match="is not the deal's"):
        verify_execution(
            assemble_proof(receipt, [], policy()),
            evidence_of(LOG),
            escrow=escrow(),
            policy=policy(threshold=1),
            domain=DOMAIN,
            now=NOW,
        )


def test_unattested_policy__is_refused() -> None:
    none = policy(threshold=0, attestors=())
    deal = escrow(none)
    log = good_log(deal_id=deal.id)
    found = verify_execution(
        assemble_proof(receipt_of(log), [], none),
        evidence_of(log),
        RULES,
        escrow=deal,
        policy=none,
        domain=DOMAIN,
        now=NOW,
    )
    assert isinstance(found, Rejected)
    assert found.code is RejectionCode.UNATTESTED_POLICY


# ---------------------------------------------------------------- random logs and pings

OFFSETS = st.lists(st.integers(1, 45), min_size=1, max_size=25).map(
    lambda steps: [sum(steps[: number + 1]) for number in range(len(steps))]
)
PINGS = st.lists(st.tuples(st.integers(0, 900), st.booleans()), max_size=12)
RULES_DRAWN = st.tuples(st.integers(1, 60), st.integers(1, 200), st.integers(0, 120))


@given(OFFSETS, PINGS, RULES_DRAWN, st.integers(0, 1_000))
def test_honest__is_accepted_up_to_what_anybody_can_reckon(
    offsets: list[int], asked: list[tuple[int, bool]], drawn: tuple[int, int, int], more: int
) -> None:
    """Payable is the least of log, pings, chain time and allocation: no second more passes, none is lost."""
    gap, ping_gap, start_up = drawn
    log, end = log_of(offsets), offsets[-1] + more
    pings = [ping(log, offset, answered=answered) for offset, answered in asked if offset <= end]
    rules = Rules(longest_gap=gap * SECOND, longest_ping_gap=ping_gap * SECOND, start_up=start_up * SECOND)
    evidence = Evidence(log.heartbeats, pings, PROMISE)
    now = NOON + end * SECOND
    opened = int(NOON.timestamp())
    times = [opened + offset for offset in offsets]
    moments = [(opened + offset, answered) for offset, answered in asked if offset <= end]
    payable = GPUS * min(
        logged_seconds(times, opened, opened + end, gap, start_up),
        pinged_seconds(moments, opened, opened + end, ping_gap, start_up),
        end,
    )
    if payable:
        assert judge(receipt_of(log, payable), evidence, now=now, rules=rules) == Accepted(payable, payable)
    above = judge(receipt_of(log, payable + 1), evidence, now=now, rules=rules)
    assert isinstance(above, Rejected)
    assert above.code in {
        RejectionCode.GAP,
        RejectionCode.ABOVE_LOG,
        RejectionCode.ABOVE_PINGS,
        RejectionCode.ABOVE_ELAPSED,
    }


@given(st.data())
def test_tampered__any_heartbeat_in_any_way__is_refused(data: st.DataObject) -> None:
    """However a log is changed, with its own pings as they were: some check finds it, none says yes."""
    made = list(LOG.heartbeats)
    at = data.draw(st.integers(0, len(made) - 1))
    match data.draw(st.sampled_from(["drop", "twice", "swap", "date", "gpus", "progress", "foreign"])):
        case "drop":
            del made[at]
        case "twice":
            made.insert(at, made[at])
        case "swap":
            other = data.draw(st.integers(0, len(made) - 1).filter(lambda each: each != at))
            made[at], made[other] = made[other], made[at]
        case "date":
            by = data.draw(st.integers(-10_000, 10_000).filter(bool))
            made[at] = made[at].model_copy(update={"at": made[at].at + by * SECOND})
        case "gpus":
            made[at] = made[at].model_copy(update={"gpus": readings(count=data.draw(st.integers(0, 3)))})
        case "progress":
            made[at] = made[at].model_copy(update={"progress_digest": Hash32("0x" + "aa" * 32)})
        case "foreign":
            made[at] = made[at].model_copy(update={"deal_id": OTHER})
    assert isinstance(tampered(tuple(made)), Rejected)


@given(first=st.integers(0, len(LOG.heartbeats) - 1), with_receipt=st.booleans())
def test_rewritten__from_anywhere__a_ping_after_it_finds_it(first: int, *, with_receipt: bool) -> None:
    """A log that is bound and signed anew from some heartbeat on is refused if a ping saw that heartbeat."""
    anew = UsageLog(LOG.deal_id)
    for each in LOG.heartbeats:
        changed = Hash32("0x" + "bb" * 32) if each.sequence >= first else each.progress_digest
        anew.append(each.model_copy(update={"progress_digest": changed, "previous": anew.head}))
    pings = good_pings(LOG)
    found = judge(receipt_of(anew if with_receipt else LOG), evidence_of(anew, pings=pings))
    seen = max(each.answer.heartbeats for each in pings if each.answer)
    if not with_receipt:
        assert isinstance(found, Rejected)
        assert found.code is RejectionCode.ROOT_MISMATCH
    elif first < seen:
        assert isinstance(found, Rejected)
        assert found.code is RejectionCode.LOG_REWRITTEN
    else:  # nobody has seen it yet: that is the log
        assert isinstance(found, Accepted)


@given(OFFSETS, st.integers(0, 1_200), st.integers(1, 60), st.integers(0, 60))
def test_covered__is_what_the_oracle_counts(offsets: list[int], end: int, gap: int, start_up: int) -> None:
    opened = int(NOON.timestamp())
    counted = covered_seconds(
        log_of(offsets),
        opened_at=NOON,
        until=NOON + end * SECOND,
        longest_gap=gap * SECOND,
        start_up=start_up * SECOND,
    )
    assert counted == logged_seconds([opened + each for each in offsets], opened, opened + end, gap, start_up)


# ---------------------------------------------------------------- k of n


def proof_by(receipt: Attestation, signed: list[Attestation]) -> ExecutionProof:
    return ExecutionProof.model_construct(
        receipt=receipt,
        attestations=tuple(sorted(signed, key=lambda each: each.signer.number())),
        attestors=policy().attestors,
    )


def executed(proof: ExecutionProof, log: UsageLog = LOG) -> Accepted | Rejected:
    return verify_execution(
        proof, evidence_of(log), RULES, escrow=escrow(), policy=policy(), domain=DOMAIN, now=NOW
    )


def test_quorum__one_is_silent__two_are_enough() -> None:
    receipt = receipt_of(LOG)
    signed = [countersign(receipt, each, DOMAIN) for each in ATTESTORS[:2]]
    assert executed(proof_by(receipt, signed)) == Accepted(GPUS * END, GPUS * END)


@pytest.mark.parametrize(
    ("signers", "code"),
    [
        ((), RejectionCode.QUORUM),
        (ATTESTORS[:1], RejectionCode.QUORUM),
        ((ATTESTORS[0], ATTESTORS[0]), RejectionCode.ATTESTOR_ORDER),
        ((ATTESTORS[0], STRANGER), None),
    ],
)
def test_quorum__collusion_below_the_threshold__is_nothing(
    signers: tuple[Any, ...], code: RejectionCode | None
) -> None:
    receipt = receipt_of(LOG)
    found = executed(proof_by(receipt, [countersign(receipt, each, DOMAIN) for each in signers]))
    assert isinstance(found, Rejected)
    assert found.code is (code or RejectionCode.ATTESTOR_UNKNOWN)


def test_quorum__an_attestor_who_signed_another_receipt__does_not_count() -> None:
    receipt, other = receipt_of(LOG), receipt_of(LOG, 5)
    signed = [countersign(receipt, ATTESTORS[0], DOMAIN), countersign(other, ATTESTORS[1], DOMAIN)]
    found = executed(proof_by(receipt, signed))
    assert isinstance(found, Rejected)
    assert found.code in {RejectionCode.ATTESTOR_UNKNOWN, RejectionCode.ATTESTOR_ORDER}


def test_quorum__set_that_is_not_the_policys() -> None:
    receipt = receipt_of(LOG)
    proof = proof_by(receipt, [countersign(receipt, each, DOMAIN) for each in ATTESTORS[:2]])
    found = executed(proof.model_copy(update={"attestors": policy().attestors[:2]}))
    assert isinstance(found, Rejected)
    assert found.code is RejectionCode.ATTESTOR_SET


def test_equivocation__one_log_for_each_attestor__no_receipt_gets_a_quorum() -> None:
    """An agent who shows each attestor another log gets at most one signature of each receipt."""
    logs = [good_log(gpus=readings(name)) for name in "abc"]
    pinged = [good_pings(log) for log in logs]
    for log in logs:
        receipt = receipt_of(log)
        yes = [isinstance(judge(receipt, evidence_of(log, pings=pings)), Accepted) for pings in pinged]
        assert yes.count(True) == 1


def test_equivocation__two_receipts_of_one_log__each_attestor_signs_one() -> None:
    first, second = receipt_of(LOG, GPUS * END), receipt_of(LOG, GPUS * END - 8)
    assert isinstance(judge(first, evidence_of(LOG)), Accepted)
    again = judge(second, evidence_of(LOG, signed=first))
    assert isinstance(again, Rejected)
    assert again.code is RejectionCode.ALREADY_SIGNED


def test_at_the_end__a_lease_needs_no_result() -> None:
    log = log_of(range(0, 8 * 3_600 + 1, EVERY))
    pings = [ping(log, offset) for offset in range(7, 8 * 3_600, 80)]
    receipt = receipt_of(log, ALL, result_digest=Hash32("0x" + "00" * 32))
    found = judge(receipt, evidence_of(log, pings=pings), now=ENDS_AT + 600 * SECOND)
    assert found == Accepted(ALL, ALL)
    assert Hash32("0x" + "00" * 32) != DONE
