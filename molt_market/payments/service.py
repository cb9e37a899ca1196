"""The bridge between matches and money."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from molt_market.domain.agreements import ProviderCancellation, SplitAgreement
from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.disputes import Dispute, DisputeResolution
from molt_market.domain.endings import quote_dispute, quote_split
from molt_market.domain.events import DealClosed
from molt_market.domain.ids import EscrowId, TransactionId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.proofs import Confirmation, ExecutionProof
from molt_market.domain.settlement import SettlementResult
from molt_market.domain.transactions import TransactionReceipt
from molt_market.errors import (
    EscrowError,
    InvalidStateTransition,
    MatchMismatch,
    MoltError,
    NotYet,
    ProofMismatch,
    Refused,
    WrongSigner,
)
from molt_market.payments.batches import Outcome, WhenMade
from molt_market.payments.desk import Deal, encoded
from molt_market.payments.endings import DealEndings
from molt_market.payments.fees import FeePolicy
from molt_market.payments.journal import Journal
from molt_market.payments.opening import Openings
from molt_market.payments.parts import FailedPart, OpenedParts, within_budget
from molt_market.payments.ports import EscrowChain, ReservationBook
from molt_market.payments.results import resolution_of, settlement_of
from molt_market.payments.steps import CLOSED, Contest, Finalize, Settle, Step, next_step
from molt_market.signing.agreements import verify_dispute
from molt_market.signing.statements import verify_receipt, verify_voucher
from molt_market.signing.wallet import TransactionSigner


class PaymentService(DealEndings):
    """Opens deals from matches, and ends them in every way that there is, each step once.

    The reference's verbs are here; what the parties and the arbiter do beside them, DealEndings has.

    Gas is paid by the client's account. Without one, the buyer's wallet pays for opening, and nothing else
    can be sent.

    Args:
        client: the deployment, as one account sees it.
        book: holds the GPUs of a match while its deal is opened; it has to run on the chain's clock
            (default: nobody holds them, and the chain alone counts).
        journal: where payments are written down (default: in memory; `SqlJournal` outlives the process).
        fees: what is offered for gas, and when a transaction is replaced.
    """

    def __init__(
        self,
        client: EscrowChain,
        *,
        book: ReservationBook[Any] | None = None,
        journal: Journal | None = None,
        fees: FeePolicy | None = None,
    ) -> None:
        super().__init__(client, book=book, journal=journal, fees=fees)
        self._openings = Openings(client, self._outbox, self._batches, self._journal, book)

    # ---------------------------------------------------------------- the reference's verbs

    def create_job_escrow(self, match: OrderMatch, buyer_wallet: TransactionSigner) -> EscrowAccount:
        """Open the deal of a match: one transaction that deposits what the buyer lacks, and opens.

        The wallet signs the order, bound to the match's offer; an order without a slot gets the buyer's next
        one. The contract's own check is asked before anything is reserved or sent. To call it again for the
        same order and offer returns the same deal. Warns (PolicyWarning) of a policy that protects the buyer
        little.

        Raises:
            UnsignedOffer: the offer is not signed. InvalidSignature: not by its provider (WrongSigner: but
                by whom).
            MatchMismatch: the match is not what offer and order say. TokenMismatch: prices in another token.
            PolicyNotFound: the offer's policy is not registered.
            InsufficientTokens: the buyer has too few, in wallet and escrow together.
            Refused: the contract refuses, for example Paused, CapacityExceeded or ProviderBalance.
            InsufficientCapacity, OfferNotFound and others: the book cannot reserve it.
            PaymentFailed: the transaction was lost. TransactionPending, NodeUnreachable, NodeError: it may
                have been sent; call again to look further.

        Nothing is locked by any but the last three, and the reservation is always released.

        >>> escrow = payments.create_job_escrow(matches[0], wallet)  # doctest: +SKIP
        >>> escrow.state  # doctest: +SKIP
        <EscrowState.LOCKED: 'locked'>
        """
        return self.escrow(self._openings.open(match, buyer_wallet))

    def create_job_escrows(
        self, matches: Sequence[OrderMatch], buyer_wallet: TransactionSigner, *, max_budget: Amount
    ) -> OpenedParts:
        """Open several deals, for example the parts of an order (`JobOrder.in_parts`), under one budget.

        As `create_job_escrow` does, but in few transactions. Each order is signed for no more than its match
        costs: all signatures together allow at most `max_budget`. One that fails leaves the others, and is
        reported. To call it again opens those that are missing.

        Raises:
            PriceExceedsBudget: together they cost more than `max_budget`; nothing is sent.
            InvalidValue: an order is matched twice; nothing is sent.
        """
        parts = within_budget(matches, max_budget)
        deals: dict[EscrowId, Deal | MoltError] = {}
        answers = self._openings.open_all(
            parts, buyer_wallet, when_open=lambda opened: deals.update(self.deals(opened))
        )
        there = [each for each in answers if not isinstance(each, MoltError)]
        deals |= self.deals([each for each in there if not isinstance(deals.get(each), tuple)])
        escrows, failures = [], []
        for match, answer in zip(parts, answers, strict=True):
            deal = answer if isinstance(answer, MoltError) else deals[answer]
            if isinstance(deal, MoltError):
                failures.append(FailedPart(match, deal))
            else:
                escrows.append(deal[0])
        return OpenedParts(tuple(escrows), tuple(failures))

    def extend(
        self,
        escrow: EscrowAccount,
        agreement: SplitAgreement,
        match: OrderMatch,
        buyer_wallet: TransactionSigner,
    ) -> EscrowAccount:
        """Close a deal as both parties have signed, and open the next on its GPUs, in one transaction.

        So there is no moment in which somebody else could take them, and never the one without the other.
        What the first deal gives back pays for the next; what is missing is deposited, as for
        `create_job_escrow`. To call it again returns the next deal.

        Raises:
            MatchMismatch: the match is of another provider or slot than the deal: its GPUs would be others.
            As `settle_split` and `create_job_escrow` do. Nothing has moved then.
        """
        _require_same_slot(escrow, match)
        present = self.present(escrow.id)
        if self._closed_at(present, agreement.gpu_seconds, "SETTLED") is not None:
            return self.create_job_escrow(match, buyer_wallet)
        self._require_agreed(present, agreement)
        refund = quote_split(present, agreement.gpu_seconds).buyer_refund
        closing = encoded(Settle(agreement), present.terms, self.client.calls)
        deal = self._openings.open_after(
            match, buyer_wallet, closing, refund, lambda receipt: self._tell_the_book(present, receipt)
        )
        return self.escrow(deal)

    def open_resting(self, matches: Sequence[OrderMatch]) -> list[EscrowId | MoltError]:
        """Open the deals of orders that their buyers signed before and let wait; in few transactions.

        Return, in their order, each deal, or why it is not open; one that fails leaves the others. The
        client's account pays for the gas and has to be one that the orders let open them; it needs no right
        over the money, which lies in the escrow. To call it again opens those that are missing.

        Raises WalletError if the client has no account.
        """
        return self._openings.open_resting(matches, self._payer())

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
        present = self.present(escrow.id)
        receipt = self.advance(present, proof, confirmation)
        if receipt is not None:
            return receipt.transaction_id
        closing = self._closing(present)
        if closing is None:
            raise NotYet(f"the next payment of deal {present.id}", present.locked_until)
        return closing

    def refund_payment(
        self, escrow: EscrowAccount, reason: str, cancellation: ProviderCancellation | None = None
    ) -> TransactionId:
        """Give the buyer back what is neither paid nor claimed: when due, or if the provider cancels.

        From the deadline on anyone may close the deal; before it, the provider's signature does. `reason`
        goes to the journal. For a closed deal, return what closed it.

        Raises:
            NotYet: the deadline is not over; the error says when it is. A buyer can `stop` the deal before.
            InvalidStateTransition: everything was paid, nothing is left to refund; or the provider cancels a
                deal that is claimed already.
            ProofMismatch, WrongSigner: the cancellation is of another deal, or not the provider's.
            TransactionPending and others: as `create_job_escrow`.
        """
        present = self.present(escrow.id)
        if present.status in CLOSED and present.paid_gpu_seconds == present.terms.gpu_seconds:
            raise InvalidStateTransition("RELEASED", "REFUNDED")
        closing = self._closing(present)
        if closing is not None:
            return closing
        if self.client.now() >= present.locked_until:
            return self._send(present, (Finalize(),), note=reason).transaction_id
        if cancellation is not None:
            return self.cancel(present, cancellation, reason=reason)
        running = present.status is DealStatus.LOCKED
        instead = "stop the deal, or have the provider cancel it" if running else ""
        raise NotYet(f"the refund of deal {present.id}", present.locked_until, instead)

    def handle_dispute(self, escrow: EscrowAccount, dispute: Dispute) -> DisputeResolution:
        """Contest a claim as its buyer, and say how the dispute stands. Call it again to look further.

        The first call pays the buyer's counter and stakes on the rest; what his balance lacks of the stake is
        deposited by permit in the same transaction. Once the time to rule is over, a call closes the dispute.
        Another counter in a later call changes nothing: a deal has one dispute.

        The client's account has to be the buyer, unless the dispute is signed (`sign_dispute`); then the
        stake has to be in the buyer's balance.

        Raises:
            InvalidStateTransition: nothing is claimed, or the deal was closed without a dispute.
            CounterOutOfRange: less than is paid already, or not less than is claimed.
            TooLate: the time to contest the claim is over.
            InsufficientTokens: the buyer cannot stake. WrongSigner: the account is not the buyer.
            ProofMismatch: the dispute is about another deal.
            TransactionPending and others: as `create_job_escrow`.
        """
        present = self.present(escrow.id)
        if dispute.escrow_id != present.id:
            raise ProofMismatch(f"the dispute is about deal {dispute.escrow_id}, not {present.id}")
        if resolution_of(present, self.deal_events(present.id)) is None:
            self._contest(present, dispute)
        elif present.status is DealStatus.DISPUTED and self.client.now() >= present.locked_until:
            self._send(present, (Finalize(),))
        return self.resolution(present.id)

    # ---------------------------------------------------------------- many at once

    def finalize_all(self, deal_ids: Sequence[EscrowId]) -> list[TransactionId | MoltError]:
        """Close deals whose deadline is over, in few transactions. Anyone may; to do it again is harmless.

        Returns, in their order, what closed each deal, or why it is not closed: `NotYet` with the time,
        `DealNotFound`, or as `create_job_escrow` says.
        """
        ended: dict[EscrowId, TransactionId | MoltError] = {}
        due: list[EscrowAccount] = []
        now = self.client.now()
        for deal_id, deal in self.present_all(dict.fromkeys(deal_ids)).items():
            if isinstance(deal, MoltError):
                ended[deal_id] = deal
                continue
            escrow, events = deal
            closing = next((each for each in events if isinstance(each, DealClosed)), None)
            if escrow.status in CLOSED and closing is not None:
                ended[deal_id] = closing.transaction_id
            elif now < escrow.locked_until:
                ended[deal_id] = NotYet(f"the end of deal {deal_id}", escrow.locked_until)
            else:
                due.append(escrow)
        outcomes = self._send_all([(escrow, (Finalize(),)) for escrow in due])
        for escrow, outcome in zip(due, outcomes, strict=True):
            ended[escrow.id] = self._ended(escrow, outcome)
        return [ended[deal_id] for deal_id in deal_ids]

    # ---------------------------------------------------------------- how a deal stands

    def settlement(self, deal_id: EscrowId) -> SettlementResult:
        """Say how a deal is settled so far, however it ended. Sends nothing.

        Raises:
            DealNotFound: the contract has no such deal.
        """
        return settlement_of(self.escrow(deal_id), self.deal_events(deal_id))

    def settlements(self, deal_ids: Collection[EscrowId]) -> dict[EscrowId, SettlementResult | MoltError]:
        """Say the same of many deals, in few requests; of one of which it cannot be said, why."""
        return {
            deal_id: deal if isinstance(deal, MoltError) else settlement_of(*deal)
            for deal_id, deal in self.deals(deal_ids).items()
        }

    def resolution(self, deal_id: EscrowId) -> DisputeResolution:
        """Say how the dispute of a deal stands. Sends nothing.

        Raises:
            DealNotFound: the contract has no such deal. EscrowError: the deal has no dispute.
        """
        found = resolution_of(self.escrow(deal_id), self.deal_events(deal_id))
        if found is None:
            raise EscrowError(f"deal {deal_id} has no dispute: nobody has contested a claim")
        return found

    # ---------------------------------------------------------------- what settle_job is made of

    def advance(
        self, escrow: EscrowAccount, proof: ExecutionProof, confirmation: Confirmation | None = None
    ) -> TransactionReceipt | None:
        """Send the step that the deal needs next, if there is one; `escrow` has to be the present state."""
        step = self._next_step(escrow, proof, confirmation, self.client.now())
        return self._send(escrow, step) if step else None

    def advance_all(
        self,
        jobs: Sequence[tuple[EscrowAccount, ExecutionProof, Confirmation | None]],
        when_made: WhenMade | None = None,
    ) -> list[MoltError | None]:
        """Send the next step of each of these deals in few transactions; return why one was not done.

        `when_made` is told of deals whose step is final, while others are still waited for.
        """
        failures: list[MoltError | None] = [None] * len(jobs)
        steps: dict[int, tuple[EscrowAccount, Step]] = {}
        try:
            now = self.client.now()
        except MoltError as error:
            return [error] * len(jobs)
        for place, (escrow, proof, confirmation) in enumerate(jobs):
            try:
                step = self._next_step(escrow, proof, confirmation, now)
            except MoltError as error:
                failures[place] = error
                continue
            if step:
                steps[place] = escrow, step
        for place, outcome in zip(steps, self._send_all(list(steps.values()), when_made), strict=True):
            failures[place] = outcome if isinstance(outcome, MoltError) else None
        return failures

    # ---------------------------------------------------------------- inside

    def _ended(self, escrow: EscrowAccount, outcome: Outcome) -> TransactionId | MoltError:
        """Return what closed a deal: our transaction, or somebody else's that was first."""
        if isinstance(outcome, TransactionReceipt):
            return outcome.transaction_id
        if not isinstance(outcome, Refused):
            return outcome
        try:
            return self._closing(self.escrow(escrow.id)) or outcome
        except MoltError as error:
            return error

    def _next_step(
        self, escrow: EscrowAccount, proof: ExecutionProof, confirmation: Confirmation | None, now: datetime
    ) -> Step:
        self._require_genuine(escrow, proof, confirmation)
        return next_step(escrow, now, proof, confirmation)

    def _contest(self, escrow: EscrowAccount, dispute: Dispute) -> None:
        """Open a dispute; what the buyer lacks of the stake comes with it."""
        quote = quote_dispute(escrow, dispute.counter(escrow.terms))
        note = f"{dispute.reason}: {dispute.text}"
        if dispute.signature is not None:
            verify_dispute(dispute, escrow.terms, self.client.domain, self.client.is_approved)
        if self._payer().address == escrow.buyer:
            lacking = self._funding.shortfall(escrow.buyer, quote.stake, coming=quote.to_buyer)
        elif dispute.signature is None:
            raise WrongSigner(expected=escrow.buyer, actual=self._payer().address)
        else:
            lacking = 0  # nobody can deposit for him: the contract says if it is not enough
        self._send(escrow, (Contest(dispute),), note=note, deposit=lacking)

    def _require_genuine(
        self, escrow: EscrowAccount, proof: ExecutionProof, confirmation: Confirmation | None
    ) -> None:
        """Raise unless agent and voucher signer signed receipt and confirmation, of the same usage."""
        receipt = proof.receipt
        if receipt.deal_id != escrow.id:
            raise ProofMismatch(
                f"the proof is about deal {receipt.deal_id}, not {escrow.id}: use this deal's"
            )
        signer = verify_receipt(receipt, self.client.domain, self.client.is_approved)
        if signer != escrow.terms.agent:
            raise WrongSigner(expected=escrow.terms.agent, actual=signer)
        if confirmation is None:
            return
        verify_voucher(confirmation, escrow.terms, self.client.domain, self.client.is_approved)
        if confirmation.gpu_seconds != receipt.gpu_seconds:
            raise ProofMismatch(
                f"the confirmation is for {confirmation.gpu_seconds} GPU-seconds, the proof for"
                f" {receipt.gpu_seconds}: make them agree"
            )


def _require_same_slot(escrow: EscrowAccount, match: OrderMatch) -> None:
    terms, offer = escrow.terms, match.offer
    if (terms.provider, terms.slot) != (offer.provider_id.address, offer.slot):
        raise MatchMismatch(
            f"deal {escrow.id} has GPUs of slot {terms.slot} of {terms.provider}, the match those of slot"
            f" {offer.slot} of {offer.provider_id}: have the provider sign an offer of that slot"
        )
