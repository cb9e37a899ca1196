"""A market's things in a few words, for people."""

from __future__ import annotations

from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.domain.updates import (
    DealFreed,
    DealOpened,
    DocumentPosted,
    OfferPosted,
    OfferRemoved,
    OrderPosted,
    OrderRemoved,
    Released,
    Reserved,
    Update,
)
from molt_market.errors import counted


def place_of(region: str | None, country: str | None) -> str:
    """Write a place.

    >>> place_of("eu-west", "FR"), place_of(None, None)
    ('eu-west FR', '-')
    """
    return " ".join(each for each in (region, country) if each) or "-"


def gpus_of(offer: CapacityOffer) -> str:
    """Write what an offer has."""
    gpus = offer.gpu_capacity
    return f"{gpus.gpu_count} {gpus.gpu_model} {gpus.vram_gb} GB"


def where(offer: CapacityOffer) -> str:
    """Write where an offer's GPUs stand."""
    place = offer.location
    return "-" if place is None else place_of(place.region, place.country)


def hours_of(offer: CapacityOffer) -> str:
    """Write for how many hours an offer can be taken."""
    least, most = offer.min_commitment_hours, offer.available_hours
    return str(most) if least == most else f"{least} to {most}"


def wanted_by(order: JobOrder) -> str:
    """Write what an order asks for."""
    needs = order.requirements
    models = " or ".join(needs.required_models)
    wanted = f"{needs.min_gpu_count} {models}" if models else counted(needs.min_gpu_count, "GPU")
    return f"{wanted} {needs.min_vram_gb} GB for {needs.estimated_hours} h"


def told(update: Update) -> str:
    """Write a step of a market in one line."""
    match update:
        case OfferPosted(offer=offer):
            says = f"{gpus_of(offer)} at {offer.price_per_hour}, offer {offer.id}"
        case OrderPosted(order=order):
            says = f"{wanted_by(order)} at {order.requirements.max_price_per_hour}, order {order.id}"
        case OfferRemoved():
            says = f"{update.reason}, offer {update.offer_id}"
        case OrderRemoved():
            says = f"{update.reason}, order {update.order_id}"
        case DealOpened():
            says = f"{counted(update.gpu_count, 'GPU')} for {update.hours} h at {update.price_per_hour}"
            says += f", deal {update.deal_id}"
        case Reserved() | Released() | DealFreed():
            says = f"{counted(update.gpu_count, 'GPU')}, deal {update.deal_id}"
        case DocumentPosted():
            says = f"{update.document} by {update.sender}, deal {update.deal_id}"
    return f"{update.kind.replace('_', ' ')}: {says}"
