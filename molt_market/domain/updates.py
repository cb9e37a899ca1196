"""What happens in a market, one step at a time: the live feed, by which copies of the book are made too.

An offer's id in a market is its hash, an order's likewise: what was signed names itself, so that to post it
again is harmless, and nobody takes another one's name.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from molt_market.domain.amounts import Amount
from molt_market.domain.documents import DocumentKind
from molt_market.domain.fields import GpuCount, Moment, Uint64, Value
from molt_market.domain.ids import Address, EscrowId, OfferId, OrderId
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder

Gone = Literal["cancelled", "expired"]


class OfferPosted(Value):
    """An offer is in the book."""

    kind: Literal["offer_posted"] = "offer_posted"
    offer: CapacityOffer


class OfferRemoved(Value):
    """An offer has left the book; on the chain it may stand longer."""

    kind: Literal["offer_removed"] = "offer_removed"
    offer_id: OfferId
    reason: Gone


class OrderPosted(Value):
    """An order waits in the book."""

    kind: Literal["order_posted"] = "order_posted"
    order: JobOrder


class OrderRemoved(Value):
    """An order no longer waits; on the chain it may stand longer."""

    kind: Literal["order_removed"] = "order_removed"
    order_id: OrderId
    reason: Gone


class _OfPool(Value):
    """GPUs of a provider's slot are taken or let go: `gpu_count` by this, `held` in all from now on."""

    deal_id: EscrowId
    order_id: OrderId
    offer_id: OfferId | None
    provider: Address
    slot: Uint64
    gpu_count: GpuCount
    held: Annotated[int, Field(ge=0)]


class Reserved(_OfPool):
    """GPUs are held for a match until a moment; `deal_id` is the deal's that it would open."""

    kind: Literal["reserved"] = "reserved"
    until: Moment


class Released(_OfPool):
    """A reservation is over without a deal: its GPUs are free, and its order waits again if it waited."""

    kind: Literal["released"] = "released"
    reason: Literal["released", "lapsed", "cancelled"]
    waits: bool


class DealOpened(_OfPool):
    """A deal is open on the chain and holds the GPUs. Model, region and country are the offer's, if known."""

    kind: Literal["deal_opened"] = "deal_opened"
    price_per_hour: Amount
    hours: GpuCount
    gpu_model: str | None = None
    region: str | None = None
    country: str | None = None


class DealFreed(_OfPool):
    """A deal no longer holds GPUs: it is claimed, disputed or closed, or its block is gone."""

    kind: Literal["deal_freed"] = "deal_freed"


class DocumentPosted(Value):
    """A document about a deal lies ready for its parties."""

    kind: Literal["document_posted"] = "document_posted"
    deal_id: EscrowId
    document: DocumentKind
    sender: Address
    number: Annotated[int, Field(ge=1)]


Update = Annotated[
    OfferPosted
    | OfferRemoved
    | OrderPosted
    | OrderRemoved
    | Reserved
    | Released
    | DealOpened
    | DealFreed
    | DocumentPosted,
    Field(discriminator="kind"),
]


class FeedItem(Value):
    """One step of a market. Sequence numbers count from 1 up, without a gap; `time` is the chain's."""

    sequence: Annotated[int, Field(ge=1)]
    time: Moment
    update: Update

    @property
    def shown(self) -> FeedItem:
        """What everybody may see of it: an order's signature is for who opens its deal alone."""
        if not isinstance(self.update, OrderPosted):
            return self
        order = self.update.order.model_copy(update={"signature": None})
        return self.model_copy(update={"update": OrderPosted(order=order)})
