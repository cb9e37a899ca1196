"""Requests and answers of the market's HTTP API.

Amounts are base units with their token, times UTC, usage GPU-seconds. What is signed is sent as it is: an
offer, an order or an unlisting, with the signature that the contract checks too.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.deals import DealStatus, EscrowState
from molt_market.domain.documents import PostedDocument
from molt_market.domain.fields import GpuCount, Hours, Moment, Uint16, Uint40, Value, moment
from molt_market.domain.ids import Address, EscrowId, Hash32, OfferId, OrderId, TransactionId
from molt_market.domain.listings import Unlisting
from molt_market.domain.matches import OrderMatch, ScorePart
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.domain.policies import Policy
from molt_market.domain.terms import Terms
from molt_market.domain.updates import FeedItem
from molt_market.errors import MarketError
from molt_market.indexer.records import DealRecord
from molt_market.orderbook import Explanation, Quote, Reservation
from molt_market.orderbook.market_data import BestPrice, Depth, PriceStatistics, Trade
from molt_market.refusals import in_units

AT_ONCE = 100  # things in one request
PAGE = 100  # things in one answer

Limit = Annotated[int, Field(ge=1, le=PAGE)]


# ---------------------------------------------------------------- the market itself


class MarketInfo(Value):
    """Which market this is: chain, contract and token, and what a deal costs in fees.

    `opener` opens the deals of orders that wait, if they let it; `relayer` brings to the chain what others
    signed, and pays. None: nobody does here. `alerts` says whether parties can subscribe to theirs.
    Trust none of it: the SDK compares it with the deployment that it brought along.
    """

    chain_id: int
    escrow: Address
    token: Token
    code_hash: Hash32
    fee_bps: Uint16
    paused_until: Moment | None
    opener: Address | None
    relayer: Address | None = None
    alerts: bool = False
    policies: tuple[KnownPolicy, ...]
    version: str


class KnownPolicy(Value):
    """A policy that the market's operator points to, with the attestors that answer for it."""

    policy_id: Hash32
    policy: Policy


class Health(Value):
    """How the server is: the block that the log was followed to, the chain's time, the feed's last number.

    `book_is_read` tells whether it has all prices at hand; before, a question may have to wait for them.
    """

    status: str
    book_is_read: bool
    followed_block: int | None
    time: Moment
    sequence: int


# ---------------------------------------------------------------- posting


class PostOffers(Value):
    """Signed offers, all of which are taken or none."""

    offers: Annotated[tuple[CapacityOffer, ...], Field(min_length=1, max_length=AT_ONCE)]


class PostOrders(Value):
    """Signed orders, all of which are taken or none."""

    orders: Annotated[tuple[JobOrder, ...], Field(min_length=1, max_length=AT_ONCE)]


class Offers(Value):
    """Offers under their ids here, which are their hashes; `next` is the cursor of the next page."""

    offers: tuple[CapacityOffer, ...]
    next: str | None = None


class OrderState(Value):
    """An order as it stands; `deal_id` is that of the deal that it opened or that is reserved for it."""

    order: JobOrder
    rests: bool
    deal_id: EscrowId | None


class Orders(Value):
    """Orders under their ids here, which are their hashes; `next` is the cursor of the next page."""

    orders: tuple[OrderState, ...]
    next: str | None = None


class Unlist(Value):
    """Signed requests to take offers, orders or reservations off the book."""

    unlistings: Annotated[tuple[Unlisting, ...], Field(min_length=1, max_length=AT_ONCE)]


class Unlisted(Value):
    """What was taken off the book just now. On the chain it stands until it expires or is cancelled there."""

    digests: tuple[Hash32, ...]


# ---------------------------------------------------------------- matching


class Ask(Value):
    """An order to ask about, signed or not; nothing is kept of it."""

    order: JobOrder
    limit: Limit = 8


