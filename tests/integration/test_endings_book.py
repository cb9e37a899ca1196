"""Order book and settle_job know how a deal ended."""

from __future__ import annotations

import pytest

from molt_market.domain.deals import EscrowAccount
from molt_market.domain.ids import EscrowId, TransactionId
from molt_market.domain.orders import OrderStatus
from molt_market.domain.settlement import (
    SettlementStatus,
)
from molt_market.orderbook import OrderBook
from molt_market.payments.service import PaymentService
from molt_market.payments.settlement import settle_job
from molt_market.testing import Devnet
from tests.integration.endings import cancellation, split
from tests.integration.scene import Scene


def ended(scene: Scene, payments: PaymentService, ending: str, escrow: EscrowAccount) -> EscrowId:
    """End a deal, as both parties' service."""
    match ending:
        case "redeemed":
            payments.redeem(escrow, scene.voucher(escrow, "24"))
        case "cancelled":
            payments.cancel(escrow, cancellation(scene, escrow))
        case "given up":
            payments.redeem(escrow, scene.voucher(escrow, "6"))
            payments.cancel(escrow, cancellation(scene, escrow))
        case "never claimed":
            scene.run_past(escrow)
            payments.refund_payment(escrow, "silence")
        case "split":
            payments.settle_split(escrow, split(scene, escrow, "7", scene.net.buyer, scene.net.provider))
    return escrow.id


@pytest.mark.parametrize(
    ("ending", "status", "result"),
    [
        ("redeemed", OrderStatus.SETTLED, SettlementStatus.Success()),
        ("cancelled", OrderStatus.REFUNDED, SettlementStatus.FullRefund("0 of 24 hours delivered")),
        (
            "given up",
            OrderStatus.SETTLED,
            SettlementStatus.PartialRefund("6 of 24 hours delivered"),
        ),
        ("never claimed", OrderStatus.REFUNDED, SettlementStatus.FullRefund("0 of 24 hours delivered")),
        ("split", OrderStatus.SETTLED, SettlementStatus.PartialRefund("7 of 24 hours delivered")),
    ],
)
def test_ending__the_order_follows__and_settle_job_tells_it(
    scene: Scene, net: Devnet, ending: str, status: OrderStatus, result: SettlementStatus
) -> None:
    book = OrderBook(net.clock)
    match = scene.booked(book)
    payments = net.payments(net.buyer, book=book)
    escrow = payments.create_job_escrow(match, net.buyer)
    assert book.order(match.order_id).status is OrderStatus.ESCROWED
    ended(scene, payments, ending, escrow)
    assert book.order(match.order_id).status is status
    assert book.match_order(scene.order(min_gpu_count=8))  # its GPUs are free again
    hours = str(scene.client.escrow(escrow.id).paid_gpu_seconds // 4 // 3_600)
    sent = scene.sent(net.buyer)
    assert settle_job(scene.job(escrow, hours), payments).status == result
    assert scene.sent(net.buyer) == sent


def test_redeem__the_order_runs(scene: Scene, net: Devnet) -> None:
    book = OrderBook(net.clock)
    match = scene.booked(book)
    payments = net.payments(net.buyer, book=book)
    escrow = payments.create_job_escrow(match, net.buyer)
    payments.redeem(escrow, scene.voucher(escrow, "6"))
    assert book.order(match.order_id).status is OrderStatus.RUNNING


def test_transactions__of_a_settlement__are_those_that_moved_money(scene: Scene) -> None:
    escrow = scene.open()
    sent: list[TransactionId] = [
        scene.provider.redeem(escrow, scene.voucher(escrow, "6")),
        scene.provider.cancel(escrow),
    ]
    assert scene.provider.settlement(escrow.id).transactions == tuple(sent)
