"""From offers and orders to open deals."""

from datetime import timedelta

from molt_market import Amount, CapacityOffer, EscrowAccount, JobOrder, OrderMatch, Side, TimeInForce
from molt_market.signing.statements import sign_offer
from molt_market.testing import Devnet
from scripts.demo.audit import Agreed, Auditor, Ledger
from scripts.demo.cast import HOURS, IN_VAIN, JOBS, OVER_TWO, Cast, offers, order
from scripts.demo.stage import Deal, Stage
from scripts.demo.tables import chapter, molt, say, table

OFFERS_PER_GROUP = 4
SHOWN = ("confirmed", "attested", "vouchers while it runs")


def set_the_stage(net: Devnet, fee_bps: int) -> Stage:
    chapter("The chain")
    say(f"Anvil at {net.url}, chain {net.deployment.chain_id}, MoltEscrow at {net.deployment.escrow}.")
    say("A day takes seconds here: the chain's clock is moved on, and everybody reads that one clock.")
    say("MOLT is a token for tests: nothing here is worth anything.")
    auditor = Auditor(net.url, net.deployment.token_address)
    return Stage(net, Cast(net), net.book(), Ledger(fee_bps, "platform"), auditor)


def list_offers(stage: Stage) -> None:
    """Sign the offers and list them in the book."""
    chapter("Offers")
    for offer in offers(stage.cast):
        provider = stage.cast[stage.cast.name(offer.provider_id)]
        stage.book.add_offer(sign_offer(offer, provider, stage.net.domain))
    for role in stage.cast.all("provider"):
        deposited = stage.client(role).balances(stage.cast[role].address).escrow
        stage.ledger.held(role, deposited.base_units)
    bond = stage.net.policy.bond_bps / 100
    say(f"Each provider has {deposited} in the escrow; a deal's bond is {bond:g} % of its price.\n")
    table(
        ("provider", "GPUs", "VRAM each", "country", ">MOLT per GPU-hour", "disputes go to", "signature"),
        [_offer_row(stage, offer) for offer in stage.book.active_offers()],
    )


def _offer_row(stage: Stage, offer: CapacityOffer) -> tuple[str, ...]:
    gpus = offer.gpu_capacity
    return (
        stage.cast.name(offer.provider_id),
        f"{gpus.gpu_count} x {gpus.gpu_model}",
        f"{gpus.vram_gb} GB",
        (offer.location and offer.location.country) or "-",
        molt(offer.price_per_hour.base_units),
        "a panel" if offer.policy_id == stage.net.panel_policy_id else "an arbiter",
        f"{(offer.signature or '-')[:14]}...",
    )


def open_deals(stage: Stage) -> None:
    """Match each order and lock its money."""
    chapter("Orders")
    wanted = {**JOBS, "over two providers": OVER_TWO}
    table(
        ("to be", "buyer", "GPUs", ">VRAM from", ">hours", ">MOLT per GPU-hour up to"),
        [
            (name, buyer, f"{gpus} x {model}", f"{vram_gb} GB", str(HOURS), limit)
            for name, (buyer, gpus, vram_gb, model, limit) in wanted.items()
        ],
    )
    chapter("Matches, of the first three")
    slots = dict.fromkeys(stage.cast.all("buyer"), 0)
    for name, job in JOBS.items():
        buyer = job[0]
        asked = order(stage.cast, job, slots[buyer])
        slots[buyer] += 1
        found = matches(stage, asked, shown=name in SHOWN)
        open_deal(stage, name, found[0])
    open_over_two(stage)
    explain_one_in_vain(stage)
    chapter("Deals")
    table(
        ("to be", "buyer", "provider", "GPUs", ">price locked", ">bond locked", "deal"),
        [_deal_row(deal) for deal in stage.deals.values()],
    )


def matches(stage: Stage, asked: JobOrder, *, shown: bool) -> list[OrderMatch]:
    """Submit an order and return what fits, the best first."""
    stage.book.submit_order(asked)
    found = stage.book.match_order(asked)
    if shown:
        say(f"[bold]{stage.cast.name(asked.buyer_id)}[/bold] wants {_wish(asked)}:")
        table(
            ("provider", "GPUs", ">price", ">total", ">score", "because"),
            [_match_row(stage, match) for match in found[:3]],
        )
    return found


def _wish(asked: JobOrder) -> str:
    need = asked.requirements
    gpus = f"{need.min_gpu_count} x {', '.join(need.required_models)} with {need.min_vram_gb} GB or more"
    return f"{gpus} for {need.estimated_hours} h at up to {need.max_price_per_hour}"


