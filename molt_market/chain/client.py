"""A deployment on a chain, as one account sees it."""

from __future__ import annotations

import warnings
from datetime import datetime, timedelta
from pathlib import Path

from molt_market.chain.calls import EscrowCalls
from molt_market.chain.deployments import Deployment, load_deployment
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.chain.reader import EscrowReader
from molt_market.chain.transactions import UNCHECKED_GAS, Transactions
from molt_market.domain.amounts import Amount
from molt_market.domain.fields import seconds
from molt_market.domain.ids import Address, Hash32
from molt_market.domain.policies import Policy, weaknesses
from molt_market.domain.requests import OrdersCancellation, Side, SignedRequest, Withdrawal, WithdrawalRequest
from molt_market.domain.roles import Role
from molt_market.domain.transactions import Call, TransactionReceipt
from molt_market.errors import (
    DeploymentMismatch,
    InsufficientTokens,
    MarketError,
    PolicyWarning,
    TokenMismatch,
    WalletError,
)
from molt_market.signing.requests import sign_orders_cancellation, sign_withdrawal, sign_withdrawal_request
from molt_market.signing.signers import Signer
from molt_market.signing.statements import SignedPermit, sign_permit
from molt_market.signing.wallet import TransactionSigner

PERMIT_SECONDS = 3_600
REQUEST_SECONDS = 3_600


