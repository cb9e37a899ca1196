"""Whatever `verify_proof` says of a proof, `claim` says in that block: the same code and figures, or none."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from web3 import HTTPProvider
from web3.types import RPCEndpoint

from molt_market.attestation.usage import Heartbeat, UsageLog
from molt_market.attestation.verdict import verify_proof
from molt_market.attestation.verifier import (
    Accepted,
    Evidence,
    Rejected,
    RejectionCode,
    Rules,
    verify_execution,
)
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.fields import moment, seconds
from molt_market.domain.ids import ZERO_HASH, Address, EscrowId, Hash32
from molt_market.domain.pings import Ping
from molt_market.domain.policies import Policy, by_number
from molt_market.domain.proofs import Attestation, ExecutionProof
from molt_market.errors import Refused
from molt_market.refusals import (
    AboveElapsed,
    AttestorIsParty,
    AttestorOrder,
    AttestorSet,
    AttestorUnknown,
    BadSignature,
    NotAbovePaid,
    NotCompleted,
    Quorum,
    TooLate,
    UnattestedPolicy,
    WrongStatus,
    refusal,
)
from molt_market.signing.pings import sign_ping_answer
from molt_market.signing.signers import LocalSigner
from molt_market.signing.statements import sign_receipt, sign_voucher
from molt_market.signing.typed_data import Domain
from tests.parity.stage import Stage, packed_signatures, terms_tuple
from tests.unit.attestation.deals import DONE, policy
from tests.unit.signing.keys import AGENT, ATTESTORS, BUYER, PROVIDER, STRANGER

CASES = 1_500
SOME_ROOT = Hash32("0x" + "70" * 32)
ATTESTED = policy()
UNATTESTED = policy(threshold=0, attestors=())
WITH_PARTIES = policy(
    threshold=1, attestors=[s.address for s in (BUYER, PROVIDER, AGENT, *ATTESTORS)]
)  # the contract takes such a set, and refuses the parties' signatures

OF_CLAIM = (
    WrongStatus,
    TooLate,
    NotAbovePaid,
    AboveElapsed,
    NotCompleted,
    BadSignature,
    UnattestedPolicy,
    AttestorSet,
    Quorum,
    AttestorOrder,
    AttestorIsParty,
    AttestorUnknown,
)

Answer = tuple[int, int, int] | None


@dataclass(frozen=True)
class Case:
    deal: EscrowAccount
    policy: Policy
    proof: ExecutionProof
    now: int


@pytest.fixture(scope="module")
def deals(stage: Stage) -> list[tuple[EscrowAccount, Policy]]:
    """Deals under three policies, one of them partly paid, one claimed already."""
    for each in (ATTESTED, UNATTESTED, WITH_PARTIES):
        stage.register(each)
    opened = [
        (stage.open(each)[0], each) for each in (ATTESTED, UNATTESTED, WITH_PARTIES, ATTESTED, ATTESTED)
    ]
    paid, claimed = opened[3][0], opened[4][0]
    voucher = sign_voucher(paid.id, 5_000, BUYER, stage.domain)
    stage.send(stage.escrow.functions.release(terms_tuple(paid), voucher.gpu_seconds, voucher.signature))
    stage.warp(claimed, timedelta(seconds=60))
    done = Case(claimed, ATTESTED, make_proof(claimed, ATTESTED, stage.domain, 4, result_digest=DONE), 0)
    stage.send(stage.escrow.functions.claim(*arguments(done)))
    return [(stage.deal(deal.terms), each) for deal, each in opened]


def make_proof(
    deal: EscrowAccount,
    of: Policy,
    domain: Domain,
    gpu_seconds: int,
    *,
    agent: LocalSigner = AGENT,
    signers: tuple[LocalSigner, ...] = ATTESTORS[:2],
    result_digest: Hash32 = ZERO_HASH,
    deal_id: EscrowId | None = None,
    attestors: tuple[Address, ...] | None = None,
    usage_root: Hash32 = SOME_ROOT,
) -> ExecutionProof:
    """Make a proof, also one that the model itself would refuse."""

    def sign(signer: LocalSigner) -> Attestation:
        return sign_receipt(
            deal_id or deal.id,
            gpu_seconds,
            signer,
            domain,
            result_digest=result_digest,
            usage_root=usage_root,
        )

    return ExecutionProof.model_construct(
        receipt=sign(agent),
        attestations=tuple(map(sign, signers)),
        attestors=of.attestors if attestors is None else attestors,
    )


def random_case(
    deals: list[tuple[EscrowAccount, Policy]],
    domain: Domain,
    rng: random.Random,
    root_of: Callable[[EscrowAccount], Hash32] = lambda _: SOME_ROOT,
) -> Case:
    """Make a proof that is nearly right: each choice is the right one most of the time."""
    deal, of = rng.choice(deals)
    assert deal.opened_at is not None
    assert deal.ends_at is not None
    opened, ends, deadline = map(seconds, (deal.opened_at, deal.ends_at, deal.locked_until))
    now = _mostly(
        rng, rng.randint(ends, max(ends, deadline - 1)), rng.randint(opened, ends), ends - 1, deadline
    )
    elapsed = 4 * (min(now, ends) - opened)
    gpu_seconds = _mostly(
        rng,
        rng.randint(1, max(1, elapsed)),
        elapsed,
        elapsed + 1,
        deal.paid_gpu_seconds,
        deal.terms.gpu_seconds,
    )
    quorum = ATTESTORS[: rng.choice([2, 3])]
    odd = rng.choice([BUYER, PROVIDER, AGENT, STRANGER])
    proof = make_proof(
        deal,
        of,
        _mostly(rng, domain, Domain(1, domain.escrow)),
        gpu_seconds,
        agent=_mostly(rng, AGENT, odd),
        signers=_mostly(
            rng,
            quorum,
            ATTESTORS[:1],
            (),
            (quorum[0], *quorum),
            tuple(reversed(quorum)),
            tuple(sorted((*quorum, odd), key=lambda signer: signer.address.number())),
        ),
        result_digest=rng.choice([ZERO_HASH, DONE]),
        deal_id=_mostly(rng, None, EscrowId("0x" + "11" * 32)),
        attestors=_mostly(rng, None, of.attestors[:-1], by_number((*of.attestors, STRANGER.address))),
        usage_root=root_of(deal),
    )
    return Case(deal, of, proof, now)


def _mostly(rng: random.Random, right: Any, *wrong: Any) -> Any:
    return right if rng.random() < 0.8 else rng.choice(wrong)


def arguments(case: Case) -> tuple[Any, ...]:
    receipt = case.proof.receipt
    return (
        terms_tuple(case.deal),
        receipt.gpu_seconds,
        receipt.result_digest,
        receipt.usage_root,
        receipt.signature,
        case.proof.attestors,
        packed_signatures(case.proof),
    )


def our_answer(case: Case, domain: Domain) -> Answer:
    try:
        verify_proof(case.proof, case.deal, case.policy, domain, moment(case.now))
    except Refused as refused:
        return refused.code, refused.actual, refused.limit
    return None


def chain_answers(stage: Stage, cases: list[Case]) -> list[Answer]:
    """Simulate each claim in a block of its own time."""
    requests: list[tuple[RPCEndpoint, Any]] = []
    for case in cases:
        call = {"to": stage.escrow.address, "data": stage.escrow.encode_abi("claim", args=arguments(case))}
        requests.append((RPCEndpoint("eth_call"), [call, "latest", {}, {"time": hex(case.now)}]))
    answers: list[Answer] = []
    assert isinstance(stage.chain.provider, HTTPProvider)
    for start in range(0, len(requests), 250):
        responses = stage.chain.provider.make_batch_request(requests[start : start + 250])
        assert isinstance(responses, list)
        answers += [_refusal(response) for response in responses]
    return answers


def _refusal(response: Any) -> Answer:
    if "error" not in response:
        return None
    data = bytes.fromhex(response["error"]["data"][2:])
    assert len(data) == 100, response
    code, actual, limit = (int.from_bytes(data[4 + 32 * word :][:32], "big") for word in range(3))
    return code, actual, limit


def test_verdict__is_the_contracts(stage: Stage, deals: list[tuple[EscrowAccount, Policy]]) -> None:
    rng = random.Random(17)
    cases = [random_case(deals, stage.domain, rng) for _ in range(CASES)]
    ours = [our_answer(case, stage.domain) for case in cases]
    assert ours == chain_answers(stage, cases)
    assert {answer and answer[0] for answer in ours} == {None, *(refusal.code for refusal in OF_CLAIM)}
    assert ours.count(None) > CASES / 10


# ---------------------------------------------------------------- what an attestor accepts

LONG = timedelta(days=365)
LENIENT = Rules(
    longest_gap=LONG, longest_ping_gap=LONG, clock_tolerance=LONG, gpus_visible=False, least_percent=0
)


def log_of(deal: EscrowAccount) -> UsageLog:
    """Make a log of a deal's whole time."""
    assert deal.opened_at is not None
    assert deal.ends_at is not None
    log = UsageLog(deal.id)
    for at in (deal.opened_at, deal.ends_at):
        log.append(Heartbeat(deal_id=deal.id, sequence=len(log.heartbeats), at=at, previous=log.head))
    return log


