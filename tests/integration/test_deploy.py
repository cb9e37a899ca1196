"""A deployment of any token, with any values that the contract takes."""

import pytest

from molt_market.chain.client import MoltClient
from molt_market.chain.deploy import deploy
from molt_market.chain.networks import Network
from molt_market.chain.plans import TokenSpec
from molt_market.domain.amounts import MOLT, Token
from molt_market.domain.fields import moment
from molt_market.errors import AnvilNotFound, InvalidValue, NodeUnreachable
from molt_market.refusals import DeploymentOutOfRange
from molt_market.testing import Devnet, anvil, devnet
from tests.integration.scene import SPEC, TOKEN, Scene


def test_deploy__molt__amounts_are_plain_molt() -> None:
    with devnet() as net:
        assert net.client().token == MOLT
        assert net.deployment.token == Token("MOLT", 18, net.deployment.token_address)


def test_deploy__token_of_six_decimals__opens_and_counts_in_it(net: Devnet) -> None:
    other = deploy(net.network, net.operator, token=TokenSpec("Test Dollar", "TUSD", 6), fee_bps=50)
    client = MoltClient(net.network, deployment=other, account=net.operator)
    assert client.token == Token("TUSD", 6, other.token_address)
    client.send(client.calls.mint(net.operator.address, 5_000_000))
    client.deposit(client.token.amount("2.5"))
    assert str(client.balances(net.operator.address).escrow) == "2.5 TUSD"
    assert client.fee_bps() == 50


def test_deploy__token_that_is_there__is_used(net: Devnet) -> None:
    other = deploy(net.network, net.operator, token=net.deployment.token_address)
    assert (other.token, other.escrow != net.deployment.escrow) == (net.deployment.token, True)
    assert other.fee_recipient == net.operator.address


def test_deploy__fee_above_the_cap__is_refused_before_it_is_paid(net: Devnet) -> None:
    with pytest.raises(DeploymentOutOfRange) as refused:
        deploy(net.network, net.operator, token=net.deployment.token_address, fee_bps=301)
    assert (refused.value.actual, refused.value.limit) == (301, 300)


def test_deploy__test_token_on_the_main_network__is_refused(net: Devnet) -> None:
    with pytest.raises(InvalidValue):
        deploy(Network.MAINNET, net.operator, rpc_url=net.url)


# ---------------------------------------------------------------- the chain for tests itself


def test_anvil__not_installed__says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLT_ANVIL", "no-such-anvil")
    with pytest.raises(AnvilNotFound, match="MOLT_ANVIL"), anvil():
        pass


def test_anvil__port_in_use__is_told_with_its_words(net: Devnet) -> None:
    port = int(net.url.rpartition(":")[2])
    with pytest.raises(NodeUnreachable) as refused, anvil(port=port):
        pass
    assert "in use" in str(refused.value.__cause__)


def test_devnet__warp__turns_everybodys_clock(scene: Scene, net: Devnet) -> None:
    before = net.clock.now()
    net.warp(3_600)
    assert 3_600 <= (net.clock.now() - before).total_seconds() < 3_610
    assert scene.client.now() >= moment(net.node.block_time("latest"))


def test_devnet__isolated__undoes_what_happened(scene: Scene, net: Devnet) -> None:
    before = scene.wealth(net.buyer)
    with net.isolated():
        scene.open()
        assert scene.wealth(net.buyer) != before
    assert scene.wealth(net.buyer) == before


def test_devnet__blocks_on_an_interval__settle_all_the_same() -> None:
    with devnet(block_time=1, token=SPEC) as net:
        assert Scene(net).open().amount == TOKEN.amount(240)
