"""The story: twelve offers, seventeen orders, every ending that a deal can have, every unit counted."""

import sys
from decimal import Decimal

from molt_market.chain.panel import Panel
from molt_market.testing import devnet
from scripts.demo import endings, machine, opening, refusals
from scripts.demo.stage import Deal, Stage
from scripts.demo.tables import chapter, molt, say, short, table

FEE_BPS = 100


def main() -> int:
    with devnet(fee_bps=FEE_BPS) as net:
        stage = opening.set_the_stage(net, FEE_BPS)
        before = stage.auditor.balances(accounts(stage))
        opening.list_offers(stage)
        opening.open_deals(stage)
        run(stage)
        machine.from_match_to_machine(stage)
        show_deals(stage)
        withdraw_all(stage)
        show_gas(stage)
        return account_for(stage, before)


def run(stage: Stage) -> None:
    """Let the clock go, from the first minutes to the last deadline."""
    chapter("What the chain refuses")
    refusals.forged_match(stage)
    refusals.double_booking(stage)
    refusals.order_opened_twice(stage)
    refusals.withdrawal_before_its_delay(stage)
    chapter("The endings")
    endings.in_the_first_minutes(stage)
    opening.cancel_the_old_price(stage)
    stage.until("0.5", "cancels have taken effect")
    refusals.cancelled_offer(stage)
    opening.new_price(stage)
    stage.until(6, "the first vouchers")
    endings.after_six_hours(stage)
    refusals.replayed_voucher(stage)
    stage.until(12, "half of the time")
    endings.at_half_time(stage)
    stage.until(24, "the end of the jobs")
    endings.at_the_end(stage)
    refusals.ruling_out_of_bounds(stage)
    stage.until("24.5", "buyers look at the claims")
    endings.while_claims_can_be_contested(stage)
    stage.until("25.5", "the hour to contest a claim is over")
    endings.after_the_challenge_window(stage)
    endings.the_rulings(stage)
    stage.until(49, "a day after the end: what nobody claimed")
    endings.after_the_grace(stage)
    stage.until(100, "three days: the time to rule is over")
    endings.after_the_arbitration(stage)


def accounts(stage: Stage) -> dict[str, str]:
    """Return every account that can hold tokens, by name."""
    holders = {role: wallet.address for role, wallet in stage.cast.wallets.items()}
    return {**holders, "panel": stage.net.panel, "escrow": stage.net.deployment.escrow}


def show_deals(stage: Stage) -> None:
    chapter("How the deals ended")
    table(
        ("deal", "provider", ">hours paid", ">to the provider", ">fee", ">price back", "status"),
        [_ended_row(stage, deal) for deal in stage.deals.values()],
    )


def _ended_row(stage: Stage, deal: Deal) -> tuple[str, ...]:
    escrow = stage.client("stranger").escrow(deal.escrow.id)
    settled = stage.payments("stranger").settlement(deal.escrow.id)
    hours = (Decimal(escrow.paid_gpu_seconds) / deal.units(1)).quantize(Decimal("0.000001"))
    return (
        deal.name,
        deal.agreed.provider,
        f"{hours.normalize():f}",
        short(settled.provider_payment.base_units),
        short(settled.platform_fee.base_units),
        short(settled.buyer_refund.base_units),
        escrow.status.name,
    )


def withdraw_all(stage: Stage) -> None:
    """Everybody takes everything out, and the panel splits its share."""
    chapter("Withdrawals")
    holders = [
        role
        for role, wallet in stage.cast.wallets.items()
        if stage.client(role).balances(wallet.address).escrow.base_units
    ]
    for role in holders:
        client = stage.client(role)
        client.request_withdraw(client.balances(stage.cast[role].address).escrow)
    panel = Panel(stage.client("stranger"), stage.net.panel)
    panel.request_shares()
    stage.until(stage.hour + Decimal("0.25"), "the delay that keeps withdrawals from breaking matches")
    for role in holders:
        stage.note("withdraw", stage.client(role).withdraw().transaction_id)
    stage.note("withdraw and split the panel's share", panel.withdraw_shares().transaction_id)
    members = stage.cast.all("panel-member")
    part = stage.ledger.changes.get("panel", 0) // len(members)
    for member in members:
        stage.ledger.move("panel", member, part)
    say(f"{len(holders)} accounts and the panel's members took all that was theirs out of the escrow.")


def show_gas(stage: Stage) -> None:
    chapter("Gas")
    table(
        ("transaction", ">times", ">least", ">most"),
        [(what, str(len(used)), f"{min(used):,}", f"{max(used):,}") for what, used in stage.gas.items()],
    )


def account_for(stage: Stage, before: dict[str, int]) -> int:
    """Compare every balance, read by plain JSON-RPC, with what it should be. Return the exit status."""
    chapter("Every unit")
    after = stage.auditor.balances(accounts(stage))
    changes = stage.ledger.changes
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
            if before[name] or after[name] or changes.get(name)
        ],
    )
    wrong = stage.ledger.unaccounted(before, after)
    for name, units in wrong.items():
        say(f"[bold red]{name}: {units:+} base units unaccounted for[/bold red]")
    if not wrong:
        total = molt(sum(after.values()))
        say(f"\n[bold green]{total} MOLT before and after, every base unit where it belongs.[/bold green]")
        say("The same by hand, one command after the other: docs/quickstart-buyer.md, and those beside it.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
