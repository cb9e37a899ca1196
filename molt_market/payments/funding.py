"""What an account lacks in the escrow comes with the call that needs it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import Address
from molt_market.domain.transactions import Call
from molt_market.errors import InsufficientTokens
from molt_market.payments.outbox import Outbox
from molt_market.payments.ports import EscrowChain
from molt_market.signing.wallet import TransactionSigner


class Funding:
    """Bundles deposits with calls, by permit where the token takes them."""

    def __init__(self, client: EscrowChain, outbox: Outbox) -> None:
        self._client = client
        self._outbox = outbox

    def shortfall(self, account: Address, needed: Amount, *, coming: Amount | None = None) -> int:
        """Return the base units that an account's balance lacks after what is sent, and what is `coming`.

        Raises:
            InsufficientTokens: wallet and balance together are not enough.
        """
        balances = self._client.balances(account, pending=True)
        credited = coming or Amount.zero(needed.token)
        if balances.total + credited < needed:
            raise InsufficientTokens(needed, balances.total + credited)
        return max(needed.base_units - balances.escrow.base_units - credited.base_units, 0)

    def with_deposit(
        self, calls: Sequence[Call], owner: TransactionSigner, amount: int, *, payer: TransactionSigner
    ) -> tuple[Call, TransactionSigner]:
        """Make one call that deposits `amount` base units of the owner's and then does `calls`.

        Returns it and who has to send it: the payer, but for a token without permits the owner, who alone can
        move what he approved.
        """
        if amount == 0:
            return self._client.calls.bundle(calls), payer
        deposit, by_anyone = self.deposit(owner, amount)
        return self._client.calls.bundle([deposit, *calls]), payer if by_anyone else owner

    def deposit(self, owner: TransactionSigner, amount: int) -> tuple[Call, bool]:
        """Return the call that deposits base units of the owner's, and whether anybody may send it."""
        calls = self._client.calls
        permit = self._client.permit(owner, amount)
        if permit is not None:
            return calls.deposit_with_permit(permit), True
        if self._client.allowance(owner.address) < amount:
            approval = calls.approve(amount)  # an amount, not an addition: twice is as good as once
            self._outbox.send(f"approve:{owner.address}:{uuid4().hex}", lambda: (approval, owner))
        return calls.deposit(owner.address, amount), False
