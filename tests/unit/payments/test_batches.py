"""Which payments go out together, what is paid for first, what a failed batch means for the next one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.transactions import Call
from molt_market.errors import InsufficientTokens, MoltError, TransactionRejected
from molt_market.payments.batches import MOST_CALLS, Batches, Payment
from molt_market.payments.journal import EntryState, MemoryJournal
from molt_market.payments.outbox import Outbox
from molt_market.refusals import CapacityExceeded
from tests.unit.payments.fakes import CALL, ESCROW, WALLET, FakeTransactions

DEPOSIT = Call(ESCROW, b"deposit")


class Bundles:
    """Makes one call of several, and keeps how many each was made of."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def bundle(self, calls: Sequence[Call], *, skip: bool = False) -> Call:
        if skip or len(calls) > 1:
            self.sizes.append(len(calls))
        return Call(ESCROW, b"|".join(call.data for call in calls) + bytes([skip]))


class Desk:
    def __init__(self) -> None:
        self.chain, self.journal, self.bundles = FakeTransactions(), MemoryJournal(), Bundles()
        outbox = Outbox(self.chain, self.journal)
        self.batches = Batches(outbox, self.journal, self.chain, self.bundles)  # type: ignore[arg-type]

    def states(self) -> set[EntryState]:
        return {entry.state for entry in self.journal.entries(EntryState)}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def payments(number: int, *, is_checked: bool = True) -> list[Payment]:
    return [Payment(f"open:{each}", (CALL,), is_checked=is_checked) for each in range(number)]


def test_send__many__few_transactions(desk: Desk) -> None:
    outcomes = desk.batches.send(payments(2 * MOST_CALLS + 1), WALLET)
    assert desk.bundles.sizes == [MOST_CALLS, MOST_CALLS]  # the last one stands alone
    assert len(desk.chain.sent) == 3
    assert not any(isinstance(each, MoltError) for each in outcomes)


def test_send__none__sends_nothing(desk: Desk) -> None:
    assert desk.batches.send([], WALLET, deposit=lambda _: DEPOSIT) == []
    assert desk.chain.sent == []


def test_send__a_deposit__goes_once__before_all_others(desk: Desk) -> None:
    seen: list[int] = []

    def deposit(fresh: Sequence[Payment]) -> Call:
        seen.append(len(fresh))
        return DEPOSIT

    desk.batches.send(payments(MOST_CALLS + 2), WALLET, deposit=deposit)
    assert seen == [MOST_CALLS + 2]
    assert [each.call.data.startswith(b"deposit|") for each in desk.chain.sent] == [True, False]
    carried = desk.journal.get("open:0")
    assert carried is not None
    assert carried.items == range(1, 2)


def test_send__again__needs_no_deposit(desk: Desk) -> None:
    first = desk.batches.send(payments(3), WALLET, deposit=lambda _: DEPOSIT)
    again = desk.batches.send(payments(3), WALLET, deposit=lambda _: pytest.fail("for what?"))
    assert (again, len(desk.chain.sent)) == (first, 1)


def test_send__deposit_cannot_be_made__refuses_all__and_sends_nothing(desk: Desk) -> None:
    def poor(_: Sequence[Payment]) -> Call:
        raise InsufficientTokens(Amount(2), Amount(1))

    outcomes = desk.batches.send(payments(MOST_CALLS + 2), WALLET, deposit=poor)
    assert {type(each) for each in outcomes} == {InsufficientTokens}
    assert (desk.states(), desk.chain.sent) == ({EntryState.FAILED}, [])


def test_send__batch_with_the_deposit_is_refused__so_are_those_that_it_pays_for(desk: Desk) -> None:
    desk.chain.failing["broadcast"] = TransactionRejected("0x77", "oversized data")
    outcomes = desk.batches.send(payments(MOST_CALLS + 2), WALLET, deposit=lambda _: DEPOSIT)
    assert {type(each) for each in outcomes} == {TransactionRejected}
    assert desk.chain.sent == []


def test_send__batch_without_a_deposit_is_refused__the_next_one_goes_out(desk: Desk) -> None:
    desk.chain.failing["gas"] = CapacityExceeded(9, 8)
    outcomes = desk.batches.send(payments(MOST_CALLS + 2), WALLET)
    assert [isinstance(each, MoltError) for each in outcomes] == [True] * MOST_CALLS + [False] * 2
    assert len(desk.chain.sent) == 1


def test_send__one_does_not_pass_by_itself__is_told_and_left_out(desk: Desk) -> None:
    desk.chain.failing["simulate"] = CapacityExceeded(9, 8)
    first, *others = desk.batches.send(payments(3, is_checked=False), WALLET)
    assert isinstance(first, CapacityExceeded)
    assert not any(isinstance(each, MoltError) for each in others)
    assert desk.bundles.sizes == [2]


def test_send__the_same_key_twice__is_one_payment(desk: Desk) -> None:
    first, second = desk.batches.send([Payment("k", (CALL,)), Payment("k", (CALL,))], WALLET)
    assert (first, len(desk.chain.sent)) == (second, 1)


def test_send__when_mined__is_told_once_for_each(desk: Desk) -> None:
    told: list[str] = []
    wanted = [Payment(key, (CALL,), when_mined=lambda key=key: told.append(key)) for key in ("a", "b")]  # type: ignore[misc]
    desk.batches.send(wanted, WALLET)
    assert told == ["a", "b"]
