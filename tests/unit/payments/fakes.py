"""A chain that only exists in memory: it mines, counts, fails and forgets as it is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from eth_utils import keccak

from molt_market.domain.ids import Address, TransactionId
from molt_market.domain.transactions import Call, Fee, SignedTransaction, TransactionReceipt
from molt_market.errors import MarketError, TransactionFailed
from molt_market.signing.wallet import TransactionSigner, Wallet

WALLET = Wallet.from_private_key("0x" + "11" * 32)
ESCROW = Address("0x" + "e5" * 20)
CALL = Call(ESCROW, b"call")


def signed_for(
    sender: Address, nonce: int, *, call: Call = CALL, most: int = 100, tip: int = 1
) -> SignedTransaction:
    """Make a transaction that looks signed."""
    raw = f"{sender}{call.to}{nonce}{most}{tip}".encode() + call.data
    return SignedTransaction(TransactionId.of(keccak(raw)), sender, nonce, call, 50_000, Fee(most, tip), raw)


def signed_at(sender: Address) -> Callable[[int], SignedTransaction]:
    """Return what signs for a sender, at whatever nonce."""
    return lambda nonce: signed_for(sender, nonce)


class FakeTransactions:
    """A node of a chain that mines what is sent at once, unless `mining` is off.

    `failing[step]` is raised by that step, once.
    """

    confirmations = 0
    timeout = timedelta(milliseconds=200)

    def __init__(self) -> None:
        self.sent: list[SignedTransaction] = []
        self.pool: dict[int, SignedTransaction] = {}
        self.mined: dict[TransactionId, int] = {}
        self.used = 0
        self.block = 7
        self.mining = True
        self.failing: dict[str, Exception] = {}
        self.steps: list[str] = []
        self.succeeds = True
        self.base_fee = 100

    # ---------------------------------------------------------------- what the test does

    def mine(self) -> None:
        """Put into a block all whose nonces are next."""
        self.block += 1
        while self.used in self.pool:
            self.mined[self.pool.pop(self.used).id] = self.block
            self.used += 1

    def reorganise(self) -> None:
        """Take the last block back, and forget what was in it."""
        gone = [each for each, block in self.mined.items() if block == self.block]
        self.mined = {each: block for each, block in self.mined.items() if block < self.block}
        self.used -= len(gone)

    # ---------------------------------------------------------------- what payments ask

    def head(self) -> int:
        return self.block

    def until_next_block(self, head: int, at_most: timedelta) -> None:
        self._step("wait")
        if self.block == head:
            time.sleep(max(min(at_most.total_seconds(), 0.02), 0))

    def next_nonce(self, sender: Address) -> int:
        nonce = self.used
        while nonce in self.pool:
            nonce += 1
        return nonce

    def used_nonces(self, sender: Address, *, confirmed: bool = False) -> int:
        return self.used

    def market_fee(self) -> Fee:
        return Fee(self.base_fee, 1)

    def simulate(self, call: Call, sender: Address) -> None:
        self._step("simulate")

    def simulate_all(self, calls: Sequence[Call], sender: Address) -> list[MarketError | None]:
        return [self._refusal(call, sender) for call in calls]

    def _refusal(self, call: Call, sender: Address) -> MarketError | None:
        try:
            self.simulate(call, sender)
        except MarketError as error:
            return error
        return None

    def gas(self, call: Call, sender: Address) -> int:
        self._step("gas")
        return 50_000

    def enough(self, calls: Sequence[Call], guesses: Sequence[int], sender: Address) -> list[int | None]:
        return [
            guess if self._refusal(call, sender) is None else None
            for call, guess in zip(calls, guesses, strict=True)
        ]

    def require_gas_money(self, account: Address, gas: int, fee: Fee) -> None:
        self._step("money")

    def sign(
        self, call: Call, wallet: TransactionSigner, *, nonce: int, gas: int, fee: Fee
    ) -> SignedTransaction:
        self._step("sign")
        return signed_for(wallet.address, nonce, call=call, most=fee.most, tip=fee.tip)

    def broadcast(self, signed: SignedTransaction) -> None:
        self._step("broadcast")
        self.sent.append(signed)
        if signed.nonce >= self.used:
            self.pool[signed.nonce] = signed
        if self.mining:
            self.mine()

    def knows(self, transaction_id: TransactionId) -> bool:
        return transaction_id in self.mined or transaction_id in {each.id for each in self.pool.values()}

    def receipt(self, transaction_id: TransactionId) -> TransactionReceipt | None:
        self._step("receipt")
        block = self.mined.get(transaction_id)
        if block is None:
            return None
        sender = next(each.sender for each in self.sent if each.id == transaction_id)
        return TransactionReceipt(transaction_id, sender, block, 50_000, 1, self.succeeds)

    def is_confirmed(self, receipt: TransactionReceipt) -> bool:
        return self.block >= receipt.block + self.confirmations

    def require_success(self, signed: SignedTransaction, receipt: TransactionReceipt) -> TransactionReceipt:
        if not receipt.succeeded:
            raise TransactionFailed(signed.id)
        return receipt

    def _step(self, name: str) -> None:
        self.steps.append(name)
        error = self.failing.pop(name, None)
        if error is not None:
            raise error
