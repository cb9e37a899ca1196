"""What the server tells of itself: OpenAPI, with a signed example for each thing that is posted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from molt_market.api.service import Service
from molt_market.domain.documents import Document
from molt_market.domain.gpus import Feature, GpuCapacity, Location
from molt_market.domain.ids import Hash32, OfferId, OrderId, PartyId
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.signing.hashes import deal_id, offer_hash, terms_of
from molt_market.signing.listings import sign_unlisting
from molt_market.signing.signers import LocalSigner
from molt_market.signing.statements import sign_offer, sign_order, sign_voucher
from molt_market.wire.messages import Ask, PostOffers, PostOrders, Reserve, Unlist
from molt_market.wire.problems import MEDIA_TYPE, Problem

PROVIDER = LocalSigner.from_key("0x" + "01" * 32)  # everybody knows these keys: they are for examples only
BUYER = LocalSigner.from_key("0x" + "02" * 32)
SIGNED_AT = datetime.fromisoformat("2026-01-01T12:00:00Z")
WHO_ANSWERS = "#/components/schemas/Problem"


def describe(app: FastAPI, service: Service) -> None:
    """Have an app tell its errors as what they are, and show an example of each body."""
    app.openapi = partial(_described, app, service)  # type: ignore[method-assign]  # FastAPI's own way


def _described(app: FastAPI, service: Service) -> dict[str, Any]:
    if app.openapi_schema is None:
        told = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = told["components"]["schemas"]
        schemas["Problem"] = Problem.model_json_schema()
        for schema in schemas.values():
            schema["description"] = schema.get("description", "").partition("\n\n>>>")[0]
        given = examples(service)
        for path in told["paths"].values():
            for operation in path.values():
                _describe(operation, given)
        app.openapi_schema = told
    return app.openapi_schema


def _describe(operation: dict[str, Any], given: Mapping[str, BaseModel]) -> None:
    for status, response in operation["responses"].items():
        if int(status) >= 400:
            response["content"] = {MEDIA_TYPE: {"schema": {"$ref": WHO_ANSWERS}}}
    example = given.get(operation["operationId"])
    if example is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = example.model_dump(
            mode="json", exclude_none=True
        )


def examples(service: Service) -> dict[str, BaseModel]:
    """Return an example of each operation's body, signed for this market by keys that everybody knows."""
    domain, token = service.market.domain, service.client.token
    policy = service.policies[0].policy_id if service.policies else Hash32("0x" + "90" * 32)
    offer = CapacityOffer(
        id=OfferId("my-offer"),
        provider_id=PartyId(PROVIDER.address),
        gpu_capacity=GpuCapacity(gpu_count=8, gpu_model="H100", vram_gb=80),
        price_per_hour=token.amount("2.5"),
        available_hours=168,
        created_at=SIGNED_AT,
        features=(Feature.NVLINK,),
        location=Location(region="us-east-1", country="US"),
        policy_id=policy,
    )
    order = JobOrder(
        id=OrderId("my-order"),
        buyer_id=PartyId(BUYER.address),
        requirements=JobRequirements(
            min_gpu_count=4, min_vram_gb=80, max_price_per_hour=token.amount(3), estimated_hours=8
        ),
        created_at=SIGNED_AT,
        slot=0,
        policy_id=policy,
    )
    offered = sign_offer(offer, PROVIDER, domain)
    waiting = order.model_copy(update={"opener": PROVIDER.address})
    bound = sign_order(order, BUYER, domain, offer=offered)
    deal = deal_id(terms_of(offered, bound, domain), domain)
    unlisting = sign_unlisting(
        offer_hash(offered, domain), PROVIDER, domain, until=SIGNED_AT + timedelta(minutes=10)
    )
    asked = Ask(order=order)
    return {
        "post_offers": PostOffers(offers=(offered,)),
        "post_orders": PostOrders(orders=(sign_order(waiting, BUYER, domain),)),
        "unlist": Unlist(unlistings=(unlisting,)),
        "match": asked,
        "quote": asked,
        "explain": asked,
        "reserve": Reserve(offer_id=OfferId(offer_hash(offered, domain)), order=bound),
        "post_document": Document(voucher=sign_voucher(deal, 3_600, BUYER, domain)),
    }
