"""Each ending happens once: through repeated and simultaneous calls, late transactions and lost journals."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from molt_market.chain.client import MoltClient
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.disputes import DisputeOutcome
from molt_market.domain.ids import TransactionId
from molt_market.errors import (
    InvalidStateTransition,
    NodeUnreachable,
    TransactionPending,
)
from molt_market.payments.journal import EntryState, MemoryJournal
from molt_market.payments.service import PaymentService
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from tests.integration.endings import claimed, contest, disputed, ran, split
from tests.integration.scene import Scene, molt

Verb = Callable[[PaymentService], TransactionId]


class Case:
    """A deal that can end in one way, whose step it is, and how it is done."""

    def __init__(self, name: str, scene: Scene) -> None:
        net = scene.net
        ready: dict[str, Callable[[Scene], EscrowAccount]] = {
            "claim_unattested": ran,
            "concede": disputed,
            "resolve": disputed,
            "refund_payment": overdue,
        }
        self.escrow = ready.get(name, Scene.open)(scene)
        voucher = scene.voucher(self.escrow, "6")
        agreement = split(scene, self.escrow, "7", net.buyer, net.provider)
        self.account = {"stop": net.buyer, "resolve": net.arbiter}.get(name, net.provider)
        self.act: Verb = {
            "redeem": lambda payments: payments.redeem(self.escrow, voucher),
            "stop": lambda payments: payments.stop(self.escrow),
            "cancel": lambda payments: payments.cancel(self.escrow),
            "settle_split": lambda payments: payments.settle_split(self.escrow, agreement),
            "claim_unattested": lambda payments: payments.claim_unattested(self.escrow, "23.5"),
            "concede": lambda payments: payments.concede(self.escrow),
            "resolve": lambda payments: payments.resolve(self.escrow, "22"),
            "refund_payment": lambda payments: payments.refund_payment(self.escrow, "silence"),
        }[name]


NAMES = [
    "redeem",
    "stop",
    "cancel",
    "settle_split",
    "claim_unattested",
    "concede",
    "resolve",
    "refund_payment",
]


def overdue(scene: Scene) -> EscrowAccount:
    escrow = scene.open()
    scene.run_past(escrow)
    return escrow


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest, scene: Scene) -> Case:
    return Case(request.param, scene)


@contextmanager
def nothing_is_mined(net: Devnet) -> Iterator[None]:
    """Let transactions wait until somebody mines."""
    net.node.request("evm_setAutomine", False)
    try:
        yield
    finally:
        net.node.request("evm_setAutomine", True)


def hurried(net: Devnet, account: Wallet, journal: MemoryJournal | None = None) -> PaymentService:
    """A service that waits for a second only."""
    client = MoltClient(net.network, deployment=net.deployment, account=account, timeout_seconds=1)
    return PaymentService(client, journal=journal)


def test_verb__from_many_threads__sends_one_transaction(scene: Scene, net: Devnet, case: Case) -> None:
    payments, sent = net.payments(case.account), scene.sent(case.account)
    done: list[TransactionId] = []
    threads = [threading.Thread(target=lambda: done.append(case.act(payments))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(done), len(set(done))) == (4, 1)
    assert scene.sent(case.account) == sent + 1


def test_verb__with_a_new_journal__finds_what_was_done(scene: Scene, net: Devnet, case: Case) -> None:
    done, sent = case.act(net.payments(case.account)), scene.sent(case.account)
    assert case.act(net.payments(case.account)) == done
    assert scene.sent(case.account) == sent


def test_verb__not_mined_in_time__goes_on_when_called_again(scene: Scene, net: Devnet, case: Case) -> None:
    payments, sent = hurried(net, case.account), scene.sent(case.account)
    with nothing_is_mined(net), pytest.raises(TransactionPending) as pending:
        case.act(payments)
    net.node.request("evm_mine")
    assert case.act(payments) == pending.value.tx_hash
    assert scene.sent(case.account) == sent + 1


def test_verb__node_gone_after_sending__nothing_is_sent_twice(
    scene: Scene, net: Devnet, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = MemoryJournal()
    payments, sent = hurried(net, case.account, journal), scene.sent(case.account)

    def gone(*_: object, **__: object) -> None:
        raise NodeUnreachable(net.url)

    with monkeypatch.context() as patch:
        patch.setattr(payments.client.transactions, "receipt", gone)
        with pytest.raises(TransactionPending):
            case.act(payments)
    [entry] = journal.entries(EntryState)
    assert entry.state is EntryState.BROADCAST
    assert entry.dispatch is not None
    assert case.act(payments) == entry.dispatch.latest.id
    assert scene.sent(case.account) == sent + 1


# ---------------------------------------------------------------- what is in flight


def test_split__while_another_is_in_flight__says_that_it_went_otherwise(scene: Scene, net: Devnet) -> None:
    case = Case("settle_split", scene)
    payments = hurried(net, net.provider)
    other = split(scene, case.escrow, "8", net.buyer, net.provider)
    with nothing_is_mined(net):
        with pytest.raises(TransactionPending):
            case.act(payments)
        threading.Timer(0.2, lambda: net.node.request("evm_mine")).start()
        with pytest.raises(InvalidStateTransition):
            payments.settle_split(case.escrow, other)
    assert scene.client.escrow(case.escrow.id).paid_gpu_seconds == 7 * 4 * 3_600


def test_dispute__not_mined_in_time__stakes_once(scene: Scene, net: Devnet) -> None:
    escrow = claimed(scene)
    before = scene.wealth(net.buyer)
    payments = hurried(net, net.buyer)
    with nothing_is_mined(net), pytest.raises(TransactionPending):
        payments.handle_dispute(escrow, contest(escrow, "0"))
    net.node.request("evm_mine")
    found = payments.handle_dispute(escrow, contest(escrow, "0"))
    assert isinstance(found.outcome, DisputeOutcome.Pending)
    assert before - scene.wealth(net.buyer) == found.stake - found.buyer_refund - found.bond_to_buyer


# ---------------------------------------------------------------- the stake, for a token without permits


def test_dispute__token_without_permits__approves_and_deposits(
    scene: Scene, net: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    escrow = claimed(scene)
    monkeypatch.setattr(scene.buyer.client, "permit", lambda *_: None)
    sent = scene.sent(net.buyer)
    found = scene.buyer.handle_dispute(escrow, contest(escrow, "0"))
    assert found.stake == molt("23.5")
    assert scene.sent(net.buyer) == sent + 2
    assert scene.client.escrow(escrow.id).status is DealStatus.DISPUTED


def test_dispute__what_withdraws_still_counts(scene: Scene, net: Devnet) -> None:
    """A mark does not lower the balance: the stake may be taken from it."""
    escrow = claimed(scene)
    client = net.client(net.buyer)
    client.deposit(molt(18))
    client.request_withdraw(molt(18))
    wallet = scene.client.balance_of(net.buyer.address)
    scene.buyer.handle_dispute(escrow, contest(escrow, "0"))
    assert scene.client.balance_of(net.buyer.address) == wallet
