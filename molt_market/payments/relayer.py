"""Bringing to the chain what others signed, and paying the gas, up to a budget for each of them."""

from __future__ import annotations

from typing import TypeAlias

from eth_utils import keccak

from molt_market.domain.agreements import (
    Concession,
    ProviderCancellation,
    Ruling,
    SignedStatement,
    SplitAgreement,
    StopRequest,
    UnattestedClaim,
)
from molt_market.domain.amounts import Amount
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.disputes import Dispute
from molt_market.domain.events import DealDisputed
from molt_market.domain.ids import Address, EscrowId, TransactionId
from molt_market.domain.proofs import Confirmation
from molt_market.domain.requests import SignedRequest
from molt_market.domain.transactions import Call
from molt_market.errors import InvalidSignature, InvalidStateTransition, InvalidValue
from molt_market.payments.fees import FeePolicy
from molt_market.payments.gas import Budgets, GasBudget, GasPolicy
from molt_market.payments.journal import Journal
from molt_market.payments.meter import Charged, MeteredOutbox
from molt_market.payments.ports import EscrowChain, RelayCalls
from molt_market.payments.service import PaymentService
from molt_market.payments.steps import CLOSED
from molt_market.signing.agreements import verify_dispute
from molt_market.signing.requests import request_digest, verify_request
from molt_market.signing.statements import SignedPermit
from molt_market.signing.wallet import TransactionSigner

AboutAccount: TypeAlias = SignedRequest | SignedPermit
AboutDeal: TypeAlias = SignedStatement | Dispute | Confirmation | SplitAgreement
Relayed: TypeAlias = AboutAccount | AboutDeal
"""What is brought for others: all that carries its signatures with it."""


