"""Which alerts there are at a time: pure functions, tried at the second before and the second itself."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from molt_market.alerts.kinds import Alert, AlertKind
from molt_market.alerts.watch import AlertLimits, of_deals, of_gas_money
from molt_market.domain.deals import DealStatus
from molt_market.domain.fields import moment
from molt_market.domain.ids import Address
from molt_market.errors import InvalidValue
from molt_market.indexer.records import DealRecord, opened
from tests.unit.indexer.fakes import GENESIS, HOUR
from tests.unit.indexer.test_records import OPENED, TERMS

ARBITER = Address.of(77)
LIMITS = AlertLimits(
    end_near=timedelta(minutes=30),
    vouchers_lag=timedelta(hours=1),
    closing=timedelta(minutes=10),
    not_closed=timedelta(minutes=5),
    gas_money=1_000,
)
DEAL = opened(OPENED)  # 2 GPUs for 2 hours from GENESIS on, then an hour of grace
END, DEADLINE = GENESIS + 2 * HOUR, GENESIS + 3 * HOUR
BOTH = frozenset({TERMS.buyer, TERMS.provider})


def deal(**fields: Any) -> DealRecord:
    return replace(DEAL, deal=replace(DEAL.deal, **fields))


def found(record: DealRecord, second: int) -> dict[AlertKind, Alert]:
    alerts = list(of_deals([(record, ARBITER)], moment(second), LIMITS))
    assert len({alert.id for alert in alerts}) == len(alerts)
    return {alert.kind: alert for alert in alerts}


def test_fresh_deal__is_quiet() -> None:
    assert found(DEAL, GENESIS) == {}


def test_end_near__from_its_second_on__until_the_end() -> None:
    paid = deal(paid=2 * 2 * HOUR)
    assert found(paid, END - 1_801) == {}
    alert = found(paid, END - 1_800)[AlertKind.END_NEAR]
    assert (alert.to, alert.operator, alert.until) == (BOTH, False, moment(END))
    assert found(paid, END - 1)[AlertKind.END_NEAR].id == alert.id
    assert found(paid, END) == {}


def test_end_near__after_a_stop__is_another_one() -> None:
    stopped = deal(ends_at=END - HOUR, flags=4)
    ids = {found(each, END - HOUR - 60)[AlertKind.END_NEAR].id for each in (stopped,)}
    assert ids.isdisjoint({found(DEAL, END - 60)[AlertKind.END_NEAR].id})


def test_vouchers_lag__counts_what_is_delivered__not_what_is_to_come() -> None:
    assert AlertKind.VOUCHERS_LAG not in found(DEAL, GENESIS + HOUR)
    alert = found(DEAL, GENESIS + HOUR + 1)[AlertKind.VOUCHERS_LAG]
    assert alert.to == {TERMS.provider}
    assert alert.figures == {"unpaid_gpu_seconds": 2 * (HOUR + 1), "paid_gpu_seconds": 0}
    assert found(DEAL, END - 1_000)[AlertKind.VOUCHERS_LAG].id == alert.id
    caught_up = deal(paid=2 * HOUR)
    assert AlertKind.VOUCHERS_LAG not in found(caught_up, END)
    behind_again = deal(paid=60)
    assert found(behind_again, END)[AlertKind.VOUCHERS_LAG].id != alert.id


def test_claim_closing__to_the_provider__only_where_something_is_left_to_claim() -> None:
    assert AlertKind.CLAIM_CLOSING not in found(DEAL, DEADLINE - 601)
    alert = found(DEAL, DEADLINE - 600)[AlertKind.CLAIM_CLOSING]
    assert (alert.to, alert.until) == (frozenset({TERMS.provider}), moment(DEADLINE))
    assert found(deal(paid=2 * 2 * HOUR), DEADLINE - 600) == {}


def test_claim__tells_the_buyer_until_when_he_may_contest() -> None:
    claimed = deal(status=DealStatus.CLAIMED, claim=5_000, deadline=DEADLINE)
    alert = found(claimed, DEADLINE - HOUR)[AlertKind.CLAIM_OPENED]
    assert (alert.to, alert.until) == (frozenset({TERMS.buyer}), moment(DEADLINE))
    assert alert.figures["claimed_gpu_seconds"] == 5_000
    assert set(found(claimed, DEADLINE - 601)) == {AlertKind.CLAIM_OPENED}
    assert set(found(claimed, DEADLINE - 600)) == {AlertKind.CLAIM_OPENED, AlertKind.CONTEST_CLOSING}


@pytest.mark.parametrize(("flags", "default"), [(2, "the claim stands"), (0, "the claim falls")])
def test_dispute__tells_everybody_what_silence_brings(flags: int, default: str) -> None:
    disputed = deal(status=DealStatus.DISPUTED, flags=flags, paid=10, claim=5_000)
    alert = found(disputed, DEADLINE - HOUR)[AlertKind.DISPUTE_OPENED]
    assert alert.to == BOTH | {ARBITER}
    assert default in alert.text
    closing = found(disputed, DEADLINE - 600)[AlertKind.RULING_CLOSING]
    assert closing.to == BOTH | {ARBITER}
    assert default in closing.text


@pytest.mark.parametrize("status", [DealStatus.LOCKED, DealStatus.CLAIMED, DealStatus.DISPUTED])
def test_not_closed__after_a_while__concerns_the_operator_too(status: DealStatus) -> None:
    due = deal(status=status, claim=10)
    assert found(due, DEADLINE + 299) == {}
    [(kind, alert)] = found(due, DEADLINE + 300).items()
    assert (kind, alert.to, alert.operator, alert.until) == (AlertKind.NOT_CLOSED, BOTH, True, None)


def test_closed_deal__is_quiet() -> None:
    assert found(deal(status=DealStatus.RELEASED), DEADLINE - 1) == {}


def test_gas_low__once_a_day() -> None:
    morning = datetime(2026, 1, 1, 6, tzinfo=UTC)
    account = Address.of(5)
    assert list(of_gas_money(account, 1_000, morning, LIMITS)) == []
    [alert] = of_gas_money(account, 999, morning, LIMITS)
    [later] = of_gas_money(account, 5, morning + timedelta(hours=17), LIMITS)
    [next_day] = of_gas_money(account, 5, morning + timedelta(hours=18), LIMITS)
    assert alert.id == later.id != next_day.id
    assert (alert.operator, alert.to) == (True, frozenset())


def test_body__is_the_same_each_time__and_figures_are_exact() -> None:
    [alert] = of_gas_money(Address.of(5), 2**80, moment(GENESIS), AlertLimits(gas_money=2**90))
    told = json.loads(alert.body("31337:0xaa:0xbb"))
    assert alert.body("31337:0xaa:0xbb") == alert.body("31337:0xaa:0xbb")
    assert told == {
        "id": alert.id,
        "kind": "gas_low",
        "deployment": "31337:0xaa:0xbb",
        "deal": None,
        "until": None,
        "text": alert.text,
        "figures": {"wei": str(2**80), "limit": str(2**90)},
    }


def test_concerns__a_party_or_the_operator() -> None:
    alert = Alert("a", AlertKind.END_NEAR, "text", to=frozenset({ARBITER}))
    assert alert.concerns(ARBITER)
    assert not alert.concerns(TERMS.buyer)
    assert not alert.concerns(None)
    assert replace(alert, operator=True).concerns(None)


def test_limits__below_zero__are_refused() -> None:
    with pytest.raises(InvalidValue):
        AlertLimits(closing=timedelta(seconds=-1))