class Match(Value):
    """An offer that fits an order, whole or for `gpu_count` of it."""

    offer: CapacityOffer
    gpu_count: GpuCount
    hours: Hours
    total_cost: Amount
    score_millionths: int
    reasons: tuple[ScorePart, ...]

    @classmethod
    def of(cls, match: OrderMatch) -> Self:
        return cls(
            offer=match.offer,
            gpu_count=match.gpu_count,
            hours=match.hours,
            total_cost=match.total_cost,
            score_millionths=match.score_millionths,
            reasons=match.reasons,
        )

    def for_order(self, order: JobOrder) -> OrderMatch:
        """Return the match with the order that was asked about; its figures follow from offer and order."""
        return OrderMatch.of(self.offer, order, score_millionths=self.score_millionths, reasons=self.reasons)


class Matches(Value):
    """What fits an order, the best first."""

    matches: tuple[Match, ...]


class Obstacle(Value):
    """Why something cannot be: the error's class and its words."""

    code: str
    detail: str

    @classmethod
    def of(cls, error: MarketError) -> Self:
        return cls(code=type(error).__name__, detail=str(error))


class QuoteAnswer(Value):
    """What the book would do with an order now; see `OrderBook.quote`."""

    fill: tuple[Match, ...]
    total_cost: Amount | None
    obstacle: Obstacle | None
    offers: int
    least_cost: Amount | None
    most_cost: Amount | None
    missing_gpus: int
    dispute_reserve: Amount | None

    @classmethod
    def of(cls, quote: Quote, token: Token) -> Self:
        fill, obstacle = quote.fill, quote.obstacle
        return cls(
            fill=() if fill is None else tuple(map(Match.of, fill.matches)),
            total_cost=None if fill is None else fill.total_cost,
            obstacle=None
            if obstacle is None
            else Obstacle(code=type(obstacle).__name__, detail=in_units(obstacle, token.written)),
            offers=quote.offers,
            least_cost=quote.least_cost,
            most_cost=quote.most_cost,
            missing_gpus=quote.missing_gpus,
            dispute_reserve=quote.dispute_reserve,
        )


class ExclusionAnswer(Value):
    """How many offers break a constraint, and how many of them break no other one."""

    constraint: str
    offers: int
    alone: int


class RelaxationAnswer(Value):
    """Changes that would make the order match, the order so changed, and its match."""

    changes: tuple[str, ...]
    order: JobOrder
    match: Match


class ExplanationAnswer(Value):
    """Why an order does not match, and what would make it match; see `OrderBook.explain`."""

    offers: int
    fitting: int
    exclusions: tuple[ExclusionAnswer, ...]
    relaxations: tuple[RelaxationAnswer, ...]
    in_parts: tuple[Match, ...]
    text: str

    @classmethod
    def of(cls, explanation: Explanation) -> Self:
        parts = explanation.in_parts
        return cls(
            offers=explanation.offers,
            fitting=explanation.fitting,
            exclusions=tuple(
                ExclusionAnswer(constraint=each.constraint, offers=each.offers, alone=each.alone)
                for each in explanation.exclusions
            ),
            relaxations=tuple(
                RelaxationAnswer(
                    changes=tuple(change.text for change in each.changes),
                    order=each.order,
                    match=Match.of(each.match),
                )
                for each in explanation.relaxations
            ),
            in_parts=() if parts is None else tuple(map(Match.of, parts.matches)),
            text=str(explanation),
        )


class Reserve(Value):
    """Hold the GPUs of an offer for an order that its buyer has signed, for so many seconds."""

    offer_id: OfferId
    order: JobOrder
    seconds: Annotated[int, Field(ge=1, le=120)] = 110


class ReservationAnswer(Value):
    """GPUs that are held until a moment; who opens the deal before it has them."""

    deal_id: EscrowId
    order_id: OrderId
    offer_id: OfferId
    gpu_count: GpuCount
    until: Moment

    @classmethod
    def of(cls, reservation: Reservation, deal_id: EscrowId) -> Self:
        return cls(
            deal_id=deal_id,
            order_id=reservation.order_id,
            offer_id=reservation.offer_id,
            gpu_count=reservation.gpu_count,
            until=reservation.until,
        )


# ---------------------------------------------------------------- deals


