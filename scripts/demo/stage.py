"""The market as the story goes: its parts, its deals, and what has happened to the money."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from molt_market import (
    Attestation,
    Confirmation,
    EscrowAccount,
    ExecutionProof,
    JobSettlementInput,
    OrderBook,
    OrderMatch,
    PaymentService,
    SettlementResult,
    settle_job,
)
from molt_market.attestation.receipts import assemble_proof, countersign, issue_receipt
from molt_market.attestation.usage import Heartbeat, UsageLog
from molt_market.chain.client import MoltClient
from molt_market.domain.settlement import gpu_seconds
from molt_market.signing.statements import sign_voucher
from molt_market.testing import Devnet
from scripts.demo.audit import Agreed, Auditor, Ledger
from scripts.demo.cast import Cast
from scripts.demo.tables import say

Hours = Decimal | int | str


@dataclass
class Deal:
    """One opened deal of the story."""

    name: str
    match: OrderMatch
    escrow: EscrowAccount
    agreed: Agreed

    def units(self, hours: Hours) -> int:
        """Return the GPU-seconds of so many hours of its allocation."""
        return gpu_seconds(hours, self.escrow.terms.gpu_count)


@dataclass
class Stage:
    """Whoever acts here acts through a client of his own; the stranger does what anyone may do."""

    net: Devnet
    cast: Cast
    book: OrderBook
    ledger: Ledger
    auditor: Auditor
    deals: dict[str, Deal] = field(default_factory=dict)
    gas: dict[str, list[int]] = field(default_factory=dict)
    hour: Decimal = Decimal(0)
    _services: dict[str, PaymentService] = field(default_factory=dict)

    def payments(self, role: str) -> PaymentService:
        """Return a role's payments; each has a journal of its own that lasts."""
        if role not in self._services:
            self._services[role] = self.net.payments(self.cast[role], book=self.book)
        return self._services[role]

    def client(self, role: str) -> MoltClient:
        return self.net.client(self.cast[role])

    def note(self, what: str, transaction_id: str | None) -> None:
        """Remember what a transaction cost."""
        if transaction_id is not None:
            self.gas.setdefault(what, []).append(self.auditor.gas_used(transaction_id))

    def until(self, hour: Hours, why: str) -> None:
        """Turn the chain's clock to so many hours after the deals were opened."""
        seconds = int((Decimal(hour) - self.hour) * 3_600)
        self.hour = Decimal(hour)
        self.net.warp(seconds)
        say(f"\n[bold]hour {hour}[/bold] [dim]{why}[/dim]")

    # ---------------------------------------------------------------- what parties sign

    def voucher(self, deal: Deal, hours: Hours) -> Confirmation:
        buyer = self.cast[deal.agreed.buyer]
        return sign_voucher(deal.escrow.id, deal.units(hours), buyer, self.net.domain)

    def proof(self, deal: Deal, hours: Hours) -> ExecutionProof:
        """Return the agent's receipt over half-hourly heartbeats, signed by two of three attestors."""
        log = UsageLog(deal.escrow.id)
        for beat in range(int(Decimal(hours) * 2)):
            log.append(
                Heartbeat(
                    deal_id=deal.escrow.id,
                    sequence=beat,
                    at=deal.escrow.created_at + timedelta(minutes=30 * beat),
                    previous=log.head,
                )
            )
        agent = self.cast[self.cast.name(deal.escrow.terms.agent)]
        receipt = issue_receipt(log, deal.units(hours), agent, self.net.domain)
        policy = self.client("stranger").policy(deal.escrow.terms.policy_id)
        signed = [countersign(receipt, attestor, self.net.domain) for attestor in self.net.attestors[:2]]
        return assemble_proof(receipt, signed, policy)

    # ---------------------------------------------------------------- steps of several deals

    def redeem(self, deal: Deal, hours: Hours, what: str) -> None:
        """The provider redeems a voucher of the buyer's."""
        provider = self.payments(deal.agreed.provider)
        self.note(what, provider.redeem(deal.escrow, self.voucher(deal, hours)))

    def settle(self, deal: Deal, hours: Hours, confirmation: Confirmation | None = None) -> SettlementResult:
        """The provider settles: releases with the buyer's confirmation, else claims and later finalizes."""
        proof = self.proof(deal, hours)
        receipt: Attestation = proof.receipt
        job = JobSettlementInput(
            escrow_id=deal.escrow.id,
            actual_hours=Decimal(hours),
            proof=proof,
            provider_attestation=receipt,
            buyer_confirmation=confirmation,
        )
        return settle_job(job, self.payments(deal.agreed.provider))

    def claim(self, deal: Deal, hours: Hours) -> None:
        self.note("claim with 2 attestors", self.settle(deal, hours).transactions[-1])

    def finalize(self, deal: Deal, reason: str) -> None:
        """Anyone closes a deal whose deadline is over."""
        self.note("finalize", self.payments("stranger").refund_payment(deal.escrow, reason))
