"""Alerts of a server: parties subscribe by a signature, and the server delivers beside its answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account

from molt_market.alerts.webhooks import SendingLimits, verify_webhook
from molt_market.domain.subscriptions import AlertsVerb
from molt_market.errors import Expired, InvalidValue, NotOffered, TooManySubscriptions, WrongSigner
from molt_market.sdk.attestor import Attestor
from molt_market.sdk.buyer import Buyer
from molt_market.sdk.provider import Provider
from molt_market.signing.subscriptions import sign_alerts_request
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from molt_market.wire.alerts import REQUEST
from tests.databases import KINDS, database_url
from tests.hooks import Hooks, hook_server
from tests.integration.scene import Scene, molt
from tests.service import hosted, server

URL = "https://buyer.example/alerts"
Start = Callable[..., Any]


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with hook_server() as started:
        yield started


@pytest.fixture
def start(net: Devnet, tmp_path: Path) -> Start:
    @contextmanager
    def started(alerts: SendingLimits | None, kind: str = "sqlite") -> Iterator[str]:
        with database_url(kind, tmp_path) as database, hosted(net, database, alerts=alerts) as url:
            yield url

    return started


@pytest.fixture
def running(start: Start) -> Iterator[str]:
    with start(SendingLimits()) as started:
        yield started


@pytest.fixture
def buyer(net: Devnet, running: str) -> Iterator[Buyer]:
    net.client(net.buyer).deposit(molt(10))
    with Buyer(running, net.buyer, **reach(net)) as party:
        yield party


def reach(net: Devnet) -> dict[str, Any]:
    return {"rpc_url": net.url, "deployment": net.deployment}


def test_party__subscribes_and_is_told_in_time(
    scene: Scene, net: Devnet, tmp_path: Path, hooks: Hooks
) -> None:
    options = ("--alerts", "--alerts-private")
    with (
        server(net, f"sqlite:///{tmp_path / 'market.db'}", tmp_path, options=options) as running,
        Provider(running.url, net.provider, **reach(net)) as provider,
    ):
        assert provider.api.market().alerts
        made = provider.subscribe_alerts(f"{hooks.url}/p")
        assert made.secret is not None
        assert len(made.secret) == 64
        scene.open()
        scene.run(3)
        until = time.monotonic() + 30
        while not hooks.at("/p") and time.monotonic() < until:
            time.sleep(0.05)
        [got] = hooks.at("/p")
        now = net.clock.now()
        assert verify_webhook(made.secret, got.headers, got.body, now, tolerance=timedelta(days=9))
        [state] = provider.alert_subscriptions()
        assert (state.number, state.url) == (made.subscription.number, f"{hooks.url}/p")
        while not provider.alert_subscriptions()[0].delivered and time.monotonic() < until:
            time.sleep(0.05)
        assert provider.alert_subscriptions()[0].delivered == 1


@pytest.mark.parametrize("kind", KINDS)
def test_subscription__is_made_once_whoever_asks_how_often__and_ended(
    net: Devnet, start: Start, kind: str
) -> None:
    net.client(net.buyer).deposit(molt(10))
    with start(SendingLimits(), kind=kind) as running, Buyer(running, net.buyer, **reach(net)) as buyer:
        with ThreadPoolExecutor(6) as threads:
            made = list(threads.map(buyer.subscribe_alerts, [URL] * 12))
        assert len({each.subscription.number for each in made}) == 1
        [secret] = [each.secret for each in made if each.secret is not None]
        assert len(secret) == 64
        assert secret not in str(buyer.alert_subscriptions())
        number = made[0].subscription.number
        with Buyer(running, net.buyers[1], **reach(net)) as other:
            assert list(other.alert_subscriptions()) == []
            assert not other.unsubscribe_alerts(number), "it is another's"
        assert buyer.unsubscribe_alerts(number)
        assert not buyer.unsubscribe_alerts(number)
        assert list(buyer.alert_subscriptions()) == []
        assert buyer.subscribe_alerts(URL).secret not in {None, secret}
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(buyer.subscribe_alerts, [f"{URL}/{at}" for at in range(9)]))
        with pytest.raises(TooManySubscriptions) as refused:
            buyer.subscribe_alerts(f"{URL}/one-too-many")
        assert refused.value.limit == len(buyer.alert_subscriptions()) == 10


def test_request__of_somebody_else_or_for_something_else__is_refused(net: Devnet, buyer: Buyer) -> None:
    until = net.clock.now() + timedelta(minutes=5)

    def asked(verb: AlertsVerb, wallet: Wallet = net.stranger, **fields: Any) -> Any:
        return sign_alerts_request(verb, wallet, net.domain, **{"until": until, **fields})

    mine = {"party": net.buyer.address}
    number = buyer.subscribe_alerts(URL).subscription.number
    with pytest.raises(WrongSigner):
        buyer.api.subscribe_alerts(asked(AlertsVerb.SUBSCRIBE, url=URL).model_copy(update=mine))
    with pytest.raises(WrongSigner):
        buyer.api.alert_subscriptions(asked(AlertsVerb.LIST).model_copy(update=mine))
    with pytest.raises(WrongSigner):
        buyer.api.unsubscribe_alerts(asked(AlertsVerb.UNSUBSCRIBE, number=number).model_copy(update=mine))
    with pytest.raises(InvalidValue, match="LIST"):
        buyer.api.unsubscribe_alerts(asked(AlertsVerb.LIST, net.buyer, number=number))
    with pytest.raises(Expired):
        buyer.api.alert_subscriptions(asked(AlertsVerb.LIST, net.buyer, until=net.clock.now()))
    changed = asked(AlertsVerb.SUBSCRIBE, net.buyer, url=URL).model_copy(update={"url": URL + "x"})
    with pytest.raises(WrongSigner):
        buyer.api.subscribe_alerts(changed)
    for bad in ("ftp://host/", "http://name:word@host/"):
        with pytest.raises(InvalidValue):
            buyer.subscribe_alerts(bad)
    assert [each.number for each in buyer.alert_subscriptions()] == [number]


def test_route__asked_by_hand__tells_what_is_wrong(net: Devnet, buyer: Buyer) -> None:
    url, until = buyer.api.transport.url, net.clock.now() + timedelta(minutes=5)
    signed = sign_alerts_request(AlertsVerb.UNSUBSCRIBE, net.buyer, net.domain, until=until, number=3)
    headers = {REQUEST: signed.model_dump_json()}
    assert httpx.get(f"{url}/alerts").status_code == 422
    assert httpx.get(f"{url}/alerts", headers={REQUEST: "{}"}).json()["code"] == "InvalidValue"
    assert httpx.delete(f"{url}/alerts/4", headers=headers).json()["code"] == "InvalidValue"
    assert httpx.delete(f"{url}/alerts/3", headers=headers).json() == {"was_there": False}


def test_account__that_is_no_party__is_refused__but_an_arbiter_is_not(net: Devnet, running: str) -> None:
    with Buyer(running, Wallet(Account.create()), **reach(net)) as nobody:
        with pytest.raises(InvalidValue, match="no deal and no tokens"):
            nobody.subscribe_alerts(URL)
        until = time.monotonic() + 15
        while nobody.api.health().followed_block is None and time.monotonic() < until:
            time.sleep(0.05)
    with Attestor(running, net.arbiter, **reach(net)) as arbiter:
        assert arbiter.subscribe_alerts(URL).secret


def test_server_without_alerts__says_so(net: Devnet, start: Start) -> None:
    with start(None) as running, Buyer(running, net.buyer, **reach(net)) as buyer:
        assert not buyer.api.market().alerts
        with pytest.raises(NotOffered) as refused:
            buyer.subscribe_alerts(URL)
        assert refused.value.what == "alerts"
        told = httpx.get(f"{running}/openapi.json").json()
        routes = {(path, verb) for path, verbs in told["paths"].items() for verb in verbs}
        assert routes >= {("/alerts", "post"), ("/alerts", "get"), ("/alerts/{number}", "delete")}
        assert routes >= {("/relays", "post"), ("/relays/budget", "get")}
