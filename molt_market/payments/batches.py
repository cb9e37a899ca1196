"""Many payments in few transactions: each keeps its key, and its own end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from molt_market.domain.transactions import Call, TransactionReceipt
from molt_market.errors import MoltError, NodeError, TransactionDropped
from molt_market.payments.carrier import refused_in
from molt_market.payments.journal import WITHOUT_EFFECT, Dispatch, Intent, Journal
from molt_market.payments.outbox import Outbox
from molt_market.payments.ports import Calls, Transactions
from molt_market.signing.wallet import TransactionSigner

MOST_CALLS = 100  # the contract takes 200; a call burns up to 75 thousand gas, a block has 30 million
ROUNDS = 3  # how often what lost its nonce, or was signed elsewhere at the same moment, is looked at again


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment of a batch: its key, and its calls of the escrow, in order.

    A batch makes each call by itself: if the second one is refused, the first one stays done. One that
    `is_checked` is not simulated by itself: it may need what stands before it in the batch. `when_mined` is
    called when it is in a block and was not refused there.
    """

    key: str
    calls: tuple[Call, ...]
    note: str = ""
    is_checked: bool = False
    when_mined: Callable[[], None] | None = None


Outcome = TransactionReceipt | MoltError
Deposit = Callable[[Sequence[Payment]], Call | None]
"""Makes the call that deposits what these payments lack together; None: nothing."""


class Batches:
    """Sends payments together, by the contract's multicall that skips what is refused."""

    def __init__(self, outbox: Outbox, journal: Journal, transactions: Transactions, calls: Calls) -> None:
        self._outbox = outbox
        self._journal = journal
        self._transactions = transactions
        self._calls = calls

    def send(
        self, payments: Sequence[Payment], payer: TransactionSigner, *, deposit: Deposit | None = None
    ) -> list[Outcome]:
        """Make each payment once; return, in their order, its receipt, or why it came to nothing.

        Each is simulated by itself first, so that what would be refused is told and not paid for. All
        transactions are sent before the first is waited for. `deposit` makes the call that pays for those
        that are new; it goes before them.
        """
        wanted = {each.key: each for each in payments}
        outcomes: dict[str, Outcome] = {}
        for _ in range(ROUNDS):
            open_ = [payment for key, payment in wanted.items() if key not in outcomes]
            if not open_:
                break
            with self._outbox.depositing(payer.address if deposit else None):
                carriers = self._dispatched(open_, payer, outcomes, deposit)
            for dispatch in carriers.values():
                outcomes |= self._ended(dispatch, wanted)
        lost = NodeError("other transactions took its nonce over and over: call again")
        return [outcomes.get(each.key, lost) for each in payments]

    def _dispatched(
        self,
        payments: Sequence[Payment],
        payer: TransactionSigner,
        refused: dict[str, Outcome],
        deposit: Deposit | None,
    ) -> dict[int, Dispatch]:
        """Send what is not sent; return the dispatches that carry all of it, and note what is refused."""
        carriers: dict[int, Dispatch] = {}
        planned = self._journal.plan_all([Intent(each.key, each.note) for each in payments])
        unsigned: list[Payment] = []
        for payment in payments:
            entry = planned[payment.key]
            if entry.dispatch is None:
                unsigned.append(payment)
            else:
                carriers[entry.dispatch.id] = entry.dispatch
        fresh = self._passing(unsigned, payer, refused)
        try:
            first = deposit(fresh) if deposit and fresh else None
        except MoltError as error:
            self._refuse(fresh, error, refused)
            return carriers
        gas_of_each: int | None = None  # what a payment of the batch before was allowed
        for batch in _batches(fresh):
            try:
                dispatch = self._sent(batch, payer, first, gas_of_each)
            except MoltError as error:
                self._refuse(batch, error, refused)
                if first is not None:  # what was to pay for the rest is not there
                    self._refuse(fresh, error, refused)
                    break
                continue
            if dispatch is None:  # somebody else signed one of them: the next round sends the others
                break
            carriers[dispatch.id], first = dispatch, None
            gas_of_each = -(-dispatch.latest.gas // len(batch))
        return carriers

    def _refuse(self, payments: Sequence[Payment], error: MoltError, refused: dict[str, Outcome]) -> None:
        """Note why these came to nothing, but for those that somebody else has signed meanwhile."""
        for payment in payments:
            if self._journal.fail(payment.key, str(error)).state in WITHOUT_EFFECT:
                refused[payment.key] = error

    def _passing(
        self, payments: Sequence[Payment], payer: TransactionSigner, refused: dict[str, Outcome]
    ) -> list[Payment]:
        """Return those that the contract would not refuse, simulated each by itself."""
        unchecked = [payment for payment in payments if not payment.is_checked]
        calls = [self._calls.bundle(payment.calls) for payment in unchecked]
        try:
            errors: Sequence[MoltError | None] = self._transactions.simulate_all(calls, payer.address)
        except MoltError as error:
            errors = [error] * len(calls)
        for payment, each in zip(unchecked, errors, strict=True):
            if each is not None:
                self._refuse([payment], each, refused)
        failed = {payment.key for payment, each in zip(unchecked, errors, strict=True) if each is not None}
        return [payment for payment in payments if payment.key not in failed]

    def _sent(
        self,
        batch: Sequence[Payment],
        payer: TransactionSigner,
        first: Call | None,
        gas_of_each: int | None,
    ) -> Dispatch | None:
        items: dict[str, range] = {}
        calls = [] if first is None else [first]
        for payment in batch:
            items[payment.key] = range(len(calls), len(calls) + len(payment.calls))
            calls.extend(payment.calls)
        call = self._calls.bundle(calls, skip=len(batch) > 1)  # alone, all of it or nothing
        guess = None if gas_of_each is None else gas_of_each * len(batch)
        return self._outbox.dispatched(items, lambda: (call, payer), gas=guess)

    def _ended(self, dispatch: Dispatch, wanted: dict[str, Payment]) -> dict[str, Outcome]:
        """Wait for a dispatch, and return how its payments ended; nothing if its nonce was lost."""
        carrier = self._outbox.carrier
        entries = [each for each in self._journal.carried(dispatch.id) if each.key in wanted]

        def when_mined(receipt: TransactionReceipt) -> None:
            for entry in entries:
                tell = wanted[entry.key].when_mined
                if tell is not None and refused_in(receipt, entry.items) is None:
                    tell()

        try:
            receipt = carrier.until_final(dispatch.id, when_mined)
        except TransactionDropped:
            return {}
        except MoltError as error:
            return {entry.key: error for entry in entries}
        ended: dict[str, Outcome] = {}
        final = self._journal.dispatch(dispatch.id)
        for entry in entries:
            try:
                carrier.require_success(entry, final, receipt)
                ended[entry.key] = receipt
            except MoltError as error:
                ended[entry.key] = error
        return ended


def _batches(payments: Sequence[Payment]) -> Iterator[list[Payment]]:
    """Cut into batches whose calls fit into one transaction."""
    batch: list[Payment] = []
    calls = 0
    for payment in payments:
        calls += len(payment.calls)
        if batch and calls > MOST_CALLS:
            yield batch
            batch, calls = [], len(payment.calls)
        batch.append(payment)
    if batch:
        yield batch
