"""Attestor: signs receipts of deals whose policy names him."""

from __future__ import annotations

from collections.abc import Sequence

from molt_market.attestation.receipts import countersign
from molt_market.domain.documents import Document, DocumentKind
from molt_market.domain.ids import EscrowId
from molt_market.domain.proofs import Attestation
from molt_market.sdk.party import Party
from molt_market.signing.statements import (
    verify_receipt,
)


class Attestor(Party):
    """Signs receipts of deals whose policy names him, for what he has seen himself.

    >>> attestor = Attestor("http://127.0.0.1:8080", "attestor.json")  # doctest: +SKIP
    """

    def receipts(self, deal_id: EscrowId) -> Sequence[Attestation]:
        """Return the receipts of a deal's agent that lie ready and are his."""
        agent = self.client.escrow(deal_id).terms.agent
        found = [
            receipt
            for posted in self.api.documents(deal_id, DocumentKind.RECEIPT)
            if (receipt := posted.document.receipt) is not None and receipt.signer == agent
        ]
        for receipt in found:
            verify_receipt(receipt, self.domain, self.client.is_approved)
        return found

    def attest(self, receipt: Attestation) -> Attestation:
        """Sign a receipt of an agent, and leave it for the provider. To check it first is your business."""
        signed = countersign(receipt, self.wallet, self.domain)
        self.api.post_document(Document(receipt=signed))
        return signed
