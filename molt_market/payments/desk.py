"""What all payments of deals have in common: reading a deal, sending a step of it once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from logging import WARNING
from typing import Any, TypeVar

from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.events import DealClaimed, DealClosed, DealDisputed, DealPaid, Event
from molt_market.domain.ids import Address, EscrowId, TransactionId
from molt_market.domain.terms import Terms
from molt_market.domain.transactions import Call, TransactionReceipt
from molt_market.errors import (
    DealNotFound,
    InvalidStateTransition,
    MarketError,
    MoltError,
    WalletError,
    WrongSigner,
)
from molt_market.payments.batches import Batches, Outcome, Payment, WhenMade
from molt_market.payments.fees import FeePolicy
from molt_market.payments.funding import Funding
from molt_market.payments.journal import Entry, Journal, MemoryJournal, opening_key
from molt_market.payments.outbox import Outbox
from molt_market.payments.ports import Calls, EscrowChain, ReservationBook
from molt_market.payments.reconciliation import Difference
from molt_market.payments.steps import (
    CLOSED,
    Action,
    Cancel,
    Claim,
    ClaimUnattested,
    Concede,
    Contest,
    Finalize,
    Release,
    Resolve,
    Rule,
    Settle,
    Step,
    Stop,
    key_of,
)
from molt_market.signing.wallet import TransactionSigner
from molt_market.telling import tell

Found = TypeVar("Found", bound=Event)
Deal = tuple[EscrowAccount, Sequence[Event]]
"""A deal and its log."""


class DealDesk:
    """Reads deals, and sends their steps through the journal. `PaymentService` is what users see of it."""

    def __init__(
        self,
        client: EscrowChain,
        *,
        book: ReservationBook[Any] | None = None,
        journal: Journal | None = None,
        fees: FeePolicy | None = None,
    ) -> None:
        self.client = client
        self._book = book
        self._journal = journal or MemoryJournal()
        self._outbox = Outbox(client.transactions, self._journal, fees=fees, wallet=client.account)
        self._batches = Batches(self._outbox, self._journal, client.transactions, client.calls)
        self._funding = Funding(client, self._outbox)

    # ---------------------------------------------------------------- reading

    def escrow(self, deal_id: EscrowId) -> EscrowAccount:
        """Return a deal as the chain has it now; with the ids of order and offer if it was opened here.

        Raises:
            DealNotFound: the contract has no such deal.
        """
        return _named(self.client.escrow(deal_id), self._journal.get(opening_key(deal_id)))

    def deals(self, deal_ids: Collection[EscrowId]) -> dict[EscrowId, Deal | MoltError]:
        """Return many deals as the chain has them now, each with its log; or why it cannot be said."""
        try:
            found = self.client.deals(deal_ids)
        except MoltError as error:
            return dict.fromkeys(deal_ids, error)
        openings = self._journal.get_all([opening_key(deal_id) for deal_id in found])
        deals: dict[EscrowId, Deal | MoltError] = {}
        for deal_id in deal_ids:
            if deal_id in found:
                escrow, events = found[deal_id]
                deals[deal_id] = _named(escrow, openings.get(opening_key(deal_id))), events
            else:
                deals[deal_id] = DealNotFound(deal_id)
        return deals

    def present(self, deal_id: EscrowId) -> EscrowAccount:
        """Return a deal as it is when all payments of it that this journal has on their way have ended.

        Otherwise a payment would count as made as soon as it is in a block, before its confirmations.

        Raises:
            DealNotFound: the contract has no such deal. TransactionPending: one of them takes too long.
        """
        receipts = self._receipts(self._journal.in_flight_of([deal_id])[deal_id])
        escrow = self.escrow(deal_id)
        for receipt in receipts:
            self._tell_the_book(escrow, receipt)
        return escrow

    def present_all(self, deal_ids: Collection[EscrowId]) -> dict[EscrowId, Deal | MoltError]:
        """Return many deals as `present` returns one, each with its log; or what that raises."""
        found: dict[EscrowId, Deal | MoltError] = {}
        receipts: dict[EscrowId, list[TransactionReceipt]] = {}
        for deal_id, entries in self._journal.in_flight_of(deal_ids).items():
            try:
                receipts[deal_id] = self._receipts(entries)
            except MoltError as error:
                found[deal_id] = error
        for deal_id, deal in self.deals(receipts.keys()).items():
            found[deal_id] = deal
            if not isinstance(deal, MoltError):
                for receipt in receipts[deal_id]:
                    self._tell_the_book(deal[0], receipt)
        return found

    def _receipts(self, on_their_way: Sequence[Entry]) -> list[TransactionReceipt]:
        """Wait for payments that are on their way; return the receipts of those made."""
        ended = [self._outbox.ended(entry.dispatch) for entry in on_their_way if entry.dispatch]
        return [receipt for receipt in ended if receipt is not None]

    def deal_events(self, deal_id: EscrowId) -> Sequence[Event]:
        """Return what the chain logged about a deal. Raises DealNotFound."""
        return self.client.deal_events(deal_id)

    def _event(self, escrow: EscrowAccount, kind: type[Found]) -> Found | None:
        """Return the last event of a kind in a deal's log."""
        found = [event for event in self.client.deal_events(escrow.id) if isinstance(event, kind)]
        return found[-1] if found else None

    def _closing(self, escrow: EscrowAccount) -> TransactionId | None:
        """Return the transaction that closed a deal; None while it is open."""
        closed = self._event(escrow, DealClosed) if escrow.status in CLOSED else None
        return closed.transaction_id if closed else None

    def _closed_at(self, escrow: EscrowAccount, gpu_seconds: int, wanted: str) -> TransactionId | None:
        """Return the transaction that closed a deal at these GPU-seconds; None while it is open.

        Raises InvalidStateTransition if it is closed otherwise.
        """
        if escrow.status not in CLOSED:
            return None
        if escrow.paid_gpu_seconds != gpu_seconds:
            raise InvalidStateTransition(escrow.status.name, wanted)
        return self._closing(escrow)

    # ---------------------------------------------------------------- sending

    def reconcile(self) -> list[Difference]:
        """Compare the journal of the client's account with the chain, and repair it.

        It is done by itself before the first payment; after the restore of an old backup this shows what is
        different. Raises NodeUnreachable or NodeError if it cannot be compared.
        """
        return self._outbox.reconcile(self._payer().address)

    def _send(
        self, escrow: EscrowAccount, step: Step, *, note: str = "", deposit: int = 0
    ) -> TransactionReceipt:
        """Send a step once, with a deposit of the payer's if it needs one, in base units."""
        key = key_of(step, escrow.id)

        def prepare() -> tuple[Call, TransactionSigner]:
            calls = self.client.calls
            made = [encoded(action, escrow.terms, calls) for action in step]
            payer = self._payer()
            return self._funding.with_deposit(made, payer, deposit, payer=payer)

        depositor = self._payer().address if deposit else None
        receipt = self._outbox.send(key, prepare, note=note, depositor=depositor)
        self._tell_the_book(escrow, receipt)
        return receipt

    def _send_all(
        self, steps: Sequence[tuple[EscrowAccount, Step]], when_made: WhenMade | None = None
    ) -> list[Outcome]:
        """Send a step of each of these deals once, in few transactions; return how each of them ended."""
        payments = [
            Payment(
                key_of(step, escrow.id),
                tuple(encoded(action, escrow.terms, self.client.calls) for action in step),
            )
            for escrow, step in steps
        ]
        outcomes = self._batches.send(payments, self._payer(), when_made=when_made) if payments else []
        for (escrow, _), outcome in zip(steps, outcomes, strict=True):
            if isinstance(outcome, TransactionReceipt):
                self._tell_the_book(escrow, outcome)
        return outcomes

    def _tell_the_book(self, escrow: EscrowAccount, receipt: TransactionReceipt) -> None:
        """Let the book follow the deal. It may know better already, then it stays where it is."""
        if self._book is None:
            return
        events = [each for each in receipt.events if getattr(each, "deal_id", None) == escrow.id]
        status = status_after(escrow.status, events)
        try:
            self._book.follow(escrow.id, status, paid=any(isinstance(each, DealPaid) for each in events))
        except MarketError as error:
            tell("order_does_not_follow", level=WARNING, deal_id=escrow.id, reason=error)

    def _payer(self) -> TransactionSigner:
        if self.client.account is None:
            raise WalletError("nobody pays for gas: connect with an account (a Wallet)")
        return self.client.account

    def _require_payer(self, party: Address) -> None:
        """Raise WrongSigner unless the client's account is this party: the contract goes by the sender."""
        actual = self._payer().address
        if actual != party:
            raise WrongSigner(expected=party, actual=actual)


