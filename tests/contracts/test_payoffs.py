"""Who gains by playing false? Nobody, with honest attestors, an honest arbiter and no stop (ESCROW 9).

Each strategy is one party's single deviation: the others keep to the rules. They are played in the
plain-Python model, over a grid of deals; those that tempt most on the chain too. What is compared is the
money in the accounts at the end; what delivering costs is nobody's gain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import pytest

from tests.contracts import model
from tests.contracts.actors import ARBITER, ATTESTORS, BUYER, PROVIDER
from tests.contracts.endings import FullMarket
from tests.contracts.endings_model import Deal
from tests.contracts.factories import HOUR, UNIT, OpenDeal, make_policy
from tests.contracts.model import Payout

# ---------------------------------------------------------------- the grid


@dataclass(frozen=True)
class World:
    """What a strategy meets: the parameters of a deal, and how much of it the provider has delivered."""

    price: int
    gpus: int
    hours: int
    fee_bps: int
    bond_bps: int
    notice_minutes: int
    arbiter_share_bps: int
    delivered: int = 0

    def deal(self) -> Deal:
        duration = self.hours * HOUR
        return Deal(
            buyer="buyer",
            provider="provider",
            arbiter="arbiter",
            price=self.price,
            gpus=self.gpus,
            duration=duration,
            slot=0,
            fee_bps=self.fee_bps,
            bond_bps=self.bond_bps,
            notice_minutes=self.notice_minutes,
            arbiter_share_bps=self.arbiter_share_bps,
            challenge=2 * HOUR,
            grace=3 * HOUR,
            arbitration=24 * HOUR,
            commitment=0,
            opened_at=0,
            ends_at=duration,
            deadline=duration + 3 * HOUR,
        )

    @property
    def allocation(self) -> int:
        return self.gpus * self.hours * HOUR

    @property
    def tolerated(self) -> int:
        """From so many GPU-seconds on the whole bond is earned."""
        return max(1, self.allocation - self.gpus * self.notice_minutes * 60)


def figures(world: World) -> list[int]:
    """Return the GPU-seconds at which something could change, and some between."""
    whole, edge = world.allocation, world.tolerated
    near = {0, 1, whole // 8, whole // 2, edge - 1, edge, edge + 1, (edge + whole) // 2, whole - 1, whole}
    return sorted(units for units in near if 0 <= units <= whole)


def deals() -> Iterator[World]:
    """Deals of one to 24 hours, from no bond to the highest, from no share for the arbiter to half of all."""
    grid = product(
        (1_000_003, 10 * UNIT), (1, 3), (1, 8, 24), (0, 300), (0, 500, 5_000), (1, 15, 255), (0, 500, 5_000)
    )
    for values in grid:
        yield World(*values)


def worlds() -> Iterator[World]:
    """Each of them, with each amount of delivery."""
    for world in deals():
        for delivered in figures(world):
            yield World(**{**vars(world), "delivered": delivered})


# ---------------------------------------------------------------- moves


def total(*payouts: Payout) -> Payout:
    return Payout(*(sum(parts) for parts in zip(*payouts, strict=True)))


def redeem(deal: Deal, units: int) -> Payout:
    """The provider brings a voucher."""
    return deal.pay(units) if units > deal.paid else Payout(0, 0)


def give_up(deal: Deal) -> Payout:
    """cancelDeal, or as good: a provider of whom nobody hears any more."""
    return deal.close(deal.paid)


def attest(deal: Deal, units: int) -> None:
    """Honest attestors sign what was delivered, or less if the provider asks for less."""
    deal.status, deal.claim = model.CLAIMED, units
    deal.flags |= model.ATTESTED


def rule(deal: Deal, delivered: int) -> Payout:
    """An honest arbiter finds what was delivered, within what is contested."""
    units = max(deal.paid, min(delivered, deal.claim))
    return deal.rule(units, deal.share)


def finish(world: World) -> Payout:
    """Everybody keeps to the rules: a voucher for all that was delivered, and the rest is given up."""
    deal = world.deal()
    paid = redeem(deal, world.delivered)
    return total(paid, give_up(deal))


# ---------------------------------------------------------------- the provider


def overclaims(world: World) -> list[int]:
    return [units for units in figures(world) if units > world.delivered]


def redeemed_first(world: World) -> set[int]:
    """What of the buyer's vouchers he brings before he plays false."""
    return {0, world.delivered // 2, world.delivered}


def provider_walks_away(world: World) -> Iterator[Payout]:
    """He keeps what vouchers brought, and is not heard of any more: a no-show, if that is nothing."""
    for paid in redeemed_first(world):
        deal = world.deal()
        yield total(redeem(deal, paid), give_up(deal))


def provider_overclaims(world: World) -> Iterator[Payout]:
    """He claims more than he delivered, on his own word; the arbiter finds the truth."""
    for paid, claim in product(redeemed_first(world), overclaims(world)):
        deal = world.deal()
        payouts = redeem(deal, paid), deal.claim_unattested(claim, deal.ends_at)
        yield total(*payouts, rule(deal, world.delivered))


def provider_overclaims_and_concedes(world: World) -> Iterator[Payout]:
    for paid, claim in product(redeemed_first(world), overclaims(world)):
        deal = world.deal()
        payouts = redeem(deal, paid), deal.claim_unattested(claim, deal.ends_at)
        yield total(*payouts, deal.rule(deal.paid))


def provider_overclaims_and_the_arbiter_is_silent(world: World) -> Iterator[Payout]:
    for paid, claim in product(redeemed_first(world), overclaims(world)):
        deal = world.deal()
        payouts = redeem(deal, paid), deal.claim_unattested(claim, deal.ends_at)
        yield total(*payouts, deal.fall_silent())


def provider_underclaims(world: World) -> Iterator[Payout]:
    """He has less attested than he delivered."""
    for claim in {1, world.delivered // 2, world.delivered - 1}:
        if 0 < claim <= world.delivered:
            deal = world.deal()
            attest(deal, claim)
            yield deal.close(claim)


PROVIDER_EXITS = [
    provider_walks_away,
    provider_overclaims,
    provider_overclaims_and_concedes,
    provider_overclaims_and_the_arbiter_is_silent,
    provider_underclaims,
]


@pytest.mark.parametrize("exit_", PROVIDER_EXITS, ids=lambda exit_: exit_.__name__)
def test_payoffs__provider__no_exit_beats_cancelling(exit_: Callable[[World], Iterator[Payout]]) -> None:
    for world in worlds():
        honest = finish(world).provider
        for payout in exit_(world):
            assert payout.provider <= honest, f"{world}: {payout.provider} instead of {honest}"


def test_payoffs__provider__delivering_more_never_pays_less() -> None:
    for world in deals():
        paid = [finish(World(**{**vars(world), "delivered": units})).provider for units in figures(world)]
        assert paid == sorted(paid), world


def test_payoffs__provider__price_never_exceeds_what_was_delivered() -> None:
    """Whatever he does, he and the fee account get no more of the price than its due; bonds apart."""
    for world in worlds():
        deal = world.deal()
        most = deal.due(world.delivered) + deal.bond
        for exit_ in PROVIDER_EXITS:
            for payout in exit_(world):
                assert payout.provider + payout.fee <= most, f"{world}: {exit_.__name__}"


def test_payoffs__provider__overclaiming_beats_no_true_claim_where_nobody_attests() -> None:
    """But for a base unit: the floor of a larger share may round the other way."""
    for world in worlds():
        if not world.delivered:
            continue
        deal = world.deal()
        settled = deal.claim_unattested(world.delivered, deal.ends_at)
        honest = total(settled, rule(deal, world.delivered)).provider
        for claim in overclaims(world):
            deal = world.deal()
            settled = deal.claim_unattested(claim, deal.ends_at)
            assert total(settled, rule(deal, world.delivered)).provider <= honest + 1, world


# ---------------------------------------------------------------- the buyer


def counters(world: World) -> list[int]:
    return [units for units in figures(world) if units < world.delivered]


def disputed(world: World, counter: int) -> tuple[Deal, Payout]:
    """He contests a true claim; the stake is out of what he gets."""
    deal = world.deal()
    attest(deal, world.delivered)
    payout = deal.contest(counter, deal.ends_at)
    return deal, payout._replace(buyer=payout.buyer - deal.buyers_stake)


def buyer_refuses_vouchers(world: World) -> Iterator[Payout]:
    """And is silent: the attested claim is paid."""
    if world.delivered:
        deal = world.deal()
        attest(deal, world.delivered)
        yield deal.close(world.delivered)


def buyer_confirms_a_part(world: World) -> Iterator[Payout]:
    for part in counters(world):
        deal = world.deal()
        paid = redeem(deal, part)
        attest(deal, world.delivered)
        yield total(paid, deal.close(world.delivered))


def buyer_disputes_a_true_claim(world: World) -> Iterator[Payout]:
    for counter in counters(world):
        deal, payout = disputed(world, counter)
        yield total(payout, rule(deal, world.delivered))


def buyer_disputes_and_concedes(world: World) -> Iterator[Payout]:
    for counter in counters(world):
        deal, payout = disputed(world, counter)
        yield total(payout, deal.rule(deal.claim))


def buyer_disputes_and_the_arbiter_is_silent(world: World) -> Iterator[Payout]:
    for counter in counters(world):
        deal, payout = disputed(world, counter)
        yield total(payout, deal.fall_silent())


def buyer_refuses_vouchers_where_nobody_attests(world: World) -> Iterator[Payout]:
    """The provider claims what he delivered on his own word, and the arbiter finds it true."""
    if world.delivered:
        deal = world.deal()
        settled = deal.claim_unattested(world.delivered, deal.ends_at)
        yield total(settled, rule(deal, world.delivered))


BUYER_TRICKS = [
    buyer_refuses_vouchers,
    buyer_confirms_a_part,
    buyer_disputes_a_true_claim,
    buyer_disputes_and_concedes,
    buyer_disputes_and_the_arbiter_is_silent,
    buyer_refuses_vouchers_where_nobody_attests,
]


@pytest.mark.parametrize("trick", BUYER_TRICKS, ids=lambda trick: trick.__name__)
def test_payoffs__buyer__no_trick_beats_finishing(trick: Callable[[World], Iterator[Payout]]) -> None:
    for world in worlds():
        honest = finish(world).buyer
        for payout in trick(world):
            assert payout.buyer <= honest, f"{world}: {payout.buyer} instead of {honest}"


@pytest.mark.parametrize("trick", BUYER_TRICKS[:5], ids=lambda trick: trick.__name__)
def test_payoffs__buyer__no_trick_costs_an_attested_provider(
    trick: Callable[[World], Iterator[Payout]],
) -> None:
    """But for the arbiter's share, which at most is half of both stakes, so never more than the buyer's."""
    for world in worlds():
        honest = finish(world).provider
        for payout in trick(world):
            assert payout.provider >= honest, f"{world}: {payout.provider} instead of {honest}"


# ---------------------------------------------------------------- the arbiter


def test_payoffs__arbiter__no_ruling_brings_more_than_the_true_one() -> None:
    """The share hangs on the stakes, not on the ruling; silence brings nothing."""
    for world in worlds():
        for counter in counters(world):
            deal, _ = disputed(world, counter)
            assert 0 <= deal.share <= deal.buyers_stake


# ---------------------------------------------------------------- on the chain

DELIVERED = 4 * HOUR  # of 8 GPU-hours
EDGE = 7 * HOUR  # with a notice of 15 minutes, the whole bond is earned from here on


def played(market: FullMarket, play: Callable[[FullMarket, OpenDeal], object]) -> tuple[int, int]:
    """Open a deal of 4 GPUs for 2 hours, play it, and return what provider and buyer made of it.

    The arbiter takes no share, so that nothing but the rule itself holds anybody back.
    """
    policy = {"policy_id": market.register(make_policy(arbiter_share_bps=0), ATTESTORS)}
    order = {**policy, "slot": market.slot(), "duration_hours": 2}
    before = market.balance(PROVIDER), market.balance(BUYER)
    deal = market.open(market.match(offer=policy, order=order))
    play(market, deal)
    assert market.balance(ARBITER) == 0
    return market.balance(PROVIDER) - before[0], market.balance(BUYER) - before[1]


def finished(market: FullMarket, deal: OpenDeal) -> None:
    market.release(deal, DELIVERED)
    market.cancel_deal(deal)


def vanished(market: FullMarket, deal: OpenDeal) -> None:
    market.release(deal, DELIVERED)
    market.node.at(deal.deadline)
    market.finalize(deal)


def overclaimed(market: FullMarket, deal: OpenDeal) -> None:
    """He keeps the voucher back, claims up to the step of the bond, and the arbiter finds the truth."""
    market.node.at(deal.ends_at)
    market.claim_unattested(deal, EDGE)
    market.resolve(deal, DELIVERED)


def silent(market: FullMarket, deal: OpenDeal) -> None:
    """He has delivered, and claims nothing."""
    market.node.at(deal.deadline)
    market.finalize(deal)


def unconfirmed(market: FullMarket, deal: OpenDeal) -> None:
    """The buyer signs no voucher."""
    market.node.at(deal.ends_at)
    market.claim(deal, DELIVERED)
    market.node.at(market.deadline(deal))
    market.finalize(deal)


def contested(market: FullMarket, deal: OpenDeal) -> None:
    """The buyer disputes all of a true claim."""
    market.node.at(deal.ends_at)
    market.claim(deal, DELIVERED)
    market.dispute(deal, 0)
    market.resolve(deal, DELIVERED)


@pytest.mark.parametrize("play", [vanished, overclaimed, silent], ids=lambda play: play.__name__)
def test_payoffs__on_chain__no_exit_of_the_provider_beats_cancelling(
    market: FullMarket, play: Callable[[FullMarket, OpenDeal], object]
) -> None:
    honest, _ = played(market, finished)
    assert honest == 396 * UNIT // 10 - 4 * UNIT  # half of the bond of 8 is lost
    tried, _ = played(market, play)
    assert tried <= honest


@pytest.mark.parametrize("play", [unconfirmed, contested], ids=lambda play: play.__name__)
def test_payoffs__on_chain__no_trick_of_the_buyer_beats_finishing(
    market: FullMarket, play: Callable[[FullMarket, OpenDeal], object]
) -> None:
    _, honest = played(market, finished)
    assert honest == -40 * UNIT + 4 * UNIT
    _, tried = played(market, play)
    assert tried <= honest


def test_payoffs__on_chain__disputing_a_true_claim_costs_the_stake(market: FullMarket) -> None:
    _, honest = played(market, finished)
    _, tried = played(market, contested)
    assert honest - tried == 4 * UNIT