def evidence_of(deal: EscrowAccount, domain: Domain) -> Evidence:
    """Make what an attestor has who was answered at the opening: with LENIENT, for the deal's whole time."""
    log, nonce = log_of(deal), Hash32("0x" + "0c" * 32)
    assert deal.opened_at is not None
    answer = sign_ping_answer(
        deal.id, nonce, AGENT, domain, answered_at=deal.opened_at, heartbeats=1, head=log.heartbeats[0].digest
    )
    ping = Ping(deal_id=deal.id, at=deal.opened_at, nonce=nonce, answer=answer)
    return Evidence(log.heartbeats, [ping], None)


def test_verifier__accepts_what_the_contract_does__and_refuses_by_its_codes(
    stage: Stage, deals: list[tuple[EscrowAccount, Policy]]
) -> None:
    rng = random.Random(18)
    evidence = {deal.id: evidence_of(deal, stage.domain) for deal, _ in deals}
    cases = [random_case(deals, stage.domain, rng, lambda deal: log_of(deal).root) for _ in range(CASES // 3)]
    ours = [
        verify_execution(
            case.proof,
            evidence[case.deal.id],
            LENIENT,
            escrow=case.deal,
            policy=case.policy,
            domain=stage.domain,
            now=moment(case.now),
        )
        for case in cases
    ]
    for found, answer in zip(ours, chain_answers(stage, cases), strict=True):
        if isinstance(found, Accepted):
            assert answer is None
        elif found.code not in {RejectionCode.WRONG_DEAL, RejectionCode.ABOVE_ALLOCATION}:
            assert answer is not None
            assert (found.code, found.actual, found.limit) == (
                refusal(*answer).__class__.__name__,
                *answer[1:],
            )
    accepted = [each for each in ours if isinstance(each, Accepted)]
    assert len(accepted) > CASES / 30
    assert all(each.gpu_seconds <= each.payable for each in accepted)
    codes = {each.code for each in ours if isinstance(each, Rejected)}
    assert codes >= {RejectionCode[kind.name] for kind in OF_CLAIM}
