"""Sending a payment once, whoever calls how often."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from molt_market.domain.transactions import Call, SignedTransaction, TransactionReceipt
from molt_market.errors import (
    MoltError,
    NodeError,
    NodeUnreachable,
    TransactionDropped,
    TransactionPending,
    TransactionRejected,
)
from molt_market.payments.journal import Entry, Journal
from molt_market.payments.ports import Transactions
from molt_market.signing.wallet import TransactionSigner

Prepare = Callable[[], tuple[Call, TransactionSigner]]
"""Makes the call of a payment and says who sends it; raises what stands in its way."""

UNCERTAIN = (TransactionPending, NodeUnreachable, NodeError)


class Outbox:
    """Carries payments from the intent to the final receipt, through the journal.

    A payment that was interrupted goes on where it stopped: what was signed is sent again, never signed
    again.
    """

    def __init__(self, transactions: Transactions, journal: Journal) -> None:
        self._transactions = transactions
        self._journal = journal

    def send(
        self, key: str, prepare: Prepare, *, note: str = "", when_mined: Callable[[], None] | None = None
    ) -> TransactionReceipt:
        """Make the payment of `key`, or return the receipt that it has already.

        `prepare` is called only if nothing was signed for the key yet; `when_mined` when the payment is in a
        block, before it has its confirmations.

        Raises:
            MoltError: what `prepare` or the contract refuse; nothing moved, and the key can be used again.
            TransactionPending, NodeUnreachable, NodeError: it may have been sent; call again to go on.
        """
        with self._journal.exclusive(key):
            entry = self._journal.plan(key, note=note)
            if entry.receipt is not None:
                return entry.receipt
            signed = self._resumed(entry) if entry.in_flight else self._signed(key, prepare)
            return self._awaited(key, signed, when_mined)

    def _signed(self, key: str, prepare: Prepare) -> SignedTransaction:
        """Sign and send a new transaction; what is refused before it is sent has failed."""
        try:
            call, wallet = prepare()
            with self._transactions.alone(wallet.address):
                nonces = (
                    self._transactions.next_nonce(wallet.address),
                    self._journal.next_nonce(wallet.address),
                )
                signed = self._transactions.sign(call, wallet, nonce=max(nonces))
                self._journal.signed(key, signed)
                self._transactions.broadcast(signed)
                self._journal.broadcast(key)
                return signed
        except MoltError as error:
            self._note_failure(key, error)
            raise

    def _resumed(self, entry: Entry) -> SignedTransaction:
        """Send a signed transaction again: harmless where it has arrived."""
        signed = entry.transaction
        if signed is None:
            raise AssertionError(f"{entry.key} is in flight without a transaction")
        # Now or later, the chain says what became of it: also if the node will not hear of it any more.
        with suppress(TransactionDropped, TransactionRejected):
            self._transactions.broadcast(signed)
        self._journal.broadcast(entry.key)
        return signed

    def _awaited(
        self, key: str, signed: SignedTransaction, when_mined: Callable[[], None] | None
    ) -> TransactionReceipt:
        try:
            receipt = self._transactions.wait(signed, confirmations=0)
            if receipt.succeeded and when_mined is not None:
                when_mined()
            receipt = self._transactions.require_success(signed, self._transactions.wait(signed))
        except MoltError as error:
            self._note_failure(key, error)
            raise
        self._journal.final(key, receipt)
        return receipt

    def _note_failure(self, key: str, error: MoltError) -> None:
        """Write a failure down, unless what was signed may still be mined."""
        entry = self._journal.get(key)
        if entry is not None and not (entry.in_flight and isinstance(error, UNCERTAIN)):
            self._journal.failed(key, str(error))