class Relayer:
    """Sends what others signed, once each, and charges the gas to their budgets.

    The client's account pays, and needs no right. It has to be nobody's that is a party: the contract would
    take its call for its word. Several relayers may share a database; together they stay within the budgets.

    Args:
        client: the deployment, as the account sees it that pays.
        calls: encodes what an account asks for its balance.
        journal: where payments are written down; it outlives the process.
        budgets: where the gas is written down that was paid for others.
        gas: how much is paid for whom.
        fees: what is offered for gas. A transaction that is replaced for a higher fee may cost more than was
            reserved for it: it is charged with what it cost, and what comes next is refused.
    """

    def __init__(
        self,
        client: EscrowChain,
        calls: RelayCalls,
        *,
        journal: Journal,
        budgets: Budgets,
        gas: GasPolicy,
        fees: FeePolicy | None = None,
    ) -> None:
        self._client = client
        self._outbox = MeteredOutbox(client, journal, budgets, gas, fees)
        self._desk = _Desk(client, journal, self._outbox)
        self._calls = calls
        self._budgets = budgets
        self._gas = gas

    def relay(self, message: Relayed, *, account: Address | None = None) -> TransactionId:
        """Bring what was signed to the chain; return the transaction that did it, now or before.

        Its signatures are verified, and the call is simulated, before anything is paid. Who signed it is
        charged; a voucher or a split, which either party may bring, is charged to `account`: the caller has
        to make sure that it is he who asks. The budget grows with what the account holds: its balance
        in the escrow, a deposit that the message makes, and what it has in the deal that it is about.

        Raises:
            GasBudgetUsedUp: too little is left of the budget; the error says what to do. Nothing was sent.
            InvalidSignature, WrongSigner: it is not signed as it has to be.
            InvalidValue: nobody, or another one than who signed it, would be charged; or the relayer's own
                account is a party.
            Refused, ProofMismatch, DealNotFound, InvalidStateTransition: as the verb of each says.
            TransactionPending, NodeUnreachable, NodeError: it may have been sent; call again.
        """
        if isinstance(message, SignedRequest | SignedPermit):
            return self._about_account(message, account)
        return self._about_deal(self._desk.escrow(_deal_of(message)), message, account)

    def budget(self, account: Address, held: Amount | None = None) -> GasBudget:
        """Return what an account has left in this period, for what it holds (default: in the escrow)."""
        now = self._client.now()
        known = self._client.balances(account).escrow if held is None else held
        used = self._budgets.used(account, self._gas.period_of(now))
        return GasBudget(account, self._gas.allowance(known), used, self._gas.renews_at(now))

    # ---------------------------------------------------------------- an account's balance and groups

    def _about_account(self, message: AboutAccount, account: Address | None) -> TransactionId:
        call = self._calls.relayed(message)
        if isinstance(message, SignedPermit):
            # the token knows whose it is: the simulation asks it
            key, owner, coming = f"relay:{keccak(call.data).hex()}", message.owner, message.value
        else:
            owner, coming = verify_request(message, self._client.domain, self._client.is_approved), 0
            key = f"relay:{request_digest(message, self._client.domain)[2:]}"
        _require_charged(account, owner)
        self._require_outsider(owner)
        held = self._client.balances(owner).escrow

        def prepare() -> tuple[Call, TransactionSigner]:
            return call, self._desk.payer()

        with self._outbox.charging(Charged(owner, held + Amount(coming, held.token))):
            return self._outbox.send(key, prepare).transaction_id

    # ---------------------------------------------------------------- a deal

    def _about_deal(
        self, escrow: EscrowAccount, message: AboutDeal, account: Address | None
    ) -> TransactionId:
        charged = self._charged(escrow, message, account)
        self._require_outsider(charged, escrow.buyer, escrow.provider)
        if isinstance(message, SplitAgreement) and not (
            message.buyer_signature and message.provider_signature
        ):
            raise InvalidSignature("a party has not signed the agreement: have it signed (sign_split)")
        held = self._client.balances(charged).escrow + _in_deal(escrow, charged)
        with self._outbox.charging(Charged(charged, held)):
            return self._brought(escrow, message)

    def _charged(self, escrow: EscrowAccount, message: AboutDeal, account: Address | None) -> Address:
        """Return who is charged: who signed, or, where either party may bring it, the one that is named."""
        if isinstance(message, Confirmation | SplitAgreement):
            if account not in {escrow.buyer, escrow.provider}:
                raise InvalidValue(f"{account} is no party of deal {escrow.id}: say which party is charged")
            return account
        signer = escrow.buyer if isinstance(message, Dispute) else message.signer
        _require_charged(account, signer)
        return signer

    def _brought(self, escrow: EscrowAccount, message: AboutDeal) -> TransactionId:
        match message:
            case StopRequest():
                return self._desk.stop(escrow, message)
            case ProviderCancellation():
                return self._desk.cancel(escrow, message)
            case UnattestedClaim():
                return self._desk.claim_unattested(escrow, claim=message)
            case Concession():
                return self._desk.concede(escrow, message)
            case Ruling():
                return self._desk.resolve(escrow, ruling=message)
            case Confirmation():
                return self._desk.redeem(escrow, message)
            case SplitAgreement():
                return self._desk.settle_split(escrow, message)
            case Dispute():
                return self._desk.disputed(escrow, message)
            case _:
                raise InvalidValue(f"{type(message).__name__} is nothing that is relayed")

    # ---------------------------------------------------------------- inside

    def _require_outsider(self, *parties: Address) -> None:
        """Raise unless the payer is none of these: what it sends counts as its own word."""
        payer = self._desk.payer().address
        if payer in parties:
            raise InvalidValue(f"{payer} pays for relays, and is a party here: send it as that party")


def _deal_of(message: AboutDeal) -> EscrowId:
    return message.escrow_id if isinstance(message, Dispute) else message.deal_id


def _require_charged(account: Address | None, signer: Address) -> None:
    if account not in {None, signer}:
        raise InvalidValue(f"{signer} signed it and is charged, not {account}: leave the account out")


def _in_deal(escrow: EscrowAccount, account: Address) -> Amount:
    """Return what a party has in a deal that is open: the price, or the bond."""
    held = Amount.zero(escrow.token)
    if escrow.status in CLOSED:
        return held
    if account == escrow.buyer:
        held += escrow.amount
    return held + escrow.bond if account == escrow.provider else held


class _Desk(PaymentService):
    """The verbs of payments, sent by the outbox that charges for them."""

    def __init__(self, client: EscrowChain, journal: Journal, outbox: MeteredOutbox) -> None:
        super().__init__(client, journal=journal)
        self._outbox = outbox

    def payer(self) -> TransactionSigner:
        """Return who pays the gas. Raises WalletError."""
        return self._payer()

    def disputed(self, escrow: EscrowAccount, dispute: Dispute) -> TransactionId:
        """Contest a claim by the buyer's signature; return what opened the dispute."""
        verify_dispute(dispute, escrow.terms, self.client.domain, self.client.is_approved)
        self.handle_dispute(escrow, dispute)
        opened = self._event(escrow, DealDisputed)
        if opened is None:
            raise InvalidStateTransition(escrow.status.name, "DISPUTED")
        return opened.transaction_id
