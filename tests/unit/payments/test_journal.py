"""What a journal promises, held by the one in memory and the one in a database, SQLite and PostgreSQL."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from molt_market.domain.ids import Address, EscrowId, OfferId
from molt_market.domain.transactions import SignedTransaction, TransactionReceipt
from molt_market.errors import InvalidStateTransition
from molt_market.payments.journal import (
    FOLLOWS,
    Dispatch,
    Entry,
    EntryState,
    Intent,
    Journal,
    MemoryJournal,
    Opening,
    SlotTaken,
)
from molt_market.storage.database import Database
from molt_market.storage.journal import SqlJournal, chains_in
from molt_market.testing import ManualClock
from tests.databases import KINDS, database_url
from tests.factories import BUYER, STRANGER, make_order
from tests.unit.payments.fakes import ESCROW, signed_at, signed_for

KEY, OTHER = "open:0xde", "release:0xde:7"
ONE = range(1)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CHAINS = count(1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture(scope="module", params=["memory", *KINDS])
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database | None]:
    if request.param == "memory":
        yield None
        return
    with database_url(request.param, tmp_path_factory.mktemp("database")) as url:
        database = Database(url)
        yield database
        database.close()


@pytest.fixture
def journal(database: Database | None, clock: ManualClock) -> Journal:
    """An empty journal: in a database, that of a chain of its own."""
    if database is None:
        return MemoryJournal(clock)
    return SqlJournal(database, f"chain-{next(CHAINS)}", clock)


def planned(journal: Journal, *keys: str) -> None:
    for key in keys or (KEY,):
        journal.plan(key)


def planned_opening(journal: Journal, key: str, opening: Opening, *, is_new: bool = False) -> Entry:
    return journal.plan_all([Intent(key, opening=opening, slot_is_new=is_new)])[key]


def signed(journal: Journal, *keys: str, least: int = 0, sender: Address = ESCROW) -> Dispatch:
    planned(journal, *keys)
    dispatch = journal.sign(dict.fromkeys(keys or (KEY,), ONE), sender, signed_at(sender), least_nonce=least)
    assert dispatch is not None
    return dispatch


def known(journal: Journal, key: str = KEY) -> Entry:
    entry = journal.get(key)
    assert entry is not None
    return entry


def receipt_of(transaction: SignedTransaction, block: int = 7) -> TransactionReceipt:
    return TransactionReceipt(transaction.id, transaction.sender, block, 50_000, 1, True)


# ---------------------------------------------------------------- an entry's way


def test_entry__of_a_payment_that_works__goes_through_all_states(
    journal: Journal, clock: ManualClock
) -> None:
    states = [journal.plan(KEY, note="why").state]
    dispatch = signed(journal)
    states.append(known(journal).state)
    clock.advance(5)
    for state in (EntryState.BROADCAST, EntryState.MINED, EntryState.FINAL):
        receipt = receipt_of(dispatch.latest) if state is not EntryState.BROADCAST else None
        dispatch = journal.move(dispatch, state, receipt=receipt)
        states.append(known(journal).state)
    assert states == ["planned", "signed", "broadcast", "mined", "final"]
    entry = known(journal)
    assert (entry.note, entry.dispatch, entry.planned_at) == ("why", dispatch, NOON)
    assert (dispatch.mined, dispatch.block) == (dispatch.latest.id, 7)
    assert (entry.since - NOON).total_seconds() == 5


def test_sign__keeps_the_whole_transaction(journal: Journal) -> None:
    dispatch = signed(journal, least=3)
    assert dispatch.latest == signed_for(ESCROW, 3)
    assert known(journal).dispatch == dispatch
    assert journal.dispatch(dispatch.id) == dispatch
    assert (dispatch.call, dispatch.nonce, dispatch.signed_at) == (dispatch.latest.call, 3, NOON)


def test_plan__key_in_use__returns_the_entry_as_it_is(journal: Journal) -> None:
    dispatch = signed(journal)
    assert journal.plan(KEY, note="another") == known(journal)
    assert known(journal).dispatch == dispatch


def test_plan_all__each_as_by_itself(journal: Journal) -> None:
    dispatch = signed(journal, "b")
    planned_now = journal.plan_all([Intent("c", "why"), Intent("a"), Intent("b", "not now")])
    assert {key: entry.state for key, entry in planned_now.items()} == {
        "a": "planned",
        "b": "signed",
        "c": "planned",
    }
    assert (known(journal, "c").note, known(journal, "b").dispatch) == ("why", dispatch)
    assert journal.plan_all([]) == {}


def test_plan__an_opening__comes_back_as_it_was(journal: Journal) -> None:
    opening = Opening(make_order(), OfferId("offer-1"))
    planned_opening(journal, KEY, opening)
    assert known(journal).opening == opening


def test_plan__starts_anew__keeps_what_it_is_about(journal: Journal) -> None:
    opening = Opening(make_order(), OfferId("offer-1"))
    journal.plan_all([Intent(KEY, "why", opening)])
    journal.fail(KEY, "no money")
    again = journal.plan(KEY)
    assert (again.state, again.note, again.opening) == ("planned", "why", opening)


@pytest.mark.parametrize("end", ["failed", "dropped", "reverted"])
def test_plan__key_that_came_to_nothing__starts_anew(journal: Journal, end: str) -> None:
    if end == "failed":
        planned(journal)
        journal.fail(KEY, "no money")
    else:
        dispatch = signed(journal)
        if end == "dropped":
            journal.move(dispatch, EntryState.DROPPED)
        else:
            mined = receipt_of(dispatch.latest)
            dispatch = journal.move(dispatch, EntryState.MINED, receipt=mined)
            journal.move(dispatch, EntryState.FINAL, receipt=mined, failures={KEY: "refused"})
    assert known(journal).state == end
    again = journal.plan(KEY, note="another")
    assert (again.state, again.note, again.failure, again.dispatch) == ("planned", "another", None, None)
    assert signed(journal, least=9).nonce == 9


def test_fail__signed_by_somebody_meanwhile__leaves_it(journal: Journal) -> None:
    dispatch = signed(journal)
    assert journal.fail(KEY, "refused").dispatch == dispatch
    assert known(journal).state is EntryState.SIGNED


def test_get__unknown_key__is_none(journal: Journal) -> None:
    assert journal.get("release:0xde:1") is None


# ---------------------------------------------------------------- states of dispatches


def test_move__each_pair_of_states__is_allowed_as_the_table_says(journal: Journal) -> None:
    for number, (start, allowed) in enumerate(FOLLOWS.items()):
        for to in FOLLOWS:
            key = f"{number}:{to}"
            dispatch = _brought(journal, signed(journal, key), start)
            if to in allowed:
                assert journal.move(dispatch, to).state is to
            else:
                with pytest.raises(InvalidStateTransition):
                    journal.move(dispatch, to)
                assert journal.dispatch(dispatch.id) == dispatch


def _brought(journal: Journal, dispatch: Dispatch, to: EntryState) -> Dispatch:
    way = {EntryState.SIGNED: [], EntryState.FINAL: [EntryState.MINED, EntryState.FINAL]}
    for state in way.get(to, [to]):
        dispatch = journal.move(dispatch, state)
    return dispatch


def test_move__of_what_somebody_else_moved__returns_what_is(journal: Journal) -> None:
    mine = signed(journal)
    theirs = journal.move(mine, EntryState.BROADCAST)
    assert journal.move(mine, EntryState.DROPPED) == theirs
    assert journal.replace(mine, signed_for(ESCROW, mine.nonce, tip=9)) == theirs


def test_replace__keeps_all_transactions_in_order(journal: Journal, clock: ManualClock) -> None:
    first = signed(journal)
    clock.advance(30)
    second = journal.replace(first, signed_for(ESCROW, first.nonce, tip=5))
    assert [each.fee.tip for each in second.transactions] == [1, 5]
    assert (second.state, second.latest.fee.tip, second.signed_at) == ("replaced", 5, clock.now())
    assert second.when_unmined is EntryState.REPLACED
    assert first.when_unmined is EntryState.BROADCAST
    assert journal.dispatch(first.id) == second


def test_move__out_of_a_block__forgets_it_and_its_failures(journal: Journal) -> None:
    dispatch = signed(journal)
    mined = receipt_of(dispatch.latest)
    dispatch = journal.move(dispatch, EntryState.MINED, receipt=mined)
    dispatch = journal.move(dispatch, EntryState.FINAL, receipt=mined, failures={KEY: "refused"})
    assert known(journal).state is EntryState.REVERTED
    dispatch = journal.move(dispatch, dispatch.when_unmined)
    assert (dispatch.mined, dispatch.block, known(journal).failure) == (None, None, None)


# ---------------------------------------------------------------- nonces


def test_sign__next_nonce__is_after_all_that_were_given_out(journal: Journal) -> None:
    assert signed(journal, "a", least=4).nonce == 4
    assert signed(journal, "b", least=4).nonce == 5
    assert signed(journal, "c", least=9).nonce == 9
    assert signed(journal, "d", sender=STRANGER).nonce == 0


def test_sign__node_that_lags_behind__gives_no_nonce_twice(journal: Journal) -> None:
    dispatch = _brought(journal, signed(journal, "a", least=4), EntryState.FINAL)
    assert signed(journal, "b", least=dispatch.nonce).nonce == 5


def test_sign__dropped_nonce__may_be_given_again(journal: Journal) -> None:
    journal.move(signed(journal, "a", least=4), EntryState.DROPPED)
    assert signed(journal, "b", least=4).nonce == 4


def test_sign__a_nonce_that_is_taken__signs_nothing(journal: Journal) -> None:
    signed(journal, "a", least=4)
    planned(journal, "b")
    assert journal.sign({"b": ONE}, ESCROW, signed_at(ESCROW), least_nonce=0, nonce=4) is None
    filler = journal.sign({"b": ONE}, ESCROW, signed_at(ESCROW), least_nonce=0, nonce=2)
    assert filler is not None
    assert filler.nonce == 2


def test_sign__one_of_a_batch_is_signed__signs_nothing(journal: Journal) -> None:
    signed(journal, "a")
    planned(journal, "b")
    assert journal.sign({"a": ONE, "b": ONE}, ESCROW, signed_at(ESCROW), least_nonce=0) is None
    assert known(journal, "b").state is EntryState.PLANNED
    assert [each.nonce for each in journal.in_flight()] == [0]


def test_sign__wallet_fails__writes_nothing(journal: Journal) -> None:
    planned(journal)

    def broken(_: int) -> SignedTransaction:
        raise RuntimeError("the device was pulled out")

    with pytest.raises(RuntimeError):
        journal.sign({KEY: ONE}, ESCROW, broken, least_nonce=0)
    assert known(journal).state is EntryState.PLANNED
    assert signed(journal).nonce == 0


def test_sign__a_batch__knows_each_place(journal: Journal) -> None:
    planned(journal, "a", "b")
    places = {"a": range(2), "b": range(2, 3)}
    dispatch = journal.sign(places, ESCROW, signed_at(ESCROW), least_nonce=0)
    assert dispatch is not None
    assert {each.key: each.items for each in journal.carried(dispatch.id)} == places


def test_give_back__the_last_nonce__is_free_again(journal: Journal) -> None:
    first, last = signed(journal, "a"), signed(journal, "b")
    assert journal.give_back(first, "rejected") == first
    assert journal.give_back(last, "rejected").state is EntryState.DROPPED
    assert (known(journal, "b").state, known(journal, "b").failure) == ("dropped", "rejected")
    assert signed(journal, "c").nonce == last.nonce


def test_give_back__sent_by_somebody__stays(journal: Journal) -> None:
    dispatch = signed(journal)
    sent = journal.move(dispatch, EntryState.BROADCAST)
    assert journal.give_back(dispatch, "rejected") == sent


# ---------------------------------------------------------------- lists


def test_in_flight__all_that_may_still_move__by_nonce(journal: Journal) -> None:
    for key, state in (("a", "final"), ("b", "mined"), ("c", "dropped"), ("d", "broadcast"), ("e", "signed")):
        _brought(journal, signed(journal, key), EntryState(state))
    signed(journal, "f", sender=STRANGER)
    assert [each.state for each in journal.in_flight(ESCROW)] == ["mined", "broadcast", "signed"]
    assert len(journal.in_flight()) == 4


def test_final_since__of_the_sender__from_a_block_on(journal: Journal) -> None:
    for number, block in enumerate((5, 7, 9)):
        dispatch = signed(journal, f"release:{number}")
        mined = receipt_of(dispatch.latest, block)
        dispatch = journal.move(dispatch, EntryState.MINED, receipt=mined)
        journal.move(dispatch, EntryState.FINAL, receipt=mined)
    _brought(journal, signed(journal, "a"), EntryState.MINED)
    assert [each.block for each in journal.final_since(ESCROW, 7)] == [7, 9]
    assert journal.final_since(STRANGER, 0) == []


def test_next_nonce__after_all_that_were_given_out(journal: Journal) -> None:
    assert journal.next_nonce(ESCROW) is None
    signed(journal, "a", least=4)
    last = signed(journal, "b")
    assert journal.next_nonce(ESCROW) == 6
    journal.give_back(last, "rejected")
    assert journal.next_nonce(ESCROW) == 5


def test_in_flight_of__a_deal__oldest_first(journal: Journal) -> None:
    deal, other, unknown = (EscrowId("0x" + pair * 32) for pair in ("de", "ad", "be"))
    for key in (
        f"open:{deal}",
        f"release:{deal}:3600",
        f"claim+release:{deal}:7",
        f"open:{other}",
        "approve:0xaa:1",
    ):
        signed(journal, key)
    planned(journal, f"stop:{deal}")
    final = known(journal, f"release:{deal}:3600").dispatch
    assert final is not None
    _brought(journal, final, EntryState.FINAL)
    found = journal.in_flight_of([deal, other, unknown])
    assert [each.key for each in found[deal]] == [f"open:{deal}", f"claim+release:{deal}:7"]
    assert [each.key for each in found[other]] == [f"open:{other}"]
    assert found[unknown] == []
    assert journal.in_flight_of([]) == {}


def test_entries__by_state__oldest_first(journal: Journal) -> None:
    planned(journal, "z", "a")
    signed(journal, "m")
    wanted = [EntryState.PLANNED, EntryState.SIGNED]
    assert [each.key for each in journal.entries(wanted)] == ["z", "a", "m"]
    assert [each.key for each in journal.entries([EntryState.SIGNED])] == ["m"]


def test_entries__with_a_limit__are_the_oldest__or_the_newest(journal: Journal) -> None:
    planned(journal, "z", "a", "m")
    wanted = [EntryState.PLANNED]
    assert [each.key for each in journal.entries(wanted, limit=2)] == ["z", "a"]
    assert [each.key for each in journal.entries(wanted, limit=2, newest=True)] == ["m", "a"]
    assert [each.key for each in journal.entries(wanted, newest=True)] == ["m", "a", "z"]
    assert journal.entries(wanted, limit=0) == []


def test_counts__are_those_of_the_entries_in_every_state(journal: Journal) -> None:
    planned(journal, "planned", "also planned", "failed")
    journal.fail("failed", "no money")
    for state in FOLLOWS:
        dispatch = signed(journal, state.value)
        if state is not EntryState.SIGNED:
            _brought(journal, dispatch, state)
    final = _brought(journal, signed(journal, "reverted"), EntryState.MINED)
    journal.move(final, EntryState.FINAL, receipt=receipt_of(final.latest), failures={"reverted": "refused"})
    counts = journal.counts()
    assert list(counts) == list(EntryState)
    assert counts == {state: 2 if state is EntryState.PLANNED else 1 for state in EntryState}
    assert counts == {state: len(journal.entries([state])) for state in EntryState}
    assert all(entry.state is state for state in EntryState for entry in journal.entries([state]))


def test_counts__of_an_empty_journal__are_none(journal: Journal) -> None:
    assert set(journal.counts().values()) == {0}


def test_about__a_deal__in_any_state__oldest_first(journal: Journal) -> None:
    deal, other = EscrowId("0x" + "de" * 32), EscrowId("0x" + "ad" * 32)
    signed(journal, f"open:{deal}")
    planned(journal, f"stop:{deal}", f"stop:{other}", "approve:0xaa:1")
    journal.fail(f"stop:{deal}", "too late")
    assert [each.key for each in journal.about(deal)] == [f"open:{deal}", f"stop:{deal}"]


def test_chains_in__a_database__the_one_used_last_first(tmp_path: Path) -> None:
    database = Database(tmp_path / "market.db")
    assert chains_in(database) == []
    for chain in ("1:0xaa", "2:0xbb", "1:0xcc"):
        SqlJournal(database, chain).plan(KEY)
    SqlJournal(database, "2:0xbb").plan(OTHER)
    assert chains_in(database) == ["2:0xbb", "1:0xcc", "1:0xaa"]
    database.close()


def test_plan__a_slot_that_another_order_is_on_its_way_with__is_refused_if_it_is_new(
    journal: Journal,
) -> None:
    first, second = (Opening(make_order(id=name, slot=3), OfferId("offer-1")) for name in ("first", "second"))
    planned_opening(journal, "open:1", first, is_new=True)
    with pytest.raises(SlotTaken):
        planned_opening(journal, "open:2", second, is_new=True)
    assert journal.get("open:2") is None
    again = Opening(first.order, OfferId("offer-2"))
    assert planned_opening(journal, "open:3", again, is_new=True).state is EntryState.PLANNED
    planned_opening(journal, "open:4", second)  # his own choice: the contract decides


def test_plan__a_slot_of_an_order_that_failed__may_be_chosen(journal: Journal) -> None:
    first, second = (Opening(make_order(id=name, slot=3), OfferId("offer-1")) for name in ("first", "second"))
    planned_opening(journal, "open:1", first, is_new=True)
    journal.fail("open:1", "no money")
    assert planned_opening(journal, "open:2", second, is_new=True).opening == second


def test_plan_all__new_slots__one_of_them_is_taken__none_is_written_down(journal: Journal) -> None:
    taken, first, second = (
        Opening(make_order(id=name, slot=slot), OfferId("offer-1"))
        for name, slot in (("taken", 4), ("first", 3), ("second", 4))
    )
    planned_opening(journal, "open:0", taken)
    new = [Intent(f"open:{n}", opening=each, slot_is_new=True) for n, each in enumerate((first, second), 1)]
    with pytest.raises(SlotTaken):
        journal.plan_all(new)
    assert journal.get_all(["open:0", "open:1", "open:2"]) == {"open:0": known(journal, "open:0")}
    assert journal.plan_all(new[:1])["open:1"].opening == first


def test_plan_all__more_than_one_statement_takes(journal: Journal) -> None:
    keys = [f"release:{number}" for number in range(1_203)]
    planned_now = journal.plan_all(map(Intent, keys))
    assert planned_now == journal.get_all(keys)
    assert planned_now.keys() == set(keys)
    assert journal.get_all(["unknown"]) == journal.get_all([]) == {}


def test_openings__are_those_of_the_buyer(journal: Journal) -> None:
    planned_opening(journal, "open:1", Opening(make_order(), OfferId("offer-1")))
    planned_opening(journal, "open:2", Opening(make_order(buyer_id=STRANGER), OfferId("offer-1")))
    assert [entry.key for entry in journal.openings(BUYER)] == ["open:1"]


# ---------------------------------------------------------------- many at once


def test_sign__many_at_once__each_nonce_once__each_key_once(journal: Journal) -> None:
    """Eight threads, each wants to sign all of the same ten payments."""
    keys = [f"release:{number}" for number in range(10)]
    planned(journal, *keys)
    won: list[Dispatch] = []

    def work() -> None:
        for key in keys:
            dispatch = journal.sign({key: ONE}, ESCROW, signed_at(ESCROW), least_nonce=0)
            if dispatch is not None:
                won.append(dispatch)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.nonce for each in won) == list(range(10))
    assert len({known(journal, key).dispatch for key in keys}) == 10
