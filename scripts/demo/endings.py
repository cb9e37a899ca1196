"""How the deals end, in the order of the clock. Each step is the SDK's; the ledger is kept by hand."""

from dataclasses import replace
from datetime import timedelta

from molt_market import Dispute, SplitAgreement, sign_split, sign_vote
from scripts.demo.stage import Deal, Stage
from scripts.demo.tables import say

OVER_TWO_PARTS = ("over two providers, part 1", "over two providers, part 2")


def in_the_first_minutes(stage: Stage) -> None:
    deal = stage.deals["stopped at once"]
    stage.note("stop", stage.payments(deal.agreed.buyer).stop(deal.escrow))
    say("stopped at once: the buyer changes his mind within the notice. Nobody loses his bond.")

    deal = stage.deals["cancelled at once"]
    stage.note("cancel a deal", stage.payments(deal.agreed.provider).cancel(deal.escrow))
    stage.ledger.delivered(deal.agreed, 0)
    say("cancelled at once: the provider gives up; the buyer has his money back, and the whole bond.")


def after_six_hours(stage: Stage) -> None:
    stage.redeem(stage.deals["vouchers while it runs"], 6, "release in part by voucher")

    deal = stage.deals["cancelled after 6 h"]
    stage.redeem(deal, 6, "release in part by voucher")
    stage.note("cancel a deal", stage.payments(deal.agreed.provider).cancel(deal.escrow))
    stage.ledger.delivered(deal.agreed, deal.units(6))
    say("cancelled after 6 h: six hours stay paid, and a quarter of the bond earned.")

    deal = stage.deals["stopped after 6 h"]
    stage.note("stop", stage.payments(deal.agreed.buyer).stop(deal.escrow))
    deal.agreed = replace(deal.agreed, deliverable=deal.units("6.25"))
    say("stopped after 6 h: the deal now ends after a quarter of an hour's notice.")


def at_half_time(stage: Stage) -> None:
    stage.redeem(stage.deals["never claimed"], 12, "release in part by voucher")

    deal = stage.deals["split"]
    until = stage.net.clock.now() + timedelta(hours=1)
    agreement = SplitAgreement(deal_id=deal.escrow.id, gpu_seconds=deal.units(10), until=until)
    for role in (deal.agreed.buyer, deal.agreed.provider):
        agreement = sign_split(agreement, stage.cast[role], deal.escrow.terms, stage.net.domain)
    stage.note("settle by two signatures", stage.payments("stranger").settle_split(deal.escrow, agreement))
    stage.ledger.paid(deal.agreed, deal.units(10))
    say("split: both sign for 10 hours; the bond goes back whole, and anyone may bring that.")


def at_the_end(stage: Stage) -> None:
    for name in ("confirmed", "repriced", "at the new price", *OVER_TWO_PARTS):
        deal = stage.deals[name]
        result = stage.settle(deal, 24, stage.voucher(deal, 24))
        stage.note("release in full by voucher", result.transactions[-1])
        stage.ledger.delivered(deal.agreed, deal.units(24))
    deal = stage.deals["vouchers while it runs"]
    stage.redeem(deal, 24, "release in full by voucher")
    stage.ledger.delivered(deal.agreed, deal.units(24))
    say(
        "confirmed, repriced, at the new price, over two providers, vouchers while it runs: paid by vouchers."
    )

    claims = {
        "attested": "23.5",
        "stopped after 6 h": "6.25",
        "ruled by a panel": "24",
        "conceded": "24",
        "silent arbiter": "23",
    }
    for name, hours in claims.items():
        stage.claim(stage.deals[name], hours)
    say("attested: the GPUs went half an hour early; agent and two attestors vouch for 47 heartbeats of 48.")
    say("ruled by a panel, conceded, silent arbiter: claimed as well, and too high, the buyers find.")

    deal = stage.deals["unattested"]
    stage.note(
        "claim without attestors", stage.payments(deal.agreed.provider).claim_unattested(deal.escrow, "20")
    )
    say("unattested: no attestor was there; the provider's own claim goes straight to the arbiter.")


def while_claims_can_be_contested(stage: Stage) -> None:
    for name, counter in (("ruled by a panel", 12), ("conceded", 20), ("silent arbiter", 22)):
        _contest(stage, stage.deals[name], counter)
    say("Three buyers dispute: what they accept is paid at once, both sides stake on the rest.")


def _contest(stage: Stage, deal: Deal, counter_hours: int) -> None:
    dispute = Dispute(escrow_id=deal.escrow.id, counter_hours=counter_hours)
    resolution = stage.payments(deal.agreed.buyer).handle_dispute(deal.escrow, dispute)
    stage.note("dispute", resolution.transactions[-1])


def after_the_challenge_window(stage: Stage) -> None:
    for name, hours in (("attested", "23.5"), ("stopped after 6 h", "6.25")):
        deal = stage.deals[name]
        stage.note("finalize a claim", stage.settle(deal, hours).transactions[-1])
        stage.ledger.delivered(deal.agreed, deal.units(hours))
    say("attested, stopped after 6 h: nobody contested the claims, they are paid.")

    deal = stage.deals["conceded"]
    stage.note("concede", stage.payments(deal.agreed.provider).concede(deal.escrow))
    stage.ledger.disputed(
        deal.agreed, deal.units(20), deal.units(24), deal.units(20), "arbiter", 0, attested=True
    )
    say("conceded: the provider gives in to the buyer's 20 hours; the stakes are the buyer's.")


def the_rulings(stage: Stage) -> None:
    deal = stage.deals["ruled by a panel"]
    until = stage.net.clock.now() + timedelta(hours=1)
    votes = [
        sign_vote(deal.escrow.id, deal.units(18), member, stage.net.panel, stage.net.domain, until=until)
        for member in sorted(stage.net.panel_members[:2], key=lambda each: int(each.address, 16))
    ]
    stage.note("ruling of a panel", stage.payments("stranger").rule(deal.escrow, votes))
    share_bps = stage.net.policy.arbiter_share_bps
    stage.ledger.disputed(
        deal.agreed, deal.units(12), deal.units(24), deal.units(18), "panel", share_bps, attested=True
    )
    say("ruled by a panel: two of its three members sign for 18 hours; the buyer said 12, the claim 24.")

    deal = stage.deals["unattested"]
    stage.note("ruling of an arbiter", stage.payments("arbiter").resolve(deal.escrow, 10))
    stage.ledger.disputed(
        deal.agreed, 0, deal.units(20), deal.units(10), "arbiter", share_bps, attested=False
    )
    say("unattested: the arbiter rules for 10 of the 20 hours.")


def after_the_grace(stage: Stage) -> None:
    for name, hours in (("no-show", 0), ("never claimed", 12)):
        deal = stage.deals[name]
        stage.finalize(deal, name)
        stage.ledger.delivered(deal.agreed, deal.units(hours))
    stage.finalize(stage.deals["stopped at once"], "stopped")
    say("no-show: all of the price and the whole bond are the buyer's. never claimed: 12 hours stay paid.")


def after_the_arbitration(stage: Stage) -> None:
    deal = stage.deals["silent arbiter"]
    stage.finalize(deal, "nobody ruled")
    stage.ledger.disputed(
        deal.agreed, deal.units(22), deal.units(23), deal.units(23), "arbiter", 0, attested=True
    )
    say("silent arbiter: an attested claim stands.")
