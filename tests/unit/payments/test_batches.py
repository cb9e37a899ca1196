"""Which payments go out together, what is paid for first, what a failed batch means for the next one."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import Address, EscrowId
from molt_market.domain.transactions import Call, Fee, SignedTransaction, TransactionReceipt
from molt_market.errors import InsufficientTokens, MoltError, TransactionPending, TransactionRejected
from molt_market.payments.batches import MOST_CALLS, SAMPLE, Batches, Payment
from molt_market.payments.journal import EntryState, MemoryJournal, opening_key
from molt_market.payments.outbox import Outbox
from molt_market.refusals import CapacityExceeded
from molt_market.signing.wallet import TransactionSigner
from tests.unit.payments.fakes import CALL, ESCROW, WALLET, FakeTransactions, signed_at

DEPOSIT = Call(ESCROW, b"deposit")


class Bundles:
    """Makes one call of several."""

    def bundle(self, calls: Sequence[Call], *, skip: bool = False) -> Call:
        return Call(ESCROW, b"|".join(call.data for call in calls) + bytes([skip]))


def calls_in(call: Call) -> int:
    return call.data.count(b"|") + 1


class Desk:
    def __init__(self, chain: FakeTransactions | None = None) -> None:
        self.chain, self.journal = chain or FakeTransactions(), MemoryJournal()
        outbox = Outbox(self.chain, self.journal)
        self.batches = Batches(outbox, self.journal, self.chain, Bundles())  # type: ignore[arg-type]

    def sizes(self) -> list[int]:
        """Return how many calls each transaction was made of."""
        return [calls_in(each.call) for each in self.chain.sent]

    def states(self) -> set[EntryState]:
        return {entry.state for entry in self.journal.entries(EntryState)}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def payments(number: int, *, is_checked: bool = True) -> list[Payment]:
    return [Payment(f"open:{each}", (CALL,), is_checked=is_checked) for each in range(number)]


def test_send__many__few_transactions(desk: Desk) -> None:
    outcomes = desk.batches.send(payments(2 * MOST_CALLS + 1), WALLET)
    assert desk.sizes() == [MOST_CALLS, MOST_CALLS, 1]
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
    desk.chain.failing["money"] = CapacityExceeded(9, 8)
    outcomes = desk.batches.send(payments(MOST_CALLS + 2), WALLET)
    assert [isinstance(each, MoltError) for each in outcomes] == [True] * MOST_CALLS + [False] * 2
    assert len(desk.chain.sent) == 1


def test_send__one_does_not_pass_by_itself__is_told_and_left_out(desk: Desk) -> None:
    desk.chain.failing["simulate"] = CapacityExceeded(9, 8)
    first, *others = desk.batches.send(payments(3, is_checked=False), WALLET)
    assert isinstance(first, CapacityExceeded)
    assert not any(isinstance(each, MoltError) for each in others)
    assert desk.sizes() == [2]


def test_send__the_same_key_twice__is_one_payment(desk: Desk) -> None:
    first, second = desk.batches.send([Payment("k", (CALL,)), Payment("k", (CALL,))], WALLET)
    assert (first, len(desk.chain.sent)) == (second, 1)


def test_send__when_mined__is_told_once_for_each(desk: Desk) -> None:
    told: list[str] = []
    wanted = [Payment(key, (CALL,), when_mined=lambda key=key: told.append(key)) for key in ("a", "b")]  # type: ignore[misc]
    desk.batches.send(wanted, WALLET)
    assert told == ["a", "b"]


class Metered(FakeTransactions):
    """A chain on which a call takes 10 gas and a transaction 1,000 more."""

    def __init__(self) -> None:
        super().__init__()
        self.estimated: list[int] = []
        self.simulated: list[list[int]] = []
        self.allowed: list[int] = []
        self.is_enough = True

    def gas(self, call: Call, sender: Address) -> int:
        self.estimated.append(calls_in(call))
        return 1_000 + 10 * calls_in(call)

    def enough(self, calls: Sequence[Call], guesses: Sequence[int], sender: Address) -> list[int | None]:
        self.simulated.append([calls_in(call) for call in calls])
        return [guess if self.is_enough else None for guess in guesses]

    def sign(
        self, call: Call, wallet: TransactionSigner, *, nonce: int, gas: int, fee: Fee
    ) -> SignedTransaction:
        self.allowed.append(gas)
        return replace(super().sign(call, wallet, nonce=nonce, gas=gas, fee=fee), gas=gas)


def test_send__gas__is_told_by_a_few__and_all_are_simulated_before_one_is_sent() -> None:
    chain = Metered()
    Desk(chain).batches.send(payments(2 * MOST_CALLS + 50), WALLET)
    assert chain.estimated == [SAMPLE // 2, SAMPLE]
    assert chain.simulated == [[MOST_CALLS, MOST_CALLS, 50]]
    assert chain.allowed == [2_000, 2_000, 1_500]


def test_send__gas_with_a_deposit__others_are_simulated_behind_it() -> None:
    chain = Metered()
    Desk(chain).batches.send(payments(2 * MOST_CALLS + 50), WALLET, deposit=lambda _: DEPOSIT)
    assert chain.estimated == [SAMPLE // 2 + 1, SAMPLE + 1]
    assert chain.simulated == [[MOST_CALLS + 1], [MOST_CALLS, 50]]
    assert chain.allowed == [2_010, 2_100, 1_050]


def test_send__gas_of_a_few_misleads__each_batch_is_estimated() -> None:
    chain = Metered()
    chain.is_enough = False
    Desk(chain).batches.send(payments(MOST_CALLS + 50), WALLET)
    assert chain.estimated == [SAMPLE // 2, SAMPLE, MOST_CALLS, 50]
    assert chain.allowed == [2_000, 1_500]


def test_send__few_payments__are_estimated_themselves() -> None:
    chain = Metered()
    Desk(chain).batches.send(payments(SAMPLE), WALLET)
    assert (chain.estimated, chain.simulated) == ([SAMPLE], [])


class Slow(FakeTransactions):
    """A chain whose blocks have room for one transaction each."""

    confirmations = 2

    def __init__(self, room: int = 1_000) -> None:
        super().__init__()
        self.mining = False
        self.room = room  # for so many transactions in all

    def until_next_block(self, head: int, at_most: timedelta) -> None:
        self.block += 1
        if self.used in self.pool and self.used < self.room:
            self.mined[self.pool.pop(self.used).id] = self.block
            self.used += 1
        time.sleep(0.005)


def test_send__each_batch__is_told_of_in_its_block__and_when_it_is_final() -> None:
    desk = Desk(Slow())
    told: list[str] = []

    def made(deals: Collection[EscrowId]) -> None:
        told.append(f"{len(deals)} made at {desk.chain.block}")

    def mined(number: int) -> None:
        told.append(f"{number} mined at {desk.chain.block}")

    wanted = [
        Payment(
            opening_key(EscrowId.of(bytes([number] * 32))), (CALL,) * 60, when_mined=partial(mined, number)
        )
        for number in range(3)
    ]
    outcomes = desk.batches.send(wanted, WALLET, when_made=made)
    assert told == [
        "0 mined at 8",
        "1 mined at 9",
        "1 made at 10",
        "2 mined at 10",
        "1 made at 11",
        "1 made at 12",
    ]
    assert not any(isinstance(each, MoltError) for each in outcomes)


def test_send__one_is_never_mined__those_before_it_are_told__others_are_pending() -> None:
    desk = Desk(Slow(room=1))
    told: list[Collection[EscrowId]] = []
    wanted = [Payment(opening_key(EscrowId.of(bytes([number] * 32))), (CALL,) * 60) for number in range(3)]
    outcomes = desk.batches.send(wanted, WALLET, when_made=told.append)
    assert told == [[EscrowId.of(bytes(32))]]
    assert [type(each) for each in outcomes] == [TransactionReceipt, TransactionPending, TransactionPending]


def test_send__one_of_another_account_is_never_mined__keeps_nobody_else_waiting() -> None:
    desk = Desk(FakeTransactions())
    desk.journal.plan("theirs")
    desk.journal.sign({"theirs": range(1)}, ESCROW, signed_at(ESCROW), least_nonce=0)
    wanted = [Payment("theirs", (CALL,)), Payment("ours", (CALL,), is_checked=True)]
    theirs, ours = desk.batches.send(wanted, WALLET)
    assert isinstance(theirs, TransactionPending)
    assert isinstance(ours, TransactionReceipt)
