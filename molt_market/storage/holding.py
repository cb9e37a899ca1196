"""Who holds which GPUs, in a database that any number of processes share.

Every transaction here locks rows in one order (an offer, orders, reservations, pools by provider and slot,
then the feed's counter), so that no two of them wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, insert, select, update

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.deals import DealStatus
from molt_market.domain.fields import SECONDS_PER_HOUR, moment, seconds
from molt_market.domain.ids import Address, EscrowId, OfferId, OrderId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.updates import DealFreed, DealOpened, Released, Reserved, Update
from molt_market.errors import InsufficientCapacity, TooManyReservations
from molt_market.storage.compiled import insert_unless_there
from molt_market.storage.database import in_parts
from molt_market.storage.schema import cursors, deals, offers, orders, pools, reservations

MOST_HELD = 32  # reservations of one buyer at a time

Why = Literal["released", "lapsed", "cancelled"]


class Holding:
    """What one transaction does with the GPUs of one deployment. `updates` tells the feed of it."""

    def __init__(self, connection: Connection, deployment: str, token: Token, now: datetime) -> None:
        self._connection = connection
        self._deployment = deployment
        self._token = token
        self._now = now
        self.updates: list[Update] = []

    # ---------------------------------------------------------------- taking

    def of_deal(self, deal_id: EscrowId) -> Row[Any] | None:
        """Return the reservation that was made for a deal, whatever became of it."""
        mine = and_(reservations.c.deployment == self._deployment, reservations.c.deal_id == deal_id)
        return self._connection.execute(select(reservations).where(mine)).one_or_none()

    def take(self, match: OrderMatch, deal_id: EscrowId, until: datetime) -> Row[Any]:
        """Hold the GPUs of a match. Raises InsufficientCapacity, TooManyReservations."""
        offer, buyer = match.offer, Address(match.order.buyer_id)
        self._require_few(buyer)
        provider = Address(offer.provider_id)
        held = self._take_of(provider, offer.slot, match.gpu_count, offer.gpu_capacity.gpu_count)
        values = {
            "order_id": match.order.id,
            "offer_id": offer.id,
            "buyer": buyer,
            "provider": provider,
            "slot": offer.slot,
            "gpu_count": match.gpu_count,
            "until": seconds(until),
            "state": "held",
        }
        row = self._put(deal_id, values)
        self.updates.append(Reserved(**self._told(row, held), until=moment(row.until)))
        return row

    def _require_few(self, buyer: Address) -> None:
        mine = and_(reservations.c.deployment == self._deployment, reservations.c.buyer == buyer)
        counted = select(func.count()).where(mine, reservations.c.state == "held")
        if self._connection.execute(counted.select_from(reservations)).scalar_one() >= MOST_HELD:
            raise TooManyReservations(MOST_HELD)

    def _put(self, deal_id: EscrowId, values: dict[str, Any]) -> Row[Any]:
        """Write the reservation of a deal, in place of one that is over."""
        mine = and_(reservations.c.deployment == self._deployment, reservations.c.deal_id == deal_id)
        again = update(reservations).where(mine).values(values).returning(reservations)
        row = self._connection.execute(again).one_or_none()
        if row is None:
            whole = values | {"deployment": self._deployment, "deal_id": deal_id}
            row = self._connection.execute(insert(reservations).values(whole).returning(reservations)).one()
        return row

    def _take_of(self, provider: Address, slot: int, gpu_count: int, offered: int) -> int:
        """Take GPUs of a pool if they are free: the conditional update that nobody gets past.

        Return what is held then.
        """
        place = {"deployment": self._deployment, "provider": provider, "slot": slot}
        insert_unless_there(self._connection, pools, place | {"held": 0})
        free = and_(self._is_pool(provider, slot), pools.c.held + gpu_count <= offered)
        taken = update(pools).where(free).values(held=pools.c.held + gpu_count).returning(pools.c.held)
        held = self._connection.execute(taken).scalar()
        if held is None:
            mine = select(pools.c.held).where(self._is_pool(provider, slot))
            in_use = self._connection.execute(mine).scalar_one()
            raise InsufficientCapacity(gpu_count, max(offered - in_use, 0))
        return int(held)

    # ---------------------------------------------------------------- letting go

    def let_go(self, wanted: ColumnElement[bool], why: Why) -> int:
        """Let all reservations go that are held and meet a condition; their orders are pending again."""
        mine = and_(reservations.c.deployment == self._deployment, reservations.c.state == "held", wanted)
        found = self._connection.execute(select(reservations).where(mine)).all()
        rests = self._lock_orders(row.order_id for row in found)
        gone = self._turned([row.id for row in found], "held", why)
        self._unmatch([row.order_id for row in gone], why)
        for row in _by_pool(gone):
            held = self._give_back(row)
            waits = why != "cancelled" and rests.get(row.order_id, False)
            self.updates.append(Released(**self._told(row, held), reason=why, waits=waits))
        return len(gone)

    def _lock_orders(self, order_ids: Iterable[str]) -> dict[str, bool]:
        """Lock orders until the transaction ends; return of each whether it waits in the book."""
        rests: dict[str, bool] = {}
        for some in in_parts(sorted(set(order_ids))):
            mine = and_(orders.c.deployment == self._deployment, orders.c.order_id.in_(some))
            locked = select(orders.c.order_id, orders.c.rests).where(mine).order_by(orders.c.order_id)
            rests |= {row.order_id: row.rests for row in self._connection.execute(locked.with_for_update())}
        return rests

    def _turned(self, ids: Sequence[int], from_: str, to: str, **values: int) -> list[Row[Any]]:
        """Turn those reservations that are still in one state to another, and return them."""
        turned: list[Row[Any]] = []
        for some in in_parts(sorted(ids)):
            mine = and_(reservations.c.id.in_(some), reservations.c.state == from_)
            changed = update(reservations).where(mine).values(state=to, **values).returning(reservations)
            turned += self._connection.execute(changed).all()
        return turned

    def _unmatch(self, order_ids: Sequence[str], why: Why) -> None:
        to = "cancelled" if why == "cancelled" else "pending"
        for some in in_parts(sorted(order_ids)):
            mine = and_(orders.c.deployment == self._deployment, orders.c.order_id.in_(some))
            matched = update(orders).where(mine, orders.c.state == "matched")
            self._connection.execute(matched.values(state=to))

    def _give_back(self, row: Row[Any]) -> int:
        given = update(pools).where(self._is_pool(row.provider, row.slot))
        given = given.values(held=pools.c.held - row.gpu_count)
        return int(self._connection.execute(given.returning(pools.c.held)).scalar_one())

    # ---------------------------------------------------------------- what the chain says

    def note(self, deal_ids: Collection[EscrowId] | None) -> int:
        """Let locked deals hold their GPUs, and let those of all other deals go; return what changed.

        A deal that was closed before anybody looked is told too: as opened, and then as freed.
        """
        self._lock_cursor()
        missed = self._missed(deal_ids)
        opened = [*self._opened(deal_ids), *missed]
        freed = self._freed(deal_ids)
        self._lock_orders(row.order_id for row in (*opened, *freed))
        self._wait_again([row.order_id for row in freed if row.status is None])
        for row in sorted(opened, key=lambda row: (row.provider, row.slot, row.deal_id)):
            self._note_opened(row)
        if missed:
            freed += self._freed([EscrowId(row.deal_id) for row in missed])
        for row in _by_pool(self._turned([row.id for row in freed], "opened", "freed")):
            self.updates.append(DealFreed(**self._told(row, self._give_back(row))))
        return len(opened) + len(freed)

    def _lock_cursor(self) -> None:
        """Let one transaction at a time note deals, so that none is counted twice."""
        mine = select(cursors.c.number).where(cursors.c.deployment == self._deployment)
        self._connection.execute(mine.with_for_update())

    def _wait_again(self, order_ids: Sequence[str]) -> None:
        """Let orders be pending whose deals a reorganisation took away."""
        for some in in_parts(sorted(order_ids)):
            mine = and_(orders.c.deployment == self._deployment, orders.c.order_id.in_(some))
            self._connection.execute(
                update(orders).where(mine, orders.c.state == "opened").values(state="pending")
            )

    def _opened(self, deal_ids: Collection[EscrowId] | None) -> list[Row[Any]]:
        """Return the locked deals that do not hold their GPUs here yet."""
        there = func.coalesce(reservations.c.state, "") != "opened"
        wanted = self._deals().where(deals.c.status == DealStatus.LOCKED, there)
        return self._some(wanted, deals.c.deal_id, deal_ids)

    def _missed(self, deal_ids: Collection[EscrowId] | None) -> list[Row[Any]]:
        """Return the deals that are not locked any more, and whose reservation never was noted as opened.

        Of all deals only those whose GPUs are still held: what ever lapsed is too much to look through.
        """
        state = reservations.c.state
        there = state == "held" if deal_ids is None else state.not_in(("opened", "freed"))
        wanted = self._deals().where(deals.c.status != DealStatus.LOCKED, there)
        return self._some(wanted, deals.c.deal_id, deal_ids)

    def _deals(self) -> Select[Any]:
        """Select deals with their reservations and offers, if there are any."""
        same = and_(
            reservations.c.deployment == deals.c.deployment, reservations.c.deal_id == deals.c.deal_id
        )
        joined = deals.outerjoin(reservations, same).outerjoin(
            offers,
            and_(offers.c.deployment == deals.c.deployment, offers.c.offer_id == reservations.c.offer_id),
        )
        wanted = select(
            deals, deals.c.order_hash.label("order_id"), reservations.c.offer_id, offers.c.offer
        ).select_from(joined)
        return wanted.where(deals.c.deployment == self._deployment)

    def _freed(self, deal_ids: Collection[EscrowId] | None) -> list[Row[Any]]:
        """Return the reservations whose deals hold no GPUs any more."""
        same = and_(
            reservations.c.deployment == deals.c.deployment, reservations.c.deal_id == deals.c.deal_id
        )
        mine = and_(reservations.c.deployment == self._deployment, reservations.c.state == "opened")
        wanted = select(reservations.c.id, reservations.c.order_id, deals.c.status)
        wanted = wanted.select_from(reservations.outerjoin(deals, same))
        wanted = wanted.where(mine, func.coalesce(deals.c.status, 0) != DealStatus.LOCKED)
        return self._some(wanted, reservations.c.deal_id, deal_ids)

    def _some(self, wanted: Any, column: Any, deal_ids: Collection[EscrowId] | None) -> list[Row[Any]]:
        if deal_ids is None:
            return list(self._connection.execute(wanted))
        found: list[Row[Any]] = []
        for some in in_parts(sorted(deal_ids)):
            found += self._connection.execute(wanted.where(column.in_(some)))
        return found

    def _note_opened(self, deal: Row[Any]) -> None:
        values = {
            "order_id": deal.order_id,
            "offer_id": deal.offer_id,
            "buyer": deal.buyer,
            "provider": deal.provider,
            "slot": deal.slot,
            "gpu_count": deal.gpu_count,
            "until": deal.deadline,
            "state": "opened",
            "opened_at": deal.opened_at,
        }
        was_held = self._was_held(EscrowId(deal.deal_id))
        row = self._put(EscrowId(deal.deal_id), values)
        mine = and_(orders.c.deployment == self._deployment, orders.c.order_id == deal.order_id)
        self._connection.execute(update(orders).where(mine).values(state="opened"))
        self.updates.append(
            DealOpened(
                **self._told(row, self._hold_for_deal(deal, 0 if was_held else deal.gpu_count)),
                price_per_hour=Amount(deal.price_per_gpu_hour, self._token),
                hours=deal.duration // SECONDS_PER_HOUR,
                **_segment(deal.offer),
            )
        )

    def _was_held(self, deal_id: EscrowId) -> bool:
        """Turn the reservation of a deal to opened, and tell whether it was there: it may lapse just now."""
        mine = and_(reservations.c.deployment == self._deployment, reservations.c.deal_id == deal_id)
        turned = update(reservations).where(mine, reservations.c.state == "held").values(state="opened")
        return self._connection.execute(turned).rowcount == 1

    def _hold_for_deal(self, deal: Row[Any], more: int) -> int:
        """Let a deal hold GPUs, free or not: the chain has given them to it. Return what is held then."""
        place = {"deployment": self._deployment, "provider": deal.provider, "slot": deal.slot}
        insert_unless_there(self._connection, pools, place | {"held": 0})
        taken = update(pools).where(self._is_pool(deal.provider, deal.slot))
        taken = taken.values(held=pools.c.held + more).returning(pools.c.held)
        return int(self._connection.execute(taken).scalar_one())

    # ---------------------------------------------------------------- inside

    def _is_pool(self, provider: str, slot: int) -> ColumnElement[bool]:
        return and_(
            pools.c.deployment == self._deployment, pools.c.provider == provider, pools.c.slot == slot
        )

    def _told(self, row: Row[Any], held: int) -> dict[str, Any]:
        return {
            "deal_id": EscrowId(row.deal_id),
            "order_id": OrderId(row.order_id),
            "offer_id": None if row.offer_id is None else OfferId(row.offer_id),
            "provider": Address(row.provider),
            "slot": row.slot,
            "gpu_count": row.gpu_count,
            "held": held,
        }


def _by_pool(rows: Iterable[Row[Any]]) -> list[Row[Any]]:
    """Sort rows by pool, so that all transactions lock pools in one order."""
    return sorted(rows, key=lambda row: (row.provider, row.slot, row.id))


def _segment(offer: str | None) -> dict[str, str | None]:
    if offer is None:
        return {}
    read = CapacityOffer.model_validate_json(offer)
    place = read.location
    return {
        "gpu_model": read.gpu_capacity.gpu_model,
        "region": place.region if place else None,
        "country": place.country if place else None,
    }
