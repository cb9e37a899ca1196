"""Asking the book, and holding what it has."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from molt_market.api.aside import AsideWhole
from molt_market.api.common import Here, PageLimit, limited
from molt_market.wire.messages import (
    Ask,
    ExplanationAnswer,
    Match,
    Matches,
    Offers,
    QuoteAnswer,
    ReservationAnswer,
    Reserve,
)

COUNTED = 100  # offers that a quote looks at

router = APIRouter(tags=["matching"], dependencies=[Depends(limited)])


@router.post("/matches", operation_id="match")
def match(body: Ask, here: Here) -> Matches:
    """Return what fits an order and could be opened now, the best first. Keeps nothing."""
    here.clock.reach(body.order.created_at)
    found = here.market.book.match_order(body.order)
    return Matches(matches=tuple(Match.of(each) for each in found[: body.limit]))


@router.post("/quotes", operation_id="quote")
def quote(body: Ask, here: Here) -> QuoteAnswer:
    """Say what the book would do with an order now, and what that costs. Keeps nothing.

    No more than the best 100 offers are counted, however many fit.
    """
    here.clock.reach(body.order.created_at)
    return QuoteAnswer.of(here.market.book.quote(body.order, COUNTED), here.client.token)


@router.post("/explanations", operation_id="explain")
async def explain(body: Ask, here: Here, aside: AsideWhole) -> ExplanationAnswer:
    """Say why an order does not match, and the least that would make it match. Keeps nothing."""

    def explained() -> ExplanationAnswer:
        here.clock.reach(body.order.created_at)
        return ExplanationAnswer.of(here.market.whole.explain(body.order, body.limit))

    return await aside.answer(explained)


@router.get("/search", operation_id="search")
async def search(
    here: Here,
    aside: AsideWhole,
    q: Annotated[str, Query(max_length=1_000, description="For example `gpu_model=H100 price<3`.")],
    limit: PageLimit = 20,
) -> Offers:
    """Return the offers that a query of the search language is for."""
    return await aside.answer(lambda: Offers(offers=tuple(here.market.whole.search(q, limit))))


@router.post("/reservations", status_code=201, operation_id="reserve")
def reserve(body: Reserve, here: Here) -> ReservationAnswer:
    """Hold an offer's GPUs for an order that its buyer signed; nobody else gets them meanwhile."""
    here.clock.reach(body.order.created_at)
    reservation, deal_id = here.market.reserve_for(body.offer_id, body.order, body.seconds)
    return ReservationAnswer.of(reservation, deal_id)
