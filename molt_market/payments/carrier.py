"""Bringing to its end what was signed, by whomever: sent again, replaced, found in a block, given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from datetime import timedelta
from logging import INFO, WARNING
from typing import Any

from molt_market.domain.clock import Clock, SystemClock
from molt_market.domain.events import ItemRefused
from molt_market.domain.ids import Address
from molt_market.domain.transactions import Call, TransactionReceipt
from molt_market.errors import (
    InsufficientGas,
    MarketError,
    MoltError,
    NodeError,
    NodeUnreachable,
    Refused,
    TransactionDropped,
    TransactionFailed,
    TransactionPending,
    TransactionRejected,
)
from molt_market.payments.fees import FeePolicy
from molt_market.payments.journal import Dispatch, Entry, EntryState, Journal
from molt_market.payments.ports import Transactions
from molt_market.payments.telling import tell_of
from molt_market.refusals import refusal
from molt_market.signing.wallet import TransactionSigner
from molt_market.telling import tell

WhenMined = Callable[[TransactionReceipt], None]

UNCERTAIN = (TransactionPending, NodeUnreachable, NodeError)
LEAST_PAUSE = timedelta(milliseconds=20)  # until a node that failed is asked again; more each time
MOST_PAUSE = timedelta(seconds=1)
DEEPEST = 1_000  # blocks: no reorganisation is looked for below them
RECEIPT_DELAY = timedelta(seconds=3)  # a node may count a transaction a moment before it has its receipt


class Carrier:
    """Looks what became of dispatches, and does what they need. Any number of processes may look at one.

    What happens is told for each payment that a dispatch carries: `<event> key=.. deal_id=.. sender=..
    nonce=.. hash=..`, with the reason where there is one.

    Args:
        wallets: those that can sign anew, by account; for others a dispatch can only be sent again.
        clock: the clock of `Dispatch.signed_at`.
    """

    def __init__(
        self,
        transactions: Transactions,
        journal: Journal,
        *,
        fees: FeePolicy,
        wallets: MutableMapping[Address, TransactionSigner],
        clock: Clock | None = None,
    ) -> None:
        self._transactions = transactions
        self._journal = journal
        self._fees = fees
        self._wallets = wallets
        self._clock = clock or SystemClock()
        self._gone_since: dict[int, Any] = {}  # seconds of the monotonic clock

    def until_final(self, dispatch_id: int, when_mined: WhenMined | None = None) -> TransactionReceipt:
        """Wait until a dispatch is final, whether it succeeded or not, and push it meanwhile.

        `when_mined` is called once, when it is in a block and succeeded there.

        Raises:
            TransactionDropped: its nonce went to another transaction. TransactionPending: it takes too long.
        """
        [(_, ended)] = self.each_final([(self._journal.dispatch(dispatch_id), when_mined)])
        if isinstance(ended, MoltError):
            raise ended
        return ended

    def each_final(
        self, awaited: Iterable[tuple[Dispatch, WhenMined | None]]
    ) -> Iterator[tuple[int, TransactionReceipt | MoltError]]:
        """Do the same with many dispatches, ordered by nonce; yield the id of each with its end.

        It takes too long if none has ended for so long.
        """
        left = {dispatch.id: (dispatch.sender, when_mined) for dispatch, when_mined in awaited}
        started, pause, timeout = time.monotonic(), LEAST_PAUSE, self._transactions.timeout
        while left:
            try:
                head = self._transactions.head()
                for dispatch_id, ended in self._ended_of(left):
                    yield dispatch_id, ended
                    started = time.monotonic()
                if left:
                    self._transactions.until_next_block(head, timeout - _since(started))
            except (NodeUnreachable, NodeError) as error:
                tell("node_fails", level=WARNING, dispatch=next(iter(left)), reason=error)
                time.sleep(pause.total_seconds())
                pause = min(pause * 3 // 2, MOST_PAUSE)
            if _since(started) >= timeout:
                for dispatch_id in left:
                    latest = self._journal.dispatch(dispatch_id).latest
                    yield dispatch_id, TransactionPending(latest.id, timeout.total_seconds())
                return

    def _ended_of(
        self, left: dict[int, tuple[Address, WhenMined | None]]
    ) -> Iterator[tuple[int, TransactionReceipt | MoltError]]:
        """Push dispatches once, of each account up to the first that is in no block: others are mined later.

        Yield, and take out, those that have ended.
        """
        stopped: set[Address] = set()
        for dispatch_id, (sender, when_mined) in tuple(left.items()):
            if sender in stopped:
                continue
            try:
                dispatch, receipt = self.push(dispatch_id)
            except (NodeUnreachable, NodeError):
                raise
            except MoltError as error:
                del left[dispatch_id]
                yield dispatch_id, error
                continue
            if receipt is None:
                stopped.add(sender)
                continue
            if receipt.succeeded and when_mined is not None:
                when_mined(receipt)
                left[dispatch_id] = sender, None
            if dispatch.state is EntryState.FINAL:
                del left[dispatch_id]
                yield dispatch_id, receipt

    def push(self, dispatch_id: int) -> tuple[Dispatch, TransactionReceipt | None]:
        """Look at a dispatch once, and do what it needs; return it, and its receipt if it is in a block.

        Raises:
            TransactionDropped: its nonce went to another transaction. NodeUnreachable, NodeError: look again.
        """
        dispatch = self._journal.dispatch(dispatch_id)
        if dispatch.state is EntryState.DROPPED:
            raise TransactionDropped(dispatch.latest.id)
        receipt = self._receipt(dispatch)
        if receipt is None:
            if dispatch.mined is not None:
                self._tell("reorganised", dispatch, level=WARNING)
                dispatch = self._journal.move(dispatch, dispatch.when_unmined)
            return self._push_unmined(dispatch), None
        if dispatch.state is EntryState.FINAL:
            return dispatch, receipt
        if (dispatch.mined, dispatch.block) != (receipt.transaction_id, receipt.block):
            dispatch = self._journal.move(dispatch, EntryState.MINED, receipt=receipt)
            self._tell("mined", dispatch)
        if dispatch.state is EntryState.MINED and self._transactions.is_confirmed(receipt):
            entries = self._journal.carried(dispatch.id)
            failures = self._failures(entries, dispatch, receipt)
            dispatch = self._journal.move(dispatch, EntryState.FINAL, receipt=receipt, failures=failures)
            self._tell_final(entries, dispatch, failures)
        return dispatch, receipt

    def require_success(self, entry: Entry, dispatch: Dispatch, receipt: TransactionReceipt) -> None:
        """Raise unless a mined dispatch did what an entry of it wanted.

        Raises:
            Refused: the contract refused it, or its place in the batch. TransactionFailed: without a reason.
        """
        signed = next(each for each in dispatch.transactions if each.id == receipt.transaction_id)
        self._transactions.require_success(signed, receipt)
        refused = refused_in(receipt, entry.items)
        if refused is not None:
            raise refused from TransactionFailed(receipt.transaction_id, str(refused))

    # ---------------------------------------------------------------- mined

    def _receipt(self, dispatch: Dispatch) -> TransactionReceipt | None:
        for signed in reversed(dispatch.transactions):
            receipt = self._transactions.receipt(signed.id)
            if receipt is not None:
                return receipt
        return None

    def _failures(
        self, entries: Sequence[Entry], dispatch: Dispatch, receipt: TransactionReceipt
    ) -> dict[str, str]:
        failures = {}
        for entry in entries:
            try:
                self.require_success(entry, dispatch, receipt)
            except UNCERTAIN:
                raise
            except MarketError as error:
                failures[entry.key] = str(error)
        return failures

    # ---------------------------------------------------------------- not mined

    def _push_unmined(self, dispatch: Dispatch) -> Dispatch:
        """Do what a dispatch needs to be mined, or give it up where it never will be."""
        used = self._transactions.used_nonces(dispatch.sender)
        if used > dispatch.nonce:
            return self._drop_if_gone(dispatch)
        self._gone_since.pop(dispatch.id, None)
        if used < dispatch.nonce:
            self._push_what_blocks(dispatch, used)
        if self._is_stale(dispatch):
            return self._replaced(dispatch)
        if not self._transactions.knows(dispatch.latest.id):
            return self._broadcast(dispatch)
        if dispatch.state is EntryState.SIGNED:
            return self._journal.move(dispatch, EntryState.BROADCAST)
        return dispatch

    def _drop_if_gone(self, dispatch: Dispatch) -> Dispatch:
        """Give a dispatch up whose nonce another transaction has, for good: one from another wallet."""
        if self._transactions.used_nonces(dispatch.sender, confirmed=True) <= dispatch.nonce:
            return dispatch
        first_seen = self._gone_since.setdefault(dispatch.id, time.monotonic())
        if _since(first_seen) < RECEIPT_DELAY:
            return dispatch
        lost = self._journal.move(dispatch, EntryState.DROPPED)
        self._tell("dropped", lost, level=WARNING, reason="another transaction has its nonce")
        return lost

    def _broadcast(self, dispatch: Dispatch) -> Dispatch:
        try:
            self._transactions.broadcast(dispatch.latest)
        except TransactionDropped:
            return dispatch  # it may be mined, or gone: the next look shows it
        except TransactionRejected as error:
            self._tell("rejected", dispatch, level=WARNING, reason=error)
            return dispatch
        self._tell("sent", dispatch)
        if dispatch.state is EntryState.SIGNED:
            return self._journal.move(dispatch, EntryState.BROADCAST)
        return dispatch

    def _is_stale(self, dispatch: Dispatch) -> bool:
        return self._clock.now() - dispatch.signed_at >= self._fees.patience

    def _replaced(self, dispatch: Dispatch) -> Dispatch:
        """Sign again under the same nonce for a higher fee, if there is a wallet, and the cap allows it."""
        wallet, latest = self._wallets.get(dispatch.sender), dispatch.latest
        fee = self._fees.raised(latest.fee, self._transactions.market_fee())
        if wallet is None or fee is None:
            reason = "no wallet" if wallet is None else "the cap of the fee is reached"
            self._tell("not_replaced", dispatch, level=WARNING, reason=reason)
            return self._broadcast(dispatch)
        try:
            self._transactions.require_gas_money(dispatch.sender, latest.gas, fee)
        except InsufficientGas as error:
            self._tell("not_replaced", dispatch, level=WARNING, reason=error)
            return self._broadcast(dispatch)
        signed = self._transactions.sign(dispatch.call, wallet, nonce=dispatch.nonce, gas=latest.gas, fee=fee)
        now = self._journal.replace(dispatch, signed)
        if now.latest.id != signed.id:  # somebody else looked at the same moment
            return now
        self._tell("replaced", now)
        return self._broadcast(now)

    def _push_what_blocks(self, dispatch: Dispatch, used: int) -> None:
        """Push what has an earlier nonce of the account's: nothing after it can be mined before it."""
        first = next((each for each in self._journal.in_flight(dispatch.sender) if each.nonce == used), None)
        if first is not None:
            self._push_unmined(first)
        elif self._is_stale(dispatch) and self._transactions.next_nonce(dispatch.sender) <= used:
            self._bring_back_or_fill(dispatch.sender, used)

    def _bring_back_or_fill(self, sender: Address, nonce: int) -> None:
        """Send again what was final with a nonce that is free once more; else fill the gap.

        The first is what a reorganisation leaves that was deeper than the confirmations.
        """
        recent = self._journal.final_since(sender, max(self._transactions.head() - DEEPEST, 0))
        gone = next((each for each in recent if each.nonce == nonce), None)
        if gone is None:
            self._fill(sender, nonce)
        else:
            self.push(gone.id)

    def _fill(self, sender: Address, nonce: int) -> None:
        """Use a nonce that nobody has, by a transaction that does nothing: a gap stops all after it."""
        wallet = self._wallets.get(sender)
        if wallet is None:
            return
        call = Call(sender, b"")
        gas = self._transactions.gas(call, sender)
        fee = self._fees.first(self._transactions.market_fee())
        key = f"fill:{sender}:{nonce}"
        self._journal.plan(key, note="a gap in the account's nonces")
        dispatch = self._journal.sign(
            {key: range(1)},
            sender,
            lambda used: self._transactions.sign(call, wallet, nonce=used, gas=gas, fee=fee),
            least_nonce=nonce,
            nonce=nonce,
        )
        if dispatch is not None:
            self._tell("gap_filled", dispatch)
            self._broadcast(dispatch)

    # ---------------------------------------------------------------- told

    def _tell(self, event: str, dispatch: Dispatch, *, level: int = INFO, reason: object = None) -> None:
        keys = [entry.key for entry in self._journal.carried(dispatch.id)]
        tell_of(event, keys, dispatch, level=level, reason=reason)

    def _tell_final(self, entries: Sequence[Entry], dispatch: Dispatch, failures: Mapping[str, str]) -> None:
        for entry in entries:
            failure = failures.get(entry.key)
            if failure is None:
                tell_of("final", [entry.key], dispatch)
            else:
                tell_of("reverted", [entry.key], dispatch, level=WARNING, reason=failure)


def refused_in(receipt: TransactionReceipt, items: range) -> Refused | None:
    """Return why the contract refused one of these places of a batch; None: it did not."""
    for event in receipt.events:
        if isinstance(event, ItemRefused) and event.index in items:
            return refusal(event.code, event.actual, event.limit)
    return None


def _since(moment: Any) -> timedelta:
    """Return how long a moment of the monotonic clock is past."""
    return timedelta(seconds=time.monotonic() - moment)