def _match_row(stage: Stage, match: OrderMatch) -> tuple[str, ...]:
    return (
        stage.cast.name(match.provider_id),
        f"{match.gpu_count} x {match.offer.gpu_capacity.gpu_model}",
        molt(match.price_per_hour.base_units),
        molt(match.total_cost.base_units),
        f"{match.score:.6f}",
        ", ".join(f"{part.name} {part.millionths / 1e6:.3f}" for part in match.reasons if part.millionths),
    )


def open_deal(stage: Stage, name: str, match: OrderMatch) -> Deal:
    """Permit, deposit and opening in one transaction."""
    buyer = stage.cast.name(match.order.buyer_id)
    escrow = stage.payments(buyer).create_job_escrow(match, stage.cast[buyer])
    return enter(stage, name, match, escrow)


def open_over_two(stage: Stage) -> None:
    """One need, two providers, one budget: the book holds all of it, and each part is a deal of its own."""
    buyer = OVER_TWO[0]
    asked = order(stage.cast, OVER_TWO, None)
    whole = JobOrder(**{**dict(asked), "split": True, "time_in_force": TimeInForce.FOK})
    held = stage.book.execute(whole, stage.net.clock.now() + timedelta(minutes=2))
    found = held.fill.matches if held.fill else ()
    opened = stage.payments(buyer).create_job_escrows(found, stage.cast[buyer], max_budget=whole.budget)
    for number, (match, escrow) in enumerate(zip(found, opened.escrows, strict=True), start=1):
        enter(stage, f"over two providers, part {number}", match, escrow)


def explain_one_in_vain(stage: Stage) -> None:
    """An order that nothing fits: what stands in the way, and what would help."""
    chapter("Why an order does not match")
    asked = order(stage.cast, IN_VAIN, None)
    explanation = stage.book.explain(asked)
    text = str(explanation).replace(f"order {asked.id}", _wish(asked))
    for relaxation in explanation.relaxations:
        match = relaxation.match
        text = text.replace(match.offer_id, stage.cast.name(match.provider_id))
    say(text)


def enter(stage: Stage, name: str, match: OrderMatch, escrow: EscrowAccount) -> Deal:
    """Write down a deal that was opened, and what its parties agreed on."""
    stage.note("permit + deposit + open", escrow.transaction_id)
    terms = escrow.terms
    agreed = Agreed(
        buyer=stage.cast.name(escrow.buyer),
        provider=stage.cast.name(escrow.provider),
        price_per_gpu_hour=match.price_per_hour.base_units,
        allocated=terms.gpu_seconds,
        deliverable=terms.gpu_seconds,
        tolerated=terms.gpu_count * stage.net.policy.notice_minutes * 60,
        bond_bps=stage.net.policy.bond_bps,
    )
    deal = stage.deals[name] = Deal(name, match, escrow, agreed)
    return deal


def _deal_row(deal: Deal) -> tuple[str, ...]:
    return (
        deal.name,
        deal.agreed.buyer,
        deal.agreed.provider,
        f"{deal.match.gpu_count} x {deal.match.offer.gpu_capacity.gpu_model}",
        molt(deal.escrow.amount.base_units),
        molt(deal.escrow.bond.base_units),
        f"{deal.escrow.id[:12]}...",
    )


# ---------------------------------------------------------------- a new price


def cancel_the_old_price(stage: Stage) -> None:
    """Cancel an offer on the chain; its group is four slots, so its neighbours go too."""
    old = stage.deals["repriced"].match.offer
    cancelled = stage.client("provider-4").cancel(Side.OFFERS, old.slot // OFFERS_PER_GROUP)
    stage.note("cancel offers", cancelled.transaction_id)
    stage.book.remove_offer(old.id)
    say("repriced: provider-4 cancels his offers; they stay good for a quarter of an hour, as matches need.")


def new_price(stage: Stage) -> None:
    """Sign the same GPUs again, on the same slot: what runs at the old price goes on and is counted."""
    old = stage.deals["repriced"].match.offer
    fields = dict(old) | {"price_per_hour": Amount.from_molt("4.10"), "signature": None}
    fields |= {"id": f"{old.id}-2", "created_at": stage.net.clock.now()}
    offer = sign_offer(CapacityOffer(**fields), stage.cast["provider-4"], stage.net.domain)
    stage.book.add_offer(offer)
    in_use = stage.client("stranger").gpus_in_use(stage.cast["provider-4"].address, old.slot)
    say(f"at the new price: the same GPUs for {offer.price_per_hour}; {in_use} are in use, 2 more now.")
    asked = order(stage.cast, ("buyer-1", 2, *JOBS["repriced"][2:]), None)
    open_deal(stage, "at the new price", matches(stage, asked, shown=False)[0])
