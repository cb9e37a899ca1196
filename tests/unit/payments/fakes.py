"""A chain that only exists in memory: it sends nothing, but counts, fails and forgets as it is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from eth_utils import keccak

from molt_market.domain.ids import Address, TransactionId
from molt_market.domain.transactions import Call, SignedTransaction, TransactionReceipt
from molt_market.errors import TransactionFailed
from molt_market.signing.wallet import TransactionSigner, Wallet

WALLET = Wallet.from_private_key("0x" + "11" * 32)
ESCROW = Address("0x" + "e5" * 20)
CALL = Call(ESCROW, b"call")


class FakeTransactions:
    """Signs, sends and mines at once. `failing[step]` is raised by that step, once."""

    def __init__(self) -> None:
        self.sent: list[SignedTransaction] = []
        self.failing: dict[str, Exception] = {}
        self.steps: list[str] = []
        self.succeeds = True

    @contextmanager
    def alone(self, sender: Address) -> Iterator[None]:
        self._step(f"alone {sender[:6]}")
        yield

    def next_nonce(self, sender: Address) -> int:
        return len({each.id for each in self.sent if each.sender == sender})

    def sign(self, call: Call, wallet: TransactionSigner, *, nonce: int | None = None) -> SignedTransaction:
        self._step("sign")
        raw = call.data + str(nonce).encode()
        return SignedTransaction(TransactionId.of(keccak(raw)), wallet.address, nonce or 0, call, raw)

    def broadcast(self, signed: SignedTransaction) -> None:
        self._step("broadcast")
        self.sent.append(signed)

    def wait(self, signed: SignedTransaction, *, confirmations: int | None = None) -> TransactionReceipt:
        self._step("wait" if confirmations is None else f"wait {confirmations}")
        return TransactionReceipt(signed.id, signed.sender, 7, 50_000, 1, self.succeeds)

    def require_success(self, signed: SignedTransaction, receipt: TransactionReceipt) -> TransactionReceipt:
        if not receipt.succeeded:
            raise TransactionFailed(signed.id)
        return receipt

    def _step(self, name: str) -> None:
        self.steps.append(name)
        error = self.failing.pop(name, None)
        if error is not None:
            raise error
