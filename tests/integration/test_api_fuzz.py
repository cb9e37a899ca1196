"""Whatever comes over HTTP: bodies made from the server's own OpenAPI, signed ones among them, and worse.

Each operation has to answer with 2xx at least once, and nothing may make the server fail.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from molt_market.domain.documents import Document
from molt_market.domain.gpus import Feature, Location
from molt_market.domain.ids import ZERO_HASH, EscrowId, Hash32, OfferId
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, Priority
from molt_market.domain.requests import Side
from molt_market.domain.subscriptions import AlertsRequest, AlertsVerb
from molt_market.sdk.buyer import Buyer
from molt_market.sdk.provider import Provider
from molt_market.signing.hashes import order_hash
from molt_market.signing.letters import sign_letter
from molt_market.signing.listings import sign_unlisting
from molt_market.signing.pings import sign_gateway
from molt_market.signing.statements import sign_offer, sign_order, sign_receipt, sign_voucher
from molt_market.signing.subscriptions import sign_alerts_request
from molt_market.testing import Devnet
from molt_market.wire.alerts import REQUEST
from molt_market.wire.messages import Ask, PostOffers, PostOrders, Reserve, Unlist
from molt_market.wire.problems import MEDIA_TYPE, Problem
from molt_market.wire.relays import Relay
from tests.integration.test_service import make_offer, make_order
from tests.service import Server, key_file, server

EXAMPLES = 25  # of each operation: half as the schema has them, half of the market
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture
def running(net: Devnet, tmp_path: Path) -> Iterator[Server]:
    wallet = key_file(net, tmp_path)
    options = ["--relay-gas", "1000000000", "--alerts", "--alerts-private"]
    database = f"sqlite:///{tmp_path / 'market.db'}"
    with server(net, database, tmp_path, wallet=wallet, options=options) as started:
        yield started


class Scene:
    """A market where something stands, waits and runs; and bodies that it may take."""

    def __init__(self, net: Devnet, url: str) -> None:
        self.net = net
        here: dict[str, Any] = {"rpc_url": net.url, "deployment": net.deployment}
        with Buyer(url, net.buyer, **here) as buyer, Provider(url, net.provider, **here) as provider:
            self.offer = provider.offer(make_offer(provider))
            self.wanted = make_order(buyer, 1)
            escrow = buyer.open(buyer.match(self.wanted)[0])
            buyer.deposit(buyer.client.token.amount(1_000))
            order = make_order(buyer, 1, opener=net.stranger.address, policy_id=net.policy_id)
            self.waiting = buyer.post(order).order
            until = time.monotonic() + 15
            while not list(buyer.deals()) and time.monotonic() < until:
                time.sleep(0.1)
        self.deal_id: EscrowId = escrow.id
        self.parameters: dict[str, Any] = {
            "offer_id": self.offer.id,
            "order_id": self.waiting.id,
            "deal_id": self.deal_id,
            "party": net.buyer.address,
            "provider": net.provider.address,
            "buyer": net.buyer.address,
            "q": "gpu_model=H100 price<3 --sort price",
            "model": "H100",
            "account": net.buyer.address,
            "number": 1,
        }
        self._slots = iter(range(1_000, 10_000))

    def body(self, operation: str, draw: st.DataObject) -> Any:
        """Return a body that the market may take; None: the operation has none."""
        made: Mapping[str, Any] = {
            "post_offers": lambda: PostOffers(offers=tuple(self._offers(draw))),
            "post_orders": lambda: PostOrders(orders=tuple(self._orders(draw))),
            "unlist": lambda: self._unlisting(draw),
            "match": lambda: Ask(order=self._asked(draw), limit=draw.draw(st.integers(1, 100))),
            "quote": lambda: Ask(order=self._asked(draw)),
            "explain": lambda: Ask(order=self._asked(draw), limit=draw.draw(st.integers(1, 5))),
            "reserve": lambda: self._reserve(draw),
            "post_document": lambda: self._document(draw),
            "relay": lambda: self._relay(draw),
            "subscribe_alerts": lambda: self._alerts(AlertsVerb.SUBSCRIBE, url="http://127.0.0.1:9/hook"),
        }
        return made[operation]().model_dump(mode="json") if operation in made else None

    def headers(self, operation: str) -> dict[str, str]:
        """Return the header in which a party signs what it asks, where it does."""
        asked = {
            "alert_subscriptions": (AlertsVerb.LIST, 0),
            "unsubscribe_alerts": (AlertsVerb.UNSUBSCRIBE, 1),
        }
        if operation not in asked:
            return {}
        verb, number = asked[operation]
        return {REQUEST: self._alerts(verb, number=number).model_dump_json()}

    def _alerts(self, verb: AlertsVerb, url: str = "", number: int = 0) -> AlertsRequest:
        net, until = self.net, self.net.clock.now() + timedelta(minutes=5)
        return sign_alerts_request(verb, net.buyer, net.domain, until=until, url=url, number=number)

    def _relay(self, draw: st.DataObject) -> Relay:
        """Have one of the buyer's groups of orders cancelled, one that has none of those that wait."""
        net = self.net
        group = draw.draw(st.integers(1_000, 2_000))
        return Relay.of(net.client().orders_cancellation(net.buyer, Side.ORDERS, group))

    def _offers(self, draw: st.DataObject) -> Iterator[CapacityOffer]:
        for _ in range(draw.draw(st.integers(1, 3))):
            fields = {
                "price_per_hour": self.offer.price_per_hour * draw.draw(st.integers(1, 3)),
                "available_hours": draw.draw(st.integers(1, 8_760)),
                "features": draw.draw(st.lists(st.sampled_from(Feature), unique=True)),
                "location": draw.draw(st.sampled_from([None, Location(country="DE"), Location(region="eu")])),
                "slot": draw.draw(st.integers(0, 2**64 - 1)),
            }
            offer = CapacityOffer(**{**dict(self.offer), **fields, "signature": None})
            yield sign_offer(offer, self.net.provider, self.net.domain)

    def _orders(self, draw: st.DataObject) -> Iterator[JobOrder]:
        for _ in range(draw.draw(st.integers(1, 3))):
            fields = {"slot": next(self._slots), "priority": draw.draw(st.sampled_from(Priority))}
            order = self.waiting.model_copy(update={**fields, "signature": None})
            yield sign_order(order, self.net.buyer, self.net.domain)

    def _asked(self, draw: st.DataObject) -> JobOrder:
        """Return an order to ask about: at times one that nothing fits."""
        hours = draw.draw(st.integers(1, 30))
        needs = {**dict(self.wanted.requirements), "estimated_hours": hours}
        return JobOrder(**{**dict(self.wanted), "requirements": needs, "max_budget": None})

    def _unlisting(self, draw: st.DataObject) -> Unlist:
        net, until = self.net, self.net.clock.now() + timedelta(minutes=draw.draw(st.integers(1, 60)))
        signed = sign_unlisting(order_hash(self.waiting, net.domain), net.buyer, net.domain, until=until)
        return Unlist(unlistings=(signed,))

    def _reserve(self, draw: st.DataObject) -> Reserve:
        order = self.wanted.model_copy(update={"slot": next(self._slots)})
        signed = sign_order(order, self.net.buyer, self.net.domain, offer=self.offer)
        seconds = draw.draw(st.integers(1, 120))
        return Reserve(offer_id=OfferId(self.offer.id), order=signed, seconds=seconds)

    def _document(self, draw: st.DataObject) -> Document:
        net, much = self.net, draw.draw(st.integers(1, 2**40 - 1))
        sealed = draw.draw(st.sampled_from(["", "AAAA", "QUJDRA=="]))
        url = draw.draw(st.from_regex(r"https://[a-z]{1,60}", fullmatch=True))
        letter = sign_letter(self.deal_id, net.provider.address, sealed, net.buyer, net.domain)
        kinds = (
            Document(voucher=sign_voucher(self.deal_id, much, net.buyer, net.domain)),
            Document(receipt=sign_receipt(self.deal_id, much, net.provider, net.domain)),
            Document(letter=letter),
            Document(gateway=sign_gateway(self.deal_id, url, ZERO_HASH, net.provider, net.domain)),
        )
        return draw.draw(st.sampled_from(kinds))