def _named(escrow: EscrowAccount, entry: Entry | None) -> EscrowAccount:
    """Give a deal the ids that order and offer have in a book, if it was opened here: by this entry."""
    if entry is None or entry.opening is None:
        return escrow
    return escrow.model_copy(update={"order_id": entry.opening.order.id, "offer_id": entry.opening.offer_id})


def status_after(status: DealStatus, events: Iterable[Event]) -> DealStatus:
    """Return a deal's status after what happened to it."""
    for event in events:
        match event:
            case DealClaimed():
                status = DealStatus.CLAIMED
            case DealDisputed():
                status = DealStatus.DISPUTED
            case DealClosed(status=closed):
                status = closed
    return status


def require_status(escrow: EscrowAccount, allowed: Collection[DealStatus], wanted: str) -> None:
    """Raise InvalidStateTransition unless a deal is in one of these."""
    if escrow.status not in allowed:
        raise InvalidStateTransition(escrow.status.name, wanted)


def encoded(action: Action, terms: Terms, calls: Calls) -> Call:  # noqa: C901 - one line for each action
    """Return the contract's call of an action."""
    match action:
        case Release(voucher=voucher):
            return calls.release(terms, voucher)
        case Claim(proof=proof):
            return calls.claim(terms, proof)
        case Finalize():
            return calls.finalize(terms)
        case Stop(request=request):
            return calls.stop(terms, request)
        case Cancel(cancellation=cancellation):
            return calls.cancel_deal(terms, cancellation)
        case ClaimUnattested(gpu_seconds=gpu_seconds, claim=claim):
            return calls.claim_unattested(terms, gpu_seconds, claim)
        case Contest(dispute=dispute):
            return calls.dispute(terms, dispute)
        case Concede(gpu_seconds=gpu_seconds, concession=concession):
            return calls.concede(terms, gpu_seconds, concession)
        case Resolve(gpu_seconds=gpu_seconds, ruling=ruling):
            return calls.resolve(terms, gpu_seconds, ruling)
        case Rule(votes=votes):
            return calls.rule(terms, votes)
        case Settle(agreement=agreement):
            return calls.settle(terms, agreement)
