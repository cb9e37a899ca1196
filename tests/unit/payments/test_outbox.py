"""One key, one payment: whatever happens in between, and however often it is called."""

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.transactions import Call
from molt_market.errors import (
    InsufficientTokens,
    MoltError,
    NodeError,
    NodeUnreachable,
    TransactionDropped,
    TransactionFailed,
    TransactionPending,
    TransactionRejected,
)
from molt_market.payments.journal import EntryState, MemoryJournal
from molt_market.payments.outbox import Outbox
from molt_market.refusals import CapacityExceeded
from molt_market.signing.wallet import TransactionSigner
from tests.unit.payments.fakes import CALL, WALLET, FakeTransactions

KEY = "release:0xde:7"


class Desk:
    """An outbox with its parts, and a count of how often the call was made."""

    def __init__(self) -> None:
        self.chain = FakeTransactions()
        self.journal = MemoryJournal()
        self.outbox = Outbox(self.chain, self.journal)
        self.prepared = 0

    def prepare(self) -> tuple[Call, TransactionSigner]:
        self.prepared += 1
        return CALL, WALLET

    def state(self, key: str = KEY) -> EntryState:
        entry = self.journal.get(key)
        assert entry is not None
        return entry.state


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_send__writes_the_signed_transaction_down_before_it_is_sent(desk: Desk) -> None:
    desk.chain.failing["broadcast"] = NodeUnreachable("http://localhost")
    with pytest.raises(NodeUnreachable):
        desk.outbox.send(KEY, desk.prepare)
    entry = desk.journal.get(KEY)
    assert entry is not None
    assert (entry.state, desk.chain.sent) == (EntryState.SIGNED, [])
    assert entry.transaction is not None


def test_send__works__takes_every_step_once(desk: Desk) -> None:
    receipt = desk.outbox.send(KEY, desk.prepare, note="why")
    assert desk.chain.steps[1:] == ["sign", "broadcast", "wait 0", "wait"]
    assert (desk.state(), receipt.succeeded) == (EntryState.FINAL, True)


def test_send__again__returns_the_first_receipt(desk: Desk) -> None:
    first = desk.outbox.send(KEY, desk.prepare)
    assert desk.outbox.send(KEY, desk.prepare) == first
    assert (desk.prepared, len(desk.chain.sent)) == (1, 1)


@pytest.mark.parametrize("step", ["broadcast", "wait 0", "wait"])
@pytest.mark.parametrize("error", [NodeUnreachable("http://localhost"), NodeError("what?")])
def test_send__interrupted__goes_on_with_the_same_transaction(
    desk: Desk, step: str, error: Exception
) -> None:
    desk.chain.failing[step] = error
    with pytest.raises(type(error)):
        desk.outbox.send(KEY, desk.prepare)
    assert desk.state() in {EntryState.SIGNED, EntryState.BROADCAST}
    receipt = desk.outbox.send(KEY, desk.prepare)
    assert {each.id for each in desk.chain.sent} == {receipt.transaction_id}
    assert (desk.prepared, desk.state()) == (1, EntryState.FINAL)


def test_send__not_mined_in_time__goes_on_with_the_same_transaction(desk: Desk) -> None:
    desk.chain.failing["wait 0"] = TransactionPending("0x77", 60)
    with pytest.raises(TransactionPending):
        desk.outbox.send(KEY, desk.prepare)
    assert desk.outbox.send(KEY, desk.prepare).transaction_id == desk.chain.sent[0].id
    assert desk.prepared == 1


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("sign", CapacityExceeded(9, 8)),
        ("broadcast", TransactionRejected("0x77", "underpriced")),
        ("wait 0", TransactionDropped("0x77")),
    ],
)
def test_send__cannot_happen_any_more__fails_and_may_be_tried_anew(
    desk: Desk, step: str, error: MoltError
) -> None:
    desk.chain.failing[step] = error
    with pytest.raises(type(error)):
        desk.outbox.send(KEY, desk.prepare)
    entry = desk.journal.get(KEY)
    assert entry is not None
    assert (entry.state, entry.failure) == (EntryState.FAILED, str(error))
    desk.outbox.send(KEY, desk.prepare)
    assert (desk.state(), desk.prepared) == (EntryState.FINAL, 2)


def test_send__refused_while_preparing__signs_nothing(desk: Desk) -> None:
    def without_money() -> tuple[Call, TransactionSigner]:
        raise InsufficientTokens(Amount(2), Amount(1))

    with pytest.raises(InsufficientTokens):
        desk.outbox.send(KEY, without_money)
    assert (desk.state(), desk.chain.steps) == (EntryState.FAILED, [])


def test_send__mined_and_reverted__fails(desk: Desk) -> None:
    desk.chain.succeeds = False
    mined = []
    with pytest.raises(TransactionFailed):
        desk.outbox.send(KEY, desk.prepare, when_mined=lambda: mined.append(1))
    assert (desk.state(), mined) == (EntryState.FAILED, [])


def test_send__resumed__hears_no_more_of_the_node(desk: Desk) -> None:
    """The node may have forgotten it, or have mined it: what became of it shows when waiting."""
    desk.chain.failing["wait 0"] = TransactionPending("0x77", 60)
    with pytest.raises(TransactionPending):
        desk.outbox.send(KEY, desk.prepare)
    desk.chain.failing["broadcast"] = TransactionDropped("0x77")
    assert desk.outbox.send(KEY, desk.prepare).succeeded


def test_send__in_a_block__is_told_before_the_confirmations(desk: Desk) -> None:
    desk.outbox.send(KEY, desk.prepare, when_mined=lambda: desk.chain.steps.append("told"))
    assert desk.chain.steps[-3:] == ["wait 0", "told", "wait"]


def test_send__another_in_flight__takes_the_next_nonce(desk: Desk) -> None:
    """What is signed and not yet sent has its nonce all the same."""
    desk.chain.failing["broadcast"] = NodeUnreachable("http://localhost")
    with pytest.raises(NodeUnreachable):
        desk.outbox.send(KEY, desk.prepare)
    desk.outbox.send("release:0xde:8", desk.prepare)
    entry = desk.journal.get(KEY)
    assert entry is not None
    assert entry.transaction is not None
    assert [entry.transaction.nonce, desk.chain.sent[0].nonce] == [0, 1]
