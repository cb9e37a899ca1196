"""How a deal ends otherwise than by a settled job: each verb once, with who may use it and when.

Every verb reads the deal from the chain first. If the chain shows what is asked for, it returns the
transaction that did it, so that calling twice, also from another machine, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from molt_market.domain.agreements import (
    Concession,
    ProviderCancellation,
    Ruling,
    RulingVote,
    SignedStatement,
    SplitAgreement,
    StopRequest,
    UnattestedClaim,
)
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.events import DealClosed, DealDisputed, DealPaid, DealRuled, DealStopped
from molt_market.domain.ids import Address, TransactionId
from molt_market.domain.proofs import Confirmation
from molt_market.domain.settlement import gpu_seconds as billed
from molt_market.domain.transactions import TransactionReceipt
from molt_market.errors import (
    InvalidSignature,
    InvalidStateTransition,
    InvalidValue,
    ProofMismatch,
    WrongSigner,
)
from molt_market.payments.desk import DealDesk, require_status
from molt_market.payments.steps import (
    Cancel,
    ClaimUnattested,
    Concede,
    Release,
    Resolve,
    Rule,
    Settle,
    Stop,
)
from molt_market.signing.agreements import verify_ruling, verify_split, verify_statement, verify_vote
from molt_market.signing.statements import verify_voucher

LOCKED = frozenset({DealStatus.LOCKED})
UNDISPUTED = frozenset({DealStatus.LOCKED, DealStatus.CLAIMED})
DISPUTED = frozenset({DealStatus.DISPUTED})

HoursGiven = Decimal | int | str


class DealEndings(DealDesk):
    """The verbs of the parties and of the arbiter.

    Raises, each of them, beside what it says itself:
        DealNotFound: the contract has no such deal.
        InvalidStateTransition: the deal is in another status, or ended otherwise.
        WrongSigner: the client's account is not the party whose step it is, and that party's signature was
            not given; or the signature is somebody else's.
        Refused: the contract refuses it. Up to here, nothing was sent or nothing moved.
        TransactionPending, NodeUnreachable, NodeError: it may have been sent; call again.
    """

    # ---------------------------------------------------------------- while the job runs

    def redeem(self, escrow: EscrowAccount, confirmation: Confirmation) -> TransactionId:
        """Release what a voucher of the buyer's allows; return the transaction that paid (at least) that.

        Anyone may. The voucher is cumulative: only what is above the paid GPU-seconds moves. One for the
        whole allocation (or claim) closes the deal, one for less never does.

        Raises:
            ProofMismatch: the voucher is of another deal.
        """
        present = self.present(escrow.id)
        verify_voucher(confirmation, present.terms, self.client.domain, self.client.is_approved)
        most = present.claimed_gpu_seconds or present.terms.gpu_seconds
        paid = self._paid_by(present, min(confirmation.gpu_seconds, most))
        if paid is not None:
            return paid
        require_status(present, UNDISPUTED, "PAID")
        return self._send(present, (Release(confirmation),)).transaction_id

    def stop(self, escrow: EscrowAccount, request: StopRequest | None = None) -> TransactionId:
        """End a deal early, as its buyer: one notice from now, and not before the commitment.

        What is delivered until then is still owed. A stop within one notice of the opening costs nobody his
        bond; after that the provider's bond is at stake for the shorter time only. `request` is the buyer's
        signature, if another account sends it. The new end is `payments.escrow(escrow.id).ends_at`.

        Raises:
            StopTooLate: the deal ends as soon anyway.
        """
        present = self.present(escrow.id)
        stopped = self._event(present, DealStopped)
        if stopped is not None:
            return stopped.transaction_id
        require_status(present, LOCKED, "STOPPED")
        self._require_word(present, request, present.buyer)
        return self._send(present, (Stop(request),)).transaction_id

    def cancel(
        self, escrow: EscrowAccount, cancellation: ProviderCancellation | None = None, *, reason: str = ""
    ) -> TransactionId:
        """Give a deal up, as its provider: what vouchers paid stays paid, all the rest goes to the buyer.

        So does the undelivered share of the bond, unless the buyer stopped at once. `cancellation` is the
        provider's signature, if another account sends it. `reason` goes to the journal.
        """
        present = self.present(escrow.id)
        paid = self._event(present, DealPaid)
        closing = self._closed_at(present, paid.gpu_seconds if paid else 0, "CANCELLED")
        if closing is not None:
            return closing
        require_status(present, LOCKED, "CANCELLED")
        self._require_word(present, cancellation, present.provider)
        return self._send(present, (Cancel(cancellation),), note=reason).transaction_id

    def settle_split(self, escrow: EscrowAccount, agreement: SplitAgreement) -> TransactionId:
        """Close a deal at the GPU-seconds that both parties signed; the whole bond, or both stakes, go back.

        Anyone may. The client's account may leave out its own signature.

        Raises:
            ProofMismatch: the agreement is about another deal. InvalidSignature: a party has not signed.
            SplitOutOfRange: less than is paid, or more than is allocated (in a dispute: claimed).
            TooLate: the agreement has lapsed.
        """
        present = self.present(escrow.id)
        closing = self._closed_at(present, agreement.gpu_seconds, "SETTLED")
        if closing is not None:
            return closing
        self._require_agreed(present, agreement)
        receipt = self._send(present, (Settle(agreement),))
        return _done(receipt, DealClosed, agreement.gpu_seconds, "SETTLED")

    # ---------------------------------------------------------------- claims without attestors, and disputes

    def claim_unattested(
        self,
        escrow: EscrowAccount,
        hours: HoursGiven | None = None,
        *,
        gpu_seconds: int | None = None,
        claim: UnattestedClaim | None = None,
    ) -> TransactionId:
        """Claim without a quorum of attestors, as the provider, between the deal's end and its deadline.

        What is not claimed goes back at once; the claim falls unless the arbiter rules for it in time. Give
        the `hours` that the allocation ran (an exact decimal), or GPU-seconds, or the provider's signed
        `claim` if another account sends it.

        Raises:
            TooEarly: the deal has not ended. TooLate: its deadline is over.
            AboveElapsed, NotAbovePaid: more than it ran, or not more than is paid.
        """
        present = self.present(escrow.id)
        given = claim.gpu_seconds if claim else gpu_seconds
        units = _units(present, hours, given)
        disputed = self._event(present, DealDisputed)
        if disputed is not None and not present.attested and disputed.gpu_seconds == units:
            return disputed.transaction_id
        require_status(present, LOCKED, "DISPUTED")
        self._require_word(present, claim, present.provider)
        receipt = self._send(present, (ClaimUnattested(units, claim),))
        return _done(receipt, DealDisputed, units, "DISPUTED")

    def concede(self, escrow: EscrowAccount, concession: Concession | None = None) -> TransactionId:
        """Give in to a dispute: the provider to the buyer's counter, the buyer to the claim.

        The stakes follow it, and the arbiter gets nothing. The client's account gives in, or who signed
        `concession`.
        """
        present = self.present(escrow.id)
        disputed = self._event(present, DealDisputed)
        if disputed is None:
            raise InvalidStateTransition(present.status.name, "CONCEDED")
        units = self._conceded(present, disputed, concession)
        closing = self._closed_at(present, units, "CONCEDED")
        if closing is not None:
            return closing
        return _done(self._send(present, (Concede(units, concession),)), DealClosed, units, "CONCEDED")

    def resolve(
        self,
        escrow: EscrowAccount,
        hours: HoursGiven | None = None,
        *,
        gpu_seconds: int | None = None,
        ruling: Ruling | None = None,
    ) -> TransactionId:
        """Rule on a dispute, as the policy's arbiter: any hours from the buyer's counter to the claim.

        Give exact `hours` of the whole allocation, or GPU-seconds, or the arbiter's signed `ruling` if
        another account sends it. A panel rules by `rule`.

        Raises:
            ProofMismatch: the ruling is about another deal. RulingOutOfRange, TooLate: as they say.
        """
        present = self.present(escrow.id)
        units = _units(present, hours, ruling.gpu_seconds if ruling else gpu_seconds)
        ruled = self._ruled(present, units)
        if ruled is not None:
            return ruled
        self._require_arbiter(present, ruling)
        return _done(self._send(present, (Resolve(units, ruling),)), DealRuled, units, "RULED")

    def rule(self, escrow: EscrowAccount, votes: Sequence[RulingVote]) -> TransactionId:
        """Bring the ruling that enough members of a panel signed alike (`sign_vote`). Anyone may.

        Raises:
            ProofMismatch: there is no vote, or they differ, or are about another deal.
            CallReverted: the panel refuses it: too few signatures, somebody who is no member, or too late.
        """
        present = self.present(escrow.id)
        if not votes or any(not vote.same_ruling_as(votes[0]) for vote in votes):
            raise ProofMismatch("a ruling is made of votes that are all the same: collect those")
        if votes[0].deal_id != present.id:
            raise ProofMismatch(
                f"the ruling is about deal {votes[0].deal_id}, not {present.id}: use this deal's"
            )
        for vote in votes:
            verify_vote(vote, self.client.domain)
        units = votes[0].gpu_seconds
        ruled = self._ruled(present, units)
        return ruled or _done(self._send(present, (Rule(tuple(votes)),)), DealRuled, units, "RULED")

    # ---------------------------------------------------------------- inside

    def _require_agreed(self, escrow: EscrowAccount, agreement: SplitAgreement) -> None:
        """Raise unless both parties have signed, but for the one that sends."""
        agreed = verify_split(agreement, escrow.terms, self.client.domain, self.client.is_approved)
        for party in (escrow.buyer, escrow.provider):
            if party not in {*agreed, self._payer().address}:
                raise InvalidSignature(f"{party} has not signed the agreement: have it signed (sign_split)")

    def _require_word(self, escrow: EscrowAccount, statement: SignedStatement | None, party: Address) -> None:
        """Raise unless a party's signature is there, or the party itself sends."""
        if statement is None:
            self._require_payer(party)
        else:
            verify_statement(statement, escrow.terms, self.client.domain, self.client.is_approved)

    def _require_arbiter(self, escrow: EscrowAccount, ruling: Ruling | None) -> None:
        """Raise unless the arbiter's signature is there, or the arbiter himself sends."""
        arbiter = self.client.stored_policy(escrow.terms.policy_id).arbiter
        if ruling is None:
            self._require_payer(arbiter)
            return
        signer = verify_ruling(ruling, escrow.terms, self.client.domain, self.client.is_approved)
        if signer != arbiter:
            raise WrongSigner(expected=arbiter, actual=signer)

    def _paid_by(self, escrow: EscrowAccount, units: int) -> TransactionId | None:
        """Return the first transaction that paid at least so much; None if nothing has."""
        for event in self.client.deal_events(escrow.id):
            paid = event.counter if isinstance(event, DealDisputed) else getattr(event, "gpu_seconds", 0)
            if isinstance(event, (DealPaid, DealDisputed, DealClosed)) and paid >= units:
                return event.transaction_id
        return None

    def _conceded(self, escrow: EscrowAccount, disputed: DealDisputed, concession: Concession | None) -> int:
        """Return the GPU-seconds at which a party gives in."""
        if concession is not None:
            verify_statement(concession, escrow.terms, self.client.domain, self.client.is_approved)
            return concession.gpu_seconds
        who = self._payer().address
        if who not in {escrow.buyer, escrow.provider}:
            raise WrongSigner(expected=f"{escrow.buyer} or {escrow.provider}", actual=who)
        return disputed.gpu_seconds if who == escrow.buyer else disputed.counter

    def _ruled(self, escrow: EscrowAccount, units: int) -> TransactionId | None:
        """Return the ruling if it is made; raise if another one is, or if there is nothing to rule on."""
        ruled = self._event(escrow, DealRuled)
        if ruled is not None and ruled.gpu_seconds == units:
            return ruled.transaction_id
        require_status(escrow, DISPUTED, "RULED")
        return None


def _done(
    receipt: TransactionReceipt, kind: type[DealClosed | DealDisputed | DealRuled], units: int, wanted: str
) -> TransactionId:
    """Return the transaction that did what was wanted; raise if an earlier call did it at another figure."""
    if receipt.only(kind).gpu_seconds != units:
        raise InvalidStateTransition(kind.__name__.removeprefix("Deal").upper(), wanted)
    return receipt.transaction_id


def _units(escrow: EscrowAccount, hours: HoursGiven | None, gpu_seconds: int | None) -> int:
    """Return the GPU-seconds that were given, as hours or as such."""
    if (hours is None) == (gpu_seconds is None):
        raise InvalidValue("say how long it ran once: hours, or GPU-seconds")
    return billed(hours, escrow.terms.gpu_count) if hours is not None else gpu_seconds or 0
