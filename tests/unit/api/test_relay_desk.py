"""Relays at a server: one thread for a message that is posted again, and so many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from threading import Event, Lock
from typing import Any, cast

import pytest

from molt_market.api.relay_desk import AT_ONCE, RelayDesk
from molt_market.domain.clock import SystemClock
from molt_market.domain.ids import Address, Hash32, TransactionId
from molt_market.domain.requests import Side
from molt_market.errors import Expired, GasBudgetUsedUp, TooManyRequests
from molt_market.payments.relayer import Relayed, Relayer
from molt_market.signing.relays import sign_relay_request
from molt_market.signing.requests import sign_orders_cancellation
from molt_market.signing.statements import sign_voucher
from molt_market.signing.typed_data import Domain
from molt_market.wire.relays import Relay
from tests.factories import NOON
from tests.unit.signing.keys import BUYER, PROVIDER

DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
DEAL = Hash32("0x" + "de" * 32)
DONE = TransactionId("0x" + "77" * 32)


class Slow:
    """Brings what it gets once it may; a message of group 99 is over its budget."""

    def __init__(self) -> None:
        self.may = Event()
        self.brought: list[tuple[Relayed, Address | None]] = []
        self.alone = Lock()

    def relay(self, message: Relayed, *, account: Address | None = None) -> TransactionId:
        with self.alone:
            self.brought.append((message, account))
        self.may.wait(10)
        if getattr(message, "group", None) == 99:
            raise GasBudgetUsedUp(BUYER.address, 2, 1, NOON)
        return DONE


@pytest.fixture
def slow() -> Iterator[Slow]:
    relayer = Slow()
    yield relayer
    relayer.may.set()


@pytest.fixture
def desk(slow: Slow) -> RelayDesk:
    relayer = cast("Relayer", slow)
    return RelayDesk(relayer, PROVIDER.address, DOMAIN, SystemClock(), lambda *_: False)


def posted(group: int) -> Relay:
    until = NOON + timedelta(days=1)
    return Relay.of(sign_orders_cancellation(Side.ORDERS, group, BUYER, DOMAIN, cutoff_at=0, until=until))


def test_message__posted_again_meanwhile__is_brought_by_one(desk: RelayDesk, slow: Slow) -> None:
    first, second = desk.take(posted(1)), desk.take(posted(1))
    assert first is second
    slow.may.set()
    assert first.result(10) == DONE
    assert len(slow.brought) == 1
    assert desk.take(posted(1)).result(10) == DONE, "afterwards the journal knows"


def test_messages__too_many_at_a_time__wait_outside(desk: RelayDesk, slow: Slow) -> None:
    futures = [desk.take(posted(group)) for group in range(AT_ONCE)]
    with pytest.raises(TooManyRequests):
        desk.take(posted(AT_ONCE))
    assert desk.take(posted(0)) is futures[0]
    slow.may.set()
    assert {each.result(10) for each in futures} == {DONE}
    assert desk.take(posted(AT_ONCE)).result(10) == DONE


def test_refusal__is_told_to_who_posted__and_can_be_posted_again(desk: RelayDesk, slow: Slow) -> None:
    slow.may.set()
    for _ in range(2):
        with pytest.raises(GasBudgetUsedUp):
            desk.take(posted(99)).result(10)


def test_account__is_who_has_signed_for_it__or_nothing_is_brought(desk: RelayDesk, slow: Slow) -> None:
    slow.may.set()
    voucher: Any = sign_voucher(cast("Any", DEAL), 3_600, BUYER, DOMAIN)
    now = SystemClock().now()
    good = sign_relay_request(voucher, PROVIDER, DOMAIN, until=now + timedelta(minutes=1))
    late = sign_relay_request(voucher, PROVIDER, DOMAIN, until=now - timedelta(minutes=1))
    with pytest.raises(Expired):
        desk.take(Relay.of(voucher, late)).result(10)
    assert slow.brought == []
    desk.take(Relay.of(voucher, good)).result(10)
    desk.take(posted(1)).result(10)
    assert [account for _, account in slow.brought] == [PROVIDER.address, None]
