"""What the chain itself refuses: sent past the SDK, mined with status 0, the code compared."""

import sys

from molt_market import Amount, sign_order
from molt_market.domain.transactions import Call
from molt_market.refusals import (
    BadSignature,
    CapacityExceeded,
    CodedRefusal,
    NotAbovePaid,
    OfferCancelled,
    OrderAlreadyOpened,
    RulingOutOfRange,
    TooEarly,
)
from scripts.demo.cast import order
from scripts.demo.stage import Stage
from scripts.demo.tables import say


def refused(stage: Stage, what: str, role: str, call: Call, expected: type[CodedRefusal]) -> None:
    """Send a call that the chain has to refuse with one code; end the demo if it does anything else."""
    receipt, refusal = stage.client(role).send_unchecked(call)
    if receipt.succeeded or type(refusal) is not expected:
        sys.exit(f"{what}: the chain did not refuse with {expected.name}, but: {refusal or 'accepted it'}")
    stage.note("refused, whatever it was", receipt.transaction_id)
    say(f"{what}: mined in block {receipt.block} with status 0, code {refusal.code} {refusal.name}")
    say(f"[dim]    {refusal}[/dim]")


def forged_match(stage: Stage) -> None:
    """A buyer lowers the price in the signed offer."""
    deal = stage.deals["conceded"]
    client, buyer = stage.client("buyer-2"), stage.cast["buyer-2"]
    stage.note("deposit (with permit)", client.deposit(Amount.from_molt(1)).transaction_id)
    cheap = deal.match.offer.model_copy(update={"price_per_hour": Amount(1)})
    slot = client.next_order_slot(buyer.address)
    asked = deal.match.order.model_copy(update={"slot": slot, "max_budget": None})
    forged = sign_order(asked, buyer, client.domain, offer=cheap)
    refused(stage, "a forged match", "buyer-2", client.calls.open(cheap, forged), BadSignature)


def double_booking(stage: Stage) -> None:
    """A buyer takes GPUs that another deal holds: the offer is for 8 of them, whoever signs what."""
    deal = stage.deals["confirmed"]
    client, buyer = stage.client("buyer-2"), stage.cast["buyer-2"]
    need = deal.match.order.requirements
    slot = client.next_order_slot(buyer.address)
    asked = order(stage.cast, ("buyer-2", 4, need.min_vram_gb, need.required_models[0], "2.50"), slot)
    second = sign_order(asked, buyer, client.domain, offer=deal.match.offer)
    call = client.calls.open(deal.match.offer, second)
    refused(stage, "a double booking", "buyer-2", call, CapacityExceeded)


def order_opened_twice(stage: Stage) -> None:
    deal = stage.deals["cancelled after 6 h"]
    client, buyer = stage.client("buyer-1"), stage.cast["buyer-1"]
    again = sign_order(deal.match.order, buyer, client.domain, offer=deal.match.offer)
    call = client.calls.open(deal.match.offer, again)
    refused(stage, "an order opened twice", "buyer-1", call, OrderAlreadyOpened)


def replayed_voucher(stage: Stage) -> None:
    deal = stage.deals["vouchers while it runs"]
    client = stage.client(deal.agreed.provider)
    call = client.calls.release(deal.escrow.terms, stage.voucher(deal, 6))
    refused(stage, "a replayed voucher", deal.agreed.provider, call, NotAbovePaid)


def ruling_out_of_bounds(stage: Stage) -> None:
    deal = stage.deals["unattested"]
    call = stage.client("arbiter").calls.resolve(deal.escrow.terms, deal.units(21))
    refused(stage, "a ruling above the claim", "arbiter", call, RulingOutOfRange)


def withdrawal_before_its_delay(stage: Stage) -> None:
    """A provider wants his money out at once: it stays for matches made against it."""
    client, provider = stage.client("provider-3"), stage.cast["provider-3"].address
    client.request_withdraw(client.balances(provider).escrow)
    refused(
        stage,
        "a withdrawal before its delay",
        "provider-3",
        client.calls.withdraw(provider, provider),
        TooEarly,
    )


def cancelled_offer(stage: Stage) -> None:
    """The old price is dead now, even for who kept the signature."""
    deal = stage.deals["repriced"]
    client, buyer = stage.client("buyer-1"), stage.cast["buyer-1"]
    need = deal.match.order.requirements
    asked = order(
        stage.cast,
        ("buyer-1", 1, need.min_vram_gb, need.required_models[0], "5"),
        client.next_order_slot(buyer.address),
    )
    late = sign_order(asked, buyer, client.domain, offer=deal.match.offer)
    call = client.calls.open(deal.match.offer, late)
    refused(stage, "a cancelled offer", "buyer-1", call, OfferCancelled)
