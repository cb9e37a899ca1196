"""The story: twelve offers, three orders; two deals to the end, one forged match; every unit is counted."""

import sys
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from molt_market import (
    Amount,
    Attestation,
    CapacityOffer,
    Confirmation,
    EscrowAccount,
    JobSettlementInput,
    OrderBook,
    OrderMatch,
    PaymentService,
    SettlementResult,
    SettlementStatus,
    settle_job,
)
from molt_market.attestation.receipts import assemble_proof, countersign, issue_receipt
from molt_market.attestation.usage import Heartbeat, UsageLog
from molt_market.chain.client import MoltClient
from molt_market.domain.settlement import gpu_seconds
from molt_market.refusals import BadSignature
from molt_market.signing.statements import sign_offer, sign_order, sign_voucher
from molt_market.testing import Devnet, devnet
from scripts.demo.audit import Auditor, Ledger
from scripts.demo.cast import Cast, offers, orders
from scripts.demo.tables import chapter, molt, say, table

FEE_BPS = 100


@dataclass
class Demo:
    """The parts of the market, and what has happened so far."""

    net: Devnet
    cast: Cast
    book: OrderBook
    ledger: Ledger
    auditor: Auditor
    gas: dict[str, list[int]] = field(default_factory=dict)

    def client(self, role: str) -> MoltClient:
        return self.net.client(self.cast[role])

    def payments(self, role: str) -> PaymentService:
        return self.net.payments(self.cast[role], book=self.book)

    def note(self, what: str, transaction_id: str | None) -> None:
        """Remember what a transaction cost."""
        if transaction_id is not None:
            self.gas.setdefault(what, []).append(self.auditor.gas_used(transaction_id))

    def warp(self, hours: Decimal | int, why: str) -> None:
        self.net.warp(int(hours * 3_600))
        say(f"[dim]-- the chain's clock goes {hours} h on: {why}[/dim]")


def main() -> int:
    with devnet(fee_bps=FEE_BPS) as net:
        demo = prepare(net)
        before = demo.auditor.balances(accounts(demo))
        list_offers(demo)
        matches = match_orders(demo)
        escrows = open_deals(demo, matches)
        forged_match(demo, matches[2])
        demo.warp(24, "both jobs run")
        confirmed_deal(demo, escrows[0])
        attested_deal(demo, escrows[1])
        withdraw_all(demo)
        show_gas(demo)
        return account_for(demo, before)


def prepare(net: Devnet) -> Demo:
    book = OrderBook(clock=net.clock)
    auditor = Auditor(net.url, net.deployment.token_address)
    chapter("The chain")
    say(f"Anvil at {net.url}, chain {net.deployment.chain_id}, MoltEscrow at {net.deployment.escrow}.")
    say("A day takes seconds here: the chain's clock is moved on, and everybody reads that one clock.")
    return Demo(net, Cast(net), book, Ledger(FEE_BPS, "platform"), auditor)


def accounts(demo: Demo) -> dict[str, str]:
    """Return every account that can hold tokens, by name."""
    holders = {role: wallet.address for role, wallet in demo.cast.wallets.items()}
    return {**holders, "escrow": demo.net.deployment.escrow}


# ---------------------------------------------------------------- before the deals


def list_offers(demo: Demo) -> None:
    """Sign the offers and list them in the book."""
    chapter("Offers")
    for offer in offers(demo.cast):
        provider = demo.cast[demo.cast.name(offer.provider_id)]
        demo.book.add_offer(sign_offer(offer, provider, demo.net.domain))
    for role in demo.cast.all("provider"):
        deposited = demo.client(role).balances(demo.cast[role].address).escrow
        demo.ledger.held(role, deposited.base_units)
    bond = demo.net.policy.bond_bps / 100
    say(f"Each provider has {deposited} in the escrow; a deal's bond is {bond:g} % of its price.\n")
    table(
        ("provider", "GPUs", "VRAM each", "country", ">MOLT per GPU-hour", "signature"),
        [offer_row(demo, offer) for offer in demo.book.active_offers()],
    )


def offer_row(demo: Demo, offer: CapacityOffer) -> tuple[str, ...]:
    gpus = offer.gpu_capacity
    country = (offer.location and offer.location.country) or "-"
    return (
        demo.cast.name(offer.provider_id),
        f"{gpus.gpu_count} x {gpus.gpu_model}",
        f"{gpus.vram_gb} GB",
        country,
        molt(offer.price_per_hour.base_units),
        f"{(offer.signature or '-')[:14]}...",
    )


