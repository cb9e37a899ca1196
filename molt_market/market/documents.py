"""Whose document it is, and whether he may leave it."""

from __future__ import annotations

from molt_market.domain.documents import Document, DocumentKind
from molt_market.domain.ids import Address
from molt_market.domain.policies import Policy
from molt_market.domain.terms import Terms
from molt_market.errors import WrongSigner
from molt_market.signing.agreements import verify_dispute
from molt_market.signing.evidence import verify_evidence
from molt_market.signing.letters import verify_letter
from molt_market.signing.pings import verify_gateway, verify_rejection
from molt_market.signing.signers import Approvals
from molt_market.signing.statements import verify_receipt, verify_voucher
from molt_market.signing.typed_data import Domain


def sender_of(
    document: Document, terms: Terms, policy: Policy, domain: Domain, approvals: Approvals
) -> Address:
    """Return who signed a document, if he may leave one of its kind for the deal of these terms.

    A voucher is its voucher signer's, a receipt its agent's or an attestor's of its policy, a dispute its
    buyer's, a gateway its agent's, a rejection an attestor's, evidence a party's, a letter one party's
    for another: buyer, voucher signer, provider, agent or arbiter.

    Raises:
        ProofMismatch: it is about another deal. InvalidSignature: it is nobody's.
        WrongSigner: it is somebody else's, or for somebody else.
    """
    parties = (terms.buyer, terms.voucher_signer, terms.provider, terms.agent, policy.arbiter)
    match document.kind:
        case DocumentKind.VOUCHER if document.voucher:
            return verify_voucher(document.voucher, terms, domain, approvals)
        case DocumentKind.RECEIPT if document.receipt:
            return _one_of(
                verify_receipt(document.receipt, domain, approvals), terms.agent, *policy.attestors
            )
        case DocumentKind.DISPUTE if document.dispute:
            return verify_dispute(document.dispute, terms, domain, approvals)
        case DocumentKind.LETTER if document.letter:
            _one_of(document.letter.reader, *parties)
            return _one_of(verify_letter(document.letter, domain, approvals), *parties)
        case DocumentKind.GATEWAY if document.gateway:
            return verify_gateway(document.gateway, terms.agent, domain, approvals)
        case DocumentKind.REJECTION if document.rejection:
            return _one_of(verify_rejection(document.rejection, domain, approvals), *policy.attestors)
        case DocumentKind.EVIDENCE if document.evidence:
            verify_evidence(document.evidence, domain, approvals)
            return _one_of(document.evidence.sender, *parties[:-1])  # the arbiter lays none
    raise AssertionError("a document is of one kind")  # pragma: no cover


def _one_of(signer: Address, *allowed: Address) -> Address:
    if signer not in allowed:
        raise WrongSigner(expected=" or ".join(dict.fromkeys(allowed)), actual=signer)
    return signer
