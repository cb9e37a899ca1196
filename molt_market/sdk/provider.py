"""Provider: offers GPUs, and is paid for what he delivers."""

from __future__ import annotations

from collections.abc import Iterator

from molt_market.attestation.receipts import assemble_proof
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.documents import Document, DocumentKind
from molt_market.domain.ids import EscrowId
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.proofs import Attestation, Confirmation, ExecutionProof
from molt_market.domain.requests import Side
from molt_market.domain.settlement import SettlementResult
from molt_market.sdk.party import Cancelled, Party
from molt_market.signing.hashes import offer_hash
from molt_market.signing.statements import (
    sign_offer,
    verify_voucher,
)

OFFERS_PER_GROUP = 4


class Provider(Party):
    """Offers GPUs, and is paid for what he delivers.

    >>> provider = Provider("http://127.0.0.1:8080", "provider.json")  # doctest: +SKIP
    >>> offer = provider.offer(offer)  # doctest: +SKIP
    """

    def offer(self, offer: CapacityOffer) -> CapacityOffer:
        """Sign an offer and list it. Its bond has to lie in the escrow (`deposit`)."""
        signed = sign_offer(offer, self.wallet, self.domain)
        [posted] = self.api.post_offers([signed])
        return signed.model_copy(update={"id": posted.id})

    def offers(self) -> Iterator[CapacityOffer]:
        """Yield the account's offers that stand at the server."""
        return self.api.offers(self.wallet.address)

    def cancel(self, offer: CapacityOffer, *, on_chain: bool = False, relayed: bool = False) -> Cancelled:
        """Take an offer off the book; `on_chain` cancels its group of 4 slots there too.

        `relayed` does that through the server, which pays. What the answer says counts: until then it can
        still be taken on the chain.
        """
        gone = self._unlist(offer_hash(offer, self.domain), offer.expires_at)
        if not (on_chain or relayed):
            return gone
        return self._cancel(gone, Side.OFFERS, offer.slot // OFFERS_PER_GROUP, relayed=relayed)

    def vouchers(self, escrow: EscrowAccount) -> list[Confirmation]:
        """Return the vouchers that lie ready for a deal and are its voucher signer's, the largest last."""
        found = [
            verified
            for posted in self.api.documents(escrow.id, DocumentKind.VOUCHER)
            if (verified := posted.document.voucher) is not None
        ]
        for voucher in found:
            verify_voucher(voucher, escrow.terms, self.domain, self.client.is_approved)
        return sorted(found, key=lambda voucher: voucher.gpu_seconds)

    def redeem(self, deal_id: EscrowId, *, relayed: bool = False) -> SettlementResult:
        """Redeem the largest voucher that lies ready for a deal, if it brings anything; say what was paid.

        `relayed` does that through the server, which pays the gas.
        """
        escrow = self.payments.present(deal_id)
        vouchers = self.vouchers(escrow)
        if vouchers and vouchers[-1].gpu_seconds > escrow.paid_gpu_seconds:
            if relayed:
                self.relay(vouchers[-1])
            else:
                self.payments.redeem(escrow, vouchers[-1])
        return self.settlement(deal_id)

    def post_receipt(self, receipt: Attestation) -> None:
        """Leave the agent's receipt for the attestors of its deal."""
        self.api.post_document(Document(receipt=receipt))

    def claim(self, receipt: Attestation) -> SettlementResult:
        """Claim what a receipt says, with the attestors' signatures of it that lie ready.

        Call it again after the buyer's time to contest it, to finalize. Raises as `settle_job` does.
        """
        escrow = self.payments.present(receipt.deal_id)
        self.payments.advance(escrow, self.proof(receipt))
        return self.settlement(receipt.deal_id)

    def proof(self, receipt: Attestation) -> ExecutionProof:
        """Put a receipt and the attestors' signatures of it together, as they lie ready."""
        policy = self.client.policy(self.client.escrow(receipt.deal_id).terms.policy_id)
        signed = [
            other
            for posted in self.api.documents(receipt.deal_id, DocumentKind.RECEIPT)
            if (other := posted.document.receipt) is not None
            and other.signer in policy.attestors
            and other.same_receipt_as(receipt)
        ]
        return assemble_proof(receipt, signed, policy)
