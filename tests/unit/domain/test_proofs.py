from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from molt_market.domain.ids import Address
from molt_market.domain.proofs import Attestation, Confirmation, ExecutionProof
from tests.factories import AGENT, ATTESTORS, DEAL_ID, VOUCHER_SIGNER

SIGNATURE = "0x" + "51" * 65


def make_attestation(**overrides: Any) -> Attestation:
    fields = {"deal_id": DEAL_ID, "gpu_seconds": 100, "signer": AGENT, "signature": SIGNATURE}
    return Attestation(**{**fields, **overrides})


def test_attestation__without_result__is_not_completed() -> None:
    assert not make_attestation().completed
    assert make_attestation(result_digest="0x" + "01" * 32).completed


@pytest.mark.parametrize(
    "field",
    [
        {"gpu_seconds": 99},
        {"deal_id": "0x" + "01" * 32},
        {"result_digest": "0x" + "01" * 32},
        {"usage_root": "0x" + "01" * 32},
    ],
)
def test_same_receipt_as__of_another_statement__is_false(field: dict[str, Any]) -> None:
    assert make_attestation(signer=ATTESTORS[0]).same_receipt_as(make_attestation())
    assert not make_attestation(**field).same_receipt_as(make_attestation())


def test_proof__keeps_attestations_and_attestors_ascending() -> None:
    signed = [make_attestation(signer=signer) for signer in reversed(ATTESTORS)]
    proof = ExecutionProof(
        receipt=make_attestation(), attestations=signed, attestors=tuple(reversed(ATTESTORS))
    )
    assert tuple(each.signer for each in proof.attestations) == proof.attestors == ATTESTORS


def test_proof__with_an_attestation_of_another_receipt__is_refused() -> None:
    other = make_attestation(signer=ATTESTORS[0], gpu_seconds=99)
    with pytest.raises(ValidationError, match="signed another receipt"):
        ExecutionProof(receipt=make_attestation(), attestations=(other,), attestors=ATTESTORS)


def test_proof__with_an_attestor_that_signed_twice__is_refused() -> None:
    twice = make_attestation(signer=ATTESTORS[0])
    with pytest.raises(ValidationError, match="signed twice"):
        ExecutionProof(receipt=make_attestation(), attestations=(twice, twice), attestors=ATTESTORS)


def test_proof__with_a_stranger_s_attestation__is_refused() -> None:
    stranger = make_attestation(signer=Address.of(0xF00D))
    with pytest.raises(ValidationError, match="is not among the attestors"):
        ExecutionProof(receipt=make_attestation(), attestations=(stranger,), attestors=ATTESTORS)


def test_proof__as_json__comes_back_equal() -> None:
    proof = ExecutionProof(
        receipt=make_attestation(),
        attestations=(make_attestation(signer=ATTESTORS[1]),),
        attestors=ATTESTORS,
        usage_log="https://provider.example/usage/1",
    )
    assert ExecutionProof.model_validate_json(proof.model_dump_json()) == proof


@pytest.mark.parametrize("units", [-1, 2**40, 1.5, "5"])
def test_confirmation__of_no_number_of_gpu_seconds__is_refused(units: Any) -> None:
    with pytest.raises(ValidationError):
        Confirmation(deal_id=DEAL_ID, gpu_seconds=units, signer=VOUCHER_SIGNER, signature=SIGNATURE)
