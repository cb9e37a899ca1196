"""requestWithdraw: mark money, which stays in the balance until it is withdrawn."""

from __future__ import annotations

import pytest

from molt_market.signing.messages import RequestWithdraw
from tests.contracts.actors import BUYER, PROVIDER, RELAYER, STRANGER
from tests.contracts.factories import UNIT, ZERO_ADDRESS
from tests.contracts.hall import WITHDRAW_DELAY
from tests.contracts.market import Market
from tests.contracts.refusals import Code, refused

ALL = 10_000 * UNIT


def request(market: Market, amount: int, *, nonce: int = 0, deadline: int) -> bytes:
    return BUYER.sign(RequestWithdraw(BUYER.address, amount, nonce, deadline), market.domain)


def test_request_withdraw__marks_and_starts_the_delay(market: Market) -> None:
    receipt = market.request_withdraw(BUYER, 7)
    account = market.escrow.accountOf(BUYER.address)
    assert (account.balance, account.withdrawing) == (ALL, 7)
    assert account.unlockAt == receipt.time + WITHDRAW_DELAY
    assert account.nonce == 1


def test_request_withdraw__again__replaces_mark_and_delay(market: Market) -> None:
    market.request_withdraw(BUYER, 7)
    receipt = market.request_withdraw(BUYER, 5)
    account = market.escrow.accountOf(BUYER.address)
    assert (account.withdrawing, account.unlockAt) == (5, receipt.time + WITHDRAW_DELAY)


def test_request_withdraw__nothing__takes_the_mark_back(market: Market) -> None:
    market.request_withdraw(BUYER, 7)
    market.request_withdraw(BUYER, 0)
    assert market.escrow.accountOf(BUYER.address).withdrawing == 0


def test_request_withdraw__whole_balance__marked(market: Market) -> None:
    market.request_withdraw(BUYER, ALL)


def test_request_withdraw__a_base_unit_too_much__refused(market: Market) -> None:
    with refused(Code.INSUFFICIENT_BALANCE, actual=ALL, limit=ALL + 1):
        market.request_withdraw(BUYER, ALL + 1)


def test_request_withdraw__of_another__refused(market: Market) -> None:
    with refused(Code.BAD_SIGNATURE, actual=STRANGER.address, limit=BUYER.address):
        market.request_withdraw(BUYER, 1, sender=STRANGER)


def test_request_withdraw__own_call__needs_no_deadline(market: Market) -> None:
    market.request_withdraw(BUYER, 1, deadline=1)


# ---------------------------------------------------------------- by signature


def test_request_withdraw__signed__marks_and_uses_the_nonce(market: Market) -> None:
    deadline = market.node.now + 100
    market.request_withdraw(
        BUYER, 7, sender=RELAYER, deadline=deadline, sig=request(market, 7, deadline=deadline)
    )
    account = market.escrow.accountOf(BUYER.address)
    assert (account.withdrawing, account.nonce) == (7, 1)


def test_request_withdraw__replayed__refused(market: Market) -> None:
    deadline = market.node.now + 100
    sig = request(market, 7, deadline=deadline)
    market.request_withdraw(BUYER, 7, sender=RELAYER, deadline=deadline, sig=sig)
    found = market.recovered(RequestWithdraw(BUYER.address, 7, 1, deadline), sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=BUYER.address):
        market.request_withdraw(BUYER, 7, sender=RELAYER, deadline=deadline, sig=sig)


def test_request_withdraw__next_nonce__counts(market: Market) -> None:
    deadline = market.node.now + 100
    for nonce, amount in enumerate((7, 8)):
        sig = request(market, amount, nonce=nonce, deadline=deadline)
        market.request_withdraw(BUYER, amount, sender=RELAYER, deadline=deadline, sig=sig)
    assert market.escrow.accountOf(BUYER.address).nonce == 2


def test_request_withdraw__signed_before_an_own_call__is_spent_with_it(market: Market) -> None:
    """A request that nobody has brought yet cannot replace what its owner asks for now."""
    deadline = market.node.now + 100
    sig = request(market, 7, deadline=deadline)
    market.request_withdraw(BUYER, 0)
    found = market.recovered(RequestWithdraw(BUYER.address, 7, 1, deadline), sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=BUYER.address):
        market.request_withdraw(BUYER, 7, sender=RELAYER, deadline=deadline, sig=sig)


def test_request_withdraw__at_its_deadline__refused(market: Market) -> None:
    deadline = market.node.now + 100
    sig = request(market, 7, deadline=deadline)
    market.node.at(deadline)
    with refused(Code.TOO_LATE, actual=deadline, limit=deadline):
        market.request_withdraw(BUYER, 7, sender=RELAYER, deadline=deadline, sig=sig)


def test_request_withdraw__a_second_before_its_deadline__marks(market: Market) -> None:
    deadline = market.node.now + 100
    sig = request(market, 7, deadline=deadline)
    market.node.at(deadline - 1)
    market.request_withdraw(BUYER, 7, sender=RELAYER, deadline=deadline, sig=sig)


@pytest.mark.parametrize(("amount", "later"), [(8, 0), (7, 1)], ids=["amount", "deadline"])
def test_request_withdraw__changed_after_signing__refused(market: Market, amount: int, later: int) -> None:
    deadline = market.node.now + 100
    sig = request(market, 7, deadline=deadline)
    found = market.recovered(RequestWithdraw(BUYER.address, amount, 0, deadline + later), sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=BUYER.address):
        market.request_withdraw(BUYER, amount, sender=RELAYER, deadline=deadline + later, sig=sig)


def test_request_withdraw__signed_by_another__refused(market: Market) -> None:
    deadline = market.node.now + 100
    forged = PROVIDER.sign(RequestWithdraw(BUYER.address, 7, 0, deadline), market.domain)
    with refused(Code.BAD_SIGNATURE, actual=PROVIDER.address, limit=BUYER.address):
        market.request_withdraw(BUYER, 7, sender=RELAYER, deadline=deadline, sig=forged)


def test_request_withdraw__of_nobody__signed_by_nobody__refused(market: Market) -> None:
    deadline = market.node.now + 100
    with refused(Code.BAD_SIGNATURE, actual=0, limit=0):
        market.send(RELAYER, "requestWithdraw", ZERO_ADDRESS, 0, deadline, b"\0" * 65)
