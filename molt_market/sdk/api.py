"""The server's routes as methods. What they return is the server's word: who signs on it checks it first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

from molt_market.domain.documents import Document, DocumentKind, PostedDocument
from molt_market.domain.ids import Address, EscrowId, Hash32, OfferId, OrderId, TransactionId
from molt_market.domain.listings import Unlisting
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.domain.relays import RelayRequest
from molt_market.domain.subscriptions import AlertsRequest
from molt_market.domain.updates import FeedItem
from molt_market.payments.gas import GasBudget
from molt_market.payments.relayer import Relayed
from molt_market.sdk.transport import Transport
from molt_market.wire import messages as wire
from molt_market.wire.alerts import Subscribed, Subscriptions, SubscriptionState, Unsubscribed
from molt_market.wire.relays import Brought, BudgetAnswer, Relay

RELAY_SECONDS = 120  # a relay answers once its transaction is final


class MarketApi:
    """A market's server. All methods raise the server's errors, ServerUnreachable and ServerError.

    >>> api = MarketApi("http://127.0.0.1:8080")  # doctest: +SKIP
    >>> api.market().chain_id  # doctest: +SKIP
    31337
    """

    def __init__(self, url: str | Transport) -> None:
        self.transport = Transport(url) if isinstance(url, str) else url

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    # ---------------------------------------------------------------- the market

    def market(self) -> wire.MarketInfo:
        """Return chain, contract, token, fee and policies."""
        return self.transport.get("/market", wire.MarketInfo)

    def health(self) -> wire.Health:
        """Return how far the server has followed chain and feed."""
        return self.transport.get("/health", wire.Health)

    def depth(self, model: str | None = None, region: str | None = None) -> wire.DepthAnswer:
        """Return the GPUs to be had and wanted at each price, at most a thousand prices of either."""
        return self.transport.get("/depth", wire.DepthAnswer, model=model, region=region)

    def trades(
        self,
        model: str | None = None,
        region: str | None = None,
        *,
        since: datetime | None = None,
        limit: int = 100,
    ) -> wire.Trades:
        """Return the latest deals as market data tell them."""
        start = None if since is None else since.isoformat()
        return self.transport.get(
            "/trades", wire.Trades, model=model, region=region, since=start, limit=limit
        )

    def prices(self, days: int = 7) -> wire.Prices:
        """Return the best prices now, and percentiles of what was traded."""
        return self.transport.get("/prices", wire.Prices, days=days)

    def feed(self, after: int = 0, limit: int = 100) -> Sequence[FeedItem]:
        """Return the steps of the market behind a sequence number."""
        return self.transport.get("/feed", wire.FeedPage, after=after, limit=limit).items

    # ---------------------------------------------------------------- posting

    def post_offers(self, offers: Sequence[CapacityOffer]) -> Sequence[CapacityOffer]:
        """List signed offers, all or none; return them under their ids there."""
        return self.transport.post("/offers", wire.PostOffers(offers=tuple(offers)), wire.Offers).offers

    def offer(self, offer_id: OfferId) -> CapacityOffer:
        """Return an offer in its present status."""
        return self.transport.get(f"/offers/{offer_id}", CapacityOffer)

    def offers(self, provider: Address) -> Iterator[CapacityOffer]:
        """Yield the offers of a provider that stand."""
        cursor: str | None = ""
        while cursor is not None:
            page = self.transport.get("/offers", wire.Offers, provider=provider, cursor=cursor or None)
            yield from page.offers
            cursor = page.next

    def post_orders(self, orders: Sequence[JobOrder]) -> Sequence[wire.OrderState]:
        """Let signed orders wait, all or none; return them under their ids there."""
        return self.transport.post("/orders", wire.PostOrders(orders=tuple(orders)), wire.Orders).orders

    def order(self, order_id: OrderId) -> wire.OrderState:
        """Return an order in its present status, with its deal."""
        return self.transport.get(f"/orders/{order_id}", wire.OrderState)

    def orders(self, buyer: Address) -> Iterator[wire.OrderState]:
        """Yield all orders of a buyer."""
        cursor: str | None = ""
        while cursor is not None:
            page = self.transport.get("/orders", wire.Orders, buyer=buyer, cursor=cursor or None)
            yield from page.orders
            cursor = page.next

    def unlist(self, unlistings: Sequence[Unlisting]) -> Sequence[Hash32]:
        """Take offers, orders and reservations off the book; return those that were on it."""
        body = wire.Unlist(unlistings=tuple(unlistings))
        return self.transport.post("/unlistings", body, wire.Unlisted).digests

    # ---------------------------------------------------------------- matching

    def match(self, order: JobOrder, limit: int = 8) -> Sequence[wire.Match]:
        """Return what fits an order and could be opened now, the best first."""
        return self.transport.post("/matches", wire.Ask(order=order, limit=limit), wire.Matches).matches

    def quote(self, order: JobOrder) -> wire.QuoteAnswer:
        """Return what the book would do with an order now, and what that costs."""
        return self.transport.post("/quotes", wire.Ask(order=order), wire.QuoteAnswer)

    def explain(self, order: JobOrder, limit: int = 5) -> wire.ExplanationAnswer:
        """Return why an order does not match, and what would make it match."""
        return self.transport.post(
            "/explanations", wire.Ask(order=order, limit=limit), wire.ExplanationAnswer
        )

    def search(self, query: str, limit: int = 20) -> Sequence[CapacityOffer]:
        """Return the offers that a query is for."""
        return self.transport.get("/search", wire.Offers, q=query, limit=limit).offers

    def reserve(self, offer_id: OfferId, order: JobOrder, seconds: int = 110) -> wire.ReservationAnswer:
        """Hold an offer's GPUs for a signed order."""
        body = wire.Reserve(offer_id=offer_id, order=order, seconds=seconds)
        return self.transport.post("/reservations", body, wire.ReservationAnswer)

    # ---------------------------------------------------------------- relays

    def relay(self, message: Relayed, asked: RelayRequest | None = None) -> TransactionId:
        """Have what was signed brought to the chain at the server's expense; return the transaction.

        To call it again is harmless. A voucher or a split is charged to the account that `asked`
        (`sign_relay_request`), all else to who signed it.

        Raises:
            NotOffered: this server does not. GasBudgetUsedUp: too little is left; nothing was sent.
            TransactionPending: it may have been sent; call again. Others as `Relayer.relay` says.
        """
        body = Relay.of(message, asked)
        return self.transport.post("/relays", body, Brought, timeout_seconds=RELAY_SECONDS).transaction_id

    def gas_budget(self, account: Address) -> GasBudget:
        """Return what the server pays for an account's gas, for what it holds in the escrow."""
        return self.transport.get("/relays/budget", BudgetAnswer, account=account).budget

    # ---------------------------------------------------------------- alerts

    def subscribe_alerts(self, request: AlertsRequest) -> Subscribed:
        """Have a party's alerts posted to its webhook; the answer has the secret that signs them, this once.

        Raises:
            NotOffered: this server has no alerts. TooManySubscriptions: end one first.
        """
        return self.transport.post("/alerts", request, Subscribed)

    def alert_subscriptions(self, request: AlertsRequest) -> Sequence[SubscriptionState]:
        """Return where a party's alerts go."""
        return self.transport.signed("GET", "/alerts", request, Subscriptions).subscriptions

    def unsubscribe_alerts(self, request: AlertsRequest) -> bool:
        """End a party's subscription. False: there is none of this number."""
        return self.transport.signed("DELETE", f"/alerts/{request.number}", request, Unsubscribed).was_there

    # ---------------------------------------------------------------- deals

    def deal(self, deal_id: EscrowId) -> wire.DealState:
        """Return a deal as the server has followed it."""
        return self.transport.get(f"/deals/{deal_id}", wire.DealState)

    def deals(self, party: Address) -> Iterator[wire.DealState]:
        """Yield the deals of a buyer, of his voucher signer, of a provider or agent."""
        cursor: str | None = ""
        while cursor is not None:
            page = self.transport.get("/deals", wire.Deals, party=party, cursor=cursor or None)
            yield from page.deals
            cursor = page.next

    def post_document(self, document: Document) -> int:
        """Leave a document for the other parties of its deal; return its number there."""
        path = f"/deals/{document.deal_id}/documents"
        return self.transport.post(path, document, wire.DocumentNumber).number

    def documents(
        self, deal_id: EscrowId, kind: DocumentKind | None = None, after: int = 0
    ) -> Iterator[PostedDocument]:
        """Yield the documents of a deal behind a number."""
        at = after
        while True:
            page = self.transport.get(
                f"/deals/{deal_id}/documents", wire.Documents, kind=kind, after=at, limit=wire.PAGE
            )
            yield from page.documents
            if len(page.documents) < wire.PAGE:
                return
            at = page.documents[-1].number
