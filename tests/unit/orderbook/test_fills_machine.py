"""Orders are filled in parts, which lapse, are let go, become deals, and end: counts and statuses stay true.

The oracle's market counts who holds what; its brute force says what is to be had. What an order stands for is
counted here anew from the parts that were handed out.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import EscrowId, OrderId
from molt_market.domain.orders import JobOrder, TimeInForce
from molt_market.errors import MoltError
from molt_market.orderbook import OrderBook, Reservation, ScoreWeights
from molt_market.orderbook.fills import Execution
from molt_market.testing import ManualClock
from tests.factories import NOON, PROVIDER, STRANGER, make_offer, make_order
from tests.oracle import fills as oracle
from tests.oracle.market import Market
from tests.unit.orderbook.mirror import offer_as_dict, order_as_dict, ours, second, theirs

ORDER_IDS = [OrderId(f"order-{number}") for number in range(3)]


class FillMachine(RuleBasedStateMachine):
    """Up to four offers, three orders, and whatever may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(NOON)
        self.book = OrderBook(self.clock)
        self.market = Market(asdict(ScoreWeights()))
        self.orders: dict[str, JobOrder] = {}
        self.cancelled: set[str] = set()
        self.parts: dict[str, list[Reservation]] = {}
        self.numbers: dict[Reservation, int] = {}
        self.costs: dict[Reservation, int] = {}
        self.deals = 0

    @property
    def now(self) -> int:
        return second(self.clock.now())

    # ------------------------------------------------------------------------ what happens

    @precondition(lambda self: len(self.market.offers) < 4)
    @rule(
        gpus=st.integers(1, 5),
        price=st.integers(1, 9),
        slot=st.integers(0, 1),
        provider=st.sampled_from([PROVIDER, STRANGER]),
    )
    def add_offer(self, gpus: int, price: int, slot: int, provider: str) -> None:
        offer = make_offer(
            id=f"offer-{len(self.market.offers)}",
            provider_id=provider,
            slot=slot,
            gpu_count=gpus,
            price_per_hour=Amount(price),
        )
        self.book.add_offer(offer)
        self.market.add_offer(offer_as_dict(offer), self.now)

    @rule(
        order_id=st.sampled_from(ORDER_IDS),
        gpus=st.integers(1, 8),
        least=st.none() | st.integers(1, 3),
        providers=st.sampled_from(["one", "several"]),
        type_=st.sampled_from(TimeInForce),
        budget=st.none() | st.integers(1, 70),
    )
    def execute(
        self,
        *,
        order_id: str,
        gpus: int,
        least: int | None,
        providers: str,
        type_: TimeInForce,
        budget: int | None,
    ) -> None:
        fits = least is not None and least <= gpus and (type_ is not TimeInForce.FOK or least == gpus)
        order = self.orders.get(order_id) or make_order(
            id=order_id,
            slot=None,
            min_gpu_count=gpus,
            min_quantity=least if fits else None,
            estimated_hours=1,
            max_price_per_hour=Amount(8),
            max_budget=None if budget is None else Amount(budget),
            split=providers == "several",
            time_in_force=type_,
            created_at=NOON,
            expires_at=NOON + timedelta(seconds=600),
        )
        pending = order_id not in self.orders or self.status(order_id) == "PENDING"
        wanted = self.wanted(order) if pending and self.now < second(order.expires_at) else None
        done = ours(lambda: self.book.execute(order, self.clock.now() + timedelta(seconds=60)))
        if wanted is None:
            assert done[0] in {"InvalidStateTransition", "Expired"}
        elif isinstance(wanted, tuple) and order.time_in_force is not TimeInForce.GTC:
            assert done == wanted
        else:
            self.orders.setdefault(order_id, order)
            self.note(done, wanted)

    @rule()
    def clear(self) -> None:
        """Round after round, until nothing more is filled: one fill of each order in a round."""
        while self.clear_once():
            pass

    def clear_once(self) -> bool:
        before = {order.id: self.open_gpus(order.id) for order in self.book.pending_orders()}
        executions = self.book.clear(self.clock.now() + timedelta(seconds=60))
        for done in executions:
            assert done.fill is not None
            assert 0 < done.fill.gpu_count <= before.pop(done.order.id)
            self.note(done, {match.offer_id: match.gpu_count for match in done.fill.matches})
        return bool(executions)

    @rule(seconds=st.sampled_from([1, 59, 60, 300]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.numbers)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        reservation = data.draw(st.sampled_from(list(self.numbers)))
        self.deals += 1
        deal_id = EscrowId(f"0x{self.deals:064x}")
        mine = ours(lambda: self.book.confirm(reservation, deal_id))
        assert mine == theirs(lambda: self.market.confirm(self.numbers[reservation], deal_id, self.now))

    @precondition(lambda self: self.numbers)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        reservation = data.draw(st.sampled_from(list(self.numbers)))
        mine = ours(lambda: self.book.release(reservation))
        assert mine == theirs(lambda: self.market.release(self.numbers[reservation]))

    @rule(number=st.integers(1, 9))
    def free(self, number: int) -> None:
        deal_id = EscrowId(f"0x{number:064x}")
        assert self.book.free(deal_id) == self.market.free_deal(deal_id)

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        order_id = OrderId(data.draw(st.sampled_from(list(self.orders))))
        before = self.status(order_id)
        done = ours(lambda: self.book.cancel_order(order_id))
        if before in {"PENDING", "MATCHED"}:
            assert done is None
            self.cancelled.add(order_id)
            for reservation in self.live(order_id, "held"):
                self.market.release(self.numbers[reservation])
        else:
            assert done == ("InvalidStateTransition", before, "CANCELLED")

    @precondition(lambda self: any(r.order_id not in self.orders for r in self.numbers))
    @rule(data=st.data())
    def cancel_part(self, data: st.DataObject) -> None:
        of_parts = [r for r in self.numbers if r.order_id not in self.orders]
        reservation = data.draw(st.sampled_from(of_parts))
        is_held = any(reservation in self.live(order_id, "held") for order_id in self.parts)
        done = ours(lambda: self.book.cancel_order(reservation.order_id))
        if is_held:
            assert done is None
            self.market.release(self.numbers[reservation])
        else:
            assert done[0] == "InvalidStateTransition"

    # ------------------------------------------------------------------------ what must hold

    @invariant()
    def no_gpu_is_held_twice(self) -> None:
        for offer in self.market.offers:
            largest = max(
                o["gpus"]
                for o in self.market.offers
                if (o["provider"], o["slot"]) == (offer["provider"], offer["slot"])
            )
            assert self.market.held(offer["provider"], offer["slot"], self.now) <= largest

    @invariant()
    def orders_stand_where_their_parts_stand(self) -> None:
        for order_id in self.orders:
            assert self.book.order(OrderId(order_id)).status.name == self.status(order_id)
        waiting = [order_id for order_id in self.orders if self.status(order_id) == "PENDING"]
        assert {order.id for order in self.book.pending_orders()} == set(waiting)

    @invariant()
    def what_may_be_spent_is_within_the_budget(self) -> None:
        for order_id, order in self.orders.items():
            assert self.spent(order_id) <= order.budget.base_units
            assert self.open_gpus(order_id) >= 0

    # ------------------------------------------------------------------------ counted anew

    def live(self, order_id: str, *states: str) -> list[Reservation]:
        """Return the reservations of an order, or of its parts, that still stand, or are or were deals."""
        found = []
        for reservation in self.parts.get(order_id, []):
            hold = self.market.holds[self.numbers[reservation]]
            lapsed = hold["state"] == "held" and self.now >= hold["until"]
            if hold["state"] in (states or ("held", "deal", "freed")) and not lapsed:
                found.append(reservation)
        return found

    def open_gpus(self, order_id: str) -> int:
        taken = sum(reservation.gpu_count for reservation in self.live(order_id))
        return self.orders[order_id].requirements.min_gpu_count - taken

    def spent(self, order_id: str) -> int:
        return sum(self.costs[reservation] for reservation in self.live(order_id))

    def status(self, order_id: str) -> str:
        order = self.orders[order_id]
        if order_id in self.cancelled:
            return "CANCELLED"
        if not self.open_gpus(order_id):
            return "MATCHED" if self.live(order_id, "held") else "ESCROWED"
        split_up = any(reservation.order_id != order_id for reservation in self.parts.get(order_id, []))
        if split_up and order.time_in_force is not TimeInForce.GTC:
            return "CANCELLED"
        return "EXPIRED" if self.now >= second(order.expires_at) else "PENDING"

    def wanted(self, order: JobOrder) -> Any:
        """Say what the brute force would fill of what is open, or why it would not."""
        gpus = self.open_gpus(order.id) if order.id in self.orders else order.requirements.min_gpu_count
        left = order.budget.base_units - (self.spent(order.id) if order.id in self.orders else 0)
        asked = order_as_dict(order) | {"gpus": gpus, "budget": left}
        asked["least"] = min(asked["least"], gpus)
        return theirs(lambda: oracle.fill(self.market, asked, self.now))

    def note(self, done: Execution, wanted: Any) -> None:
        """Write down the parts of an execution that is as it was wanted."""
        order_id = done.order.id
        if done.fill is None:
            assert ours(lambda: raised(done.obstacle)) == wanted
            return
        assert {match.offer_id: match.gpu_count for match in done.fill.matches} == wanted
        for match, reservation in zip(done.fill.matches, done.reservations, strict=True):
            offer, part = offer_as_dict(match.offer), order_as_dict(match.order)
            number = self.market.reserve(offer, part, second(reservation.until), self.now)
            self.numbers[reservation] = number
            self.costs[reservation] = match.total_cost.base_units
            self.parts.setdefault(order_id, []).append(reservation)
        waits = self.status(order_id) == "PENDING"
        assert done.resting == (self.open_gpus(order_id) if waits else 0)


def raised(error: MoltError | None) -> None:
    assert error is not None
    raise error


TestFillMachine = FillMachine.TestCase
