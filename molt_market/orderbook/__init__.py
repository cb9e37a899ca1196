"""The order book: what fits an order, how well, and who holds which GPUs. Deterministic, without I/O."""

from molt_market.orderbook.book import OrderBook
from molt_market.orderbook.index import OfferIndex, PriceIndex
from molt_market.orderbook.reservations import MAX_RESERVATION_SECONDS, Reservation
from molt_market.orderbook.scoring import Reliability, ScoreWeights

__all__ = [
    "MAX_RESERVATION_SECONDS",
    "OfferIndex",
    "OrderBook",
    "PriceIndex",
    "Reliability",
    "Reservation",
    "ScoreWeights",
]
