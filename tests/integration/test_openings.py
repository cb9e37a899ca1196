"""What a deal was opened from, read back from the chain: alone, bundled, and by another contract."""

from __future__ import annotations

from typing import Any

import pytest

from molt_market.chain.node import Node
from molt_market.chain.openings import opening_of
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.ids import EscrowId, TransactionId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.transactions import Call
from molt_market.errors import NodeError
from molt_market.signing.hashes import deal_id, offer_message, terms_of
from molt_market.signing.statements import sign_order
from molt_market.testing import Devnet
from tests.integration.scene import Scene, molt


def signed(scene: Scene, **fields: Any) -> OrderMatch:
    """Return a match whose order its buyer has signed; by `offer_hash`, unless it is left to anybody's."""
    net = scene.net
    unbound = fields.pop("unbound", False)
    fields |= {"opener": net.buyer.address} if unbound else {}
    match = scene.match(policy_id=net.policy_id, **fields)
    order = sign_order(match.order, net.buyer, net.domain, None if unbound else match.offer)
    return scene.match(offer=match.offer, order=order)


def sent(scene: Scene, match: OrderMatch, call: Call) -> EscrowAccount:
    """Send a call that opens a match; return its deal."""
    client = scene.net.client(scene.net.buyer)
    client.deposit(molt(1_000))
    client.send(call)
    return scene.client.escrow(id_of(scene, match))


def id_of(scene: Scene, match: OrderMatch) -> EscrowId:
    return deal_id(terms_of(match.offer, match.order, scene.net.domain), scene.net.domain)


def require_found(scene: Scene, escrow: EscrowAccount, match: OrderMatch) -> None:
    found = opening_of(scene.client.node, escrow, scene.net.domain)
    assert found is not None
    assert found.offer == offer_message(match.offer)
    assert found.offer.vram_gb == 80


def test_opening__by_the_payments__is_found(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    found = opening_of(scene.client.node, escrow, net.domain)
    assert found is not None
    assert (found.offer.agent, found.order.buyer) == (net.agent.address, net.buyer.address)


@pytest.mark.parametrize("unbound", [False, True])
def test_opening__by_itself__is_found(scene: Scene, *, unbound: bool) -> None:
    match = signed(scene, slot=0, unbound=unbound)
    require_found(scene, sent(scene, match, scene.client.calls.open(match.offer, match.order)), match)


def test_opening__in_a_multicall__each_is_found(scene: Scene) -> None:
    calls = scene.client.calls
    first, second = signed(scene, slot=0), signed(scene, slot=1, min_gpu_count=1)
    both = calls.bundle([calls.open(each.offer, each.order) for each in (first, second)])
    require_found(scene, sent(scene, first, both), first)
    escrow = scene.client.escrow(id_of(scene, second))
    require_found(scene, escrow, second)


class Liar(Node):
    """A node that shows another transaction for each opening."""

    def __init__(self, url: str, told: dict[str, Any]) -> None:
        super().__init__(url)
        self._told = told

    def request(self, method: str, *params: Any) -> Any:
        shown = super().request(method, *params)
        return shown | self._told if method == "eth_getTransactionByHash" else shown


@pytest.mark.parametrize(
    "told", [{"to": None}, {"to": "0x" + "11" * 20}, {"input": "0x"}, {"input": "0x1234"}]
)
def test_opening__that_came_otherwise__is_not_known(scene: Scene, told: dict[str, Any]) -> None:
    escrow = scene.open()
    assert opening_of(Liar(scene.net.url, told), escrow, scene.net.domain) is None


def test_opening__of_another_deal__is_not_believed(scene: Scene) -> None:
    first = scene.open()
    second = scene.open(offer=scene.offer(vram_gb=40, slot=4))
    swapped = second.model_copy(update={"transaction_id": first.transaction_id})
    assert opening_of(scene.client.node, swapped, scene.net.domain) is None


def test_opening__with_an_offer_that_nobody_signed__is_not_believed(scene: Scene) -> None:
    """An order for any offer binds none: then the provider's signature has to be beside it."""
    match = signed(scene, slot=0, unbound=True)
    escrow = sent(scene, match, scene.client.calls.open(match.offer, match.order))
    other = match.offer.model_copy(
        update={"gpu_capacity": match.offer.gpu_capacity.model_copy(update={"vram_gb": 40})}
    )
    data = scene.client.calls.open(other, match.order).data
    assert opening_of(Liar(scene.net.url, {"input": "0x" + data.hex()}), escrow, scene.net.domain) is None


def test_opening__whose_transaction_the_node_lacks__is_the_nodes_fault(scene: Scene) -> None:
    escrow = scene.open()
    unknown = escrow.model_copy(update={"transaction_id": TransactionId("0x" + "01" * 32)})
    with pytest.raises(NodeError, match="does not show transaction"):
        opening_of(scene.client.node, unknown, scene.net.domain)
    without = escrow.model_copy(update={"transaction_id": None})
    assert opening_of(scene.client.node, without, scene.net.domain) is None
