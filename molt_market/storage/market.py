"""A market in a database: what was posted, what is held, and the feed that tells of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    cast,
    func,
    select,
    type_coerce,
    update,
)
from sqlalchemy.exc import IntegrityError

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.deals import DealStatus
from molt_market.domain.documents import Document, DocumentKind, PostedDocument
from molt_market.domain.fields import SECONDS_PER_HOUR, moment, seconds
from molt_market.domain.gpus import feature_bits
from molt_market.domain.ids import Address, EscrowId, OfferId, OrderId, PartyId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer, OfferStatus
from molt_market.domain.orders import JobOrder, OrderStatus
from molt_market.domain.states import way_to
from molt_market.domain.updates import FeedItem, OfferPosted, OfferRemoved, OrderPosted, OrderRemoved
from molt_market.errors import InvalidStateTransition, OfferNotFound, OrderNotFound
from molt_market.market.ports import PostedOrder
from molt_market.orderbook import Reservation, Trade
from molt_market.orderbook.market_data import RETENTION, Ask
from molt_market.orderbook.replica import Standing
from molt_market.orderbook.stored import Priced
from molt_market.refusals import OrderAlreadyOpened
from molt_market.storage import documents, feed
from molt_market.storage.compiled import Compiled, insert_unless_there, newly_inserted
from molt_market.storage.database import Database, in_parts
from molt_market.storage.holding import Holding
from molt_market.storage.schema import deals, offers, orders, pools, reservations
from molt_market.storage.together import Together

ROWS_AT_ONCE = 5_000  # of an answer that may have a million

_PRICED = Compiled(
    select(offers.c.features, offers.c.price_per_gpu_hour, offers.c.offer_id).where(
        offers.c.deployment == bindparam("here"), offers.c.stands, offers.c.gpu_model == bindparam("model")
    )
)


class SqlMarket:
    """The market of one deployment; `molt_market.market.ports.MarketStore` says what each method does.

    Args:
        database: where it is; the follower of the chain's log has to write into the same one.
        deployment: names it: `<chain>:<escrow>`, as SqlFacts does.
        token: of the deployment.
    """

    def __init__(self, database: Database, deployment: str, token: Token) -> None:
        self._database = database
        self._deployment = deployment
        self._token = token
        self._offers_together = Together(self._post_offers)
        self._orders_together = Together(self._post_orders)

    # ---------------------------------------------------------------- posting

    def post_offers(self, given: Sequence[CapacityOffer], now: datetime) -> None:
        self._offers_together.add((given, now))

    def post_orders(self, given: Sequence[JobOrder], now: datetime) -> None:
        self._orders_together.add((given, now))

    def remove_offers(self, offer_ids: Collection[OfferId], now: datetime) -> Collection[OfferId]:
        with self._database.writing() as connection:
            gone = self._removed(connection, self._among(offers.c.offer_id, offer_ids))
            updates = [OfferRemoved(offer_id=each, reason="cancelled") for each in gone]
            feed.append(connection, self._deployment, now, updates)
        return gone

    def cancel_orders(self, order_ids: Collection[OrderId], now: datetime) -> Collection[OrderId]:
        with self._changing(now) as (connection, holding):
            mine = and_(orders.c.deployment == self._deployment, self._among(orders.c.order_id, order_ids))
            found = select(orders.c.order_id, orders.c.state).where(mine).order_by(orders.c.order_id)
            rows = connection.execute(found.with_for_update()).all()
            ended = [OrderId(row.order_id) for row in rows if row.state in {"pending", "matched"}]
            holding.let_go(reservations.c.order_id.in_(ended), "cancelled")
            connection.execute(self._set_order(ended, "cancelled"))
            holding.updates += [OrderRemoved(order_id=each, reason="cancelled") for each in ended]
        return ended

    # ---------------------------------------------------------------- holding

    def reserve(self, match: OrderMatch, deal_id: EscrowId, until: datetime, now: datetime) -> Reservation:
        try:
            with self._changing(now) as (connection, holding):
                self._require_standing(connection, match.offer, now)
                if self._match_order(connection, match.order, now):
                    row = holding.take(match, deal_id, until)
                else:  # perhaps by this very match
                    row = self._held(connection, match.order, holding.of_deal(deal_id))
                return self._reservation(row, match)
        except IntegrityError as error:  # of the one index that orders have: buyer and slot
            slot = match.order.slot or 0
            raise OrderAlreadyOpened(slot, slot) from error

    def held_for_book(
        self, after: datetime, until: datetime
    ) -> Sequence[tuple[EscrowId, CapacityOffer, JobOrder]]:
        of_order = and_(
            orders.c.deployment == reservations.c.deployment, orders.c.order_id == reservations.c.order_id
        )
        of_offer = and_(
            offers.c.deployment == reservations.c.deployment, offers.c.offer_id == reservations.c.offer_id
        )
        wanted = select(reservations.c.deal_id, offers.c.offer, orders.c.order)
        wanted = wanted.select_from(reservations.join(orders, of_order).join(offers, of_offer)).where(
            self._is(reservations),
            reservations.c.state == "held",
            reservations.c.until > seconds(after),
            reservations.c.until <= seconds(until),
            orders.c.rests,
        )
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(reservations.c.until, reservations.c.id)).all()
        return [
            (
                EscrowId(row.deal_id),
                CapacityOffer.model_validate_json(row.offer),
                JobOrder.model_validate_json(row.order),
            )
            for row in rows
        ]

    def release(self, deal_id: EscrowId, now: datetime) -> bool:
        with self._changing(now) as (_, holding):
            return holding.let_go(reservations.c.deal_id == deal_id, "released") > 0

    def tidy(self, now: datetime) -> int:
        second, done = seconds(now), 0
        if self._is_there(reservations, reservations.c.state == "held", reservations.c.until <= second):
            with self._changing(now) as (_, holding):
                done += holding.let_go(reservations.c.until <= second, "lapsed")
        if self._is_there(orders, orders.c.state == "pending", orders.c.expires_at <= second):
            done += self._expire_orders(now)
        if self._is_there(offers, offers.c.stands, offers.c.expires_at <= second):
            done += self._expire_offers(now)
        return done

    def note_deals(self, now: datetime, deal_ids: Collection[EscrowId] | None = None) -> int:
        with self._changing(now) as (_, holding):
            return holding.note(deal_ids)

    # ---------------------------------------------------------------- reading

    def offer(self, offer_id: OfferId) -> CapacityOffer:
        with self._database.reading() as connection:
            mine = and_(offers.c.deployment == self._deployment, offers.c.offer_id == offer_id)
            row = connection.execute(select(offers).where(mine)).one_or_none()
        if row is None:
            raise OfferNotFound(offer_id)
        offer = CapacityOffer.model_validate_json(row.offer)
        return offer if row.stands else offer.model_copy(update={"status": OfferStatus.CANCELLED})

    def order(self, order_id: OrderId) -> PostedOrder:
        with self._database.reading() as connection:
            mine = and_(orders.c.deployment == self._deployment, orders.c.order_id == order_id)
            row = connection.execute(select(orders).where(mine)).one_or_none()
            if row is None:
                raise OrderNotFound(order_id)
            return self._posted_order(connection, row)

    def offers_of(self, provider: Address, after: str | None, limit: int) -> Sequence[CapacityOffer]:
        mine = and_(self._is(offers), offers.c.provider == provider, offers.c.stands)
        wanted = select(offers.c.offer).where(mine, offers.c.offer_id > (after or ""))
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(offers.c.offer_id).limit(limit))
            return [CapacityOffer.model_validate_json(row.offer) for row in rows]

    def orders_of(self, buyer: Address, after: str | None, limit: int) -> Sequence[PostedOrder]:
        mine = and_(self._is(orders), orders.c.buyer == buyer, orders.c.order_id > (after or ""))
        with self._database.reading() as connection:
            rows = connection.execute(select(orders).where(mine).order_by(orders.c.order_id).limit(limit))
            return [self._posted_order(connection, row) for row in rows.all()]

    def buyer_of(self, deal_id: EscrowId) -> Address | None:
        mine = and_(self._is(reservations), reservations.c.deal_id == deal_id)
        with self._database.reading() as connection:
            buyer = connection.execute(select(reservations.c.buyer).where(mine)).scalar()
        return None if buyer is None else Address(buyer)

    def post_document(self, document: Document, sender: Address, now: datetime) -> int:
        with self._database.writing() as connection:
            return documents.post(connection, self._deployment, document, sender, now)

    def documents(
        self, deal_id: EscrowId, after: int, limit: int, kind: DocumentKind | None = None
    ) -> Sequence[PostedDocument]:
        with self._database.reading() as connection:
            return documents.read(connection, self._deployment, deal_id, after, limit=limit, kind=kind)

    def standing(self, now: datetime) -> Standing:
        with self._database.reading() as connection:
            held = select(pools).where(self._is(pools), pools.c.held > 0)
            return Standing(
                sequence=feed.last(connection, self._deployment),
                orders=self._resting(connection, now),
                held={(PartyId(row.provider), row.slot): row.held for row in connection.execute(held)},
                trades=self._trades(connection, now - RETENTION),
            )

    def models(self) -> Collection[str]:
        with self._database.reading() as connection:
            return self._models(connection)

    def priced(self, models: Collection[str] | None) -> Sequence[Priced]:
        with self._database.reading() as connection:
            return [
                Priced(model, features, int(price), offer_id)
                for model in sorted(self._models(connection) if models is None else models)
                for features, price, offer_id in _PRICED.rows(
                    connection, {"here": self._deployment, "model": model}
                )
            ]

    def offers(self, offer_ids: Collection[OfferId]) -> Sequence[tuple[CapacityOffer, bool]]:
        found: list[tuple[CapacityOffer, bool]] = []
        with self._database.reading() as connection:
            for some in in_parts(sorted(offer_ids)):
                wanted = select(offers.c.offer, offers.c.stands)
                rows = connection.execute(wanted.where(self._among(offers.c.offer_id, some)))
                found += [(CapacityOffer.model_validate_json(row.offer), row.stands) for row in rows]
        return found

    def asks(self, token: Token, model: str | None, now: datetime) -> Iterator[Ask]:
        if token != self._token:
            return
        mine = and_(self._is(offers), offers.c.stands, offers.c.expires_at > seconds(now))
        if model is not None:
            mine = and_(mine, offers.c.gpu_model == model)
        with self._database.reading() as connection:
            for row in connection.execute(self._asked().where(mine)):
                price, gpus, held, provider, slot, of_model, region, created_at = row
                if datetime.fromisoformat(created_at) <= now:
                    yield Ask(price, max(gpus - held, 0), (provider, slot), of_model, region)

    def trades(self, since: datetime) -> Sequence[Trade]:
        with self._database.reading() as connection:
            return self._trades(connection, since)

    def feed(self, after: int, limit: int) -> Sequence[FeedItem]:
        with self._database.reading() as connection:
            return feed.read(connection, self._deployment, after, limit)

    def last(self) -> int:
        with self._database.reading() as connection:
            return feed.last(connection, self._deployment)

    # ---------------------------------------------------------------- inside

    def _post_offers(self, posts: Sequence[tuple[Sequence[CapacityOffer], datetime]]) -> None:
        rows = {offer.id: self._offer_row(offer, now) for given, now in posts for offer in given}
        offered = {offer.id: offer for given, _ in posts for offer in given}
        with self._database.writing() as connection:
            new = newly_inserted(connection, offers.c.offer_id, list(rows.values()))
            updates = [OfferPosted(offer=offer) for id_, offer in offered.items() if id_ in new]
            feed.append(connection, self._deployment, posts[-1][1], updates)

    def _post_orders(self, posts: Sequence[tuple[Sequence[JobOrder], datetime]]) -> None:
        rows = {order.id: self._order_row(order, now, rests=True) for given, now in posts for order in given}
        ordered = {order.id: order for given, _ in posts for order in given}
        with self._database.writing() as connection:
            new = newly_inserted(connection, orders.c.order_id, list(rows.values()))
            updates = [OrderPosted(order=order) for id_, order in ordered.items() if id_ in new]
            feed.append(connection, self._deployment, posts[-1][1], updates)

    def _asked(self) -> Select[Any]:
        """Select of offers no more than what they ask: reading a million of them whole takes a minute."""
        same = and_(
            pools.c.deployment == offers.c.deployment,
            pools.c.provider == offers.c.provider,
            pools.c.slot == offers.c.slot,
        )
        text = offers.c.offer
        offer = cast(text, JSON) if self._database.is_postgres else type_coerce(text, JSON)
        return (
            select(
                offers.c.price_per_gpu_hour,
                offer["gpu_capacity", "gpu_count"].as_integer(),
                func.coalesce(pools.c.held, 0),
                offers.c.provider,
                offers.c.slot,
                offers.c.gpu_model,
                offer["location", "region"].as_string(),
                offer["created_at",].as_string(),
            )
            .select_from(offers.outerjoin(pools, same))
            .execution_options(yield_per=ROWS_AT_ONCE)
        )

    def _models(self, connection: Connection) -> Collection[str]:
        wanted = select(offers.c.gpu_model).where(self._is(offers), offers.c.stands).distinct()
        return connection.execute(wanted).scalars().all()

    @contextmanager
    def _changing(self, now: datetime) -> Iterator[tuple[Connection, Holding]]:
        """Run a transaction that changes what is held; the feed is told at its end."""
        with self._database.writing() as connection:
            holding = Holding(connection, self._deployment, self._token, now)
            yield connection, holding
            feed.append(connection, self._deployment, now, holding.updates)

    def _is(self, table: Table) -> ColumnElement[bool]:
        return table.c.deployment == self._deployment

    def _among(self, column: Any, ids: Collection[str]) -> ColumnElement[bool]:
        return and_(column.table.c.deployment == self._deployment, column.in_(sorted(ids)))

    def _offer_row(self, offer: CapacityOffer, now: datetime) -> dict[str, Any]:
        return {
            "deployment": self._deployment,
            "offer_id": offer.id,
            "provider": Address(offer.provider_id),
            "slot": offer.slot,
            "posted_at": seconds(now),
            "expires_at": seconds(offer.expires_at),
            "stands": True,
            "gpu_model": offer.gpu_capacity.gpu_model,
            "features": feature_bits(offer.features),
            "price_per_gpu_hour": offer.price_per_hour.base_units,
            "offer": offer.model_dump_json(),
        }

    def _order_row(self, order: JobOrder, now: datetime, *, rests: bool) -> dict[str, Any]:
        return {
            "deployment": self._deployment,
            "order_id": order.id,
            "buyer": Address(order.buyer_id),
            "slot": order.slot,
            "posted_at": seconds(now),
            "expires_at": seconds(order.expires_at),
            "rests": rests,
            "state": "pending",
            "order": order.model_dump_json(),
        }

    def _removed(self, connection: Connection, which: ColumnElement[bool]) -> list[OfferId]:
        """Take offers off the book, and return them."""
        gone = update(offers).where(self._is(offers), offers.c.stands, which).values(stands=False)
        return [OfferId(row.offer_id) for row in connection.execute(gone.returning(offers.c.offer_id))]

    def _set_order(self, order_ids: Collection[str], state: str) -> Any:
        return update(orders).where(self._among(orders.c.order_id, order_ids)).values(state=state)

    def _require_standing(self, connection: Connection, offer: CapacityOffer, now: datetime) -> None:
        mine = and_(self._is(offers), offers.c.offer_id == offer.id, offers.c.stands)
        standing = select(offers.c.expires_at).where(mine)
        if self._database.is_postgres:  # a cancel at this moment waits, or is waited for
            standing = standing.with_for_update(read=True)
        expires_at = connection.execute(standing).scalar()
        if expires_at is None or expires_at <= seconds(now):
            raise OfferNotFound(offer.id)

    def _match_order(self, connection: Connection, order: JobOrder, now: datetime) -> bool:
        """Let an order be matched, if it is pending. One that does not wait in the book is taken in.

        Raises the database's own error if another order of the buyer has the slot.
        """
        insert_unless_there(connection, orders, self._order_row(order, now, rests=False))
        pending = and_(self._is(orders), orders.c.order_id == order.id, orders.c.state == "pending")
        return connection.execute(update(orders).where(pending).values(state="matched")).rowcount == 1

    def _held(self, connection: Connection, order: JobOrder, known: Row[Any] | None) -> Row[Any]:
        """Return the reservation that an order has, if it is this one. Raises InvalidStateTransition."""
        if known is not None and known.state == "held":
            return known
        mine = and_(self._is(orders), orders.c.order_id == order.id)
        state = connection.execute(select(orders.c.state).where(mine)).scalar_one()
        present = OrderStatus.ESCROWED.name if state == "opened" else str(state).upper()
        raise InvalidStateTransition(present, OrderStatus.MATCHED.name)

    def _is_there(self, table: Table, *which: ColumnElement[bool]) -> bool:
        """Look, without a lock, whether there is such a row."""
        with self._database.reading() as connection:
            wanted = select(1).select_from(table).where(self._is(table), *which).limit(1)
            return connection.execute(wanted).first() is not None

    def _expire_orders(self, now: datetime) -> int:
        over = and_(self._is(orders), orders.c.state == "pending", orders.c.expires_at <= seconds(now))
        ended = update(orders).where(over).values(state="expired")
        with self._database.writing() as connection:
            rows = connection.execute(ended.returning(orders.c.order_id, orders.c.rests)).all()
            gone = [OrderId(row.order_id) for row in rows if row.rests]
            updates = [OrderRemoved(order_id=each, reason="expired") for each in gone]
            feed.append(connection, self._deployment, now, updates)
        return len(rows)

    def _expire_offers(self, now: datetime) -> int:
        with self._database.writing() as connection:
            gone = self._removed(connection, offers.c.expires_at <= seconds(now))
            updates = [OfferRemoved(offer_id=each, reason="expired") for each in gone]
            feed.append(connection, self._deployment, now, updates)
        return len(gone)

    def _resting(self, connection: Connection, now: datetime) -> list[JobOrder]:
        """Return the orders of the book: those that wait, and those that are matched."""
        mine = and_(self._is(orders), orders.c.rests, orders.c.state.in_(["pending", "matched"]))
        wanted = select(orders.c.order, orders.c.state).where(mine, orders.c.expires_at > seconds(now))
        rows = connection.execute(wanted.order_by(orders.c.posted_at, orders.c.order_id))
        return [
            JobOrder.model_validate_json(row.order).model_copy(update={"status": OrderStatus(row.state)})
            for row in rows
        ]

    def _posted_order(self, connection: Connection, row: Row[Any]) -> PostedOrder:
        deal = self._deal_of(connection, row.order_id)
        status = _follows(deal) if row.state == "opened" else OrderStatus(row.state)
        order = JobOrder.model_validate_json(row.order).model_copy(update={"status": status})
        return PostedOrder(order, row.rests, None if deal is None else EscrowId(deal.deal_id))

    def _deal_of(self, connection: Connection, order_id: str) -> Row[Any] | None:
        """Return the deal of an order, or the one that its latest reservation would open."""
        same = and_(
            deals.c.deployment == reservations.c.deployment, deals.c.deal_id == reservations.c.deal_id
        )
        mine = and_(self._is(reservations), reservations.c.order_id == order_id)
        wanted: Select[Any] = select(reservations.c.deal_id, deals.c.status, deals.c.paid)
        wanted = wanted.select_from(reservations.outerjoin(deals, same)).where(mine)
        return connection.execute(wanted.order_by(reservations.c.until.desc()).limit(1)).one_or_none()

    def _trades(self, connection: Connection, since: datetime) -> list[Trade]:
        of_deal = and_(
            deals.c.deployment == reservations.c.deployment, deals.c.deal_id == reservations.c.deal_id
        )
        of_offer = and_(
            offers.c.deployment == reservations.c.deployment, offers.c.offer_id == reservations.c.offer_id
        )
        wanted = select(deals, offers.c.offer)
        wanted = wanted.select_from(reservations.join(deals, of_deal).join(offers, of_offer))
        mine = and_(self._is(reservations), deals.c.opened_at >= seconds(since))
        rows = connection.execute(wanted.where(mine).order_by(deals.c.opened_at, deals.c.deal_id))
        return [self._trade(row) for row in rows]

    def _trade(self, row: Row[Any]) -> Trade:
        offer = CapacityOffer.model_validate_json(row.offer)
        place = offer.location
        return Trade(
            time=moment(row.opened_at),
            deal_id=EscrowId(row.deal_id),
            gpu_model=offer.gpu_capacity.gpu_model,
            region=place.region if place else None,
            country=place.country if place else None,
            price_per_hour=Amount(row.price_per_gpu_hour, self._token),
            gpu_count=row.gpu_count,
            hours=row.duration // SECONDS_PER_HOUR,
        )

    def _reservation(self, row: Row[Any], match: OrderMatch) -> Reservation:
        return Reservation(
            id=row.id,
            order_id=match.order.id,
            offer_id=match.offer.id,
            buyer_id=match.order.buyer_id,
            order_slot=match.order.slot,
            provider_id=match.offer.provider_id,
            slot=row.slot,
            gpu_count=row.gpu_count,
            hours=match.hours,
            until=moment(row.until),
            offer=match.offer,
        )


def _follows(deal: Row[Any] | None) -> OrderStatus:
    """Return where an order stands whose deal was opened, by what the chain says of the deal."""
    if deal is None or deal.status is None:
        return OrderStatus.ESCROWED
    way = way_to(OrderStatus.ESCROWED, DealStatus(deal.status), paid=deal.paid > 0)
    return way[-1] if way else OrderStatus.ESCROWED
