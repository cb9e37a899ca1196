"""Many payments in few transactions: each keeps its key, and its own end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from molt_market.domain.ids import EscrowId
from molt_market.domain.transactions import Call, TransactionReceipt
from molt_market.errors import MoltError, NodeError, TransactionDropped
from molt_market.payments.carrier import refused_in
from molt_market.payments.journal import WITHOUT_EFFECT, Dispatch, Entry, Intent, Journal, deal_of
from molt_market.payments.outbox import Outbox, Prepare
from molt_market.payments.ports import Calls, Transactions
from molt_market.signing.wallet import TransactionSigner

MOST_CALLS = 100  # the contract takes 200; a call burns up to 75 thousand gas, a block has 30 million
SAMPLE = 20  # payments that tell what gas a batch takes
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
WhenMade = Callable[[Collection[EscrowId]], None]
"""Told of deals whose payments are made, and final, while others are still waited for."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Payments that one call makes, and their places in it."""

    payments: Sequence[Payment]
    items: Mapping[str, range]
    call: Call

    def from_(self, payer: TransactionSigner) -> Prepare:
        return lambda: (self.call, payer)


class Batches:
    """Sends payments together, by the contract's multicall that skips what is refused."""

    def __init__(self, outbox: Outbox, journal: Journal, transactions: Transactions, calls: Calls) -> None:
        self._outbox = outbox
        self._journal = journal
        self._transactions = transactions
        self._calls = calls

    def send(
        self,
        payments: Sequence[Payment],
        payer: TransactionSigner,
        *,
        deposit: Deposit | None = None,
        when_made: WhenMade | None = None,
    ) -> list[Outcome]:
        """Make each payment once; return, in their order, its receipt, or why it came to nothing.

        Each is simulated by itself first, so that what would be refused is told and not paid for. All
        transactions are sent before the first is waited for. `deposit` makes the call that pays for those
        that are new; it goes before them. `when_made` is for what can be done meanwhile.
        """
        wanted = {each.key: each for each in payments}
        outcomes: dict[str, Outcome] = {}
        for _ in range(ROUNDS):
            open_ = [payment for key, payment in wanted.items() if key not in outcomes]
            if not open_:
                break
            with self._outbox.depositing(payer.address if deposit else None):
                carriers = self._dispatched(open_, payer, outcomes, deposit)
            for ended in self._each_ended(carriers, wanted):
                outcomes |= ended
                made = _deals_of(ended)
                if made and when_made is not None:
                    when_made(made)
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
        batches = self._bundled(fresh, first)
        gas = self._gas_by_sample(batches, first, payer)
        for place, batch in enumerate(batches):
            try:
                dispatch = self._outbox.dispatched(batch.items, batch.from_(payer), gas=gas.get(place))
            except MoltError as error:
                self._refuse(batch.payments, error, refused)
                if first is not None and place == 0:  # what was to pay for the rest is not there
                    self._refuse(fresh, error, refused)
                    break
                continue
            if dispatch is None:  # somebody else signed one of them: the next round sends the others
                break
            carriers[dispatch.id] = dispatch
            if place + 1 not in gas:
                of_each = -(-dispatch.latest.gas // len(batch.payments))
                others = range(place + 1, len(batches))
                guesses = {other: of_each * len(batches[other].payments) for other in others}
                gas |= self._enough(batches, guesses, payer)
        return carriers

    def _gas_by_sample(
        self, batches: Sequence[_Batch], first: Call | None, payer: TransactionSigner
    ) -> dict[int, int | None]:
        """Return what to allow batches, by what a few payments take, and half of them.

        Some nodes make a call twenty times to estimate its gas. Those that need a deposit cannot be simulated
        before it is sent: then only the batch that begins with it.
        """
        if not batches or len(batches[0].payments) <= SAMPLE:
            return {}
        few, half = (self._bundled(batches[0].payments[:most], first)[0] for most in (SAMPLE, SAMPLE // 2))
        try:
            of_half = self._transactions.gas(half.call, payer.address)
            of_few = self._transactions.gas(few.call, payer.address)
        except MoltError:
            return {}  # the whole batch says why
        guesses = {
            place: of_few + (of_few - of_half) * (len(batch.payments) - SAMPLE) // (SAMPLE // 2)
            for place, batch in enumerate(batches if first is None else batches[:1])
        }
        return self._enough(batches, guesses, payer)

    def _enough(
        self, batches: Sequence[_Batch], guesses: Mapping[int, int], payer: TransactionSigner
    ) -> dict[int, int | None]:
        """Return which of these guesses, each by its batch's place, are enough gas; else None.

        They are simulated together, before the next is sent: for each the node has to make all that wait.
        """
        if not guesses:
            return {}
        calls = [batches[place].call for place in guesses]
        enough = self._transactions.enough(calls, list(guesses.values()), payer.address)
        return dict(zip(guesses, enough, strict=True))

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

    def _bundled(self, payments: Sequence[Payment], first: Call | None) -> list[_Batch]:
        """Make as few calls of payments as there have to be; `first` goes before all."""
        batches = []
        for some in _batches(payments):
            items: dict[str, range] = {}
            calls = [] if first is None else [first]
            for payment in some:
                items[payment.key] = range(len(calls), len(calls) + len(payment.calls))
                calls.extend(payment.calls)
            # alone, all of it or nothing
            batches.append(_Batch(some, items, self._calls.bundle(calls, skip=len(some) > 1)))
            first = None
        return batches

    def _each_ended(
        self, carriers: Mapping[int, Dispatch], wanted: Mapping[str, Payment]
    ) -> Iterator[dict[str, Outcome]]:
        """Wait for dispatches; yield how the payments of each ended; nothing if its nonce was lost."""
        by_nonce = sorted(carriers.values(), key=lambda dispatch: dispatch.nonce)
        entries = {
            dispatch.id: [each for each in self._journal.carried(dispatch.id) if each.key in wanted]
            for dispatch in by_nonce
        }
        awaited = [(each, partial(_tell_mined, entries[each.id], wanted)) for each in by_nonce]
        for dispatch_id, ended in self._outbox.carrier.each_final(awaited):
            if isinstance(ended, TransactionReceipt):
                yield self._ended(dispatch_id, entries[dispatch_id], ended)
            elif not isinstance(ended, TransactionDropped):
                yield {entry.key: ended for entry in entries[dispatch_id]}

    def _ended(
        self, dispatch_id: int, entries: Sequence[Entry], receipt: TransactionReceipt
    ) -> dict[str, Outcome]:
        final = self._journal.dispatch(dispatch_id)
        ended: dict[str, Outcome] = {}
        for entry in entries:
            try:
                self._outbox.carrier.require_success(entry, final, receipt)
                ended[entry.key] = receipt
            except MoltError as error:
                ended[entry.key] = error
        return ended


def _tell_mined(
    entries: Sequence[Entry], payments: Mapping[str, Payment], receipt: TransactionReceipt
) -> None:
    for entry in entries:
        tell = payments[entry.key].when_mined
        if tell is not None and refused_in(receipt, entry.items) is None:
            tell()


def _deals_of(ended: Mapping[str, Outcome]) -> list[EscrowId]:
    """Return the deals whose payments were made."""
    made = [deal_of(key) for key, outcome in ended.items() if isinstance(outcome, TransactionReceipt)]
    return [deal for deal in made if deal is not None]


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
