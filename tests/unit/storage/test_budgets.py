"""Gas budgets in real databases: reserved before, settled after, never more than there is."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from molt_market.domain.ids import Address, TransactionId
from molt_market.payments.gas import Charge
from molt_market.storage.budgets import SqlBudgets
from molt_market.storage.database import Database

HERE, DAY = "31337:0xaa:0xbb", 20_000
PAYEE, OTHER = Address.of(1), Address.of(2)


@pytest.fixture
def budgets(database: Database) -> SqlBudgets:
    return SqlBudgets(database, HERE)


def transaction(number: int) -> TransactionId:
    return TransactionId(f"0x{number:064x}")


def reserved(
    budgets: SqlBudgets, key: str, wei: int, *, account: Address = PAYEE, allowance: int = 100, day: int = DAY
) -> Charge:
    charge = budgets.reserve(key, account, wei, allowance=allowance, period=day)
    assert charge is not None
    return charge


def refused(budgets: SqlBudgets, key: str, wei: int, *, allowance: int = 100, day: int = DAY) -> bool:
    return budgets.reserve(key, PAYEE, wei, allowance=allowance, period=day) is None


def test_reserve__up_to_the_last_wei(budgets: SqlBudgets) -> None:
    reserved(budgets, "a", 60)
    assert refused(budgets, "b", 41)
    reserved(budgets, "b", 40)
    assert refused(budgets, "c", 1)
    assert (budgets.used(PAYEE, DAY), budgets.used(OTHER, DAY)) == (100, 0)
    reserved(budgets, "c", 100, account=OTHER)
    reserved(budgets, "c2", 50, allowance=150)


def test_settle__spends_what_it_cost__once(budgets: SqlBudgets) -> None:
    reserved(budgets, "a", 60)
    for _ in range(3):
        budgets.settle("a", transaction(1), 25)
    assert budgets.used(PAYEE, DAY) == 25
    assert budgets.open_charges(PAYEE) == []


def test_settle__that_cost_more__is_charged_all_the_same(budgets: SqlBudgets) -> None:
    reserved(budgets, "a", 90)
    budgets.settle("a", transaction(1), 130)
    assert budgets.used(PAYEE, DAY) == 130
    assert refused(budgets, "b", 1)


def test_settle__of_what_was_sent_for_nobody_else__changes_nothing(budgets: SqlBudgets) -> None:
    budgets.settle("a", transaction(1), 25)
    assert budgets.used(PAYEE, DAY) == 0


def test_reverted__and_sent_again__costs_twice(budgets: SqlBudgets) -> None:
    reserved(budgets, "a", 60)
    budgets.settle("a", transaction(1), 25)
    reserved(budgets, "a", 60)
    assert budgets.used(PAYEE, DAY) == 85
    budgets.settle("a", transaction(2), 30)
    assert budgets.used(PAYEE, DAY) == 55


def test_give_back__of_what_was_not_sent(budgets: SqlBudgets) -> None:
    charge = reserved(budgets, "a", 60)
    assert budgets.open_charges(PAYEE) == [charge]
    budgets.give_back(charge)
    budgets.give_back(charge)
    assert (budgets.used(PAYEE, DAY), budgets.open_charges(PAYEE)) == (0, [])


def test_reserved_anew__by_another__is_not_given_back_nor_settled_by_the_first(budgets: SqlBudgets) -> None:
    first = reserved(budgets, "a", 60)
    second = reserved(budgets, "a", 70)
    budgets.give_back(first)
    budgets.settle("a", transaction(1), 5, holder=first.holder)
    assert (budgets.used(PAYEE, DAY), budgets.open_charges(PAYEE)) == (70, [second])
    budgets.settle("a", transaction(1), 5, holder=second.holder)
    assert budgets.used(PAYEE, DAY) == 5


def test_reserved_anew__for_what_was_sent_by_then__is_let_go(budgets: SqlBudgets) -> None:
    """Two relayers with one message: the second reserves after the first has sent it, and finds it done."""
    reserved(budgets, "a", 60)
    budgets.settle("a", transaction(1), 40)
    reserved(budgets, "a", 60)
    assert budgets.used(PAYEE, DAY) == 100
    budgets.settle("a", transaction(1), 40)
    assert budgets.used(PAYEE, DAY) == 40
    assert budgets.open_charges(PAYEE) == []


def test_reserved_anew__for_another_account__moves(budgets: SqlBudgets) -> None:
    reserved(budgets, "a", 60)
    reserved(budgets, "a", 70, account=OTHER)
    assert (budgets.used(PAYEE, DAY), budgets.used(OTHER, DAY)) == (0, 70)
    budgets.settle("a", transaction(1), 5)
    assert (budgets.used(PAYEE, DAY), budgets.used(OTHER, DAY)) == (0, 5)


def test_next_period__begins_whole__and_what_comes_late_is_the_old_ones(budgets: SqlBudgets) -> None:
    charge = reserved(budgets, "late", 60)
    reserved(budgets, "lost", 40)
    assert budgets.used(PAYEE, DAY + 1) == 0
    reserved(budgets, "new", 100, day=DAY + 1)
    budgets.settle("late", transaction(1), 99)
    budgets.give_back(charge)
    assert budgets.used(PAYEE, DAY + 1) == 100
    budgets.settle("new", transaction(2), 7)
    assert budgets.used(PAYEE, DAY + 1) == 7
    assert refused(budgets, "behind", 94, day=DAY), "one whose clock is behind counts in the later period"
    reserved(budgets, "lost", 93, day=DAY + 1)
    assert budgets.used(PAYEE, DAY + 1) == 100


def test_deployments__do_not_share(database: Database, budgets: SqlBudgets) -> None:
    reserved(budgets, "a", 60)
    elsewhere = SqlBudgets(database, "31337:0xaa:0xcc")
    assert (elsewhere.used(PAYEE, DAY), elsewhere.open_charges(PAYEE)) == (0, [])
    reserved(elsewhere, "a", 100)


def work(budgets: SqlBudgets, number: int, most: int) -> int:
    """Reserve, then settle or give back, at random; return the most that was ever used."""
    chance, seen = random.Random(number), 0
    for turn in range(25):
        account, key = chance.choice((PAYEE, OTHER)), f"{chance.randrange(40)}"
        charge = budgets.reserve(key, account, chance.randint(50, 200), allowance=most, period=DAY)
        seen = max(seen, budgets.used(account, DAY))
        if charge is not None and chance.random() < 0.7:
            budgets.give_back(charge)
        elif charge is not None:
            budgets.settle(key, transaction(1_000 * number + turn), 5, holder=charge.holder)
    return seen


def test_many_at_once__never_promise_more_than_there_is(url: str) -> None:
    """Six relayers, for two accounts, partly under the same keys."""
    opened, most = [Database(url) for _ in range(6)], 1_000
    stores = [SqlBudgets(each, HERE) for each in opened]
    with ThreadPoolExecutor(len(stores)) as pool:
        seen = list(pool.map(work, stores, range(len(stores)), [most] * len(stores)))
    assert max(seen) <= most
    for account in (PAYEE, OTHER):
        for charge in stores[0].open_charges(account):
            stores[0].give_back(charge)
        assert stores[0].used(account, DAY) % 5 == 0, "all that is left are the fives that were settled"
    for each in opened:
        each.close()
