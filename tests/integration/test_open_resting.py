"""Orders that wait: signed before, paid for out of the escrow, opened in few transactions by who may."""

from __future__ import annotations

from typing import Any

import pytest

from molt_market.domain.deals import DealStatus
from molt_market.domain.matches import OrderMatch
from molt_market.errors import UnsignedOrder, WalletError
from molt_market.refusals import BuyerBalance, NotOpener
from molt_market.signing.hashes import deal_id, terms_of
from molt_market.signing.statements import sign_order
from tests.integration.scene import Scene, molt


def resting(scene: Scene, slot: int, **fields: Any) -> OrderMatch:
    """Return a match whose order its buyer has signed for any offer, to be opened by the operator."""
    net = scene.net
    wanted = {"opener": net.operator.address, "policy_id": net.policy_id, "slot": slot, "min_gpu_count": 2}
    order = sign_order(scene.order(**wanted | fields), net.buyer, net.domain)
    return scene.match(offer=scene.offer(), order=order)


def test_open_resting__some_good_some_not__opens_the_good_ones_in_one_transaction(scene: Scene) -> None:
    net = scene.net
    net.client(net.buyer).deposit(molt(240))
    payments = net.payments(net.operator)
    good, again = resting(scene, 0), resting(scene, 1)
    foreign = resting(scene, 2, opener=net.stranger.address)
    unsigned = scene.match(order=scene.order(slot=3, policy_id=net.policy_id))
    before = net.node.number("eth_blockNumber")
    opened = payments.open_resting([good, foreign, unsigned, again])
    assert net.node.number("eth_blockNumber") == before + 1
    deals = [deal_id(terms_of(each.offer, each.order, net.domain), net.domain) for each in (good, again)]
    assert [opened[0], opened[3]] == deals
    assert isinstance(opened[1], NotOpener)
    assert isinstance(opened[2], UnsignedOrder)
    assert all(scene.client.escrow(deal).status is DealStatus.LOCKED for deal in deals)
    assert scene.client.balances(net.buyer.address).escrow == molt(0)
    assert payments.open_resting([good]) == deals[:1]  # to repeat it is harmless
    assert net.node.number("eth_blockNumber") == before + 1


def test_open_resting__without_money_in_the_escrow__is_refused_and_costs_nothing(scene: Scene) -> None:
    net = scene.net
    before = net.node.number("eth_blockNumber")
    [refused] = net.payments(net.operator).open_resting([resting(scene, 0)])
    assert isinstance(refused, BuyerBalance)
    assert (refused.actual, refused.limit) == (0, molt(120).base_units)
    assert net.node.number("eth_blockNumber") == before


def test_open_resting__without_an_account__says_so(scene: Scene) -> None:
    with pytest.raises(WalletError):
        scene.net.payments().open_resting([resting(scene, 0)])
