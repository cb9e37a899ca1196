"""The bridge between matches and money."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from molt_market.domain.deals import EscrowAccount
from molt_market.domain.events import DealClaimed, DealClosed, DealDisputed, Event
from molt_market.domain.ids import EscrowId, TransactionId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.proofs import Confirmation, ExecutionProof
from molt_market.domain.terms import Terms
from molt_market.domain.transactions import Call, Receipt
from molt_market.errors import InvalidStateTransition, NotYet, ProofMismatch, WalletError, WrongSigner
from molt_market.payments.journal import Journal, MemoryJournal
from molt_market.payments.opening import Openings
from molt_market.payments.outbox import Outbox
from molt_market.payments.ports import EscrowChain, ReservationBook
from molt_market.payments.steps import CLOSED, Action, Claim, Finalize, Release, Step, key_of, next_step
from molt_market.signing.statements import verify_receipt, verify_voucher
from molt_market.signing.wallet import TransactionSigner

FREES_GPUS = (DealClaimed, DealClosed, DealDisputed)


class PaymentService:
    """Opens deals from matches, and settles them, each step once.

    Gas is paid by the client's account. Without one, the buyer's wallet pays for opening, and nothing else
    can be sent.

    Args:
        client: the deployment, as one account sees it.
        book: holds the GPUs of a match while its deal is opened; it has to run on the chain's clock
            (default: nobody holds them, and the chain alone counts).
        journal: where payments are written down (default: in memory).
    """

    def __init__(
        self,
        client: EscrowChain,
        *,
        book: ReservationBook[Any] | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.client = client
        self._book = book
        self._journal = journal or MemoryJournal()
        self._outbox = Outbox(client.transactions, self._journal)
        self._openings = Openings(client, self._outbox, self._journal, book)

    # ---------------------------------------------------------------- the reference's verbs

    def create_job_escrow(self, match: OrderMatch, buyer_wallet: TransactionSigner) -> EscrowAccount:
        """Open the deal of a match: one transaction that deposits what the buyer lacks, and opens.

        The wallet signs the order, bound to the match's offer; an order without a slot gets the buyer's next
        one. To call it again for the same order and offer returns the same deal.

        Raises:
            UnsignedOffer, InvalidSignature: the offer is not signed by its provider (WrongSigner: by
            another).
            MatchMismatch: the match is not what offer and order say. TokenMismatch: prices in another token.
            PolicyNotFound: the offer's policy is not registered.
            InsufficientTokens: the buyer has too few, in wallet and escrow together.
            Refused: the contract refuses, for example CapacityExceeded, OfferExpired or ProviderBalance.
            InsufficientCapacity, OfferNotFound and others: the book cannot reserve it.
            PaymentFailed: the transaction was lost. TransactionPending, NodeUnreachable, NodeError: it may
                have been sent; call again to look further.

        Nothing is locked by any but the last three, and the reservation is always released.

        >>> escrow = payments.create_job_escrow(matches[0], wallet)  # doctest: +SKIP
        >>> escrow.state  # doctest: +SKIP
        <EscrowState.LOCKED: 'locked'>
        """
        return self.escrow(self._openings.open(match, buyer_wallet))

    def release_payment(
        self, escrow: EscrowAccount, proof: ExecutionProof, confirmation: Confirmation | None = None
    ) -> TransactionId:
        """Take the next step to pay the provider for what the proof says; return the step's transaction.

        A deal with the buyer's confirmation is released; without one it is claimed, and finalized when this
        is called again after the buyer's time to contest it. For a closed deal, return what closed it.

        Raises:
            NotYet: the next step is not due; the error says from when on it is.
            ProofMismatch, WrongSigner: proof and confirmation are not of this deal, or not the parties'.
            Refused: the contract refuses it. TransactionPending and others: as `create_job_escrow`.
        """
        present = self.escrow(escrow.id)
        receipt = self.advance(present, proof, confirmation)
        if receipt is not None:
            return receipt.transaction_id
        closing = self._closing(present)
        if closing is None:
            raise NotYet(f"the next payment of deal {present.id}", present.locked_until)
        return closing

    def refund_payment(self, escrow: EscrowAccount, reason: str) -> TransactionId:
        """Close a deal whose deadline is over: the buyer gets back all that was neither paid nor claimed.

        Anyone may; `reason` goes to the journal. For a closed deal, return what closed it.

        Raises:
            NotYet: the deadline is not over; the error says when it is.
            InvalidStateTransition: everything was paid, nothing is left to refund.
            TransactionPending and others: as `create_job_escrow`.
        """
        present = self.escrow(escrow.id)
        if present.status in CLOSED and present.paid_gpu_seconds == present.terms.gpu_seconds:
            raise InvalidStateTransition("RELEASED", "REFUNDED")
        closing = self._closing(present)
        if closing is not None:
            return closing
        if self.client.now() < present.locked_until:
            raise NotYet(f"the refund of deal {present.id}", present.locked_until)
        return self._send(present, (Finalize(),), note=reason).transaction_id

    # ---------------------------------------------------------------- what settle_job is made of

    def escrow(self, deal_id: EscrowId) -> EscrowAccount:
        """Return a deal as the chain has it now; with the ids of order and offer if it was opened here.

        Raises:
            DealNotFound: the contract has no such deal.
        """
        entry = self._journal.get(f"open:{deal_id}")
        if entry is None or entry.opening is None:
            return self.client.escrow(deal_id)
        opening = entry.opening
        return self.client.escrow(deal_id, order_id=opening.order.id, offer_id=opening.offer_id)

    def deal_events(self, deal_id: EscrowId) -> Sequence[Event]:
        """Return what the chain logged about a deal. Raises DealNotFound."""
        return self.client.deal_events(deal_id)

    def advance(
        self, escrow: EscrowAccount, proof: ExecutionProof, confirmation: Confirmation | None = None
    ) -> Receipt | None:
        """Send the step that the deal needs next, if there is one; `escrow` has to be the present state."""
        self._require_genuine(escrow, proof, confirmation)
        step = next_step(escrow, self.client.now(), proof, confirmation)
        return self._send(escrow, step) if step else None

    # ---------------------------------------------------------------- inside

    def _send(self, escrow: EscrowAccount, step: Step, *, note: str = "") -> Receipt:
        call = self.client.calls.bundle([self._call(action, escrow.terms) for action in step])
        receipt = self._outbox.send(key_of(step, escrow.id), lambda: (call, self._payer()), note=note)
        if self._book is not None and any(isinstance(each, FREES_GPUS) for each in receipt.events):
            self._book.free(escrow.id)
        return receipt

    def _call(self, action: Action, terms: Terms) -> Call:
        match action:
            case Release(voucher=voucher):
                return self.client.calls.release(terms, voucher)
            case Claim(proof=proof):
                return self.client.calls.claim(terms, proof)
            case Finalize():
                return self.client.calls.finalize(terms)

    def _payer(self) -> TransactionSigner:
        if self.client.account is None:
            raise WalletError("nobody pays for gas: connect with an account (a Wallet)")
        return self.client.account

    def _require_genuine(
        self, escrow: EscrowAccount, proof: ExecutionProof, confirmation: Confirmation | None
    ) -> None:
        """Raise unless agent and voucher signer signed receipt and confirmation, of the same usage."""
        receipt = proof.receipt
        if receipt.deal_id != escrow.id:
            raise ProofMismatch(
                f"the proof is about deal {receipt.deal_id}, not {escrow.id}: use this deal's"
            )
        signer = verify_receipt(receipt, self.client.domain)
        if signer != escrow.terms.agent:
            raise WrongSigner(expected=escrow.terms.agent, actual=signer)
        if confirmation is None:
            return
        verify_voucher(confirmation, escrow.terms, self.client.domain)
        if confirmation.gpu_seconds != receipt.gpu_seconds:
            raise ProofMismatch(
                f"the confirmation is for {confirmation.gpu_seconds} GPU-seconds, the proof for"
                f" {receipt.gpu_seconds}: make them agree"
            )

    def _closing(self, escrow: EscrowAccount) -> TransactionId | None:
        """Return the transaction that closed a deal; None while it is open."""
        if escrow.status not in CLOSED:
            return None
        events = self.client.deal_events(escrow.id)
        return next(each.transaction_id for each in events if isinstance(each, DealClosed))
