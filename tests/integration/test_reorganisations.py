"""Blocks that are taken back, on a real chain: the payment goes with them, and is made once all the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from molt_market.chain.client import MoltClient
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.events import DealOpened
from molt_market.domain.matches import OrderMatch
from molt_market.domain.orders import OrderStatus
from molt_market.errors import DealNotFound, TransactionPending
from molt_market.orderbook import OrderBook
from molt_market.payments.fees import FeePolicy
from molt_market.payments.journal import Entry, EntryState, MemoryJournal
from molt_market.payments.reconciliation import DifferenceKind
from molt_market.payments.service import PaymentService
from molt_market.refusals import CapacityExceeded
from molt_market.testing import Devnet
from tests.integration.scene import Scene, molt

DEEPEST = 12


class Buyer:
    """A buyer who waits for so many confirmations, a fifth of a second at most."""

    def __init__(self, net: Devnet, confirmations: int, book: OrderBook | None = None) -> None:
        self.net, self.journal = net, MemoryJournal()
        client = MoltClient(
            net.network,
            deployment=net.deployment,
            account=net.buyer,
            confirmations=confirmations,
            timeout_seconds=0.2,
        )
        self.payments = PaymentService(client, journal=self.journal, book=book)

    def open(self, match: OrderMatch) -> EscrowAccount:
        return self.payments.create_job_escrow(match, self.net.buyer)

    def pending(self, match: OrderMatch) -> None:
        with pytest.raises(TransactionPending):
            self.open(match)

    @property
    def entry(self) -> Entry:
        [entry] = self.journal.openings(self.net.buyer.address)
        return entry


def signed_a_while_ago(scene: Scene, **order: Any) -> OrderMatch:
    """Make a match that is valid in the blocks of another fork too: their times may be earlier."""
    earlier = scene.net.clock.now() - timedelta(minutes=10)
    offer = order.pop("offer", None) or scene.offer(created_at=earlier)
    return scene.match(offer=offer, order=scene.order(created_at=earlier, **order))


def mine(net: Devnet, blocks: int) -> None:
    net.node.request("hardhat_mine", hex(blocks))


def reorganise(net: Devnet, depth: int) -> None:
    """Replace the last blocks by as many empty ones; the node forgets what was in them."""
    net.node.request("anvil_reorg", depth, [])


def require_opened_once(scene: Scene, net: Devnet, escrow: EscrowAccount, sent: int) -> None:
    assert escrow.status is DealStatus.LOCKED
    assert scene.sent(net.buyer) == sent + 1
    assert scene.escrow_holds() - molt(40_000) == molt(240)  # beside what the providers have there
    logged = scene.client._logs(net.deployment.block, [], DealOpened)
    assert [event.deal_id for event in logged] == [escrow.id]


@pytest.mark.parametrize("depth", range(1, DEEPEST + 1))
def test_reorganised__before_it_is_final__is_sent_again_and_opens_once(
    scene: Scene, net: Devnet, depth: int
) -> None:
    buyer, match, sent = Buyer(net, DEEPEST), signed_a_while_ago(scene), scene.sent(net.buyer)
    buyer.pending(match)
    assert buyer.entry.state == "mined"
    mine(net, depth - 1)
    reorganise(net, depth)
    assert scene.sent(net.buyer) == sent
    buyer.pending(match)  # it looks, finds it gone, and sends it again
    mine(net, DEEPEST)
    escrow = buyer.open(match)
    assert buyer.entry.state == "final"
    require_opened_once(scene, net, escrow, sent)


@pytest.mark.parametrize("depth", range(2, DEEPEST + 1))
def test_reorganised__deeper_than_was_waited_for__is_found_when_reconciled(
    scene: Scene, net: Devnet, depth: int
) -> None:
    buyer, match, sent = Buyer(net, 1), signed_a_while_ago(scene), scene.sent(net.buyer)
    buyer.pending(match)
    mine(net, 1)
    deal = buyer.open(match).id
    mine(net, depth - 2)
    reorganise(net, depth)
    with pytest.raises(DealNotFound):
        scene.client.escrow(deal)
    [difference] = buyer.payments.reconcile()
    assert difference.kind is DifferenceKind.NOT_ON_CHAIN
    mine(net, 1)
    require_opened_once(scene, net, buyer.open(match), sent)


def test_reorganised__final__and_called_again__opens_once(scene: Scene, net: Devnet) -> None:
    buyer, match, sent = Buyer(net, 0), signed_a_while_ago(scene), scene.sent(net.buyer)
    buyer.open(match)
    reorganise(net, 1)
    require_opened_once(scene, net, buyer.open(match), sent)


def test_reorganised__final__and_the_next_payment_waits_behind_it__both_are_made(
    scene: Scene, net: Devnet
) -> None:
    first, second = signed_a_while_ago(scene), signed_a_while_ago(scene)
    client = MoltClient(net.network, deployment=net.deployment, account=net.buyer, timeout_seconds=10)
    payments = PaymentService(client, fees=FeePolicy(patience=timedelta(seconds=0.1)))
    lost = payments.create_job_escrow(first, net.buyer)
    reorganise(net, 1)
    assert not scene.client.is_open(lost.id)
    opened = payments.create_job_escrow(second, net.buyer)
    assert scene.client.is_open(opened.id)
    assert scene.client.is_open(lost.id)


def test_reorganised__gpus_went_to_somebody_else__frees_them_in_the_book(scene: Scene, net: Devnet) -> None:
    """The book had noted the deal when it was mined; then its block went, and another one was first."""
    book = OrderBook(net.clock)
    match = signed_a_while_ago(scene)
    book.add_offer(match.offer)
    buyer = Buyer(net, 2, book)
    buyer.pending(match)
    assert book.order(match.order_id).status is OrderStatus.ESCROWED
    reorganise(net, 1)
    rival = net.buyers[1]
    other = signed_a_while_ago(scene, offer=match.offer, buyer_id=rival.address, min_gpu_count=8)
    net.payments(rival).create_job_escrow(other, rival)
    buyer.pending(match)
    mine(net, 2)
    with pytest.raises(CapacityExceeded):
        buyer.open(match)
    assert buyer.entry.state is EntryState.REVERTED
    assert book.order(match.order_id).status is OrderStatus.REFUNDED
    assert book.match_order(scene.order(min_gpu_count=8))[0].offer_id == match.offer_id


def test_mined__and_called_again_by_another_process__waits_for_the_confirmations(
    scene: Scene, net: Devnet
) -> None:
    """The chain shows the payment already, and may still take it back."""
    escrow, sent = scene.open(), scene.sent(net.buyer)
    buyer, voucher = Buyer(net, 2), scene.voucher(escrow, "12")
    with pytest.raises(TransactionPending):
        buyer.payments.redeem(escrow, voucher)
    assert scene.client.escrow(escrow.id).paid_gpu_seconds == voucher.gpu_seconds
    another = PaymentService(buyer.payments.client, journal=buyer.journal)
    with pytest.raises(TransactionPending):
        another.redeem(escrow, voucher)
    mine(net, 2)
    another.redeem(escrow, voucher)
    assert [entry.state for entry in buyer.journal.entries(EntryState)] == [EntryState.FINAL]
    assert scene.sent(net.buyer) == sent + 1


@pytest.mark.parametrize("depth", [1, 5, 12])
def test_reorganised__a_release__pays_once(scene: Scene, net: Devnet, depth: int) -> None:
    before, escrow = scene.wealth(net.provider), scene.open()
    buyer = Buyer(net, DEEPEST)
    voucher = scene.voucher(escrow, "24")
    with pytest.raises(TransactionPending):
        buyer.payments.redeem(escrow, voucher)
    mine(net, depth - 1)
    reorganise(net, depth)
    assert scene.wealth(net.provider) == before - escrow.bond
    with pytest.raises(TransactionPending):
        buyer.payments.redeem(escrow, voucher)
    mine(net, DEEPEST)
    buyer.payments.redeem(escrow, voucher)
    assert scene.wealth(net.provider) - before == molt("237.6")
