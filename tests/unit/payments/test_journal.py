import threading

import pytest

from molt_market.domain.ids import OfferId, TransactionId
from molt_market.domain.transactions import SignedTransaction, TransactionReceipt
from molt_market.errors import InvalidStateTransition
from molt_market.payments.journal import EntryState, MemoryJournal, Opening
from tests.factories import BUYER, STRANGER, make_order
from tests.unit.payments.fakes import CALL, ESCROW

KEY = "open:0xde"


def transaction(nonce: int = 0) -> SignedTransaction:
    return SignedTransaction(TransactionId("0x" + f"{nonce:064x}"), ESCROW, nonce, CALL, b"raw")


RECEIPT = TransactionReceipt(transaction().id, ESCROW, 7, 50_000, 1, True)


@pytest.fixture
def journal() -> MemoryJournal:
    journal = MemoryJournal()
    journal.plan(KEY, note="why")
    return journal


def test_entry__of_a_payment_that_works__goes_through_all_states(journal: MemoryJournal) -> None:
    states = [
        journal.plan(KEY).state,
        journal.signed(KEY, transaction()).state,
        journal.broadcast(KEY).state,
        journal.final(KEY, RECEIPT).state,
    ]
    assert states == [EntryState.PLANNED, EntryState.SIGNED, EntryState.BROADCAST, EntryState.FINAL]
    entry = journal.get(KEY)
    assert entry is not None
    assert (entry.note, entry.transaction, entry.receipt) == ("why", transaction(), RECEIPT)


def test_plan__key_in_use__returns_the_entry_as_it_is(journal: MemoryJournal) -> None:
    signed = journal.signed(KEY, transaction())
    assert journal.plan(KEY, note="another") == signed


def test_plan__failed_key__starts_anew(journal: MemoryJournal) -> None:
    journal.failed(KEY, "no money")
    again = journal.plan(KEY, note="another")
    assert (again.state, again.note, again.failure, again.transaction) == (
        EntryState.PLANNED,
        "another",
        None,
        None,
    )


def test_move__not_in_the_table__is_refused(journal: MemoryJournal) -> None:
    with pytest.raises(InvalidStateTransition):
        journal.broadcast(KEY)
    with pytest.raises(InvalidStateTransition):
        journal.final(KEY, RECEIPT)
    journal.signed(KEY, transaction())
    with pytest.raises(InvalidStateTransition):
        journal.signed(KEY, transaction(1))
    with pytest.raises(InvalidStateTransition):
        journal.final(KEY, RECEIPT)


def test_final__cannot_change(journal: MemoryJournal) -> None:
    journal.signed(KEY, transaction())
    journal.broadcast(KEY)
    journal.final(KEY, RECEIPT)
    with pytest.raises(InvalidStateTransition):
        journal.failed(KEY, "reorganised")


def test_get__unknown_key__is_none(journal: MemoryJournal) -> None:
    assert journal.get("release:0xde:1") is None


def test_openings__are_those_of_the_buyer(journal: MemoryJournal) -> None:
    journal.plan("open:1", opening=Opening(make_order(), OfferId("offer-1")))
    journal.plan("open:2", opening=Opening(make_order(buyer_id=STRANGER), OfferId("offer-1")))
    assert [entry.key for entry in journal.openings(BUYER)] == ["open:1"]


def test_next_nonce__is_after_all_in_flight(journal: MemoryJournal) -> None:
    assert journal.next_nonce(ESCROW) == 0
    journal.signed(KEY, transaction(4))
    journal.plan("release:1")
    journal.signed("release:1", transaction(9))
    assert journal.next_nonce(ESCROW) == 10
    assert journal.next_nonce(STRANGER) == 0
    journal.failed("release:1", "rejected")
    assert journal.next_nonce(ESCROW) == 5


def test_exclusive__lets_one_in_at_a_time(journal: MemoryJournal) -> None:
    inside, most = [0], [0]

    def work() -> None:
        with journal.exclusive(KEY):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            threading.Event().wait(0.002)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
