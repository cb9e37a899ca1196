import pytest
from pydantic import ValidationError

from molt_market.attestation.receipts import assemble_proof, countersign, issue_receipt
from molt_market.attestation.usage import UsageLog
from molt_market.domain.ids import ZERO_HASH
from molt_market.signing.statements import verify_receipt
from tests.unit.attestation.deals import ALL, DOMAIN, DONE, escrow, policy
from tests.unit.attestation.test_usage import make_log
from tests.unit.signing.keys import AGENT, ATTESTORS, STRANGER


def test_issue_receipt__commits_to_the_log() -> None:
    log = make_log(3)
    receipt = issue_receipt(log, 7, AGENT, DOMAIN, result_digest=DONE)
    assert (receipt.deal_id, receipt.gpu_seconds) == (log.deal_id, 7)
    assert (receipt.usage_root, receipt.result_digest) == (log.root, DONE)
    assert verify_receipt(receipt, DOMAIN) == AGENT.address


def test_issue_receipt__without_a_result__is_not_completed() -> None:
    receipt = issue_receipt(UsageLog(escrow().id), ALL, AGENT, DOMAIN)
    assert not receipt.completed
    assert receipt.usage_root == ZERO_HASH


def test_countersign__is_of_the_same_receipt() -> None:
    receipt = issue_receipt(make_log(3), 7, AGENT, DOMAIN, result_digest=DONE)
    attestation = countersign(receipt, ATTESTORS[0], DOMAIN)
    assert attestation.same_receipt_as(receipt)
    assert verify_receipt(attestation, DOMAIN) == ATTESTORS[0].address


def test_assemble_proof__sorts_by_signer_and_counts_each_once() -> None:
    receipt = issue_receipt(make_log(3), 7, AGENT, DOMAIN)
    collected = [countersign(receipt, attestor, DOMAIN) for attestor in (*reversed(ATTESTORS), ATTESTORS[1])]
    proof = assemble_proof(receipt, collected, policy(), usage_log="https://logs.example/1")
    signers = [attestation.signer for attestation in proof.attestations]
    assert signers == [attestor.address for attestor in ATTESTORS]
    assert proof.attestors == policy().attestors
    assert proof.usage_log == "https://logs.example/1"


def test_assemble_proof__of_two_receipts__is_refused() -> None:
    receipt = issue_receipt(make_log(3), 7, AGENT, DOMAIN)
    other = issue_receipt(make_log(3), 8, AGENT, DOMAIN)
    with pytest.raises(ValidationError, match="another receipt"):
        assemble_proof(receipt, [countersign(other, STRANGER, DOMAIN)], policy())
