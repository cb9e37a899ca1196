"""Sending: prepare, simulate, sign, broadcast, wait. Each step is the caller's to make; none retries.

A transaction is simulated before it is signed, so that a refusal costs nothing. `send_unchecked` is the one
way around that.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import RLock
from typing import Any

from eth_utils import keccak

from molt_market.chain.events import decode_logs
from molt_market.chain.node import Node, readable
from molt_market.chain.reverts import RpcError
from molt_market.domain.ids import Address, TransactionId
from molt_market.domain.transactions import Call, SignedTransaction, TransactionReceipt
from molt_market.errors import (
    InsufficientGas,
    MarketError,
    NodeError,
    NodeUnreachable,
    TransactionDropped,
    TransactionFailed,
    TransactionPending,
    TransactionRejected,
)
from molt_market.signing.wallet import TransactionSigner

UNCHECKED_GAS = 1_000_000
LEAST_POLL_SECONDS = 0.02
MOST_POLL_SECONDS = 1.0
RECEIPT_DELAY_SECONDS = 3.0  # a node may count a transaction a moment before it has its receipt
KNOWN_ALREADY = ("already known", "already imported", "known transaction")
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
        timeout_seconds: int = 180,
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

    # ---------------------------------------------------------------- the steps

    def simulate(self, call: Call, sender: Address) -> None:
        """Make the call without sending it, as the next block would. Raises what it would be refused with."""
        self._node.call(call, sender=sender, block="pending")

    def next_nonce(self, sender: Address) -> int:
        """Return the nonce after all transactions that the node knows, mined or not."""
        return self._node.number("eth_getTransactionCount", sender, "pending")

    def sign(self, call: Call, wallet: TransactionSigner, *, nonce: int | None = None) -> SignedTransaction:
        """Simulate a call, and sign its transaction; nothing is sent.

        Raises:
            Refused: the contract would refuse it; CallReverted: it would revert otherwise.
            InsufficientGas: the account cannot pay for it.
        """
        self.simulate(call, wallet.address)
        gas = self._node.estimate_gas(call, wallet.address)
        return self._sign(call, wallet, nonce, gas * 6 // 5)

    def broadcast(self, signed: SignedTransaction) -> None:
        """Send a signed transaction; one that the node knows already is fine.

        Raises:
            TransactionDropped: its nonce was used by another.
            TransactionRejected: the node does not take it, so it was not sent.
            NodeUnreachable, NodeError: no answer that can be read; it may have been sent.
        """
        try:
            self._node.ask("eth_sendRawTransaction", "0x" + signed.raw.hex())
        except RpcError as error:
            message = error.message.lower()
            if any(words in message for words in KNOWN_ALREADY):
                return
            if not any(words in message for words in GONE_BY):
                raise TransactionRejected(signed.id, error.message) from error
            if self._receipt(signed.id) is None:
                raise TransactionDropped(signed.id) from error

    def wait(self, signed: SignedTransaction, *, confirmations: int | None = None) -> TransactionReceipt:
        """Wait until a transaction is mined, whether it succeeds or not, and has its confirmations.

        Raises:
            TransactionPending: that took too long; TransactionDropped: it will never be.
        """
        needed = self._confirmations if confirmations is None else confirmations
        pause = LEAST_POLL_SECONDS
        started = last_possible = time.monotonic()
        while True:
            receipt = self._receipt(signed.id)
            if receipt is not None and self._is_confirmed(receipt, needed):
                return receipt
            now = time.monotonic()
            if receipt is None and self._nonce_is_used(signed):
                if now - last_possible >= RECEIPT_DELAY_SECONDS:
                    raise TransactionDropped(signed.id)
            elif now - started >= self._timeout_seconds:
                raise TransactionPending(signed.id, self._timeout_seconds)
            else:
                last_possible = now
            time.sleep(pause)
            pause = min(2 * pause, MOST_POLL_SECONDS)

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
            signed = self.sign(call, wallet)
            self.broadcast(signed)
        return self.require_success(signed, self.wait(signed))

    def send_unchecked(
        self, call: Call, wallet: TransactionSigner, *, gas: int = UNCHECKED_GAS
    ) -> tuple[SignedTransaction, TransactionReceipt]:
        """Send a call without simulating it, so that even a refusal is mined and paid for.

        For tests and demonstrations; `reason` then tells the refusal.
        """
        with self.alone(wallet.address):
            signed = self._sign(call, wallet, None, gas)
            self.broadcast(signed)
        return signed, self.wait(signed)

    # ---------------------------------------------------------------- inside

    def _sign(self, call: Call, wallet: TransactionSigner, nonce: int | None, gas: int) -> SignedTransaction:
        fees = self._fees()
        self._require_gas_money(wallet.address, gas * fees["maxFeePerGas"])
        used = self.next_nonce(wallet.address) if nonce is None else nonce
        fields: dict[str, Any] = {
            "type": 2,
            "chainId": self._chain_id,
            "nonce": used,
            "gas": gas,
            "value": 0,
            "data": call.data,
            **fees,
        }
        raw = wallet.sign_transaction(fields if call.to is None else {**fields, "to": call.to})
        return SignedTransaction(TransactionId.of(keccak(raw)), wallet.address, used, call, raw)

    def _fees(self) -> dict[str, int]:
        """Return EIP-1559 fees: the tip that the node suggests, and room for the base fee to double."""
        latest = self._node.request("eth_getBlockByNumber", "latest", False)
        with readable("eth_getBlockByNumber"):
            base_fee = int(latest["baseFeePerGas"], 16)
        tip = self._node.number("eth_maxPriorityFeePerGas")
        return {"maxFeePerGas": 2 * base_fee + tip, "maxPriorityFeePerGas": tip}

    def _require_gas_money(self, account: Address, needed: int) -> None:
        available = self._node.number("eth_getBalance", account, "latest")
        if available < needed:
            raise InsufficientGas(account, needed, available)

    def _nonce_is_used(self, signed: SignedTransaction) -> bool:
        return self._node.number("eth_getTransactionCount", signed.sender, "latest") > signed.nonce

    def _is_confirmed(self, receipt: TransactionReceipt, needed: int) -> bool:
        return needed == 0 or self._node.number("eth_blockNumber") >= receipt.block + needed

    def _receipt(self, transaction_id: TransactionId) -> TransactionReceipt | None:
        found: Mapping[str, Any] | None = self._node.request("eth_getTransactionReceipt", transaction_id)
        if found is None:
            return None
        with readable("eth_getTransactionReceipt"):
            return self._read_receipt(transaction_id, found)

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
        )
