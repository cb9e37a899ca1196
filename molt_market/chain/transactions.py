"""Sending: prepare, simulate, sign, broadcast, wait. Each step is the caller's to make; none retries.

A transaction is simulated before it is signed, so that a refusal costs nothing. `send_unchecked` is the one
way around that.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from threading import RLock
from typing import Any

from eth_utils import keccak

from molt_market.chain.events import decode_logs
from molt_market.chain.node import Node, block_name, readable
from molt_market.chain.reverts import RpcError
from molt_market.domain.ids import Address, TransactionId
from molt_market.domain.transactions import Call, Fee, SignedTransaction, TransactionReceipt
from molt_market.errors import (
    InsufficientGas,
    MarketError,
    NodeError,
    NodeUnreachable,
    TransactionDropped,
    TransactionFailed,
    TransactionPending,
    TransactionRejected,
    TransactionUnderpriced,
)
from molt_market.signing.wallet import TransactionSigner

UNCHECKED_GAS = 1_000_000
LEAST_POLL_SECONDS = 0.02
MOST_POLL_SECONDS = 0.1  # between two looks for a new block: so late it may be noticed
MOST_WAIT_SECONDS = 1.0  # what the latest block cannot tell, such as a reorganisation, is looked at so often
MOST_BYTES = 700_000  # of calls in one request, twice that in hex; some nodes take two million
RECEIPT_DELAY_SECONDS = 3.0  # a node may count a transaction a moment before it has its receipt
KNOWN_ALREADY = ("already known", "already imported", "known transaction")
TOO_CHEAP = ("underpriced", "less than block base fee", "fee cap less than", "max fee per gas less than")
GONE_BY = ("nonce too low",)


class Transactions:
    """Sends transactions through one node, and reads the events of one escrow from their receipts.

    Args:
        confirmations: blocks on top of a transaction's before it counts; 0: to be mined is enough.
        timeout_seconds: how long `wait` waits.
    """

    def __init__(
        self,
        node: Node,
        chain_id: int,
        escrow: Address | None = None,
        *,
        confirmations: int = 0,
        timeout_seconds: float = 180,
    ) -> None:
        self._node = node
        self._chain_id = chain_id
        self._escrow = escrow
        self._confirmations = confirmations
        self._timeout_seconds = timeout_seconds
        self._locks: dict[Address, RLock] = defaultdict(RLock)

    @contextmanager
    def alone(self, sender: Address) -> Iterator[None]:
        """Let nobody else take a nonce of the sender's between signing and broadcasting."""
        with self._locks[sender]:
            yield

    # ---------------------------------------------------------------- what the node says

    @property
    def confirmations(self) -> int:
        """Blocks on top of a transaction's before it counts."""
        return self._confirmations

    @property
    def timeout(self) -> timedelta:
        """How long is waited for a transaction."""
        return timedelta(seconds=self._timeout_seconds)

    def head(self) -> int:
        """Return the number of the latest block."""
        return self._node.number("eth_blockNumber")

    def next_nonce(self, sender: Address) -> int:
        """Return the nonce after all transactions that the node knows, mined or not."""
        return self._node.number("eth_getTransactionCount", sender, "pending")

    def used_nonces(self, sender: Address, *, confirmed: bool = False) -> int:
        """Return the nonce after all that are mined; with `confirmed`, that have their confirmations too."""
        block: int | str = "latest"
        if confirmed and self._confirmations:
            block = max(self.head() - self._confirmations, 0)
        return self._node.number("eth_getTransactionCount", sender, block_name(block))

    def market_fee(self) -> Fee:
        """Return the latest block's base fee as `most`, and the tip that the node suggests."""
        latest = self._node.request("eth_getBlockByNumber", "latest", False)
        with readable("eth_getBlockByNumber"):
            base_fee = int(latest["baseFeePerGas"], 16)
        return Fee(base_fee, self._node.number("eth_maxPriorityFeePerGas"))

    def knows(self, transaction_id: TransactionId) -> bool:
        """Tell whether the node has a transaction, waiting or mined."""
        return self._node.request("eth_getTransactionByHash", transaction_id) is not None

    def receipt(self, transaction_id: TransactionId) -> TransactionReceipt | None:
        """Return the receipt of a transaction; None: it is in no block of the chain now."""
        found: Mapping[str, Any] | None = self._node.request("eth_getTransactionReceipt", transaction_id)
        if found is None:
            return None
        with readable("eth_getTransactionReceipt"):
            return self._read_receipt(transaction_id, found)

    def is_confirmed(self, receipt: TransactionReceipt, needed: int | None = None) -> bool:
        """Tell whether a receipt has its confirmations."""
        blocks = self._confirmations if needed is None else needed
        return blocks == 0 or self.head() >= receipt.block + blocks

    # ---------------------------------------------------------------- the steps

    def simulate(self, call: Call, sender: Address) -> None:
        """Make the call without sending it, as the next block would.

        Raises:
            Refused: the contract would refuse it; CallReverted: it would revert otherwise.
        """
        self._node.call(call, sender=sender, block="pending")

    def simulate_all(self, calls: Sequence[Call], sender: Address) -> list[MarketError | None]:
        """Simulate calls, each by itself; return, in their order, what `simulate` would raise."""
        answers = self._node.calls(calls, sender=sender, block="pending")
        return [each if isinstance(each, MarketError) else None for each in answers]

    def gas(self, call: Call, sender: Address) -> int:
        """Simulate a call, and return the gas to allow it: a fifth more than it takes now."""
        self.simulate(call, sender)
        return self._node.estimate_gas(call, sender) * 6 // 5

    def enough(self, calls: Sequence[Call], guesses: Sequence[int], sender: Address) -> list[int | None]:
        """Simulate calls, each by itself; return the guesses of gas of which a tenth is left over, else None.

        For many calls alike: some nodes make a call twenty times to estimate it.
        """
        found: list[int | None] = []
        for some in _requests(calls):
            asked = calls[some.start : some.stop]
            limits = [guesses[place] * 9 // 10 for place in some]
            try:
                answers = self._node.calls(asked, sender=sender, block="pending", gas=limits)
            except MarketError as error:
                answers = [error] * len(some)
            # nodes say in many ways that the gas is not enough
            pairs = zip(some, answers, strict=True)
            found += [None if isinstance(each, MarketError) else guesses[place] for place, each in pairs]
        return found

    def require_gas_money(self, account: Address, gas: int, fee: Fee) -> None:
        """Raise InsufficientGas unless the account can pay for a transaction."""
        available = self._node.number("eth_getBalance", account, "latest")
        if available < gas * fee.most:
            raise InsufficientGas(account, gas * fee.most, available)

    def sign(
        self, call: Call, wallet: TransactionSigner, *, nonce: int, gas: int, fee: Fee
    ) -> SignedTransaction:
        """Sign a transaction. The node is not asked, and nothing is sent."""
        fields: dict[str, Any] = {
            "type": 2,
            "chainId": self._chain_id,
            "nonce": nonce,
            "gas": gas,
            "value": 0,
            "data": call.data,
            "maxFeePerGas": fee.most,
            "maxPriorityFeePerGas": fee.tip,
        }
        raw = wallet.sign_transaction(fields if call.to is None else {**fields, "to": call.to})
        return SignedTransaction(TransactionId.of(keccak(raw)), wallet.address, nonce, call, gas, fee, raw)

    def broadcast(self, signed: SignedTransaction) -> None:
        """Send a signed transaction; one that the node knows already is fine.

        Raises:
            TransactionDropped: its nonce was used by another.
            TransactionRejected: the node does not take it, so it was not sent; TransactionUnderpriced: for
                its fee.
            NodeUnreachable, NodeError: no answer that can be read; it may have been sent.
        """
        try:
            self._node.ask("eth_sendRawTransaction", "0x" + signed.raw.hex())
        except RpcError as error:
            message = error.message.lower()
            if any(words in message for words in KNOWN_ALREADY):
                return
            if any(words in message for words in TOO_CHEAP):
                raise TransactionUnderpriced(signed.id, error.message) from error
            if not any(words in message for words in GONE_BY):
                raise TransactionRejected(signed.id, error.message) from error
            if self.receipt(signed.id) is None:
                raise TransactionDropped(signed.id) from error

    def wait(self, signed: SignedTransaction, *, confirmations: int | None = None) -> TransactionReceipt:
        """Wait until a transaction is mined, whether it succeeds or not, and has its confirmations.

        Raises:
            TransactionPending: that took too long; TransactionDropped: it will never be.
        """
        needed = self._confirmations if confirmations is None else confirmations
        started = last_possible = time.monotonic()
        while True:
            head = self.head()
            receipt = self.receipt(signed.id)
            if receipt is not None and self.is_confirmed(receipt, needed):
                return receipt
            now = time.monotonic()
            if receipt is None and self.used_nonces(signed.sender) > signed.nonce:
                if now - last_possible >= RECEIPT_DELAY_SECONDS:
                    raise TransactionDropped(signed.id)
            elif now - started >= self._timeout_seconds:
                raise TransactionPending(signed.id, self._timeout_seconds)
            else:
                last_possible = now
            self.until_next_block(head, self.timeout)

    def until_next_block(self, head: int, at_most: timedelta) -> None:
        """Wait until the latest block is another one than `head`, or so long, but a second at most.

        Raises NodeUnreachable or NodeError at once.
        """
        ends = time.monotonic() + min(at_most.total_seconds(), MOST_WAIT_SECONDS)
        pause = LEAST_POLL_SECONDS
        while self.head() == head and (left := ends - time.monotonic()) > 0:
            time.sleep(min(pause, left))
            pause = min(pause * 3 / 2, MOST_POLL_SECONDS)

    def require_success(self, signed: SignedTransaction, receipt: TransactionReceipt) -> TransactionReceipt:
        """Return the receipt of a transaction that succeeded.

        Raises:
            Refused: something came in between, and the contract refused it; the cause is TransactionFailed.
            TransactionFailed: it failed, and no reason can be found.
        """
        if receipt.succeeded:
            return receipt
        reason = self.reason(signed, receipt)
        if reason is None:
            raise TransactionFailed(signed.id, "it reverted without a reason, or ran out of gas")
        raise reason from TransactionFailed(signed.id, str(reason))

    def reason(self, signed: SignedTransaction, receipt: TransactionReceipt) -> MarketError | None:
        """Say why a mined transaction failed, by repeating its call on the state of its block.

        None if the call passes there: it ran out of gas, or another transaction of the block was in its way.
        """
        try:
            self._node.call(signed.call, sender=signed.sender, block=receipt.block)
        except (NodeUnreachable, NodeError):
            raise
        except MarketError as error:
            return error
        return None

    # ---------------------------------------------------------------- all steps at once

    def send(self, call: Call, wallet: TransactionSigner) -> TransactionReceipt:
        """Simulate, sign, broadcast and wait. Raises what each of them does, and as `require_success`."""
        with self.alone(wallet.address):
            signed = self.prepared(call, wallet, self.gas(call, wallet.address))
            self.broadcast(signed)
        return self.require_success(signed, self.wait(signed))

    def send_unchecked(
        self, call: Call, wallet: TransactionSigner, *, gas: int = UNCHECKED_GAS
    ) -> tuple[SignedTransaction, TransactionReceipt]:
        """Send a call without simulating it, so that even a refusal is mined and paid for.

        For tests and demonstrations; `reason` then tells the refusal.
        """
        with self.alone(wallet.address):
            signed = self.prepared(call, wallet, gas)
            self.broadcast(signed)
        return signed, self.wait(signed)

    def prepared(self, call: Call, wallet: TransactionSigner, gas: int) -> SignedTransaction:
        """Sign a call with the account's next nonce, and room for the base fee to rise."""
        fee = self.market_fee().with_room()
        self.require_gas_money(wallet.address, gas, fee)
        return self.sign(call, wallet, nonce=self.next_nonce(wallet.address), gas=gas, fee=fee)

    # ---------------------------------------------------------------- inside

    def _read_receipt(self, transaction_id: TransactionId, found: Mapping[str, Any]) -> TransactionReceipt:
        created = found.get("contractAddress")
        return TransactionReceipt(
            transaction_id=transaction_id,
            sender=Address(found["from"]),
            block=int(found["blockNumber"], 16),
            gas_used=int(found["gasUsed"], 16),
            gas_price=int(found["effectiveGasPrice"], 16),
            succeeded=int(found["status"], 16) == 1,
            events=() if self._escrow is None else decode_logs(found["logs"], self._escrow),
            created=None if created is None else Address(created),
            l1_fee=int(found.get("l1Fee") or "0x0", 16),
        )


def _requests(calls: Sequence[Call]) -> Iterator[range]:
    """Cut calls into as many as go into one request; one that is longer goes alone."""
    first, length = 0, 0
    for place, call in enumerate(calls):
        if place > first and length + len(call.data) > MOST_BYTES:
            yield range(first, place)
            first, length = place, 0
        length += len(call.data)
    if calls:
        yield range(first, len(calls))
