"""One key, one payment: whatever happens in between, and however often it is called."""

from datetime import timedelta
from itertools import pairwise

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.transactions import Call, SignedTransaction
from molt_market.errors import (
    InsufficientTokens,
    MoltError,
    NodeError,
    NodeUnreachable,
    TransactionDropped,
    TransactionFailed,
    TransactionPending,
    TransactionRejected,
    TransactionUnderpriced,
)
from molt_market.payments import carrier
from molt_market.payments.fees import FeePolicy
from molt_market.payments.journal import Dispatch, Entry, EntryState, MemoryJournal
from molt_market.payments.outbox import Outbox
from molt_market.refusals import CapacityExceeded
from molt_market.signing.wallet import TransactionSigner
from tests.unit.payments.fakes import CALL, WALLET, FakeTransactions, signed_for

KEY, OTHER = "release:0xde:7", "release:0xde:8"


class Desk:
    """An outbox with its parts, and a count of how often the call was made."""

    def __init__(self, *, patience: timedelta = timedelta(hours=1), cap: int = 10**12) -> None:
        self.chain = FakeTransactions()
        self.journal = MemoryJournal()
        self.fees = FeePolicy(cap=cap, patience=patience)
        self.outbox = self.another()
        self.prepared = 0

    def another(self) -> Outbox:
        """Return an outbox of another process over the same journal; it knows no wallet yet."""
        return Outbox(self.chain, self.journal, fees=self.fees)

    def prepare(self) -> tuple[Call, TransactionSigner]:
        self.prepared += 1
        return CALL, WALLET

    def pending(self, key: str = KEY) -> None:
        """Send a payment that is not mined in time."""
        self.chain.mining = False
        with pytest.raises(TransactionPending):
            self.outbox.send(key, self.prepare)

    def entry(self, key: str = KEY) -> Entry:
        entry = self.journal.get(key)
        assert entry is not None
        return entry

    def dispatch(self, key: str = KEY) -> Dispatch:
        dispatch = self.entry(key).dispatch
        assert dispatch is not None
        return dispatch

    @property
    def state(self) -> EntryState:
        return self.entry().state


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk that replaces at every look, and believes at once that a nonce is gone."""
    monkeypatch.setattr(carrier, "RECEIPT_DELAY", timedelta(0))
    return Desk(patience=timedelta(microseconds=1))


# ---------------------------------------------------------------- the plain way


def test_send__writes_the_signed_transaction_down_before_it_is_sent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[EntryState] = []
    broadcast = desk.chain.broadcast

    def watched(signed: SignedTransaction) -> None:
        seen.append(desk.state)
        broadcast(signed)

    monkeypatch.setattr(desk.chain, "broadcast", watched)
    desk.outbox.send(KEY, desk.prepare)
    assert (seen, desk.dispatch().latest) == ([EntryState.SIGNED], desk.chain.sent[0])


def test_send__works__takes_every_step_once(desk: Desk) -> None:
    receipt = desk.outbox.send(KEY, desk.prepare, note="why")
    assert desk.chain.steps == ["gas", "money", "sign", "broadcast", "receipt"]
    assert (desk.state, receipt.succeeded, desk.entry().note) == (EntryState.FINAL, True, "why")


def test_send__again__returns_the_first_receipt(desk: Desk) -> None:
    first = desk.outbox.send(KEY, desk.prepare)
    assert desk.another().send(KEY, desk.prepare) == first
    assert (desk.prepared, len(desk.chain.sent)) == (1, 1)


def test_send__in_a_block__is_told_before_the_confirmations(desk: Desk) -> None:
    told: list[EntryState] = []
    desk.chain.confirmations = 2

    def when_mined(_: object) -> None:
        told.append(desk.state)
        desk.chain.block += 2

    desk.outbox.send(KEY, desk.prepare, when_mined=when_mined)
    assert (told, desk.state) == ([EntryState.MINED], EntryState.FINAL)


def test_send__too_few_confirmations__is_pending(desk: Desk) -> None:
    desk.chain.confirmations = 2
    with pytest.raises(TransactionPending):
        desk.outbox.send(KEY, desk.prepare)
    assert desk.state is EntryState.MINED


# ---------------------------------------------------------------- interrupted


@pytest.mark.parametrize("step", ["broadcast", "receipt"])
@pytest.mark.parametrize("error", [NodeUnreachable("http://localhost"), NodeError("what?")])
def test_send__node_fails_once_it_is_signed__goes_on_by_itself(
    desk: Desk, step: str, error: Exception
) -> None:
    desk.chain.failing[step] = error
    assert desk.outbox.send(KEY, desk.prepare).succeeded
    assert (desk.prepared, len({each.id for each in desk.chain.sent})) == (1, 1)


def test_send__node_fails_before_it_is_signed__fails_at_once(desk: Desk) -> None:
    desk.chain.failing["gas"] = NodeUnreachable("http://localhost")
    with pytest.raises(NodeUnreachable):
        desk.outbox.send(KEY, desk.prepare)
    assert (desk.state, desk.chain.sent) == (EntryState.FAILED, [])


def test_send__not_mined_in_time__goes_on_with_the_same_transaction(desk: Desk) -> None:
    desk.pending()
    desk.chain.mine()
    assert desk.another().send(KEY, desk.prepare).transaction_id == desk.chain.sent[0].id
    assert desk.prepared == 1


def test_send__node_forgot_it__sends_the_same_transaction_again(desk: Desk) -> None:
    desk.pending()
    desk.chain.pool.clear()
    desk.chain.mining = True
    receipt = desk.another().send(KEY, desk.prepare)
    assert [each.id for each in desk.chain.sent] == [receipt.transaction_id] * 2
    assert desk.prepared == 1


def test_send__died_before_broadcast__is_sent_by_the_next_process(desk: Desk) -> None:
    desk.journal.plan(KEY)
    nonce = desk.chain.next_nonce(WALLET.address)
    desk.journal.sign(
        {KEY: range(1)}, WALLET.address, lambda n: signed_for(WALLET.address, n), least_nonce=nonce
    )
    assert desk.another().send(KEY, desk.prepare).succeeded
    assert desk.prepared == 0


def test_send__died_after_broadcast__finds_it_mined(desk: Desk) -> None:
    desk.journal.plan(KEY)
    dispatch = desk.journal.sign(
        {KEY: range(1)}, WALLET.address, lambda n: signed_for(WALLET.address, n), least_nonce=0
    )
    assert dispatch is not None
    desk.chain.broadcast(dispatch.latest)
    assert desk.another().send(KEY, desk.prepare).transaction_id == dispatch.latest.id
    assert (desk.state, len(desk.chain.sent)) == (EntryState.FINAL, 1)


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize("step", ["gas", "money"])
def test_send__refused_before_it_is_signed__fails_and_may_be_tried_anew(desk: Desk, step: str) -> None:
    error = CapacityExceeded(9, 8)
    desk.chain.failing[step] = error
    with pytest.raises(CapacityExceeded):
        desk.outbox.send(KEY, desk.prepare)
    assert (desk.state, desk.entry().failure) == (EntryState.FAILED, str(error))
    desk.outbox.send(KEY, desk.prepare)
    assert (desk.state, desk.prepared) == (EntryState.FINAL, 2)


def test_send__refused_while_preparing__signs_nothing(desk: Desk) -> None:
    def without_money() -> tuple[Call, TransactionSigner]:
        raise InsufficientTokens(Amount(2), Amount(1))

    with pytest.raises(InsufficientTokens):
        desk.outbox.send(KEY, without_money)
    assert (desk.state, desk.chain.steps) == (EntryState.FAILED, [])


def test_send__refused_because_somebody_else_is_doing_it__waits_for_him(desk: Desk) -> None:
    """The contract refuses what another process has just sent: that is no failure."""

    def too_late() -> tuple[Call, TransactionSigner]:
        desk.another().send(KEY, desk.prepare)
        raise CapacityExceeded(9, 8)

    assert desk.outbox.send(KEY, too_late).transaction_id == desk.chain.sent[0].id
    assert len(desk.chain.sent) == 1


def test_send__somebody_signed_while_we_prepared__sends_nothing_more(desk: Desk) -> None:
    def slow() -> tuple[Call, TransactionSigner]:
        desk.another().send(KEY, desk.prepare)
        return CALL, WALLET

    assert desk.outbox.send(KEY, slow).transaction_id == desk.chain.sent[0].id
    assert len(desk.chain.sent) == 1


def test_send__rejected_by_the_node__gives_the_nonce_back(desk: Desk) -> None:
    desk.chain.failing["broadcast"] = TransactionRejected("0x77", "oversized data")
    with pytest.raises(TransactionRejected):
        desk.outbox.send(KEY, desk.prepare)
    assert (desk.state, desk.chain.sent) == (EntryState.DROPPED, [])
    desk.outbox.send(OTHER, desk.prepare)
    assert desk.dispatch(OTHER).nonce == 0


def test_send__mined_and_reverted__fails_and_may_be_tried_anew(desk: Desk) -> None:
    desk.chain.succeeds = False
    mined = []
    with pytest.raises(TransactionFailed):
        desk.outbox.send(KEY, desk.prepare, when_mined=lambda _: mined.append(1))
    assert (desk.state, mined) == (EntryState.REVERTED, [])
    desk.chain.succeeds = True
    assert desk.outbox.send(KEY, desk.prepare).succeeded
    assert [each.nonce for each in desk.chain.sent] == [0, 1]


# ---------------------------------------------------------------- nonces and fees


def test_send__another_in_flight__takes_the_next_nonce(desk: Desk) -> None:
    """What is signed and not yet sent has its nonce all the same."""
    desk.chain.failing["broadcast"] = NodeUnreachable("http://localhost")
    desk.pending()
    desk.pending(OTHER)
    assert [desk.dispatch(key).nonce for key in (KEY, OTHER)] == [0, 1]


def test_send__waits_behind_an_earlier_nonce__sends_that_again(desk: Desk) -> None:
    """Whoever signed it may be gone for good: nothing after it is mined before it."""
    desk.pending()
    desk.chain.pool.clear()
    desk.chain.mining = True
    assert desk.another().send(OTHER, desk.prepare).succeeded
    assert desk.chain.used == 2


def test_send__nonce_taken_by_another_wallet__signs_anew(hasty: Desk) -> None:
    hasty.pending()
    hasty.chain.pool[0] = signed_for(WALLET.address, 0, call=Call(None, b"elsewhere"))
    hasty.chain.mine()
    hasty.chain.mining = True
    receipt = hasty.outbox.send(KEY, hasty.prepare)
    assert (hasty.dispatch().nonce, hasty.dispatch().latest.id) == (1, receipt.transaction_id)
    assert hasty.prepared == 2


def test_send__nonces_taken_over_and_over__gives_up(hasty: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(_: object) -> None:
        hasty.chain.used += 1

    monkeypatch.setattr(hasty.chain, "broadcast", elsewhere)
    with pytest.raises(TransactionDropped):
        hasty.outbox.send(KEY, hasty.prepare)
    assert hasty.prepared == 5


def test_send__stuck__is_replaced_under_the_same_nonce(hasty: Desk) -> None:
    hasty.pending()
    fees = [each.fee for each in hasty.dispatch().transactions]
    assert len(fees) > 2
    assert all(8 * after.most >= 9 * before.most for before, after in pairwise(fees))
    assert {each.nonce for each in hasty.dispatch().transactions} == {0}
    assert hasty.state is EntryState.REPLACED
    hasty.chain.mine()
    assert hasty.outbox.send(KEY, hasty.prepare).transaction_id in {
        each.id for each in hasty.dispatch().transactions
    }


def test_send__stuck_at_the_cap__is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(patience=timedelta(microseconds=1), cap=220)
    desk.pending()
    assert [each.fee.most for each in desk.dispatch().transactions] == [201]
    assert desk.chain.steps.count("broadcast") > 1  # again, in case the node forgot it


def test_send__stuck_without_a_wallet__is_sent_again_as_it_is(hasty: Desk) -> None:
    hasty.pending()
    signed = len(hasty.dispatch().transactions)
    with pytest.raises(TransactionPending):
        hasty.another().send(KEY, hasty.prepare)
    assert len(hasty.dispatch().transactions) == signed


def test_send__too_cheap_for_the_node__stays_and_is_replaced_in_time(hasty: Desk) -> None:
    hasty.chain.failing["broadcast"] = TransactionUnderpriced("0x77", "underpriced")
    assert hasty.outbox.send(KEY, hasty.prepare).succeeded
    assert [each.nonce for each in hasty.dispatch().transactions] == [0, 0]


def test_send__first_transaction_is_mined_after_all__is_found(hasty: Desk) -> None:
    hasty.pending()
    first = hasty.dispatch().transactions[0]
    hasty.chain.pool[0] = first
    hasty.chain.mine()
    assert hasty.outbox.send(KEY, hasty.prepare).transaction_id == first.id
    assert hasty.dispatch().mined == first.id


def test_send__a_gap_before_it__is_filled(hasty: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another wallet's transaction was dropped: nobody will ever send that nonce."""
    hasty.chain.mining = False
    with monkeypatch.context() as patch:
        patch.setattr(hasty.chain, "next_nonce", lambda _: 3)
        hasty.pending()
    assert hasty.dispatch().nonce == 3
    hasty.chain.mining = True
    assert hasty.outbox.send(KEY, hasty.prepare).succeeded
    fillers = [each.key for each in hasty.journal.entries(EntryState) if each.key.startswith("fill:")]
    assert [key.rsplit(":")[-1] for key in fillers] == ["0", "1", "2"]


