"""docs/alerts.md: its kinds, headers and figures are the program's."""

from __future__ import annotations

from datetime import timedelta

from molt_market.alerts import webhooks
from molt_market.alerts.courier import AT_ONCE, KEPT, MARGIN, Retries
from molt_market.alerts.kinds import AlertKind
from molt_market.alerts.watch import GWEI, AlertLimits
from molt_market.alerts.webhooks import SendingLimits
from molt_market.api.alerting import MOST_OF_A_PARTY
from molt_market.api.run import ALERT_SECONDS
from molt_market.domain.subscriptions import AlertsVerb
from molt_market.signing.subscriptions import AlertsFor
from molt_market.wire.alerts import REQUEST
from tests.pages import Page

PAGE = Page("alerts.md")


def test_kinds__are_all_told() -> None:
    assert [row[0] for row in PAGE.table("What is told")] == [kind.value for kind in AlertKind]


def test_headers__are_those_that_are_sent() -> None:
    told = {row[0] for row in PAGE.table("What is posted")}
    assert told == {webhooks.ALERT_ID, webhooks.TIMESTAMP, webhooks.SIGNATURE}


def test_limits__are_the_defaults() -> None:
    limits, told = AlertLimits(), PAGE.section("What is told")
    assert (limits.end_near, limits.vouchers_lag) == (timedelta(hours=1), timedelta(hours=2))
    assert (limits.closing, limits.not_closed) == (timedelta(minutes=30), timedelta(minutes=10))
    assert limits.gas_money == 5 * 10**16 == 50_000_000 * GWEI
    assert all(text in told for text in ("an hour", "two hours", "30 minutes", "10 minutes", "0.05"))


def test_delivery__is_as_the_page_says() -> None:
    retries, sending, told = Retries(), SendingLimits(), PAGE.section("Delivery")
    assert (retries.first, retries.most) == (timedelta(seconds=30), timedelta(hours=1))
    assert sending.whole + MARGIN == timedelta(minutes=1)
    assert f"after {retries.attempts} attempts" in told
    assert f"Up to {AT_ONCE} are made" in told
    assert f"within {MARGIN.seconds} seconds" in told
    assert f"takes {sending.whole.seconds} seconds" in told
    assert f"ended {KEPT.days} days ago" in told
    assert f"{webhooks.MOST_BODY:,} bytes" in PAGE.section("What is posted")


def test_servers__are_as_the_page_says() -> None:
    told = PAGE.section("At a server")
    assert f"every {ALERT_SECONDS} seconds" in told
    assert AlertsFor.type_string() in told
    for verb, row in zip(AlertsVerb, PAGE.table("At a server"), strict=True):
        assert f"verb {verb.value}" in row[2]
    assert REQUEST in told
    assert MOST_OF_A_PARTY == 10
    assert "ten subscriptions" in told
