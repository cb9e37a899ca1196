"""A panel of three rules as two of them sign, and its shares go to all three."""

from __future__ import annotations

from datetime import timedelta

import pytest

from molt_market.chain.panel import Panel, deploy_panel
from molt_market.domain.agreements import RulingVote
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.disputes import Dispute, DisputeOutcome
from molt_market.domain.endings import quote_ruling
from molt_market.domain.fields import seconds
from molt_market.domain.ids import Address
from molt_market.domain.settlement import gpu_seconds
from molt_market.errors import CallReverted, DeploymentMismatch, InvalidValue, ProofMismatch
from molt_market.refusals import RulingOutOfRange, TooEarly
from molt_market.signing.agreements import sign_vote
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from tests.integration.endings import require_paid_out
from tests.integration.scene import HOURS, Scene, molt


@pytest.fixture
def escrow(scene: Scene, net: Devnet) -> EscrowAccount:
    """A deal whose claim of 23.5 hours is contested above 20; the panel is its arbiter."""
    opened = scene.open(offer=scene.offer(policy_id=net.panel_policy_id))
    scene.run(HOURS)
    scene.provider.release_payment(opened, scene.proof(opened, "23.5"))
    scene.buyer.handle_dispute(opened, Dispute(escrow_id=opened.id, counter_hours=20))
    return scene.client.escrow(opened.id)


def votes(net: Devnet, escrow: EscrowAccount, hours: str, *members: Wallet) -> list[RulingVote]:
    """Have members rule alike: the first two unless they are given."""
    until = net.clock.now() + timedelta(hours=1)
    return [
        sign_vote(escrow.id, gpu_seconds(hours, 4), member, net.panel, net.domain, until=until)
        for member in members or net.panel_members[:2]
    ]


@pytest.mark.parametrize("hours", ["20", "22", "23.5"])
def test_rule__two_of_three__anyone_brings_it(
    scene: Scene, net: Devnet, escrow: EscrowAccount, hours: str
) -> None:
    share = net.panel_policy.arbiter_share_bps
    quote = quote_ruling(escrow, gpu_seconds(hours, 4), arbiter_share_bps=share)
    net.payments(net.stranger).rule(escrow, votes(net, escrow, hours))
    require_paid_out(scene, escrow, quote)
    assert scene.buyer.resolution(escrow.id).outcome == DisputeOutcome.Ruled(arbiter=net.panel)


def test_rule__in_any_order_of_votes(scene: Scene, net: Devnet, escrow: EscrowAccount) -> None:
    given = votes(net, escrow, "22", *net.panel_members)
    scene.provider.rule(escrow, given[::-1])
    assert scene.client.escrow(escrow.id).status is DealStatus.RELEASED


def test_rule__again__returns_the_first(scene: Scene, net: Devnet, escrow: EscrowAccount) -> None:
    given = votes(net, escrow, "22")
    first = scene.provider.rule(escrow, given)
    assert first == scene.provider.rule(escrow, given) == scene.buyer.rule(escrow, given)


def test_rule__one_vote__is_refused(scene: Scene, net: Devnet, escrow: EscrowAccount) -> None:
    with pytest.raises(CallReverted, match=r"NoQuorum\(1, 2\)"):
        scene.provider.rule(escrow, votes(net, escrow, "22", net.panel_members[0]))


def test_rule__a_member_twice__or_no_member__is_refused(
    scene: Scene, net: Devnet, escrow: EscrowAccount
) -> None:
    first = net.panel_members[0]
    with pytest.raises(CallReverted, match="NotAMember"):
        scene.provider.rule(escrow, votes(net, escrow, "22", first, first))
    with pytest.raises(CallReverted, match="NotAMember"):
        scene.provider.rule(escrow, votes(net, escrow, "22", first, net.stranger))


def test_rule__votes_differ_or_are_none__is_refused(scene: Scene, net: Devnet, escrow: EscrowAccount) -> None:
    one, other = votes(net, escrow, "22")[0], votes(net, escrow, "23")[1]
    for given in ([one, other], []):
        with pytest.raises(ProofMismatch):
            scene.provider.rule(escrow, given)


def test_rule__of_another_deal__is_refused(scene: Scene, net: Devnet, escrow: EscrowAccount) -> None:
    with pytest.raises(ProofMismatch):
        scene.provider.rule(escrow, votes(net, scene.open(), "22"))


def test_rule__out_of_bounds__is_refused(scene: Scene, net: Devnet, escrow: EscrowAccount) -> None:
    with pytest.raises(RulingOutOfRange):
        scene.provider.rule(escrow, votes(net, escrow, "23.6"))


def test_rule__lapsed__is_refused(scene: Scene, net: Devnet, escrow: EscrowAccount) -> None:
    given = votes(net, escrow, "22")
    net.warp(seconds(given[0].until) - seconds(net.clock.now()))
    with pytest.raises(CallReverted, match="RulingExpired"):
        scene.provider.rule(escrow, given)


# ---------------------------------------------------------------- its shares, and the panel itself


def test_shares__go_to_all_members_in_equal_parts(scene: Scene, net: Devnet, escrow: EscrowAccount) -> None:
    scene.provider.rule(escrow, votes(net, escrow, "22"))
    panel = Panel(net.client(net.stranger), net.panel)
    before = [scene.client.balance_of(member.address) for member in net.panel_members]
    panel.request_shares()
    with pytest.raises(CallReverted, match="SharesPending"):
        panel.request_shares()
    with pytest.raises(TooEarly):
        panel.withdraw_shares()
    net.warp(net.deployment.withdraw_delay_seconds)
    panel.withdraw_shares()
    with pytest.raises(CallReverted, match="NoShares"):
        panel.request_shares()
    after = [scene.client.balance_of(member.address) for member in net.panel_members]
    third = molt("0.35").base_units // 3
    assert [now.base_units - then.base_units for now, then in zip(after, before, strict=True)] == [third] * 3


def test_panel__says_who_it_is(net: Devnet) -> None:
    panel = Panel(net.client(), net.panel)
    assert panel.members == tuple(
        sorted((member.address for member in net.panel_members), key=Address.number)
    )
    assert panel.threshold == 2


def test_panel__at_an_address_without_one__is_refused(net: Devnet) -> None:
    with pytest.raises(DeploymentMismatch):
        Panel(net.client(), net.deployment.escrow)


def test_deploy_panel__members_that_cannot_rule__are_refused(net: Devnet) -> None:
    members = [member.address for member in net.panel_members]
    with pytest.raises(InvalidValue, match="4 of 3 members"):
        deploy_panel(net.network, net.operator, members, 4)
    with pytest.raises(InvalidValue):
        deploy_panel(net.network, net.operator, members, 0)
    with pytest.raises(InvalidValue, match="twice"):
        deploy_panel(net.network, net.operator, [*members, members[0]], 2)
