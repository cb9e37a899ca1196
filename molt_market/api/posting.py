"""Posting signed offers and orders, and taking them back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from molt_market.api.common import Cursor, Here, PageLimit, limited, next_cursor
from molt_market.domain.ids import Address, OfferId, OrderId
from molt_market.domain.offers import CapacityOffer
from molt_market.market.ports import PostedOrder
from molt_market.wire.messages import Offers, Orders, OrderState, PostOffers, PostOrders, Unlist, Unlisted

router = APIRouter(tags=["offers and orders"], dependencies=[Depends(limited)])


@router.post("/offers", status_code=201, operation_id="post_offers")
def post_offers(body: PostOffers, here: Here) -> Offers:
    """List signed offers, all or none. Their provider's bond has to lie in the escrow."""
    here.clock.reach(*(each.created_at for each in body.offers))
    return Offers(offers=tuple(here.market.post_offers(body.offers)))


@router.get("/offers", operation_id="list_offers")
def list_offers(
    here: Here,
    provider: Annotated[Address, Query(description="Whose offers.")],
    cursor: Cursor = None,
    limit: PageLimit = 50,
) -> Offers:
    """List the offers of a provider that stand."""
    found = here.market.store.offers_of(provider, cursor, limit)
    return Offers(offers=tuple(found), next=next_cursor([offer.id for offer in found], limit))


@router.get("/offers/{offer_id}", operation_id="get_offer")
def get_offer(offer_id: OfferId, here: Here) -> CapacityOffer:
    """Return an offer in its present status."""
    return here.market.offer(offer_id)


@router.post("/orders", status_code=201, operation_id="post_orders")
def post_orders(body: PostOrders, here: Here) -> Orders:
    """Let signed orders wait, all or none. Their buyer's money has to lie in the escrow."""
    here.clock.reach(*(each.created_at for each in body.orders))
    posted = here.market.post_orders(body.orders)
    return Orders(orders=tuple(_state(here.market.order(order.id)) for order in posted))


@router.get("/orders", operation_id="list_orders")
def list_orders(
    here: Here,
    buyer: Annotated[Address, Query(description="Whose orders.")],
    cursor: Cursor = None,
    limit: PageLimit = 50,
) -> Orders:
    """List all orders of a buyer."""
    found = here.market.store.orders_of(buyer, cursor, limit)
    return Orders(
        orders=tuple(_state(each) for each in found),
        next=next_cursor([each.order.id for each in found], limit),
    )


@router.get("/orders/{order_id}", operation_id="get_order")
def get_order(order_id: OrderId, here: Here) -> OrderState:
    """Return an order in its present status, with its deal if there is one."""
    return _state(here.market.order(order_id))


@router.post("/unlistings", operation_id="unlist")
def unlist(body: Unlist, here: Here) -> Unlisted:
    """Take offers, orders and reservations back, as their makers have signed.

    On the chain an offer or order stands until it expires, or its group is cancelled there.
    """
    return Unlisted(digests=tuple(here.market.unlist(body.unlistings)))


def _state(posted: PostedOrder) -> OrderState:
    """Say how an order stands; its signature is for who opens its deal alone."""
    order = posted.order.model_copy(update={"signature": None})
    return OrderState(order=order, rests=posted.rests, deal_id=posted.deal_id)
