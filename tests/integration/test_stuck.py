"""Transactions that get stuck, lost or displaced on a real chain; journals that know less than the chain."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from molt_market.chain.client import MoltClient
from molt_market.domain.deals import DealStatus
from molt_market.domain.ids import Address
from molt_market.domain.matches import OrderMatch
from molt_market.domain.transactions import Call, Fee
from molt_market.errors import TransactionPending
from molt_market.payments.fees import GWEI, FeePolicy
from molt_market.payments.journal import Dispatch, EntryState, Journal, MemoryJournal
from molt_market.payments.reconciliation import DifferenceKind
from molt_market.payments.service import PaymentService
from molt_market.storage.database import Database
from molt_market.storage.journal import SqlJournal
from molt_market.testing import Devnet
from tests.integration.scene import Scene, molt


@pytest.fixture
def by_hand(net: Devnet) -> Iterator[Devnet]:
    """A chain whose blocks the test makes."""
    net.node.request("evm_setAutomine", False)
    yield net
    net.node.request("evm_setAutomine", True)


def payments_of(
    net: Devnet, journal: Journal, *, patience: float = 0.1, cap: int = 500 * GWEI, timeout: float = 0.4
) -> PaymentService:
    client = MoltClient(net.network, deployment=net.deployment, account=net.buyer, timeout_seconds=timeout)
    return PaymentService(
        client, journal=journal, fees=FeePolicy(cap=cap, patience=timedelta(seconds=patience))
    )


def pending(payments: PaymentService, match: OrderMatch, net: Devnet) -> None:
    with pytest.raises(TransactionPending):
        payments.create_job_escrow(match, net.buyer)


def dispatch_of(journal: Journal, buyer: Address) -> Dispatch:
    [entry] = journal.openings(buyer)
    assert entry.dispatch is not None
    return entry.dispatch


def raise_base_fee(net: Devnet, times: int) -> int:
    """Let the next block's base fee be so many times of what a transaction would offer now."""
    fee = times * FeePolicy().first(net.client().transactions.market_fee()).most
    net.node.request("hardhat_setNextBlockBaseFeePerGas", hex(fee))
    return fee


def deposit_elsewhere(net: Devnet, nonce: int) -> str:
    """Let the buyer's other wallet send something, under a nonce of its own choice."""
    transactions = net.client().transactions
    call, fee = Call(net.stranger.address, b""), transactions.market_fee()
    signed = transactions.sign(
        call, net.buyer, nonce=nonce, gas=30_000, fee=Fee(8 * (fee.most + fee.tip), 8 * fee.tip)
    )
    transactions.broadcast(signed)
    return str(signed.id)


# ---------------------------------------------------------------- fees


def test_base_fee_jumps__is_replaced_under_its_nonce__and_opens_once(scene: Scene, by_hand: Devnet) -> None:
    net, journal, match = by_hand, MemoryJournal(), scene.match()
    payments, sent = payments_of(net, journal, patience=0.05), scene.sent(net.buyer)
    fee = raise_base_fee(net, 4)  # more than all the raises of one call can reach
    pending(payments, match, net)
    net.node.request("evm_mine")
    first = dispatch_of(journal, net.buyer.address).transactions[0]
    assert first.fee.most < fee
    pending(payments, match, net)
    net.node.request("evm_mine")
    escrow = payments.create_job_escrow(match, net.buyer)
    dispatch = dispatch_of(journal, net.buyer.address)
    assert (escrow.status, dispatch.state) == (DealStatus.LOCKED, EntryState.FINAL)
    assert len(dispatch.transactions) > 1
    assert {each.nonce for each in dispatch.transactions} == {first.nonce}
    assert scene.sent(net.buyer) == sent + 1


def test_base_fee_above_the_cap__waits__and_lands_when_it_has_fallen(scene: Scene, by_hand: Devnet) -> None:
    net, journal, match = by_hand, MemoryJournal(), scene.match()
    cap = FeePolicy().first(net.client().transactions.market_fee()).most * 5 // 4
    payments = payments_of(net, journal, patience=0.05, cap=cap)
    raise_base_fee(net, 2)
    for _ in range(2):
        pending(payments, match, net)
        net.node.request("evm_mine")
    assert all(each.fee.most <= cap for each in dispatch_of(journal, net.buyer.address).transactions)
    net.node.request("hardhat_mine", "0x10")  # each empty block lets it fall by an eighth
    pending(payments, match, net)
    net.node.request("evm_mine")
    assert payments.create_job_escrow(match, net.buyer).status is DealStatus.LOCKED