# ---------------------------------------------------------------- reorganisations


def test_send__block_reorganised_away__goes_back_and_is_mined_again(desk: Desk) -> None:
    desk.chain.confirmations = 2

    def reorganise(_: object) -> None:
        desk.chain.reorganise()
        desk.chain.confirmations = 0

    receipt = desk.outbox.send(KEY, desk.prepare, when_mined=reorganise)
    assert [each.id for each in desk.chain.sent] == [receipt.transaction_id] * 2
    assert (desk.state, desk.dispatch().block) == (EntryState.FINAL, receipt.block)


def test_push__final_and_reorganised_away__is_in_flight_again(desk: Desk) -> None:
    desk.outbox.send(KEY, desk.prepare)
    desk.chain.reorganise()
    desk.chain.mining = False
    dispatch, receipt = desk.outbox.carrier.push(desk.dispatch().id)
    assert (dispatch.state, receipt) == (EntryState.BROADCAST, None)
    desk.chain.mine()
    assert desk.outbox.send(KEY, desk.prepare).succeeded
    assert desk.prepared == 1


def test_send__after_a_reorganisation_another_has_the_nonce__signs_anew(hasty: Desk) -> None:
    hasty.outbox.send(KEY, hasty.prepare)
    hasty.chain.reorganise()
    hasty.chain.used += 1  # another transaction
    receipt = hasty.outbox.send(KEY, hasty.prepare)
    assert (hasty.dispatch().nonce, receipt.succeeded) == (1, True)


@pytest.mark.parametrize("error", [MoltError("odd"), RuntimeError("the wallet broke")])
def test_send__wallet_fails__signs_nothing(desk: Desk, error: Exception) -> None:
    desk.chain.failing["sign"] = error
    with pytest.raises(type(error)):
        desk.outbox.send(KEY, desk.prepare)
    assert desk.chain.sent == []
    assert desk.outbox.send(KEY, desk.prepare).succeeded