class DealState(Value):
    """A deal as the followed log tells it. Times are moments, usage GPU-seconds, money of the token."""

    deal_id: EscrowId
    terms: Terms
    status: DealStatus
    state: EscrowState
    opened_at: Moment
    ends_at: Moment
    deadline: Moment
    closed_at: Moment | None
    paid_gpu_seconds: Uint40
    claimed_gpu_seconds: Uint40
    to_provider: Amount
    fee: Amount
    to_buyer: Amount
    held: Amount
    opened_by: TransactionId
    closed_by: TransactionId | None

    @classmethod
    def of(cls, record: DealRecord, token: Token) -> Self:
        deal = record.deal
        return cls(
            deal_id=record.id,
            terms=record.terms,
            status=deal.status,
            state=EscrowState.of(deal.status),
            opened_at=moment(deal.opened_at),
            ends_at=moment(deal.ends_at),
            deadline=moment(deal.deadline),
            closed_at=None if record.closed_at is None else moment(record.closed_at),
            paid_gpu_seconds=deal.paid,
            claimed_gpu_seconds=deal.claim,
            to_provider=Amount(record.to_provider, token),
            fee=Amount(record.fee, token),
            to_buyer=Amount(record.to_buyer, token),
            held=Amount(record.held, token),
            opened_by=record.opened_by,
            closed_by=record.closed_by,
        )


class Deals(Value):
    """Deals of a party, by their ids; `next` is the cursor of the next page."""

    deals: tuple[DealState, ...]
    next: str | None = None


class DocumentNumber(Value):
    """Where a document lies: `number` counts those of its deal up from 1."""

    deal_id: EscrowId
    number: int


class Documents(Value):
    """Documents of a deal, in their order."""

    documents: tuple[PostedDocument, ...]


# ---------------------------------------------------------------- market data


class PriceLevelAnswer(Value):
    """GPUs at exactly this price per GPU-hour."""

    price: Amount
    gpu_count: int


class DepthAnswer(Value):
    """GPUs to be had, the cheapest first, and wanted, the highest limit first."""

    asks: tuple[PriceLevelAnswer, ...]
    bids: tuple[PriceLevelAnswer, ...]

    @classmethod
    def of(cls, depth: Depth) -> Self:
        asks, bids = (
            tuple(PriceLevelAnswer(price=level.price, gpu_count=level.gpu_count) for level in side)
            for side in (depth.asks, depth.bids)
        )
        return cls(asks=asks, bids=bids)


class TradeAnswer(Value):
    """A deal as market data tell it."""

    time: Moment
    deal_id: EscrowId
    gpu_model: str
    region: str | None
    country: str | None
    price_per_hour: Amount
    gpu_count: int
    hours: int

    @classmethod
    def of(cls, trade: Trade) -> Self:
        return cls(**{name: getattr(trade, name) for name in cls.model_fields})


class Trades(Value):
    """Trades, the oldest first."""

    trades: tuple[TradeAnswer, ...]


class BestPriceAnswer(Value):
    """The lowest price per GPU-hour of a model in a region, and the GPUs to be had at it."""

    gpu_model: str
    region: str | None
    price: Amount
    gpu_count: int

    @classmethod
    def of(cls, best: BestPrice) -> Self:
        return cls(**{name: getattr(best, name) for name in cls.model_fields})


class PercentileAnswer(Value):
    """At or below this price per GPU-hour so many percent of all GPU-hours were traded."""

    percent: int
    price: Amount


class StatisticsAnswer(Value):
    """What a model traded at in a region."""

    gpu_model: str
    region: str | None
    trades: int
    gpu_hours: int
    percentiles: tuple[PercentileAnswer, ...]

    @classmethod
    def of(cls, statistics: PriceStatistics) -> Self:
        return cls(
            gpu_model=statistics.gpu_model,
            region=statistics.region,
            trades=statistics.trades,
            gpu_hours=statistics.gpu_hours,
            percentiles=tuple(
                PercentileAnswer(percent=percent, price=price) for percent, price in statistics.percentiles
            ),
        )


class Prices(Value):
    """The best prices now, and what was traded in the last days."""

    best: tuple[BestPriceAnswer, ...]
    traded: tuple[StatisticsAnswer, ...]


class FeedItems(Value):
    """Steps of the market, in their order, as the WebSocket sends them."""

    items: tuple[FeedItem, ...]


class FeedPage(Value):
    """Steps of the market behind a sequence number, in their order; `last` is the newest there is."""

    items: tuple[FeedItem, ...]
    last: int
