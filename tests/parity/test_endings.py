"""Where the money goes at every ending: our quotes against the contract's own log, to the base unit."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest

from molt_market.attestation.receipts import assemble_proof, countersign
from molt_market.chain.reverts import of_revert
from molt_market.domain.agreements import SplitAgreement
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.disputes import Dispute
from molt_market.domain.endings import (
    ContestQuote,
    quote_default,
    quote_dispute,
    quote_ruling,
    quote_split,
    quote_unattested_claim,
)
from molt_market.domain.events import DealDisputed, Event
from molt_market.domain.fields import moment, seconds
from molt_market.domain.ids import ZERO_HASH
from molt_market.domain.policies import Policy
from molt_market.domain.settlement import SettlementQuote, owed, quote_settlement
from molt_market.refusals import BuyerBalance
from molt_market.signing.agreements import sign_split
from molt_market.signing.statements import sign_receipt, sign_voucher
from tests.factories import ARBITER, STRANGER
from tests.parity.stage import Stage
from tests.parity.story import (
    MAX_PRICE,
    OPENED_AT,
    Story,
    between,
    claimed,
    contested,
    random_deal,
    step_of_the_bond,
)
from tests.unit.attestation.deals import DONE, policy
from tests.unit.signing.keys import AGENT, ATTESTORS, BUYER, PROVIDER

CASES = 400  # of each of the eight ways
POLICIES = [policy(arbiter_share_bps=share) for share in (0, 333, 500, 5_000)]
LATER = 5 * 86_400  # more than any window of these policies
FOREVER = moment(2**33)

Way = Callable[[random.Random, Story, Policy], SettlementQuote]


# ---------------------------------------------------------------- ways to end: each plays one, and quotes it


def finalized(_rng: random.Random, story: Story, _policy: Policy) -> SettlementQuote:
    """Nobody claims."""
    due = seconds(story.escrow.locked_until)
    story.does(due, STRANGER, story.encode.finalize(story.escrow.terms))
    return quote_default(story.escrow)


def cancelled(_rng: random.Random, story: Story, _policy: Policy) -> SettlementQuote:
    story.does(OPENED_AT + 1, PROVIDER.address, story.encode.cancel_deal(story.escrow.terms))
    return quote_settlement(story.escrow, story.escrow.paid_gpu_seconds)


def released(rng: random.Random, story: Story, _policy: Policy) -> SettlementQuote:
    """A voucher for some of it, and one for everything."""
    everything = story.escrow.terms.gpu_seconds
    some = between(rng, story.escrow.paid_gpu_seconds + 1, everything)
    for number, units in enumerate(sorted({some, everything})):
        release(story, story.escrow, units, OPENED_AT + 1 + number)
    return quote_settlement(story.escrow, everything)


def split(rng: random.Random, story: Story, _policy: Policy) -> SettlementQuote:
    """Both sign a figure while the deal runs."""
    units = between(rng, story.escrow.paid_gpu_seconds, story.escrow.terms.gpu_seconds)
    return agreed(story, story.escrow, units, OPENED_AT + 1)


def claim_stands(rng: random.Random, story: Story, _policy: Policy) -> SettlementQuote:
    """An attested claim that nobody contests."""
    after = claim(rng, story)
    story.does(ends_at(after) + LATER, STRANGER, story.encode.finalize(after.terms))
    return quote_default(after)


def claim_agreed(rng: random.Random, story: Story, _policy: Policy) -> SettlementQuote:
    """An attested claim to which the buyer says yes, by a voucher for all of it or by a split."""
    after = claim(rng, story)
    if rng.random() < 0.5:
        release(story, after, after.claimed_gpu_seconds, ends_at(after) + 1)
        return quote_settlement(after, after.claimed_gpu_seconds)
    units = between(rng, after.paid_gpu_seconds, after.terms.gpu_seconds, after.claimed_gpu_seconds)
    return agreed(story, after, units, ends_at(after) + 1)


def disputed(rng: random.Random, story: Story, of: Policy) -> SettlementQuote:
    """An attested claim that is contested, at times by a buyer who has just the stake."""
    after = claim(rng, story)
    most = after.claimed_gpu_seconds - 1
    counter = between(rng, after.paid_gpu_seconds, most, step_of_the_bond(after) - 1)
    story.contest = quote_dispute(after, counter)
    lacking = story.contest.stake.base_units - story.contest.to_buyer.base_units
    story.buyer_balance = max(lacking, rng.choice([0, MAX_PRICE]))
    dispute = Dispute(escrow_id=after.id, counter_gpu_seconds=counter)
    story.does(ends_at(after) + 1, BUYER.address, story.encode.dispute(after.terms, dispute))
    return judged(rng, story, of, contested(after, counter, after.claimed_gpu_seconds))


def unattested(rng: random.Random, story: Story, of: Policy) -> SettlementQuote:
    """A claim without attestors."""
    escrow = story.escrow
    ran = escrow.terms.gpu_count * escrow.run_seconds
    units = between(rng, escrow.paid_gpu_seconds + 1, ran, step_of_the_bond(escrow))
    story.contest = quote_unattested_claim(escrow, units)
    story.does(ends_at(escrow), PROVIDER.address, story.encode.claim_unattested(escrow.terms, units))
    return judged(rng, story, of, contested(escrow, escrow.paid_gpu_seconds, units))


WAYS: list[Way] = [
    finalized,
    cancelled,
    released,
    split,
    claim_stands,
    claim_agreed,
    disputed,
    unattested,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_ending__pays_out_what_we_quote(stage: Stage, way: Way) -> None:
    rng = random.Random(way.__name__)
    for of in POLICIES:
        stage.register(of)
    for _ in range(CASES):
        of = rng.choice(POLICIES)
        story = Story(stage, random_deal(rng, stage, of))
        quote = way(rng, story, of)
        logged = story.play()
        assert moved_by_the_contest(logged) == (story.contest and told_of_contest(story.contest)), story
        assert paid_out(logged, story.escrow) == told(quote), story


def test_dispute__a_unit_less_than_the_stake__is_refused(stage: Stage) -> None:
    rng, refused = random.Random(3), 0
    stage.register(POLICIES[0])
    while refused < 50:
        story = Story(stage, random_deal(rng, stage, POLICIES[0]))
        disputed(rng, story, POLICIES[0])
        assert story.contest is not None
        lacking = story.contest.stake.base_units - story.contest.to_buyer.base_units
        if lacking <= 0:
            continue
        story.buyer_balance = lacking - 1
        answer = story.results()[1]
        found = of_revert(bytes.fromhex(answer["returnData"][2:]))
        assert isinstance(found, BuyerBalance), answer
        assert (found.limit, found.actual) == (story.contest.stake.base_units, found.limit - 1)
        refused += 1


# ---------------------------------------------------------------- steps that several ways share


def ends_at(escrow: EscrowAccount) -> int:
    assert escrow.ends_at is not None
    return seconds(escrow.ends_at)


def release(story: Story, escrow: EscrowAccount, units: int, time: int) -> None:
    voucher = sign_voucher(escrow.id, units, BUYER, story.stage.domain)
    story.does(time, STRANGER, story.encode.release(escrow.terms, voucher))


def claim(rng: random.Random, story: Story) -> EscrowAccount:
    """Claim by agent and two attestors at the end of the deal; return it as it is then."""
    escrow, domain = story.escrow, story.stage.domain
    ran = escrow.terms.gpu_count * escrow.run_seconds
    units = between(rng, escrow.paid_gpu_seconds + 1, ran, step_of_the_bond(escrow))
    result = rng.choice([ZERO_HASH, ZERO_HASH, DONE])
    receipt = sign_receipt(escrow.id, units, AGENT, domain, result_digest=result)
    signed = [countersign(receipt, attestor, domain) for attestor in ATTESTORS[:2]]
    proof = assemble_proof(receipt, signed, POLICIES[0])
    story.does(ends_at(escrow), STRANGER, story.encode.claim(escrow.terms, proof))
    return claimed(escrow, units, completed=receipt.completed)


def agreed(story: Story, escrow: EscrowAccount, units: int, time: int) -> SettlementQuote:
    """Close a deal as both sign."""
    agreement = SplitAgreement(deal_id=escrow.id, gpu_seconds=units, until=FOREVER)
    for signer in (BUYER, PROVIDER):
        agreement = sign_split(agreement, signer, escrow.terms, story.stage.domain)
    story.does(time, STRANGER, story.encode.settle(escrow.terms, agreement))
    return quote_split(escrow, units)


def judged(rng: random.Random, story: Story, of: Policy, escrow: EscrowAccount) -> SettlementQuote:
    """End a dispute: by a ruling, a concession of either side, a split, or silence."""
    counter, most = escrow.paid_gpu_seconds, escrow.claimed_gpu_seconds
    units = between(rng, counter, most, step_of_the_bond(escrow), step_of_the_bond(escrow) - 1)
    time, terms, encode = ends_at(escrow) + 2, escrow.terms, story.encode
    match rng.choice(["ruling", "ruling", "provider", "buyer", "split", "silence"]):
        case "ruling":
            story.does(time, ARBITER, encode.resolve(terms, units))
            return quote_ruling(escrow, units, arbiter_share_bps=of.arbiter_share_bps)
        case "provider":
            story.does(time, PROVIDER.address, encode.concede(terms, counter))
            return quote_ruling(escrow, counter)
        case "buyer":
            story.does(time, BUYER.address, encode.concede(terms, most))
            return quote_ruling(escrow, most)
        case "split":
            return agreed(story, escrow, units, time)
        case _:
            story.does(time + LATER, STRANGER, encode.finalize(terms))
            return quote_default(escrow)


# ---------------------------------------------------------------- the contract's figures and ours


def paid_out(logged: Iterable[Event], escrow: EscrowAccount) -> dict[str, int]:
    """Add up what the log says of a deal, and what it had paid before."""
    events = list(logged)
    before = owed(escrow.terms, escrow.paid_gpu_seconds, paid=0, fee_bps=escrow.fee_bps)
    names = ("to_provider", "fee", "to_buyer", "share", "stake")
    total = {name: sum(getattr(event, name, 0) for event in events) for name in names}
    total["to_provider"] += before.to_provider
    total["fee"] += before.fee
    return total


def told(quote: SettlementQuote) -> dict[str, int]:
    return {
        "to_provider": (quote.provider_payment + quote.bond_to_provider).base_units,
        "fee": quote.platform_fee.base_units,
        "to_buyer": (quote.buyer_refund + quote.bond_to_buyer).base_units,
        "share": quote.arbiter_share.base_units,
        "stake": quote.stake.base_units,
    }


def moved_by_the_contest(logged: Iterable[Event]) -> tuple[int, ...] | None:
    for event in logged:
        if isinstance(event, DealDisputed):
            return (
                event.counter,
                event.gpu_seconds,
                event.to_provider,
                event.fee,
                event.to_buyer,
                event.stake,
            )
    return None


def told_of_contest(quote: ContestQuote) -> tuple[int, ...]:
    amounts = (quote.to_provider, quote.platform_fee, quote.to_buyer, quote.stake)
    units = (quote.counter_gpu_seconds, quote.claimed_gpu_seconds)
    return *units, *(amount.base_units for amount in amounts)