def match_orders(demo: Demo) -> list[OrderMatch]:
    """Submit the orders and return the best match of each."""
    chapter("Orders")
    submitted = orders(demo.cast)
    table(
        ("order of", "GPUs", ">VRAM from", ">hours", ">MOLT up to", "models", "country"),
        [
            (
                demo.cast.name(order.buyer_id),
                str(need.min_gpu_count),
                f"{need.min_vram_gb} GB",
                str(need.estimated_hours),
                molt(need.max_price_per_hour.base_units),
                ", ".join(need.required_models)
                or ("any, rather " + ", ".join(need.preferred_models) if need.preferred_models else "any"),
                (need.location and need.location.country) or "any",
            )
            for order in submitted
            for need in (order.requirements,)
        ],
    )
    chapter("Matches")
    best = []
    for order in submitted:
        demo.book.submit_order(order)
        found = demo.book.match_order(order)
        say(f"[bold]{demo.cast.name(order.buyer_id)}[/bold]: {len(found)} of 12 offers fit")
        table(
            ("provider", "GPUs", ">price", ">total", ">score", "because"),
            [match_row(demo, match) for match in found[:3]],
        )
        best.append(found[0])
    return best


def match_row(demo: Demo, match: OrderMatch) -> tuple[str, ...]:
    return (
        demo.cast.name(match.provider_id),
        f"{match.gpu_count} x {match.offer.gpu_capacity.gpu_model}",
        molt(match.price_per_hour.base_units),
        molt(match.total_cost.base_units),
        f"{match.score:.6f}",
        ", ".join(f"{part.name} {part.millionths / 1e6:.3f}" for part in match.reasons if part.millionths),
    )


# ---------------------------------------------------------------- the deals


def open_deals(demo: Demo, matches: list[OrderMatch]) -> list[EscrowAccount]:
    """Lock the money of the first two matches."""
    chapter("Deals")
    return [open_deal(demo, match, demo.cast.name(match.order.buyer_id)) for match in matches[:2]]


def confirmed_deal(demo: Demo, escrow: EscrowAccount) -> None:
    """The buyer confirms the whole job by a voucher: paid at once."""
    chapter("Deal 1: the buyer confirms")
    hours = Decimal(24)
    units = gpu_seconds(hours, escrow.terms.gpu_count)
    receipt, _ = attested_usage(demo, escrow, hours)
    domain = demo.net.domain
    voucher = sign_voucher(escrow.id, units, demo.cast["buyer-1"], domain)
    result = settle(demo, escrow, hours, receipt, [], voucher)
    say(f"The provider redeems the buyer's voucher over {units:,} GPU-seconds: {described(result)}.")
    demo.note("release in full by voucher", result.transactions[-1])
    demo.ledger.paid("buyer-1", demo.cast.name(escrow.provider), escrow.terms.price_per_gpu_hour, units)
    show_result(result)


def attested_deal(demo: Demo, escrow: EscrowAccount) -> None:
    """The buyer is silent: attestors vouch for 23.5 of 24 hours, and the uncontested claim is paid."""
    chapter("Deal 2: the buyer says nothing")
    say("The GPUs went away half an hour early; so the usage log has 47 heartbeats instead of 48.")
    hours = Decimal("23.5")
    units = gpu_seconds(hours, escrow.terms.gpu_count)
    receipt, attestations = attested_usage(demo, escrow, hours)
    claimed = settle(demo, escrow, hours, receipt, attestations, None)
    quorum = f"the agent and {len(attestations)} of 3 attestors"
    say(f"With a receipt of {quorum} the provider claims {hours} of 24 hours: {described(claimed)}.")
    demo.note("claim with 2 attestors", claimed.transactions[-1])
    demo.warp(1, "the buyer's time to contest the claim passes")
    result = settle(demo, escrow, hours, receipt, attestations, None)
    say(f"Anyone may close it now, and the provider does: {described(result)}.")
    demo.note("finalize a claim", result.transactions[-1])
    provider, price = demo.cast.name(escrow.provider), escrow.terms.price_per_gpu_hour
    demo.ledger.paid("buyer-2", provider, price, units)
    demo.ledger.undelivered(
        "buyer-2", provider, escrow.bond.base_units, delivered=units, allocated=escrow.terms.gpu_seconds
    )
    show_result(result)


def forged_match(demo: Demo, match: OrderMatch) -> None:
    """The third buyer lowers the price in the signed offer. The SDK refuses that, so he goes round it."""
    chapter("A forged match")
    client, wallet = demo.client("buyer-3"), demo.cast["buyer-3"]
    demo.note("deposit (with permit)", client.deposit(match.total_cost).transaction_id)
    cheap = match.offer.model_copy(update={"price_per_hour": Amount(1)})
    order = match.order.model_copy(update={"slot": client.next_order_slot(wallet.address)})
    signed = sign_order(order, wallet, client.domain, offer=cheap)
    receipt, refusal = client.send_unchecked(client.calls.open(cheap, signed))
    say(
        f"buyer-3 has {match.total_cost} in the escrow, but lowers the price to one base unit and sends that."
    )
    say(f"Mined in block {receipt.block} with status {int(receipt.succeeded)}: {refusal}")
    if receipt.succeeded or not isinstance(refusal, BadSignature):
        sys.exit("the chain did not refuse the forged match with BAD_SIGNATURE")
    demo.note("open, forged and refused", receipt.transaction_id)
    say(f"Code {refusal.code}, {refusal.name}: the provider never signed that price. Nothing is locked.")


