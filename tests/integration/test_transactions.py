"""Sending: what is lost, late or refused on the way is told for what it is, and never paid twice."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from molt_market.chain.client import MoltClient
from molt_market.domain.deals import EscrowState
from molt_market.domain.ids import TransactionId
from molt_market.domain.orders import OrderStatus
from molt_market.domain.transactions import Call, Fee, SignedTransaction
from molt_market.errors import (
    InsufficientGas,
    NodeUnreachable,
    TransactionFailed,
    TransactionPending,
    TransactionRejected,
)
from molt_market.orderbook import OrderBook
from molt_market.payments.journal import EntryState, MemoryJournal
from molt_market.payments.service import PaymentService
from molt_market.refusals import CapacityExceeded, PolicyBond, ZeroAmount
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from tests.integration.scene import Scene, molt


@pytest.fixture
def hurried(net: Devnet) -> MoltClient:
    """The buyer's client, which waits for a second only."""
    return MoltClient(net.network, deployment=net.deployment, account=net.buyer, timeout_seconds=1)


@pytest.fixture
def mining_stopped(net: Devnet) -> Iterator[None]:
    net.node.request("evm_setAutomine", False)
    yield
    net.node.request("evm_setAutomine", True)


def only_entry(journal: MemoryJournal, net: Devnet) -> Any:
    [entry] = journal.openings(net.buyer.address)
    return entry


# ---------------------------------------------------------------- going on where it stopped


@pytest.mark.usefixtures("mining_stopped")
def test_open__not_mined_in_time__goes_on_when_called_again(
    scene: Scene, net: Devnet, hurried: MoltClient
) -> None:
    journal = MemoryJournal()
    payments = PaymentService(hurried, journal=journal)
    match, sent = scene.match(), scene.sent(net.buyer)
    with pytest.raises(TransactionPending) as pending:
        payments.create_job_escrow(match, net.buyer)
    entry = only_entry(journal, net)
    assert (entry.state, entry.dispatch.latest.id) == (EntryState.BROADCAST, pending.value.tx_hash)
    net.node.request("evm_mine")
    escrow = payments.create_job_escrow(match, net.buyer)
    assert (escrow.state, escrow.transaction_id) == (EscrowState.LOCKED, pending.value.tx_hash)
    assert scene.sent(net.buyer) == sent + 1
    assert only_entry(journal, net).state is EntryState.FINAL


@pytest.mark.usefixtures("mining_stopped")
def test_open__two_orders_in_flight__take_two_slots_and_two_nonces(
    scene: Scene, net: Devnet, hurried: MoltClient
) -> None:
    journal = MemoryJournal()
    payments = PaymentService(hurried, journal=journal)
    matches = [scene.match(), scene.match()]
    for match in matches:
        with pytest.raises(TransactionPending):
            payments.create_job_escrow(match, net.buyer)
    entries = journal.openings(net.buyer.address)
    assert [entry.opening.order.slot for entry in entries if entry.opening] == [0, 1]
    first, second = [entry.dispatch.nonce for entry in entries if entry.dispatch]
    assert second == first + 1
    net.node.request("evm_mine")
    assert len({payments.create_job_escrow(match, net.buyer).id for match in matches}) == 2


@pytest.mark.usefixtures("mining_stopped")
def test_open__pending__gives_the_reservation_back_and_takes_it_again(
    scene: Scene, net: Devnet, hurried: MoltClient
) -> None:
    book = OrderBook(net.clock)
    match = scene.booked(book)
    payments = PaymentService(hurried, book=book)
    with pytest.raises(TransactionPending):
        payments.create_job_escrow(match, net.buyer)
    assert book.order(match.order_id).status is OrderStatus.PENDING
    net.node.request("evm_mine")
    payments.create_job_escrow(match, net.buyer)
    assert book.order(match.order_id).status is OrderStatus.ESCROWED


