"""What payments need of the chain and of the book: ports, so that they know neither."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from molt_market.domain.agreements import (
    Concession,
    ProviderCancellation,
    Ruling,
    RulingVote,
    SplitAgreement,
    StopRequest,
    UnattestedClaim,
)
from molt_market.domain.amounts import Amount, Token
from molt_market.domain.balances import Balances
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.disputes import Dispute
from molt_market.domain.events import Event
from molt_market.domain.ids import Address, EscrowId, Hash32, TransactionId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.domain.proofs import Confirmation, ExecutionProof
from molt_market.domain.requests import SignedRequest
from molt_market.domain.terms import Terms
from molt_market.domain.transactions import Call, Fee, SignedTransaction, TransactionReceipt
from molt_market.errors import MarketError, Refused
from molt_market.signing.messages import Policy
from molt_market.signing.signers import Signer
from molt_market.signing.statements import SignedPermit
from molt_market.signing.typed_data import Domain
from molt_market.signing.wallet import TransactionSigner


class Calls(Protocol):
    """Encodes the escrow's calls."""

    def open(self, offer: CapacityOffer, order: JobOrder) -> Call: ...

    def release(self, terms: Terms, voucher: Confirmation) -> Call: ...

    def claim(self, terms: Terms, proof: ExecutionProof) -> Call: ...

    def finalize(self, terms: Terms) -> Call: ...

    def stop(self, terms: Terms, request: StopRequest | None = None) -> Call: ...

    def cancel_deal(self, terms: Terms, cancellation: ProviderCancellation | None = None) -> Call: ...

    def claim_unattested(
        self, terms: Terms, gpu_seconds: int, claim: UnattestedClaim | None = None
    ) -> Call: ...

    def dispute(self, terms: Terms, dispute: Dispute) -> Call: ...

    def concede(self, terms: Terms, gpu_seconds: int, concession: Concession | None = None) -> Call: ...

    def resolve(self, terms: Terms, gpu_seconds: int, ruling: Ruling | None = None) -> Call: ...

    def rule(self, terms: Terms, votes: Sequence[RulingVote]) -> Call: ...

    def settle(self, terms: Terms, agreement: SplitAgreement) -> Call: ...

    def approve(self, amount: int) -> Call: ...

    def deposit(self, to: Address, amount: int) -> Call: ...

    def deposit_with_permit(self, permit: SignedPermit) -> Call: ...

    def bundle(self, calls: Sequence[Call], *, skip: bool = False) -> Call: ...


class RelayCalls(Protocol):
    """Encodes what an account asks for its balance and its groups of slots."""

    def relayed(self, request: SignedRequest | SignedPermit) -> Call: ...


class Transactions(Protocol):
    """Asks and sends, step by step; `molt_market.chain.transactions` says what each step raises."""

    @property
    def confirmations(self) -> int: ...

    @property
    def timeout(self) -> timedelta: ...

    def head(self) -> int: ...

    def next_nonce(self, sender: Address) -> int: ...

    def used_nonces(self, sender: Address, *, confirmed: bool = False) -> int: ...

    def market_fee(self) -> Fee: ...

    def simulate(self, call: Call, sender: Address) -> None: ...

    def simulate_all(self, calls: Sequence[Call], sender: Address) -> list[MarketError | None]: ...

    def gas(self, call: Call, sender: Address) -> int: ...

    def enough(self, calls: Sequence[Call], guesses: Sequence[int], sender: Address) -> list[int | None]: ...

    def require_gas_money(self, account: Address, gas: int, fee: Fee) -> None: ...

    def sign(
        self, call: Call, wallet: TransactionSigner, *, nonce: int, gas: int, fee: Fee
    ) -> SignedTransaction: ...

    def broadcast(self, signed: SignedTransaction) -> None: ...

    def knows(self, transaction_id: TransactionId) -> bool: ...

    def receipt(self, transaction_id: TransactionId) -> TransactionReceipt | None: ...

    def is_confirmed(self, receipt: TransactionReceipt) -> bool: ...

    def until_next_block(self, head: int, at_most: timedelta) -> None: ...

    def require_success(
        self, signed: SignedTransaction, receipt: TransactionReceipt
    ) -> TransactionReceipt: ...


class EscrowChain(Protocol):
    """One deployment, as one account sees it; `molt_market.chain.client.MoltClient` is one."""

    @property
    def domain(self) -> Domain: ...

    @property
    def token(self) -> Token: ...

    @property
    def account(self) -> TransactionSigner | None: ...

    @property
    def calls(self) -> Calls: ...

    @property
    def transactions(self) -> Transactions: ...

    def now(self) -> datetime: ...

    def escrow(self, deal_id: EscrowId) -> EscrowAccount: ...

    def deals(
        self, deal_ids: Collection[EscrowId]
    ) -> Mapping[EscrowId, tuple[EscrowAccount, Sequence[Event]]]: ...

    def is_open(self, deal_id: EscrowId) -> bool: ...

    def deal_events(self, deal_id: EscrowId) -> Sequence[Event]: ...

    def balances(self, account: Address, *, pending: bool = False) -> Balances: ...

    def allowance(self, owner: Address) -> int: ...

    def is_approved(self, account: Address, digest: Hash32) -> bool: ...

    def stored_policy(self, policy_id: Hash32) -> Policy: ...

    def check(
        self,
        offer: CapacityOffer,
        order: JobOrder,
        opener: Address,
        *,
        balances: Mapping[Address, Amount] | None = None,
    ) -> Refused | None: ...

    def check_all(
        self,
        matches: Sequence[tuple[CapacityOffer, JobOrder]],
        opener: Address,
        *,
        balances: Mapping[Address, Amount] | None = None,
    ) -> Sequence[MarketError | None]: ...

    def order_slots(self, buyer: Address, skip: Collection[int] = ()) -> Iterator[int]: ...

    def permit(self, owner: Signer, amount: int) -> SignedPermit | None: ...


Held = TypeVar("Held")


class ReservationBook(Protocol[Held]):
    """Holds the GPUs of a match while its deal is opened, and notes how the deal goes on.

    `molt_market.orderbook.OrderBook` is one.
    """

    def reserve(self, match: OrderMatch, until: datetime) -> Held: ...

    def confirm(self, reservation: Held, deal_id: EscrowId) -> None: ...

    def release(self, reservation: Held) -> None: ...

    def follow(self, deal_id: EscrowId, status: DealStatus, *, paid: bool = False) -> None: ...
