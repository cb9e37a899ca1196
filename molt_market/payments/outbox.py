"""Sending payments once, whoever calls how often, from however many processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from logging import WARNING
from threading import RLock

from molt_market.domain.ids import Address
from molt_market.domain.transactions import Call, TransactionReceipt
from molt_market.errors import (
    MoltError,
    NodeError,
    NodeUnreachable,
    TransactionDropped,
    TransactionRejected,
    TransactionUnderpriced,
)
from molt_market.payments.carrier import Carrier
from molt_market.payments.fees import FeePolicy
from molt_market.payments.journal import WITHOUT_EFFECT, Dispatch, EntryState, Journal
from molt_market.payments.ports import Transactions
from molt_market.payments.reconciliation import Difference, reconcile
from molt_market.payments.telling import tell_of
from molt_market.signing.wallet import TransactionSigner

Prepare = Callable[[], tuple[Call, TransactionSigner]]
"""Makes the call of a payment and says who sends it; raises what stands in its way."""

MOST_NONCES = 5  # how often one call signs a payment anew after its nonce went to another transaction


class Outbox:
    """Carries payments from the intent to the final receipt, through the journal.

    What is signed is written down before it is sent. A payment that was interrupted goes on where it
    stopped, in whatever process.
    """

    def __init__(
        self,
        transactions: Transactions,
        journal: Journal,
        *,
        fees: FeePolicy | None = None,
        wallet: TransactionSigner | None = None,
    ) -> None:
        self._transactions = transactions
        self._journal = journal
        self._fees = fees or FeePolicy()
        self._wallets: dict[Address, TransactionSigner] = {wallet.address: wallet} if wallet else {}
        self.carrier = Carrier(transactions, journal, fees=self._fees, wallets=self._wallets)
        self._reconciled: set[Address] = set()
        self._reconciling = RLock()
        self._depositing: dict[Address, RLock] = defaultdict(RLock)

    def send(
        self,
        key: str,
        prepare: Prepare,
        *,
        note: str = "",
        depositor: Address | None = None,
        when_mined: Callable[[TransactionReceipt], None] | None = None,
    ) -> TransactionReceipt:
        """Make the payment of `key`, or return the receipt that it has already.

        `prepare` is called only if nothing was signed for the key yet; `when_mined` when the payment is in a
        block, before it has its confirmations. Of payments with one `depositor` one at a time is prepared
        and sent: they share his permits, or his allowance.

        Raises:
            MoltError: what `prepare` or the contract refuse; nothing moved, and the key can be used again.
            TransactionPending: it is signed, and may have been sent; call again to go on.
        """
        dropped: TransactionDropped | None = None
        for _ in range(MOST_NONCES):
            entry = self._journal.plan(key, note=note)
            dispatch = entry.dispatch or self._dispatched_alone(key, prepare, depositor)
            if dispatch is None:  # another process was first
                continue
            try:
                return self.outcome(key, dispatch, when_mined)
            except TransactionDropped as error:
                dropped = error
        raise dropped or NodeError(f"{key}: other processes plan it over and over")

    def dispatched(
        self, items: Mapping[str, range], prepare: Prepare, *, gas: int | None = None
    ) -> Dispatch | None:
        """Sign and send one transaction for these intents; None if somebody else was first with one of them.

        `gas` is what to allow it, if it was simulated with that (default: it is, and the node says).
        Raises what `prepare`, the contract and the node refuse; then nothing was sent.
        """
        try:
            call, wallet = prepare()
            dispatch = self._signed(items, call, wallet, gas)
            if dispatch is not None:
                self._broadcast_first(dispatch, items)
        except MoltError as error:
            states = {self._journal.fail(key, str(error)).state for key in items}
            if not states <= WITHOUT_EFFECT:  # refused because somebody else is doing it
                return None
            raise
        return dispatch

    def outcome(
        self,
        key: str,
        dispatch: Dispatch,
        when_mined: Callable[[TransactionReceipt], None] | None = None,
    ) -> TransactionReceipt:
        """Wait until a payment's dispatch is final, and return its receipt.

        Raises:
            Refused, TransactionFailed: it was mined, and did not do what it should.
            TransactionDropped: its nonce went to another transaction.
            TransactionPending: that takes too long; nothing is lost.
        """
        entry = self._journal.get(key)
        receipt = self.carrier.until_final(dispatch.id, when_mined)
        if entry is not None:
            self.carrier.require_success(entry, self._journal.dispatch(dispatch.id), receipt)
        return receipt

    def ended(self, dispatch: Dispatch) -> TransactionReceipt | None:
        """Wait until a dispatch is final, however it ends, and return its receipt; None: its nonce was lost.

        Raises TransactionPending: that takes too long.
        """
        with suppress(TransactionDropped):
            return self.carrier.until_final(dispatch.id)
        return None

    def depositing(self, depositor: Address | None) -> AbstractContextManager[object]:
        """Let nobody else of this process prepare a payment of the depositor's in the block."""
        return nullcontext() if depositor is None else self._depositing[depositor]

    def reconcile(self, sender: Address) -> list[Difference]:
        """Compare the journal with the chain, and repair it; it is done before anything new is signed.

        Raises:
            NodeUnreachable, NodeError: it could not be compared.
        """
        differences = reconcile(sender, self._transactions, self._journal, self.carrier)
        self._reconciled.add(sender)
        return differences

    # ---------------------------------------------------------------- inside

    def _dispatched_alone(self, key: str, prepare: Prepare, depositor: Address | None) -> Dispatch | None:
        with self.depositing(depositor):
            return self.dispatched({key: range(1)}, prepare)

    def _signed(
        self, items: Mapping[str, range], call: Call, wallet: TransactionSigner, gas: int | None
    ) -> Dispatch | None:
        transactions = self._transactions
        self._wallets[wallet.address] = wallet
        with self._reconciling:
            if wallet.address not in self._reconciled:
                self.reconcile(wallet.address)
        gas = gas or transactions.gas(call, wallet.address)
        fee = self._fees.first(transactions.market_fee())
        transactions.require_gas_money(wallet.address, gas, fee)
        dispatch = self._journal.sign(
            items,
            wallet.address,
            lambda nonce: transactions.sign(call, wallet, nonce=nonce, gas=gas, fee=fee),
            least_nonce=transactions.next_nonce(wallet.address),
        )
        if dispatch is not None:
            tell_of("signed", items, dispatch)
        return dispatch

    def _broadcast_first(self, dispatch: Dispatch, keys: Collection[str]) -> None:
        """Send what was just signed. What the node refuses for good gives its nonce back, and is raised."""
        try:
            self._transactions.broadcast(dispatch.latest)
        except (TransactionUnderpriced, TransactionDropped, NodeUnreachable, NodeError) as error:
            tell_of("not_sent_yet", keys, dispatch, level=WARNING, reason=error)
        except TransactionRejected as error:
            tell_of("rejected", keys, dispatch, level=WARNING, reason=error)
            if self._journal.give_back(dispatch, str(error)).state is EntryState.DROPPED:
                tell_of("dropped", keys, dispatch, level=WARNING, reason="refused by the node for good")
                raise
        else:
            self._journal.move(dispatch, EntryState.BROADCAST)
            tell_of("sent", keys, dispatch)