def test_operations__whatever_comes__answer_as_they_say(
    net: Devnet, running: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = schemathesis.openapi.from_url(f"{running.url}/openapi.json")
    scene, counts = Scene(net, running.url), {}
    operations: list[Any] = [cast(Any, each).ok() for each in schema.get_all_operations()]
    last = ["unlist", "unsubscribe_alerts"]  # they take things away
    operations.sort(key=lambda each: each.definition.raw["operationId"] in last)
    for operation in operations:
        name = operation.definition.raw["operationId"]
        counts[name] = _tried(operation, name, scene)
    with capsys.disabled():
        for name, told in counts.items():
            print(f"  {name:16} {dict(sorted(told.items()))}")  # noqa: T201
    assert len(counts) >= 20
    silent = [name for name, told in counts.items() if not any(200 <= code < 300 for code in told)]
    assert not silent
    assert httpx.get(f"{running.url}/health").json()["status"] == "ok"


def _tried(operation: Any, name: str, scene: Scene) -> Counter[int]:
    told: Counter[int] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), draw=st.data(), of_market=st.booleans())
    def tried(case: Any, draw: st.DataObject, *, of_market: bool) -> None:
        if of_market:
            for given_ in (case.path_parameters, case.query):
                for parameter in given_ or {}:
                    if parameter in scene.parameters:
                        given_[parameter] = scene.parameters[parameter]
                    elif given_ is case.query and parameter in {"cursor", "since", "region"}:
                        given_[parameter] = None
            if (body := scene.body(name, draw)) is not None:
                case.body = body
            case.headers = {**(case.headers or {}), **scene.headers(name)}
        response = case.call()
        told[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    tried()
    return told


# ---------------------------------------------------------------- worse


def test_malformed__is_told_as_a_problem(running: Server) -> None:
    """Bodies that are no JSON, no object, of the wrong kind, too deep, too large, and in no known text."""
    bodies = {
        b"": 422,
        b"{": 422,
        b"null": 422,
        b"[]": 422,
        b'"offers"': 422,
        b'{"offers": []}': 422,
        b'{"offers": [1]}': 422,
        b'{"offers": [{}], "more": 1}': 422,
        b"\xff\xfe\x00": 400,
        b"[" * 50_000 + b"]" * 50_000: 422,
        b'{"offers": "' + b"x" * 900_000 + b'"}': 422,
        b"x" * 1_000_001: 413,
        b'{"offers": [' + b"1," * 100 + b"1]}": 422,
    }
    for body, status in bodies.items():
        response = httpx.post(
            f"{running.url}/offers", content=body, headers={"Content-Type": "application/json"}, timeout=20
        )
        assert response.status_code == status, body[:40]
        assert response.headers["content-type"] == MEDIA_TYPE
        assert Problem.model_validate_json(response.content).status == status


def test_endless_body__is_refused_before_it_ends(running: Server) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 100_000

    with suppress(httpx.TransportError):  # it may have hung up while we were talking
        assert httpx.post(f"{running.url}/offers", content=endless(), timeout=20).status_code == 413
    assert httpx.get(f"{running.url}/health").status_code == 200


def test_forged_and_replayed__move_nothing(net: Devnet, running: Server) -> None:
    scene = Scene(net, running.url)
    offer = json.loads(scene.offer.model_dump_json())
    before = httpx.get(f"{running.url}/feed", params={"limit": 1}).json()["last"]

    def post(path: str, body: Any) -> httpx.Response:
        return httpx.post(running.url + path, json=body)

    cheaper = {**offer, "price_per_hour": {**offer["price_per_hour"], "base_units": "1"}}
    other_signature = {**offer, "signature": offer["signature"][:-4] + "001b"}
    unsigned = {**offer, "signature": None}
    for forged in (cheaper, other_signature, unsigned):
        assert post("/offers", {"offers": [offer, forged]}).status_code == 403  # all or none
    assert post("/offers", {"offers": [offer]}).status_code == 201  # again: known
    elsewhere = sign_order(scene.waiting, net.buyer, type(net.domain)(1, net.deployment.escrow))
    assert post("/orders", {"orders": [elsewhere.model_dump(mode="json")]}).status_code == 403
    assert httpx.get(f"{running.url}/feed", params={"limit": 1}).json()["last"] == before

    late = sign_unlisting(Hash32(scene.offer.id), net.provider, net.domain, until=net.clock.now())
    assert post("/unlistings", {"unlistings": [late.model_dump(mode="json")]}).status_code == 410
    until = net.clock.now() + timedelta(minutes=5)
    good = sign_unlisting(Hash32(scene.offer.id), net.provider, net.domain, until=until)
    body = {"unlistings": [good.model_dump(mode="json")]}
    assert post("/unlistings", body).json() == {"digests": [scene.offer.id]}
    assert post("/unlistings", body).json() == {"digests": []}  # replayed
    assert post("/offers", {"offers": [offer]}).status_code == 201
    assert httpx.get(f"{running.url}/offers/{scene.offer.id}").json()["status"] == "cancelled"