class MoltClient(EscrowReader):
    """Reads a deployment, and sends what `account` does with it. It neither retries nor replaces.

    Every command simulates the call first, so that a refusal costs nothing, and returns when the transaction
    has the network's confirmations.

    Args:
        network: the chain; the node has to serve it.
        rpc_url: the node (default: the network's own, else MOLT_RPC_URL).
        deployment: what is deployed there, its file or folder (default: `deployments/<chain-id>.json`).
        account: signs and pays for what is sent; without one the client only reads.
        confirmations: blocks on top of a transaction's before it counts (default: the network's).
        timeout_seconds: how long to wait for a transaction.

    Raises:
        NodeUnreachable, WrongChain: there is no node of that chain at the address.
        DeploymentNotFound: no file says what is deployed there.
        DeploymentMismatch: the code at the recorded address is not this version's MoltEscrow.

    >>> client = MoltClient(Network.LOCAL, account=wallet)  # doctest: +SKIP
    >>> client.deposit(Amount.from_molt(100))  # doctest: +SKIP
    """

    def __init__(
        self,
        network: Network,
        *,
        rpc_url: str | None = None,
        deployment: Deployment | Path | None = None,
        account: TransactionSigner | None = None,
        confirmations: int | None = None,
        timeout_seconds: float = 180,
    ) -> None:
        node = Node(network.node_address(rpc_url))
        node.require_chain(network.chain_id)
        super().__init__(node, _deployment_of(network, deployment))
        self.deployment.require_code(node.code(self.deployment.escrow))
        self._require_decimals()
        self.network = network
        self.account = account
        self.calls = EscrowCalls(self.deployment.escrow, self.deployment.token_address)
        self.transactions = Transactions(
            node,
            network.chain_id,
            self.deployment.escrow,
            confirmations=network.confirmations if confirmations is None else confirmations,
            timeout_seconds=timeout_seconds,
        )

    # ---------------------------------------------------------------- money in and out

    def deposit(self, amount: Amount) -> TransactionReceipt:
        """Move tokens of the account into its balance in the escrow; by permit where the token takes them.

        Raises:
            InsufficientTokens: the account has too few; nothing is sent.
        """
        wallet = self._account()
        units = self._units(amount)
        available = self.balance_of(wallet.address)
        if available < amount:
            raise InsufficientTokens(amount, available)
        permit = self.permit(wallet, units)
        if permit is not None:
            return self.send(self.calls.deposit_with_permit(permit))
        if self.token_contract.allowance(wallet.address, self.deployment.escrow) < units:
            self.send(self.calls.approve(units))
        return self.send(self.calls.deposit(wallet.address, units))

    def request_withdraw(self, amount: Amount) -> TransactionReceipt:
        """Mark an amount of the account's balance for withdrawal after the delay; 0 takes it back.

        Until then deals may still spend it. A new mark replaces the old one and starts the delay again.
        """
        return self.send(self.calls.request_withdraw(self._account().address, self._units(amount)))

    def withdraw(self, to: Address | None = None) -> TransactionReceipt:
        """Pay the marked amount, or what is left of it, to the account or to `to`.

        Raises:
            TooEarly: the delay is not over. ZeroAmount: nothing is marked, or nothing is left.
        """
        account = self._account().address
        return self.send(self.calls.withdraw(account, to or account))

    def permit(self, owner: Signer, amount: int) -> SignedPermit | None:
        """Have `owner` allow the escrow to take base units of his tokens; None if it takes no permits."""
        domain = self.token_contract.permit_domain
        if domain is None:
            return None
        return sign_permit(
            owner,
            domain,
            spender=self.deployment.escrow,
            value=amount,
            nonce=self.token_contract.permit_nonce(owner.address),
            deadline=seconds(self.now()) + PERMIT_SECONDS,
        )

    # ---------------------------------------------------------------- before a deal

    def register_policy(self, policy: Policy) -> TransactionReceipt:
        """Make a policy known to the contract. Anyone may; to do it again changes nothing.

        Warns (PolicyWarning) of a bond that costs a provider little to walk away from.
        """
        for weakness in weaknesses(policy.bond_bps):
            warnings.warn(weakness, PolicyWarning, stacklevel=2)
        return self.send(self.calls.register_policy(policy))

    def cancel(self, side: Side, group: int) -> TransactionReceipt:
        """Kill the account's offers (or orders) of a group of slots, those signed so far, after the delay.

        A group is slot // 4 for offers and slot // 128 for orders.
        """
        return self.send(self.calls.cancel(self._account().address, side, group))

    def approve_digest(self, digest: Hash32) -> TransactionReceipt:
        """Let a digest count as the account's signature, for an account that makes none (ApprovingSigner).

        It counts wherever a signature of this account's is left empty: the digest of an offer is its
        `offer_hash`, of any other message `message.digest(domain)`.
        """
        return self.send(self.calls.approve_digest(digest))

    def revoke_digest(self, digest: Hash32) -> TransactionReceipt:
        """Take an approval back, after the same delay as a cancel."""
        return self.send(self.calls.revoke_digest(digest))

    # ---------------------------------------------------------------- by signature, for others to bring

    def orders_cancellation(
        self, owner: Signer, side: Side, group: int, *, until: datetime | None = None
    ) -> OrdersCancellation:
        """Have `owner` sign what `cancel` does, to be relayed before `until` (default: in an hour)."""
        cutoff_at = self.cutoff_of(owner.address, side, group)
        return sign_orders_cancellation(
            side, group, owner, self.domain, cutoff_at=cutoff_at, until=until or self._in_an_hour()
        )

    def withdrawal_request(
        self, owner: Signer, amount: Amount, *, until: datetime | None = None
    ) -> WithdrawalRequest:
        """Have `owner` sign what `request_withdraw` does; as `orders_cancellation`."""
        self._units(amount)
        nonce = self.nonce_of(owner.address)
        return sign_withdrawal_request(
            amount, owner, self.domain, nonce=nonce, until=until or self._in_an_hour()
        )

    def withdrawal(
        self, owner: Signer, to: Address | None = None, *, until: datetime | None = None
    ) -> Withdrawal:
        """Have `owner` sign what `withdraw` does; as `orders_cancellation`. His request has to come first."""
        nonce = self.nonce_of(owner.address)
        return sign_withdrawal(
            to or owner.address, owner, self.domain, nonce=nonce, until=until or self._in_an_hour()
        )

    def relay(self, request: SignedRequest | SignedPermit) -> TransactionReceipt:
        """Send what another account signed: a cancellation, a withdrawal, or a permit to deposit by.

        The client's account pays the gas, and needs no right.

        Raises:
            BadSignature: it is not that account's, or was brought already. TooLate: it has lapsed.
        """
        return self.send(self.calls.relayed(request))

    # ---------------------------------------------------------------- roles

    def pause(self) -> TransactionReceipt:
        """Let no deal open for 72 hours, as the guardian. Open deals, deposits and withdrawals go on.

        Raises:
            NotHolder: the account is not the guardian. PauseResting: a pause ended less than 7 days ago.
        """
        return self.send(self.calls.pause())

    def unpause(self) -> TransactionReceipt:
        """End a pause now, as the guardian. Raises NotHolder."""
        return self.send(self.calls.unpause())

    def schedule_fee(self, fee_bps: int) -> TransactionReceipt:
        """Announce the fee of deals that open from 7 days on, as the fee setter; replaces an earlier one.

        Raises:
            NotHolder: the account is not the fee setter. FeeOutOfRange: it is above 300 bps.
        """
        return self.send(self.calls.schedule_fee(fee_bps))

    def offer_role(self, role: Role, to: Address) -> TransactionReceipt:
        """Offer the account's role to another one; ZERO_ADDRESS takes the offer back. Raises NotHolder."""
        return self.send(self.calls.offer_role(role, to))

    def accept_role(self, role: Role) -> TransactionReceipt:
        """Take over a role that was offered to the account. Raises NotHolder."""
        return self.send(self.calls.accept_role(role))

    # ---------------------------------------------------------------- sending

    def send(self, call: Call) -> TransactionReceipt:
        """Send a call of the account's, after simulating it.

        Raises:
            Refused: the contract refuses it; if it was sent already, the cause names the transaction.
            InsufficientGas, TransactionPending, TransactionDropped, TransactionFailed: as they say.
        """
        return self.transactions.send(call, self._account())

    def send_unchecked(
        self, call: Call, *, gas: int = UNCHECKED_GAS
    ) -> tuple[TransactionReceipt, MarketError | None]:
        """Send a call without simulating it: it is mined even if it is refused. Return receipt and refusal.

        For tests and demonstrations: it pays for what `send` would have told for nothing.
        """
        signed, receipt = self.transactions.send_unchecked(call, self._account(), gas=gas)
        return receipt, None if receipt.succeeded else self.transactions.reason(signed, receipt)

    # ---------------------------------------------------------------- inside

    def _account(self) -> TransactionSigner:
        if self.account is None:
            raise WalletError("this client only reads: give it an account (a Wallet) to send with")
        return self.account

    def _in_an_hour(self) -> datetime:
        return self.now() + timedelta(seconds=REQUEST_SECONDS)

    def _units(self, amount: Amount) -> int:
        if amount.token != self.token:
            raise TokenMismatch(amount.token, self.token)
        return amount.base_units

    def _require_decimals(self) -> None:
        decimals = self.token_contract.decimals
        if decimals != self.token.decimals:
            raise DeploymentMismatch(
                f"the token at {self.token_contract.address} has {decimals} decimals, the deployment's file"
                f" says {self.token.decimals}: correct the file"
            )


def _deployment_of(network: Network, given: Deployment | Path | None) -> Deployment:
    if isinstance(given, Deployment):
        if given.chain_id != network.chain_id:
            raise DeploymentMismatch(
                f"the deployment is of chain {given.chain_id}, not {network.chain_id}: give the network's own"
            )
        return given
    return load_deployment(network.chain_id, given)
