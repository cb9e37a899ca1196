"""Signing and verifying what parties lay before the arbiter."""

from __future__ import annotations

from dataclasses import dataclass

from eth_utils import keccak

from molt_market.domain.evidence import Evidence
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.signing import typed_data
from molt_market.signing.signers import Approvals, Signer, require_signer
from molt_market.signing.typed_data import Domain, Message


@dataclass(frozen=True, slots=True)
class PartysEvidence(Message):
    """By a party of the deal: this is how it was."""

    deal_id: typed_data.Bytes32
    content_hash: typed_data.Bytes32


def evidence_hash(content: str) -> Hash32:
    """Return what a dispute names on the chain: the hash of the evidence's text, in UTF-8."""
    return Hash32.of(keccak(text=content))


def sign_evidence(deal_id: EscrowId, content: str, signer: Signer, domain: Domain) -> Evidence:
    """Stand for a text about a deal, as a party of it."""
    signature = signer.sign(PartysEvidence(deal_id, evidence_hash(content)), domain)
    return Evidence(deal_id=deal_id, content=content, sender=signer.address, signature=signature)


def verify_evidence(evidence: Evidence, domain: Domain, approvals: Approvals | None = None) -> None:
    """Check that the sender stands for it.

    Raises:
        InvalidSignature: it is not his signature; WrongSigner says whose it would be.
    """
    message = PartysEvidence(evidence.deal_id, evidence_hash(evidence.content))
    require_signer(message, domain, evidence.signature, evidence.sender, approvals)
