"""Guardian and fee setter: what they can do, when it holds, and that it touches no open deal."""

import pytest

from molt_market.chain.client import MoltClient
from molt_market.domain.deals import DealStatus
from molt_market.domain.events import FeeAnnounced, OpeningsPaused, RoleAccepted, RoleOffered
from molt_market.domain.fields import seconds
from molt_market.domain.ids import ZERO_ADDRESS
from molt_market.domain.roles import EscrowConfig, Role, RoleHolder
from molt_market.refusals import FeeAboveLimit, FeeOutOfRange, NotHolder, Paused, PauseResting
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet, devnet
from tests.integration.scene import HOURS, Scene, molt

WEEK = 7 * 24 * 3_600
PAUSE = 72 * 3_600


@pytest.fixture
def guardian(net: Devnet) -> MoltClient:
    return net.client(net.guardian)


@pytest.fixture
def fee_setter(net: Devnet) -> MoltClient:
    return net.client(net.fee_setter)


# ---------------------------------------------------------------- a pause


def test_pause__stops_openings_and_nothing_else(scene: Scene, net: Devnet, guardian: MoltClient) -> None:
    running = scene.open()
    paused = guardian.pause().only(OpeningsPaused)
    until = scene.client.config().paused_until
    assert until is not None
    assert seconds(until) == paused.until
    sent = scene.sent(net.buyer)
    with pytest.raises(Paused) as refused:
        scene.open()
    assert refused.value.limit == paused.until
    assert scene.sent(net.buyer) == sent

    buyer = net.client(net.buyer)
    buyer.deposit(molt(5))
    buyer.request_withdraw(molt(5))
    net.warp(net.deployment.withdraw_delay_seconds)
    buyer.withdraw()
    scene.run(HOURS)
    scene.provider.redeem(running, scene.voucher(running, "24"))
    assert scene.client.escrow(running.id).status is DealStatus.RELEASED


def test_pause__lapses_by_itself(scene: Scene, net: Devnet, guardian: MoltClient) -> None:
    guardian.pause()
    net.warp(PAUSE)
    assert scene.client.config().paused_until is None
    assert scene.open().status is DealStatus.LOCKED


def test_pause__ended_by_the_guardian__lets_deals_open_and_rests(
    scene: Scene, net: Devnet, guardian: MoltClient
) -> None:
    guardian.pause()
    ended = guardian.unpause().only(OpeningsPaused)
    assert scene.open().status is DealStatus.LOCKED
    with pytest.raises(PauseResting) as resting:
        guardian.pause()
    assert resting.value.limit == ended.until + WEEK
    net.warp(WEEK)
    guardian.pause()
    assert scene.client.config().paused_until is not None


@pytest.mark.parametrize("verb", ["pause", "unpause"])
def test_pause__by_another__is_refused(net: Devnet, fee_setter: MoltClient, verb: str) -> None:
    with pytest.raises(NotHolder) as refused:
        getattr(fee_setter, verb)()
    assert refused.value.limit == net.guardian.address.number()


# ---------------------------------------------------------------- the fee


def test_schedule_fee__holds_for_deals_that_open_a_week_later(
    scene: Scene, net: Devnet, fee_setter: MoltClient
) -> None:
    assert scene.client.config() == EscrowConfig(fee_bps=100)
    before = scene.open(min_gpu_count=1)
    announced = fee_setter.schedule_fee(250).only(FeeAnnounced)
    config = scene.client.config()
    assert (config.fee_bps, config.next_fee_bps, announced.fee_bps) == (100, 250, 250)
    assert config.next_fee_from is not None
    assert seconds(config.next_fee_from) == announced.from_
    meanwhile = scene.open(min_gpu_count=1)
    net.warp(announced.from_ - seconds(net.clock.now()))
    assert scene.client.config() == EscrowConfig(fee_bps=250)
    after = scene.open(min_gpu_count=1)
    fees = [scene.client.escrow(deal.id).fee_bps for deal in (before, meanwhile, after)]
    assert (fees, scene.client.fee_bps()) == ([100, 100, 250], 250)


def test_schedule_fee__again__replaces_what_was_announced(
    scene: Scene, net: Devnet, fee_setter: MoltClient
) -> None:
    fee_setter.schedule_fee(250)
    net.warp(WEEK // 2)
    fee_setter.schedule_fee(0)
    net.warp(WEEK // 2)
    assert scene.client.fee_bps() == 100
    net.warp(WEEK // 2)
    assert scene.client.fee_bps() == 0


def test_schedule_fee__above_what_an_offer_accepts__opens_it_no_more(
    scene: Scene, net: Devnet, fee_setter: MoltClient
) -> None:
    fee_setter.schedule_fee(250)
    net.warp(WEEK)
    with pytest.raises(FeeAboveLimit) as refused:
        scene.open(offer=scene.offer(max_fee_bps=249))
    assert (refused.value.actual, refused.value.limit) == (250, 249)


def test_schedule_fee__above_the_cap__is_refused(fee_setter: MoltClient) -> None:
    with pytest.raises(FeeOutOfRange) as refused:
        fee_setter.schedule_fee(301)
    assert (refused.value.actual, refused.value.limit) == (301, 300)


def test_schedule_fee__by_another__is_refused(guardian: MoltClient) -> None:
    with pytest.raises(NotHolder):
        guardian.schedule_fee(1)


# ---------------------------------------------------------------- who has a role


@pytest.mark.parametrize(("role", "name"), [(Role.GUARDIAN, "guardian"), (Role.FEE_SETTER, "fee_setter")])
def test_role__is_handed_over_in_two_steps(scene: Scene, net: Devnet, role: Role, name: str) -> None:
    holder: Wallet = getattr(net, name)
    to = net.stranger
    assert scene.client.role(role) == RoleHolder(holder.address, None)
    offered = net.client(holder).offer_role(role, to.address).only(RoleOffered)
    assert (offered.role, offered.holder, offered.pending) == (role, holder.address, to.address)
    assert scene.client.role(role) == RoleHolder(holder.address, to.address)
    with pytest.raises(NotHolder):
        net.client(holder).accept_role(role)
    accepted = net.client(to).accept_role(role).only(RoleAccepted)
    assert (accepted.role, accepted.holder) == (role, to.address)
    assert scene.client.role(role) == RoleHolder(to.address, None)
    with pytest.raises(NotHolder):
        net.client(holder).offer_role(role, holder.address)


def test_role__offer_taken_back__cannot_be_accepted(scene: Scene, net: Devnet, guardian: MoltClient) -> None:
    guardian.offer_role(Role.GUARDIAN, net.stranger.address)
    guardian.offer_role(Role.GUARDIAN, ZERO_ADDRESS)
    assert scene.client.role(Role.GUARDIAN) == RoleHolder(net.guardian.address, None)
    with pytest.raises(NotHolder):
        net.client(net.stranger).accept_role(Role.GUARDIAN)


def test_fee__is_that_of_the_next_block(scene: Scene, net: Devnet, fee_setter: MoltClient) -> None:
    """A deal that opens now is in that one, not in the latest."""
    announced = fee_setter.schedule_fee(7).only(FeeAnnounced)
    net.node.request("evm_setNextBlockTimestamp", announced.from_)
    assert (scene.client.fee_bps(), scene.client.config()) == (7, EscrowConfig(fee_bps=7))


def test_devnet__fee__is_the_one_that_was_asked_for() -> None:
    with devnet(fee_bps=33) as net:
        assert net.client().config() == EscrowConfig(fee_bps=33)
        assert net.client().role(Role.GUARDIAN).holder == net.guardian.address