def open_deal(demo: Demo, match: OrderMatch, buyer: str) -> EscrowAccount:
    """Open the deal of a match: permit, deposit and opening in one transaction."""
    escrow = demo.payments(buyer).create_job_escrow(match, demo.cast[buyer])
    demo.note("permit + deposit + open", escrow.transaction_id)
    gpus = f"{match.gpu_count} x {match.offer.gpu_capacity.gpu_model}"
    provider = demo.cast.name(match.provider_id)
    say(f"{buyer} takes {gpus} of {provider} for {match.hours} h: {escrow.amount} locked, bond {escrow.bond}")
    say(f"[dim]deal {escrow.id}[/dim]")
    return escrow


def attested_usage(
    demo: Demo, escrow: EscrowAccount, hours: Decimal
) -> tuple[Attestation, list[Attestation]]:
    """Return the agent's receipt over its usage log, and the same receipt signed by two attestors."""
    domain = demo.net.domain
    log = UsageLog(escrow.id)
    for beat in range(int(hours * 2)):
        log.append(
            Heartbeat(
                deal_id=escrow.id,
                sequence=beat,
                at=escrow.created_at + timedelta(minutes=30 * beat),
                gpu_uuids=tuple(f"GPU-{index}" for index in range(escrow.terms.gpu_count)),
                previous=log.head,
            )
        )
    agent = demo.cast[demo.cast.name(escrow.terms.agent)]
    receipt = issue_receipt(log, gpu_seconds(hours, escrow.terms.gpu_count), agent, domain)
    return receipt, [countersign(receipt, attestor, domain) for attestor in demo.net.attestors[:2]]


def settle(  # noqa: PLR0917 - called above with plain names
    demo: Demo,
    escrow: EscrowAccount,
    hours: Decimal,
    receipt: Attestation,
    attestations: list[Attestation],
    voucher: Confirmation | None,
) -> SettlementResult:
    job = JobSettlementInput(
        escrow_id=escrow.id,
        actual_hours=hours,
        proof=assemble_proof(receipt, attestations, demo.net.policy),
        provider_attestation=receipt,
        buyer_confirmation=voucher,
    )
    return settle_job(job, demo.payments(demo.cast.name(escrow.provider)))


def described(result: SettlementResult) -> str:
    """Write how a settlement stands."""
    match result.status:
        case SettlementStatus.PartialRefund(reason=reason) | SettlementStatus.FullRefund(reason=reason):
            return f"the rest is refunded, {reason}"
        case SettlementStatus.Pending(claimable_at=when):
            return f"pending until {when:%Y-%m-%d %H:%M} UTC"
        case _:
            return "success"


def show_result(result: SettlementResult) -> None:
    table(
        ("", ">MOLT"),
        [
            ("to the provider", molt(result.provider_payment.base_units)),
            ("platform fee", molt(result.platform_fee.base_units)),
            ("back to the buyer", molt(result.buyer_refund.base_units)),
        ],
    )


# ---------------------------------------------------------------- the end


def withdraw_all(demo: Demo) -> None:
    """Everybody takes everything out."""
    chapter("Withdrawals")
    holders = [
        (role, demo.client(role))
        for role, wallet in demo.cast.wallets.items()
        if demo.client(role).balances(wallet.address).escrow.base_units
    ]
    for role, client in holders:
        client.request_withdraw(client.balances(demo.cast[role].address).escrow)
    demo.warp(Decimal("0.25"), "the delay that keeps matches from being broken by withdrawals")
    for _, client in holders:
        demo.note("withdraw", client.withdraw().transaction_id)
    say(f"{', '.join(role for role, _ in holders)} took all that was theirs out of the escrow.")


def show_gas(demo: Demo) -> None:
    chapter("Gas")
    table(
        ("transaction", ">times", ">least", ">most"),
        [(what, str(len(used)), f"{min(used):,}", f"{max(used):,}") for what, used in demo.gas.items()],
    )


def account_for(demo: Demo, before: dict[str, int]) -> int:
    """Compare every balance, read by plain JSON-RPC, with what it should be. Return the exit status."""
    chapter("Every unit")
    after = demo.auditor.balances(accounts(demo))
    changes = demo.ledger.changes
    table(
        ("account", ">balanceOf before", ">after", ">change", ">should be"),
        [
            (
                name,
                molt(before[name]),
                molt(after[name]),
                molt(after[name] - before[name], signed=True),
                molt(changes.get(name, 0), signed=True),
            )
            for name in before
            if before[name] or after[name] or name == "escrow"
        ],
    )
    wrong = demo.ledger.unaccounted(before, after)
    for name, units in wrong.items():
        say(f"[bold red]{name}: {units:+} base units unaccounted for[/bold red]")
    if not wrong:
        total = molt(sum(after.values()))
        say(f"\n[bold green]{total} MOLT before and after, every base unit where it belongs.[/bold green]")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
