"""Alerts that parties have posted to webhooks of their own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header
from pydantic import ValidationError

from molt_market.alerts.webhooks import checked_url, new_secret
from molt_market.api.common import Here, limited
from molt_market.api.service import Service
from molt_market.domain.clock import SystemClock
from molt_market.domain.ids import Address
from molt_market.domain.subscriptions import AlertsRequest, AlertsVerb
from molt_market.errors import InvalidValue, NotOffered
from molt_market.signing.subscriptions import verify_alerts_request
from molt_market.storage.alerts import SqlAlerts
from molt_market.wire.alerts import REQUEST, Subscribed, Subscriptions, SubscriptionState, Unsubscribed

MOST_OF_A_PARTY = 10

router = APIRouter(tags=["alerts"], dependencies=[Depends(limited)])

Signed = Annotated[
    str, Header(alias=REQUEST, max_length=4_096, description="The signed request, as JSON on one line.")
]


def _store(here: Here) -> SqlAlerts:
    if here.alerts is None:
        raise NotOffered("alerts")
    return here.alerts


Store = Annotated[SqlAlerts, Depends(_store)]


@router.post("/alerts", operation_id="subscribe_alerts")
def subscribe_alerts(body: AlertsRequest, here: Here, store: Store) -> Subscribed:
    """Have a party's alerts posted to its webhook; the secret that signs them is told this once."""
    party = _verified(body, AlertsVerb.SUBSCRIBE, here)
    _require_known(party, here)
    url, secret, now = checked_url(body.url), new_secret(), SystemClock().now()
    made, is_new = store.subscribe_once(url, party, secret, now, most=MOST_OF_A_PARTY)
    return Subscribed(subscription=_state(store, made.id, party), secret=secret if is_new else None)


@router.get("/alerts", operation_id="alert_subscriptions")
def alert_subscriptions(signed: Signed, here: Here, store: Store) -> Subscriptions:
    """List where a party's alerts go, as it has signed that it wants to know."""
    party = _verified(_read(signed), AlertsVerb.LIST, here)
    counts = store.counts()
    found = store.subscriptions_of(party)
    return Subscriptions(
        subscriptions=tuple(SubscriptionState.of(each, counts.get(each.id, {})) for each in found)
    )


@router.delete("/alerts/{number}", operation_id="unsubscribe_alerts")
def unsubscribe_alerts(number: int, signed: Signed, here: Here, store: Store) -> Unsubscribed:
    """End a party's subscription, as it has signed; to do so again is harmless."""
    request = _read(signed)
    if request.number != number:
        raise InvalidValue(f"the request is for subscription {request.number}, not {number}")
    party = _verified(request, AlertsVerb.UNSUBSCRIBE, here)
    mine = any(each.id == number for each in store.subscriptions_of(party))
    return Unsubscribed(was_there=mine and store.unsubscribe(number))


def _read(signed: str) -> AlertsRequest:
    try:
        return AlertsRequest.model_validate_json(signed)
    except ValidationError as error:
        raise InvalidValue(f"the header {REQUEST} holds no signed request") from error


def _verified(request: AlertsRequest, verb: AlertsVerb, here: Service) -> Address:
    if request.verb is not verb:
        raise InvalidValue(f"the request is to {request.verb.name}, not to {verb.name}: sign it for this")
    client = here.client
    return verify_alerts_request(request, client.domain, here.clock.now(), client.is_approved)


def _require_known(party: Address, here: Service) -> None:
    """Refuse keys that nobody uses: a party has a deal, or tokens in the escrow, or is an arbiter."""
    if here.facts.deals_of(party, None, 1) or here.client.balances(party).escrow.base_units:
        return
    if party not in here.facts.arbiters().values():
        raise InvalidValue(f"{party} has no deal and no tokens in the escrow: it gets no alerts here")


def _state(store: SqlAlerts, number: int, party: Address) -> SubscriptionState:
    [found] = [each for each in store.subscriptions_of(party) if each.id == number]
    return SubscriptionState.of(found, store.counts().get(number, {}))
