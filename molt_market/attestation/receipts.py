"""From a usage log to an execution proof: the agent signs a receipt, attestors sign the same one."""

from __future__ import annotations

from collections.abc import Iterable

from molt_market.attestation.usage import UsageLog
from molt_market.domain.ids import ZERO_HASH, Hash32
from molt_market.domain.policies import Policy
from molt_market.domain.proofs import Attestation, ExecutionProof
from molt_market.signing.signers import Signer
from molt_market.signing.statements import sign_receipt
from molt_market.signing.typed_data import Domain


def issue_receipt(
    log: UsageLog, gpu_seconds: int, agent: Signer, domain: Domain, *, result_digest: Hash32 = ZERO_HASH
) -> Attestation:
    """State, as the provider's agent, that `gpu_seconds` of the log's deal were available.

    With a `result_digest` the job is completed, and the receipt may be claimed before the deal's end.
    """
    return sign_receipt(
        log.deal_id, gpu_seconds, agent, domain, result_digest=result_digest, usage_root=log.root
    )


def countersign(receipt: Attestation, attestor: Signer, domain: Domain) -> Attestation:
    """Sign the receipt of an agent as an attestor. To check it first is the attestor's business."""
    return sign_receipt(
        receipt.deal_id,
        receipt.gpu_seconds,
        attestor,
        domain,
        result_digest=receipt.result_digest,
        usage_root=receipt.usage_root,
    )


def assemble_proof(
    receipt: Attestation,
    attestations: Iterable[Attestation],
    policy: Policy,
    *,
    usage_log: str | None = None,
) -> ExecutionProof:
    """Put together what `claim` needs: the receipt, its attestors' signatures (each once), the policy's set.

    Raises:
        ValidationError: an attestor signed another receipt.
    """
    by_signer = {attestation.signer: attestation for attestation in attestations}
    return ExecutionProof(
        receipt=receipt,
        attestations=tuple(by_signer.values()),
        attestors=policy.attestors,
        usage_log=usage_log,
    )
