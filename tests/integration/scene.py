"""A market on a real chain: offers, orders, deals and proofs, each with every field overridable."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from molt_market.attestation.receipts import assemble_proof, countersign
from molt_market.chain.plans import TokenSpec
from molt_market.domain.amounts import MOLT, Amount, Token
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.fields import seconds
from molt_market.domain.ids import ZERO_HASH, Address, Hash32, OrderId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.domain.proofs import Confirmation, ExecutionProof
from molt_market.domain.settlement import JobSettlementInput, gpu_seconds
from molt_market.orderbook import OrderBook
from molt_market.payments.service import PaymentService
from molt_market.signing.statements import sign_offer, sign_receipt, sign_voucher
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from tests.factories import make_match, make_offer, make_order
from tests.tokens import DECIMALS

HOURS = 24
# The token of 6 decimals is a devnet's first contract.
FIRST_CONTRACT = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
SPEC, TOKEN = TokenSpec(), MOLT
if DECIMALS == 6:
    SPEC, TOKEN = TokenSpec("Six", "SIX", 6), Token("SIX", 6, FIRST_CONTRACT)
DONE = Hash32("0x" + "d0" * 32)


class Scene:
    """What the tests say in one line: 4 H100 for 24 hours at 2.5 MOLT, so 240 MOLT and a bond of 24."""

    def __init__(self, net: Devnet) -> None:
        self.net = net
        self.client = net.client()
        self.buyer = net.payments(net.buyer)
        self.provider = net.payments(net.provider)

    # ---------------------------------------------------------------- before a deal

    def offer(self, signer: Wallet | None = None, **overrides: Any) -> CapacityOffer:
        """Make a signed offer of 8 H100 for up to 48 hours."""
        fields = {
            "provider_id": (signer or self.net.provider).address,
            "agent": self.net.agent.address,
            "price_per_hour": molt("2.5"),
            "available_hours": 48,
            "created_at": self.net.clock.now(),
            "policy_id": self.net.policy_id,
        }
        offer = make_offer(**{**fields, **overrides})
        return sign_offer(offer, signer or self.net.provider, self.net.domain)

    def order(self, **overrides: Any) -> JobOrder:
        """Make an order of 4 GPUs for 24 hours at up to 3 MOLT; its slot is left open."""
        fields = {
            "id": OrderId.new(),
            "buyer_id": self.net.buyer.address,
            "voucher_signer": None,
            "max_price_per_hour": molt(3),
            "estimated_hours": HOURS,
            "created_at": self.net.clock.now(),
            "slot": None,
            "policy_id": None,
        }
        return make_order(**{**fields, **overrides})

    def match(self, **overrides: Any) -> OrderMatch:
        """Make a match of `offer` and `order`, where they are given; all other fields are the order's."""
        offer = overrides.pop("offer", None) or self.offer()
        return make_match(offer=offer, order=overrides.pop("order", None) or self.order(**overrides))

    def booked(self, book: OrderBook, **overrides: Any) -> OrderMatch:
        """Match an order in a book that has one offer."""
        book.add_offer(self.offer())
        return book.match_order(self.order(**overrides))[0]

    def open(self, payments: PaymentService | None = None, **overrides: Any) -> EscrowAccount:
        """Open a deal; the fields are those of `match`."""
        return (payments or self.buyer).create_job_escrow(self.match(**overrides), self.net.buyer)

    # ---------------------------------------------------------------- after it

    def proof(
        self,
        escrow: EscrowAccount,
        hours: str,
        *,
        agent: Wallet | None = None,
        attestors: int = 2,
        result: Hash32 = ZERO_HASH,
    ) -> ExecutionProof:
        """Have agent and attestors sign that the allocation ran so long."""
        units = gpu_seconds(hours, escrow.terms.gpu_count)
        signer = agent or self.net.agent
        receipt = sign_receipt(escrow.id, units, signer, self.net.domain, result_digest=result)
        signed = [countersign(receipt, each, self.net.domain) for each in self.net.attestors[:attestors]]
        return assemble_proof(receipt, signed, self.net.policy)

    def voucher(self, escrow: EscrowAccount, hours: str, signer: Wallet | None = None) -> Confirmation:
        """Have the buyer confirm that the allocation ran so long."""
        units = gpu_seconds(hours, escrow.terms.gpu_count)
        return sign_voucher(escrow.id, units, signer or self.net.buyer, self.net.domain)

    def job(
        self, escrow: EscrowAccount, hours: str, *, confirmed: bool = False, **of_proof: Any
    ) -> JobSettlementInput:
        """Make what a job of so many hours is settled by."""
        proof = self.proof(escrow, hours, **of_proof)
        return JobSettlementInput(
            escrow_id=escrow.id,
            actual_hours=Decimal(hours),
            proof=proof,
            provider_attestation=proof.receipt,
            buyer_confirmation=self.voucher(escrow, hours) if confirmed else None,
        )

    # ---------------------------------------------------------------- what there is

    def run(self, hours: int) -> None:
        """Let time pass."""
        self.net.warp(hours * 3_600)

    def run_past(self, escrow: EscrowAccount) -> None:
        """Let time pass up to the deal's present deadline."""
        present = self.client.escrow(escrow.id)
        self.net.warp(seconds(present.locked_until) - seconds(self.net.clock.now()))

    def wealth(self, account: Address | Wallet) -> Amount:
        """Return all tokens of an account, in its wallet and in the escrow."""
        return self.client.balances(account.address if isinstance(account, Wallet) else account).total

    def escrow_holds(self) -> Amount:
        return self.client.balance_of(self.net.deployment.escrow)

    def sent(self, account: Wallet) -> int:
        """Count an account's transactions."""
        return self.client.transactions.next_nonce(account.address)


def molt(value: str | int) -> Amount:
    """Return so many whole tokens of the devnet's."""
    return TOKEN.amount(value)
