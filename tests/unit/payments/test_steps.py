"""Every case of next_step: the deal's status, what is new, the time, the voucher, the attestors."""

from datetime import timedelta
from typing import Any

import pytest

from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.ids import Address, Hash32, Signature
from molt_market.domain.proofs import Attestation, Confirmation, ExecutionProof
from molt_market.payments.steps import Claim, Finalize, Release, can_be_claimed, key_of, next_step
from tests.factories import AGENT, ATTESTORS, BUYER, DEAL_ID, NOON, make_escrow

# 4 GPUs for 8 hours from noon; the deadline is a day after the end.
ALL = 4 * 8 * 3_600
HALF = ALL // 2
END = NOON + timedelta(hours=8)
DEADLINE = END + timedelta(days=1)
NEVER_SIGNED = Signature("0x" + "00" * 65)
DONE = Hash32("0x" + "d0" * 32)


def attestation(signer: Address, gpu_seconds: int, **fields: Any) -> Attestation:
    return Attestation(
        deal_id=DEAL_ID, gpu_seconds=gpu_seconds, signer=signer, signature=NEVER_SIGNED, **fields
    )


def proof(gpu_seconds: int, *, attested: bool = True, **fields: Any) -> ExecutionProof:
    signed = [attestation(each, gpu_seconds, **fields) for each in ATTESTORS[:2]] if attested else []
    return ExecutionProof(
        receipt=attestation(AGENT, gpu_seconds, **fields), attestations=tuple(signed), attestors=ATTESTORS
    )


def voucher(gpu_seconds: int) -> Confirmation:
    return Confirmation(deal_id=DEAL_ID, gpu_seconds=gpu_seconds, signer=BUYER, signature=NEVER_SIGNED)


def claimed(**overrides: Any) -> EscrowAccount:
    fields = {"status": DealStatus.CLAIMED, "claimed_gpu_seconds": HALF, "locked_until": DEADLINE}
    return make_escrow(**{**fields, **overrides})


def names(escrow: EscrowAccount, *arguments: Any) -> list[str]:
    return [type(action).__name__ for action in next_step(escrow, *arguments)]


def test_locked__voucher_for_everything__releases() -> None:
    assert next_step(make_escrow(), NOON, proof(ALL), voucher(ALL)) == (Release(voucher(ALL)),)


def test_locked__voucher_for_less_and_attested__claims_and_releases_in_this_order() -> None:
    step = next_step(make_escrow(), END, proof(HALF), voucher(HALF))
    assert step == (Claim(proof(HALF)), Release(voucher(HALF)))


def test_locked__voucher_for_less_with_a_result__claims_and_releases_before_the_end() -> None:
    early = NOON + timedelta(hours=4)
    done = proof(HALF, result_digest=DONE)
    assert names(make_escrow(), early, done, voucher(HALF)) == ["Claim", "Release"]


@pytest.mark.parametrize(
    ("now", "evidence"),
    [
        (END, proof(HALF, attested=False)),
        (END - timedelta(seconds=1), proof(HALF)),
        (NOON + timedelta(hours=4, seconds=-1), proof(HALF, result_digest=DONE)),
    ],
    ids=["unattested", "before the end", "more than has passed"],
)
def test_locked__voucher_for_less_and_no_claim_possible__releases(now: Any, evidence: ExecutionProof) -> None:
    assert names(make_escrow(), now, evidence, voucher(HALF)) == ["Release"]


def test_locked__voucher_for_less_at_the_deadline__releases_and_closes() -> None:
    assert names(make_escrow(), DEADLINE, proof(HALF), voucher(HALF)) == ["Release", "Finalize"]


def test_locked__no_voucher__claims_whenever_it_is() -> None:
    """Too early or too late, the contract says so with the time."""
    for now in (NOON, END, DEADLINE):
        assert names(make_escrow(), now, proof(HALF)) == ["Claim"]


def test_locked__nothing_new__waits_for_the_deadline() -> None:
    paid = make_escrow(paid_gpu_seconds=HALF)
    for statement in (None, voucher(HALF)):
        assert next_step(paid, DEADLINE - timedelta(seconds=1), proof(HALF), statement) == ()
        assert next_step(paid, DEADLINE, proof(HALF), statement) == (Finalize(),)


def test_claimed__in_the_window__waits() -> None:
    assert next_step(claimed(), DEADLINE - timedelta(seconds=1), proof(HALF)) == ()


def test_claimed__with_a_voucher__releases() -> None:
    assert names(claimed(), END, proof(HALF), voucher(HALF)) == ["Release"]


def test_claimed__window_over__finalizes() -> None:
    for statement in (None, voucher(HALF)):
        assert next_step(claimed(), DEADLINE, proof(HALF), statement) == (Finalize(),)


def test_disputed__is_left_to_the_arbiter_until_his_time_is_over() -> None:
    disputed = claimed(status=DealStatus.DISPUTED)
    assert next_step(disputed, END, proof(HALF), voucher(HALF)) == ()
    assert next_step(disputed, DEADLINE, proof(HALF)) == (Finalize(),)


@pytest.mark.parametrize("status", [DealStatus.RELEASED, DealStatus.REFUNDED])
def test_closed__needs_nothing(status: DealStatus) -> None:
    assert next_step(make_escrow(status=status), DEADLINE, proof(HALF), voucher(HALF)) == ()


def test_can_be_claimed__counts_no_time_after_the_end() -> None:
    late = DEADLINE
    assert can_be_claimed(make_escrow(), late, proof(ALL))
    assert not can_be_claimed(make_escrow(), late, proof(ALL + 1))


def test_key__names_the_step_and_what_makes_it_another() -> None:
    assert key_of((Finalize(),), DEAL_ID) == f"finalize:{DEAL_ID}"
    assert key_of((Claim(proof(HALF)),), DEAL_ID) == f"claim:{DEAL_ID}"
    assert key_of((Release(voucher(7)),), DEAL_ID) == f"release:{DEAL_ID}:7"
    both = (Claim(proof(HALF)), Release(voucher(HALF)))
    assert key_of(both, DEAL_ID) == f"claim+release:{DEAL_ID}:{HALF}"
