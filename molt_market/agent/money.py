"""Getting paid: claims with the attestors' signatures, vouchers in time, closings when due.

All of it anyone may send. The account that pays the gas owns nothing else.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from functools import cache
from logging import WARNING
from threading import Event

from molt_market.agent.here import Here
from molt_market.agent.steps import RECEIPT
from molt_market.attestation.receipts import assemble_proof
from molt_market.chain.client import MoltClient
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.documents import DocumentKind
from molt_market.domain.fields import moment
from molt_market.domain.handling import HandlingPhase
from molt_market.domain.ids import Hash32
from molt_market.domain.policies import Policy
from molt_market.domain.proofs import Attestation, Confirmation, ExecutionProof
from molt_market.errors import MoltError, ServerError, ServerUnreachable, SignatureError
from molt_market.indexer.records import DealRecord
from molt_market.payments.service import PaymentService
from molt_market.signing.statements import verify_receipt
from molt_market.telling import tell

LOOK_SECONDS = 2
RECONCILE_SECONDS = 60
MARGIN = timedelta(minutes=30)  # before a deadline, for a transaction that is slow


class Money:
    """Sends what the gateway's deals need.

    Args:
        here: the gateway. client: the deployment. payments: of the account that pays the gas.
    """

    def __init__(self, here: Here, client: MoltClient, payments: PaymentService) -> None:
        self._here = here
        self._payments = payments
        self._policy = cache(client.policy)  # immutable once it is registered

    def run(self, stop: Event) -> None:
        """Look again and again until it is told to stop. What goes wrong is told, and tried again."""
        reconciled = float("-inf")
        while not stop.is_set():
            try:
                if time.monotonic() - reconciled >= RECONCILE_SECONDS:
                    self._payments.reconcile()
                    reconciled = time.monotonic()
                self.look()
            except Exception as error:  # noqa: BLE001 - a thread that dies in silence costs every deal
                tell("money_fails", level=WARNING, reason=error)
            stop.wait(LOOK_SECONDS)

    def look(self) -> None:
        """Send what is due now. A deal that fails leaves the others."""
        now = self._here.now()
        for record in self._here.facts.live():
            if not self._here.serves(record):
                continue
            try:
                self._advance(record, now)
            except MoltError as error:
                tell("not_paid", level=WARNING, deal_id=record.id, reason=error)

    # ---------------------------------------------------------------- inside

    def _advance(self, record: DealRecord, now: datetime) -> None:
        deadline = moment(record.deal.deadline)
        if now >= deadline:
            [outcome] = self._payments.finalize_all([record.id])
            if isinstance(outcome, MoltError):
                raise outcome
            return
        handling = self._here.usage.handling(record.id)
        if handling is None or record.deal.status is DealStatus.DISPUTED:
            return
        is_over = handling.phase in {HandlingPhase.ENDED, HandlingPhase.CLOSED}
        if is_over or now >= deadline - MARGIN:
            escrow = self._payments.present(record.id)
            receipt = self._receipt(record)
            if receipt is not None and self._claim(escrow, receipt):
                return
            if handling.voucher is not None:
                self._redeem(escrow, handling.voucher, receipt, is_late=now >= deadline - MARGIN)

    def _receipt(self, record: DealRecord) -> Attestation | None:
        left = self._here.usage.left(record.id, RECEIPT)
        return None if left is None else left.receipt

    def _claim(self, escrow: EscrowAccount, receipt: Attestation) -> bool:
        """Claim, if the attestors that it takes have signed; tell whether it was sent."""
        if escrow.status is not DealStatus.LOCKED or receipt.gpu_seconds <= escrow.paid_gpu_seconds:
            return False
        policy = self._policy(escrow.terms.policy_id)
        try:
            proof = self._proof(receipt, policy)
        except (ServerUnreachable, ServerError) as error:  # a voucher that is due must not wait for it
            tell("no_attestations", level=WARNING, deal_id=escrow.id, reason=error)
            return False
        if policy.threshold == 0 or len(proof.attestations) < policy.threshold:
            return False
        self._payments.advance(escrow, proof)
        tell("claimed", deal_id=escrow.id, gpu_seconds=receipt.gpu_seconds)
        return True

    def _proof(self, receipt: Attestation, policy: Policy) -> ExecutionProof:
        """Put the receipt and the attestors' signatures of it together, as they lie at the market."""
        posted = self._here.api.documents(receipt.deal_id, DocumentKind.RECEIPT)
        others = [each.document.receipt for each in posted]
        signed = [
            other
            for other in others
            if other is not None
            and other.signer in policy.attestors
            and other.same_receipt_as(receipt)
            and self._is_genuine(other)
        ]
        return assemble_proof(receipt, signed, policy)

    def _is_genuine(self, attestation: Attestation) -> bool:
        """Tell whether it is signed: the market's word is not enough, and a false one spoils the claim."""
        try:
            verify_receipt(attestation, self._here.domain, self._here.approvals)
        except SignatureError:
            return False
        return True

    def _redeem(
        self, escrow: EscrowAccount, voucher: Confirmation, receipt: Attestation | None, *, is_late: bool
    ) -> None:
        """Redeem a voucher that closes the deal, or that a claim cannot better, or when it gets late.

        A claim comes first where there can be one: with it the bond is safe, and a voucher for as much then
        closes the deal at once. Paid by voucher alone, a completed job would wait for the deadline.
        """
        if escrow.status not in {DealStatus.LOCKED, DealStatus.CLAIMED}:
            return
        if voucher.gpu_seconds <= escrow.paid_gpu_seconds:
            return
        whole = escrow.claimed_gpu_seconds or escrow.terms.gpu_seconds
        closes = voucher.gpu_seconds >= whole
        no_claim = escrow.status is DealStatus.LOCKED and not self._may_claim(escrow.terms.policy_id, receipt)
        if closes or no_claim or is_late:
            self._payments.redeem(escrow, voucher)
            tell("redeemed", deal_id=escrow.id, gpu_seconds=voucher.gpu_seconds)

    def _may_claim(self, policy_id: Hash32, receipt: Attestation | None) -> bool:
        return receipt is not None and self._policy(policy_id).threshold > 0