def test_open__node_gone_while_sending__sends_the_same_transaction_again(
    scene: Scene, net: Devnet, hurried: MoltClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows whether it arrived: only the very same transaction may be sent again."""
    journal = MemoryJournal()
    payments = PaymentService(hurried, journal=journal)
    match = scene.match()

    def gone(_: SignedTransaction) -> None:
        raise NodeUnreachable(net.url)

    with monkeypatch.context() as patch:
        patch.setattr(hurried.transactions, "broadcast", gone)
        with pytest.raises(TransactionPending):
            payments.create_job_escrow(match, net.buyer)
    signed = only_entry(journal, net)
    assert signed.state is EntryState.SIGNED
    assert payments.create_job_escrow(match, net.buyer).transaction_id == signed.dispatch.latest.id


@pytest.mark.usefixtures("mining_stopped")
def test_open__nonce_used_by_another_wallet__is_sent_anew(
    scene: Scene, net: Devnet, hurried: MoltClient
) -> None:
    journal = MemoryJournal()
    payments = PaymentService(hurried, journal=journal)
    match = scene.match()
    with pytest.raises(TransactionPending) as pending:
        payments.create_job_escrow(match, net.buyer)
    net.node.request("hardhat_dropTransaction", pending.value.tx_hash)
    signed = hurried.transactions.prepared(hurried.calls.mint(net.buyer.address, 1), net.buyer, 100_000)
    hurried.transactions.broadcast(signed)  # the same key, used elsewhere, takes the nonce
    net.node.request("evm_mine")
    net.node.request("evm_setAutomine", True)
    patient = net.payments(net.buyer, journal=journal)
    assert patient.create_job_escrow(match, net.buyer).state is EscrowState.LOCKED
    entry = only_entry(journal, net)
    assert entry.state is EntryState.FINAL
    assert entry.dispatch.nonce == signed.nonce + 1


# ---------------------------------------------------------------- mined, and refused


def test_open__refused_in_its_block__names_refusal_and_transaction(
    scene: Scene, net: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = MemoryJournal()
    payments = net.payments(net.buyer, journal=journal)
    offer = scene.offer()
    scene.open(offer=offer, min_gpu_count=8)
    transactions = payments.client.transactions

    monkeypatch.setattr(payments.client, "check", lambda *_, **__: None)
    monkeypatch.setattr(transactions, "gas", lambda *_, **__: 1_000_000)  # as if it passed now
    with pytest.raises(CapacityExceeded) as refused:
        payments.create_job_escrow(scene.match(offer=offer), net.buyer)
    entry = only_entry(journal, net)
    assert isinstance(refused.value.__cause__, TransactionFailed)
    assert refused.value.__cause__.tx_hash == entry.dispatch.latest.id
    assert (entry.state, entry.failure) == (EntryState.REVERTED, str(refused.value))


def test_send_unchecked__out_of_gas__has_no_reason(net: Devnet) -> None:
    client = net.client(net.buyer)
    receipt, refusal = client.send_unchecked(client.calls.mint(net.buyer.address, 1), gas=25_000)
    assert (receipt.succeeded, refusal) == (False, None)


def test_send_unchecked__refusal__costs_gas_and_is_decoded(net: Devnet) -> None:
    client = net.client(net.buyer)
    receipt, refusal = client.send_unchecked(client.calls.withdraw(net.buyer.address, net.buyer.address))
    assert isinstance(refusal, ZeroAmount)
    assert 21_000 < receipt.gas_used < 60_000
    assert receipt.sender == net.buyer.address


def test_send__refused__is_not_sent(scene: Scene, net: Devnet) -> None:
    client = net.client(net.buyer)
    sent = scene.sent(net.buyer)
    bad = net.policy.model_copy(update={"bond_bps": 9_999})
    with pytest.raises(PolicyBond) as refused:
        client.register_policy(bad)
    assert (refused.value.actual, refused.value.limit) == (9_999, 5_000)
    assert scene.sent(net.buyer) == sent


def test_send__no_native_coin__says_what_is_needed(net: Devnet) -> None:
    poor = Wallet.from_private_key("0x" + "77" * 32)
    client = net.client(poor)
    with pytest.raises(InsufficientGas) as refused:
        client.send(client.calls.mint(poor.address, 1))
    assert (refused.value.account, refused.value.available) == (poor.address, 0)
    assert refused.value.needed > 0


def test_broadcast__twice__is_fine(net: Devnet) -> None:
    client = net.client(net.buyer)
    signed = client.transactions.prepared(client.calls.mint(net.buyer.address, 1), net.buyer, 100_000)
    client.transactions.broadcast(signed)
    client.transactions.broadcast(signed)
    assert client.transactions.wait(signed).succeeded


def test_broadcast__what_no_node_takes__is_rejected(net: Devnet) -> None:
    client = net.client(net.buyer)
    garbage = SignedTransaction(
        TransactionId("0x" + "12" * 32), net.buyer.address, 0, Call(None, b""), 21_000, Fee(1, 1), b"\x02\xc0"
    )
    with pytest.raises(TransactionRejected) as rejected:
        client.transactions.broadcast(garbage)
    assert rejected.value.tx_hash == garbage.id


# ---------------------------------------------------------------- confirmations


def test_wait__confirmations__returns_when_they_are_there(net: Devnet) -> None:
    client = MoltClient(net.network, deployment=net.deployment, account=net.buyer, confirmations=2)
    miner = threading.Timer(0.3, lambda: net.node.request("hardhat_mine", "0x2"))
    miner.start()
    receipt = client.deposit(molt(1))
    miner.join()
    assert net.node.number("eth_blockNumber") >= receipt.block + 2


def test_wait__too_few_confirmations__is_pending(net: Devnet) -> None:
    client = MoltClient(
        net.network, deployment=net.deployment, account=net.buyer, confirmations=2, timeout_seconds=1
    )
    with pytest.raises(TransactionPending) as pending:
        client.deposit(molt(1))
    assert pending.value.waited_seconds == 1
