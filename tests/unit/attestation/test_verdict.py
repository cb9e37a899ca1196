"""One test for each code that `claim` refuses with. tests/parity/test_verdict.py asks the contract."""

from datetime import timedelta

import pytest

from molt_market.attestation.receipts import countersign
from molt_market.attestation.verdict import verify_proof
from molt_market.domain.deals import DealStatus
from molt_market.domain.ids import Signature
from molt_market.domain.proofs import Attestation, ExecutionProof
from molt_market.errors import InvalidValue, Refused
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
)
from molt_market.signing.hashes import attestors_hash
from molt_market.signing.signers import LocalSigner
from molt_market.signing.typed_data import Domain
from tests.factories import NOON
from tests.unit.attestation.deals import ALL, DOMAIN, DONE, ENDS_AT, GPUS, escrow, policy, proof, terms
from tests.unit.signing.keys import AGENT, ATTESTORS, BUYER, PROVIDER, STRANGER

SECOND = timedelta(seconds=1)


def figures(caught: pytest.ExceptionInfo[Refused]) -> tuple[int, int]:
    return caught.value.actual, caught.value.limit


def test_accepted__at_the_end() -> None:
    accepted = verify_proof(proof(), escrow(), policy(), DOMAIN, ENDS_AT)
    assert (accepted.gpu_seconds, accepted.payable) == (ALL, ALL)
    assert accepted.signers == tuple(attestor.address for attestor in ATTESTORS[:2])


def test_accepted__after_vouchers__owes_the_rest() -> None:
    assert verify_proof(proof(), escrow(paid_gpu_seconds=ALL - 5), policy(), DOMAIN, ENDS_AT).payable == 5


def test_accepted__before_the_end_with_a_result() -> None:
    done = proof(GPUS * 60, result_digest=DONE)
    accepted = verify_proof(done, escrow(), policy(), DOMAIN, NOON + timedelta(seconds=60))
    assert accepted.payable == GPUS * 60


def test_accepted__in_the_last_second() -> None:
    verify_proof(proof(), escrow(), policy(), DOMAIN, escrow().locked_until - SECOND)


@pytest.mark.parametrize("status", set(DealStatus) - {DealStatus.LOCKED})
def test_wrong_status(status: DealStatus) -> None:
    with pytest.raises(WrongStatus) as caught:
        verify_proof(proof(), escrow(status=status), policy(), DOMAIN, ENDS_AT)
    assert figures(caught) == (status, DealStatus.LOCKED)


def test_wrong_status__another_escrow_has_no_such_deal() -> None:
    elsewhere = Domain(1, DOMAIN.escrow)
    with pytest.raises(WrongStatus) as caught:
        verify_proof(proof(domain=elsewhere), escrow(), policy(), elsewhere, ENDS_AT)
    assert figures(caught) == (DealStatus.NONE, DealStatus.LOCKED)


def test_too_late__from_the_deadline_on() -> None:
    deadline = escrow().locked_until
    with pytest.raises(TooLate) as caught:
        verify_proof(proof(), escrow(), policy(), DOMAIN, deadline)
    assert figures(caught) == (int(deadline.timestamp()), int(deadline.timestamp()))


@pytest.mark.parametrize("gpu_seconds", [0, 5])
def test_not_above_paid(gpu_seconds: int) -> None:
    with pytest.raises(NotAbovePaid) as caught:
        verify_proof(proof(gpu_seconds), escrow(paid_gpu_seconds=5), policy(), DOMAIN, ENDS_AT)
    assert figures(caught) == (gpu_seconds, 5)


def test_above_elapsed__of_the_allocation() -> None:
    with pytest.raises(AboveElapsed) as caught:
        verify_proof(proof(ALL + 1), escrow(), policy(), DOMAIN, ENDS_AT + timedelta(hours=1))
    assert figures(caught) == (ALL + 1, ALL)


def test_above_elapsed__of_the_time_so_far() -> None:
    with pytest.raises(AboveElapsed) as caught:
        verify_proof(proof(GPUS * 60, result_digest=DONE), escrow(), policy(), DOMAIN, NOON + 59 * SECOND)
    assert figures(caught) == (GPUS * 60, GPUS * 59)


def test_above_elapsed__after_a_stop() -> None:
    stopped = escrow(ends_at=NOON + timedelta(hours=1))
    with pytest.raises(AboveElapsed) as caught:
        verify_proof(proof(), stopped, policy(), DOMAIN, ENDS_AT)
    assert figures(caught) == (ALL, GPUS * 3_600)


