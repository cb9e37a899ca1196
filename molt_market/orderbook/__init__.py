"""The order book: what fits an order, how well, and who holds which GPUs. Deterministic, without I/O."""

from molt_market.orderbook.book import OrderBook
from molt_market.orderbook.clearing import Clearing
from molt_market.orderbook.compiled import CompiledIndex
from molt_market.orderbook.explain import Exclusion, Explanation
from molt_market.orderbook.fills import Execution, Fill
from molt_market.orderbook.index import OfferIndex, PriceIndex
from molt_market.orderbook.market_data import BestPrice, Depth, PriceLevel, PriceStatistics, Trade
from molt_market.orderbook.quote import Quote
from molt_market.orderbook.relaxations import Change, Relaxation
from molt_market.orderbook.reservations import MAX_RESERVATION_SECONDS, Reservation
from molt_market.orderbook.scoring import Reliability, ScoreWeights
from molt_market.orderbook.search import parse_query
from molt_market.orderbook.search_query import Query

__all__ = [
    "MAX_RESERVATION_SECONDS",
    "BestPrice",
    "Change",
    "Clearing",
    "CompiledIndex",
    "Depth",
    "Exclusion",
    "Execution",
    "Explanation",
    "Fill",
    "OfferIndex",
    "OrderBook",
    "PriceIndex",
    "PriceLevel",
    "PriceStatistics",
    "Query",
    "Quote",
    "Relaxation",
    "Reliability",
    "Reservation",
    "ScoreWeights",
    "Trade",
    "parse_query",
]