# ---------------------------------------------------------------- lost and displaced


def test_node_forgets_it__the_same_is_sent_again(scene: Scene, by_hand: Devnet) -> None:
    net, journal, match = by_hand, MemoryJournal(), scene.match()
    payments = payments_of(net, journal, patience=3_600)
    pending(payments, match, net)
    signed = dispatch_of(journal, net.buyer.address).latest
    net.node.request("hardhat_dropTransaction", signed.id)
    assert not net.client().transactions.knows(signed.id)
    pending(payments, match, net)
    net.node.request("evm_mine")
    assert payments.create_job_escrow(match, net.buyer).transaction_id == signed.id


def test_other_wallet_leaves_a_gap__is_filled(scene: Scene, by_hand: Devnet) -> None:
    """The buyer's other wallet sent under the next nonce, ours came after it; then the node forgot that."""
    net, journal, match, sent = by_hand, MemoryJournal(), scene.match(), scene.sent(by_hand.buyer)
    elsewhere = deposit_elsewhere(net, sent)
    payments = payments_of(net, journal)
    pending(payments, match, net)
    assert dispatch_of(journal, net.buyer.address).nonce == sent + 1
    net.node.request("hardhat_dropTransaction", elsewhere)
    pending(payments, match, net)
    net.node.request("evm_mine")
    assert payments.create_job_escrow(match, net.buyer).status is DealStatus.LOCKED
    assert journal.get(f"fill:{net.buyer.address}:{sent}") is not None
    assert scene.sent(net.buyer) == sent + 2


# ---------------------------------------------------------------- an old backup


def test_old_backup__knows_less_than_the_chain__nothing_is_paid_twice(
    scene: Scene, net: Devnet, tmp_path: Path
) -> None:
    offer, path = scene.offer(gpu_count=12), tmp_path / "market.db"
    matches = [scene.match(offer=offer, slot=slot) for slot in range(3)]
    database = Database(path)
    payments = payments_of(net, SqlJournal(database, "backup"))
    payments.create_job_escrow(matches[0], net.buyer)
    database.close()
    shutil.copy(path, tmp_path / "backup.db")

    database = Database(path)
    payments = payments_of(net, SqlJournal(database, "backup"))
    lost = payments.create_job_escrow(matches[1], net.buyer)
    payments.redeem(lost, scene.voucher(lost, "12"))
    database.close()
    money, sent = scene.wealth(net.buyer), scene.sent(net.buyer)

    restored = Database(tmp_path / "backup.db")
    journal = SqlJournal(restored, "backup")
    payments = payments_of(net, journal)
    [difference] = payments.reconcile()
    assert difference.kind is DifferenceKind.FOREIGN
    assert f"nonces {sent - 2} to {sent - 1}" in difference.text
    assert payments.create_job_escrow(matches[1], net.buyer).id == lost.id
    payments.redeem(lost, scene.voucher(lost, "12"))
    assert (scene.wealth(net.buyer), scene.sent(net.buyer)) == (money, sent)
    payments.create_job_escrow(matches[2], net.buyer)
    assert scene.wealth(net.buyer) == money - molt(240)
    restored.close()


def test_old_backup__payment_was_in_flight__finds_how_it_ended(
    scene: Scene, net: Devnet, tmp_path: Path
) -> None:
    path, match = tmp_path / "market.db", scene.match()
    database = Database(path)
    journal = SqlJournal(database, "backup")
    net.node.request("evm_setAutomine", False)
    try:
        pending(payments_of(net, journal), match, net)
        database.close()
        shutil.copy(path, tmp_path / "backup.db")
        database = Database(path)
        pending(payments_of(net, SqlJournal(database, "backup"), patience=0.01), match, net)  # it is replaced
        database.close()
    finally:
        net.node.request("evm_setAutomine", True)
        net.node.request("evm_mine")
    sent = scene.sent(net.buyer)
    restored = Database(tmp_path / "backup.db")
    payments = payments_of(net, SqlJournal(restored, "backup"), timeout=10)
    escrow = payments.create_job_escrow(match, net.buyer)
    assert (escrow.status, scene.sent(net.buyer)) == (DealStatus.LOCKED, sent)
    restored.close()