def test_not_completed__before_the_end_without_a_result() -> None:
    with pytest.raises(NotCompleted) as caught:
        verify_proof(proof(1), escrow(), policy(), DOMAIN, ENDS_AT - SECOND)
    assert figures(caught) == (int(ENDS_AT.timestamp()) - 1, int(ENDS_AT.timestamp()))


def test_bad_signature__not_the_agents() -> None:
    with pytest.raises(BadSignature) as caught:
        verify_proof(proof(agent=PROVIDER), escrow(), policy(), DOMAIN, ENDS_AT)
    assert figures(caught) == (PROVIDER.address.number(), AGENT.address.number())


def test_bad_signature__of_another_deal() -> None:
    other = escrow(terms=terms(slot=99))
    with pytest.raises(BadSignature):
        verify_proof(proof(deal=other), escrow(), policy(), DOMAIN, ENDS_AT)


def test_bad_signature__of_another_chain() -> None:
    with pytest.raises(BadSignature):
        verify_proof(proof(domain=Domain(1, DOMAIN.escrow)), escrow(), policy(), DOMAIN, ENDS_AT)


def test_bad_signature__that_nobody_made__is_of_the_zero_address() -> None:
    right = proof()
    receipt = right.receipt.model_copy(update={"signature": Signature.of(bytes(65))})
    with pytest.raises(BadSignature) as caught:
        verify_proof(right.model_copy(update={"receipt": receipt}), escrow(), policy(), DOMAIN, ENDS_AT)
    assert figures(caught) == (0, AGENT.address.number())


def test_unattested_policy__has_no_claims() -> None:
    none = policy(threshold=0, attestors=())
    with pytest.raises(UnattestedPolicy) as caught:
        verify_proof(proof(of=none, attestors=()), escrow(none), none, DOMAIN, ENDS_AT)
    assert figures(caught) == (0, 1)


def test_attestor_set__is_not_the_policys() -> None:
    some = policy().attestors[:2]
    with pytest.raises(AttestorSet) as caught:
        verify_proof(proof().model_copy(update={"attestors": some}), escrow(), policy(), DOMAIN, ENDS_AT)
    assert figures(caught) == (int(attestors_hash(some), 16), int(attestors_hash(policy().attestors), 16))


def test_quorum() -> None:
    with pytest.raises(Quorum) as caught:
        verify_proof(proof(attestors=ATTESTORS[:1]), escrow(), policy(), DOMAIN, ENDS_AT)
    assert figures(caught) == (1, 2)


def test_attestor_order__by_who_signed__not_by_who_is_said_to_have() -> None:
    """One attestor counts once, under whatever names his signatures come."""
    first, second = proof().attestations
    twice = second.model_copy(update={"signature": first.signature})
    with pytest.raises(AttestorOrder) as caught:
        verify_proof(_with(first, twice), escrow(), policy(), DOMAIN, ENDS_AT)
    assert figures(caught) == (first.signer.number(), first.signer.number())


def test_attestor_order__of_a_signature_that_nobody_made() -> None:
    first, second = proof().attestations
    nobody = first.model_copy(update={"signature": Signature.of(bytes(64))})
    with pytest.raises(AttestorOrder) as caught:
        verify_proof(_with(nobody, second), escrow(), policy(), DOMAIN, ENDS_AT)
    assert figures(caught) == (0, 0)


@pytest.mark.parametrize("party", [BUYER, PROVIDER, AGENT], ids=["buyer", "provider", "agent"])
def test_attestor_is_party(party: LocalSigner) -> None:
    own = policy(attestors=(party.address,), threshold=1)
    with pytest.raises(AttestorIsParty) as caught:
        verify_proof(proof(of=own, attestors=(party,)), escrow(own), own, DOMAIN, ENDS_AT)
    assert figures(caught) == (party.address.number(), party.address.number())


def test_attestor_unknown() -> None:
    foreign = countersign(proof().receipt, STRANGER, DOMAIN)
    with pytest.raises(AttestorUnknown) as caught:
        verify_proof(_with(*proof().attestations, foreign), escrow(), policy(), DOMAIN, ENDS_AT)
    assert figures(caught) == (STRANGER.address.number(), 0)


def test_another_policy__is_the_callers_mistake() -> None:
    with pytest.raises(InvalidValue, match="is not the deal's"):
        verify_proof(proof(), escrow(), policy(threshold=1), DOMAIN, ENDS_AT)


def _with(*attestations: Attestation) -> ExecutionProof:
    return proof().model_copy(update={"attestations": attestations})
