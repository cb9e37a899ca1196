"""An outbox that charges what it sends to the account that it is sent for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import Address
from molt_market.domain.transactions import Call, TransactionReceipt
from molt_market.errors import GasBudgetUsedUp, MoltError
from molt_market.payments.fees import FeePolicy
from molt_market.payments.gas import Budgets, Charge, GasPolicy
from molt_market.payments.journal import WITHOUT_EFFECT, EntryState, Journal
from molt_market.payments.outbox import Outbox, Prepare
from molt_market.payments.ports import EscrowChain
from molt_market.signing.wallet import TransactionSigner


@dataclass(frozen=True, slots=True)
class Charged:
    """Whom something is sent for, and what he holds."""

    account: Address
    held: Amount


class MeteredOutbox(Outbox):
    """Sends payments as an Outbox does, within the gas budget of who is charged.

    Before anything is signed, the call is simulated and the most that it should cost is reserved. Once it is
    final, what it really cost is spent instead, also where it reverted, or was replaced for a higher fee.
    """

    def __init__(
        self, client: EscrowChain, journal: Journal, budgets: Budgets, gas: GasPolicy, fees: FeePolicy | None
    ) -> None:
        super().__init__(client.transactions, journal, fees=fees, wallet=client.account)
        self._client = client
        self._budgets = budgets
        self._gas = gas
        self._charged: ContextVar[Charged] = ContextVar("charged")

    @contextmanager
    def charging(self, charged: Charged) -> Iterator[None]:
        """Charge an account with all that this thread sends in the block."""
        self._settle_open(charged.account)
        token = self._charged.set(charged)
        try:
            yield
        finally:
            self._charged.reset(token)

    def send(
        self,
        key: str,
        prepare: Prepare,
        *,
        note: str = "",
        depositor: Address | None = None,
        when_mined: Callable[[TransactionReceipt], None] | None = None,
    ) -> TransactionReceipt:
        """Make the payment of `key`, as an Outbox does.

        Raises:
            GasBudgetUsedUp: who is charged has too little left; nothing was sent.
        """
        charged = self._charged.get()

        def metered() -> tuple[Call, TransactionSigner]:
            call, wallet = prepare()
            self._reserve(key, call, wallet, charged)
            return call, wallet

        try:
            receipt = super().send(key, metered, note=note, depositor=depositor, when_mined=when_mined)
        except MoltError:
            with suppress(MoltError):  # what it cost is settled later, if not now
                self._settle_open(charged.account)
            raise
        self._settle(key, receipt)
        return receipt

    # ---------------------------------------------------------------- inside

    def _reserve(self, key: str, call: Call, wallet: TransactionSigner, charged: Charged) -> None:
        gas = self._transactions.gas(call, wallet.address)  # simulated: what is refused costs nothing
        most = gas * self._fees.first(self._transactions.market_fee()).most
        now = self._client.now()
        allowance, period = self._gas.allowance(charged.held), self._gas.period_of(now)
        account = charged.account
        if self._budgets.reserve(key, account, most, allowance=allowance, period=period) is None:
            left = max(allowance - self._budgets.used(account, period), 0)
            raise GasBudgetUsedUp(account, most, left, self._gas.renews_at(now))

    def _settle_open(self, account: Address) -> None:
        """Settle what was sent for an account and has ended meanwhile, whichever process sent it."""
        for charge in self._budgets.open_charges(account):
            self._settle_by_journal(charge)

    def _settle_by_journal(self, charge: Charge) -> None:
        entry = self._journal.get(charge.key)
        if entry is None or entry.state is EntryState.PLANNED:
            return  # somebody may be about to sign it; if he died, it is open until the period is over
        dispatch = entry.dispatch
        if dispatch is not None and dispatch.state is EntryState.FINAL and dispatch.mined is not None:
            receipt = self._transactions.receipt(dispatch.mined)
            if receipt is not None:
                self._settle(charge.key, receipt, holder=charge.holder)
        elif entry.state in WITHOUT_EFFECT:
            self._budgets.give_back(charge)

    def _settle(self, key: str, receipt: TransactionReceipt, *, holder: str | None = None) -> None:
        self._budgets.settle(key, receipt.transaction_id, receipt.cost, holder=holder)
