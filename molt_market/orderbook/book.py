"""The order book: what fits an order, what it would get, why not, and the filling of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime
from itertools import groupby

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.clock import Clock, SystemClock
from molt_market.domain.ids import OfferId, PartyId
from molt_market.domain.matches import MILLION, OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements, OrderStatus, TimeInForce
from molt_market.errors import MarketError
from molt_market.orderbook.clearing import MOST_PLANS, Answers, Clearing, Plan
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.entries import alone
from molt_market.orderbook.explain import Explanation, explain
from molt_market.orderbook.feed import Feed
from molt_market.orderbook.fills import Execution, Fill, Open, fill, unfilled, whole
from molt_market.orderbook.index import OfferIndex, PriceIndex
from molt_market.orderbook.matcher import Matcher
from molt_market.orderbook.openable import MOST_ASKED, Check, openable, openable_fill
from molt_market.orderbook.priority import Funds, in_turn
from molt_market.orderbook.quote import BondBps, Quote, quote
from molt_market.orderbook.reservations import require_in_time
from molt_market.orderbook.scoring import NEUTRAL_RELIABILITY, Reliability, ScoreWeights, Scoring
from molt_market.orderbook.search import parse_query, search
from molt_market.orderbook.search_query import Query


class OrderBook(Feed):
    """An exact order book in memory. The same offers, orders and times give the same answers.

    Unsigned offers and orders are taken; only signed ones open deals. Any thread may call any method.

    Args:
        clock: tells the time; the chain's, where deals are opened (default: this machine's).
        weights: what the parts of a score are worth.
        reliability: how reliable a provider was, in millionths, or None while unknown (default: unknown;
            `follow` sets it).
        index: an empty index of offers (default: the readable one; `CompiledIndex` for a great many).
        check: asked before a match is handed out, `client.obstacle` (default: nobody; `connect` sets it).
        bond_bps: the provider's stake under a policy, for quotes (default: unknown; `connect` sets it).
        funds: what a buyer has in the escrow, which backs priority (default: nothing; `connect` sets it).

    >>> from molt_market.domain.amounts import Amount
    >>> from molt_market.domain.gpus import GpuCapacity
    >>> book = OrderBook()
    >>> offer_id = book.add_offer(CapacityOffer(
    ...     provider_id="provider-123", gpu_capacity=GpuCapacity(gpu_count=8, gpu_model="H100", vram_gb=80),
    ...     price_per_hour=Amount.from_molt(10), available_hours=24))
    >>> order = JobOrder(buyer_id="buyer-456", requirements=JobRequirements(
    ...     min_gpu_count=4, min_vram_gb=40, max_price_per_hour=Amount.from_molt(15), estimated_hours=8))
    >>> [str(match.total_cost) for match in book.match_order(order)]
    ['320 MOLT']
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        weights: ScoreWeights | None = None,
        reliability: Reliability | None = None,
        index: OfferIndex | None = None,
        check: Check | None = None,
        bond_bps: BondBps | None = None,
        funds: Funds | None = None,
    ) -> None:
        super().__init__(clock or SystemClock(), PriceIndex() if index is None else index)
        self.check = check
        self.bond_bps = bond_bps
        self.funds = funds
        self.reliability = reliability
        scoring = Scoring(weights or ScoreWeights(), self._reliability, self._reliability_bounds)
        self._matcher = Matcher(self._index, scoring)

    # ------------------------------------------------------------------------------------ matching

    def match_order(self, order: JobOrder) -> list[OrderMatch]:
        """Return every offer that fits, the best first. Changes nothing; the order need not be submitted.

        If the book has a `check`, return only what could be opened now, at most eight; if nothing could,
        raise what stands in the way of the best one, for example Paused, ProviderBalance or OfferCancelled.

        Sorted by score (highest first), price, the offer's creation time, the offer's id.

        If nothing fits, what stands in the way decides. Look at the offers that meet everything but money
        (price limit, budget) and the GPU count; each fails by money alone, by the count alone, or by both:

        1. there is no such offer, or no offer at all: NoMatchingOffers;
        2. some by money alone, none by the count alone: PriceExceedsBudget(the cheapest total, the budget);
        3. some by the count alone, none by money alone: InsufficientCapacity(asked for, most free);
        4. else the reasons are mixed: an empty list.

        The order itself comes first: Expired if it is over, InvalidStateTransition if it is not PENDING,
        OrderNotYetValid if its time has not come.
        """
        found = self._fitting(order)
        return found if self.check is None else openable(found, self.check)

    @alone
    def _fitting(self, order: JobOrder) -> list[OrderMatch]:
        demand = self._demand(order, self._now())
        asked = self.check is not None  # then so many are asked about, and no more
        found = self._matcher.best(demand, MOST_ASKED) if asked else self._matcher.find(demand)
        if not found and (obstacle := self._matcher.obstacle(demand)):
            raise obstacle
        return [ranked.match(order, demand) for ranked in found]

    @alone
    def best_offers(self, requirements: JobRequirements, limit: int) -> list[CapacityOffer]:
        """Return at most `limit` offers that fit these requirements, whoever asks, the best first."""
        demand = Demand.of_requirements(requirements, self._now())
        best = self._matcher.best(demand, max(limit, 0))
        return [ranked.listing.offer for ranked in best]

    @alone
    def search(self, query: str | Query, limit: int = 20) -> list[CapacityOffer]:
        """Return at most `limit` offers that stand, have a GPU free, and are what a query is for.

        The language is that of docs/search.md. Raises InvalidQuery, which points at the character.

        >>> OrderBook().search("gpu_model in [H100,H200] vram_gb>=80 price<2.5 country=DE --sort price")
        []
        """
        asked = parse_query(query) if isinstance(query, str) else query
        found = search(asked, self._listings.values(), self._matcher, self._now())
        return [ranked.listing.offer for ranked in found[: max(limit, 0)]]

    # ------------------------------------------------------------------------------------ asking

    def quote(self, order: JobOrder, most: int | None = None) -> Quote:
        """Say what the book would do with an order now, and what that costs. Changes nothing.

        With `most`, no more than the best so many offers are counted, however many fit.

        Raises Expired, InvalidStateTransition, OrderNotYetValid, as `match_order`.
        """
        rest, matches = self._asked(order, most)
        try:
            filled: Fill | MarketError = self.fill(order)
        except MarketError as obstacle:
            filled = obstacle
        return quote(rest, filled, matches, self.bond_bps)

    @alone
    def explain(self, order: JobOrder, limit: int = 5) -> Explanation:
        """Say why an order does not match, and the least that would make it match; changes nothing.

        It is about the whole order from one provider, and about what the book knows, not the chain. At most
        `limit` relaxations are told, the fewest changes first, then the cheapest.

        Raises Expired, InvalidStateTransition, OrderNotYetValid, as `match_order`.
        """
        demand = self._demand(order, self._now())
        return explain(list(self._listings.values()), order, demand, self._matcher, limit)

    # ------------------------------------------------------------------------------------ filling

    def fill(self, order: JobOrder) -> Fill:
        """Return what an order would get now, in parts if it allows them. Changes nothing.

        Of all fills with the most GPUs that the budget allows, it is the one with the most GPUs of the best
        offer, then of the second, and so on. `client.create_job_escrows` opens its matches.

        Raises what stands in the way of its least quantity: NoMatchingOffers if no offer meets the order,
        money and GPU count apart; InsufficientCapacity if there are too few GPUs at any price; else
        PriceExceedsBudget. Expired, InvalidStateTransition, OrderNotYetValid: as `match_order`.
        """
        return self._fill(order)[0]

    def execute(self, order: JobOrder, until: datetime) -> Execution:
        """Fill an order now, and hold all of the fill's GPUs until a moment, at most 120 seconds ahead.

        All of the fill is held, or nothing. What is not filled waits in the book if the order is
        good-till-cancelled, and is cancelled if it is immediate-or-cancel.

        Raises as `reserve` and `fill` do; but of a good-till-cancelled order that finds nothing the
        execution tells the obstacle, and the order waits.
        """
        require_in_time(until, self._clock.now())
        self._open(order)
        while True:
            try:
                found, refused = self._fill(order)
            except MarketError as obstacle:
                if order.time_in_force is not TimeInForce.GTC:
                    raise
                return self._let_wait(order, obstacle)
            if (done := self._hold(found, refused, until)) is not None:
                return done

    @alone
    def _let_wait(self, order: JobOrder, obstacle: MarketError) -> Execution:
        rest = self._open(order)
        if order.id not in self._orders:
            self._orders.add(order, self._now())
        return Execution(order, None, (), rest.demand.gpu_count, obstacle)

    def clear(self, until: datetime) -> list[Execution]:
        """Execute each of the orders that wait once, by class, creation time and id; return what was filled.

        A class above NORMAL counts as far as `funds` backs it: URGENT by twice the order's budget, HIGH by
        once (molt_market.orderbook.priority).
        """
        waiting = [order for order in self.pending_orders() if order.created_at <= self._clock.now()]
        queue = in_turn(waiting, self.funds)
        if self.check is not None:
            return self._executed(queue, until)
        done = []
        for is_whole, each in groupby(queue, self._is_filled_whole):
            orders = list(each)
            done += self._matched(orders, until) if is_whole else self._executed(orders, until)
        return done

    def clear_for_surplus(self, until: datetime, *, share_slots: bool = True) -> list[Clearing]:
        """Match the orders that wait so that together they gain the most; hold what they get until a moment.

        A mode beside `clear`, for a book with a `CompiledIndex`. An order gains what it could spend less what
        it costs; age and priority do not count. Each is filled whole by one offer, or waits; so do orders
        that come in parts, and all but the first on a buyer's slot. With `share_slots` a provider's slot
        serves as many orders as its GPUs do, without it one order.

        Returns a clearing for each token, with a bound that no other outcome exceeds, added up in whole
        numbers from prices of the slots: the auction algorithm (Bertsekas, 1988) makes them, the duality of
        linear programs makes the bound. It is never worse than to serve orders in turn, by age or by what
        they gain. If the book has a `check`, only what could be opened is held.

        Raises InvalidValue if the index cannot do it, or for a moment that has passed or is more than 120
        seconds ahead.
        """
        self._matcher.prepare_for_surplus()
        answers = Answers(self.check)
        for _ in range(MOST_PLANS):
            with self._lock:
                plans = self._plans(until, answers, share_slots=share_slots)
                if answers.have(plans):
                    return [self._carried_out(plan, answers, until) for plan in plans]
            answers.ask(plans)
        with self._lock:
            plans = self._plans(until, answers, share_slots=share_slots)
            return [self._carried_out(plan, answers, until) for plan in plans]

    def _plans(self, until: datetime, answers: Answers, *, share_slots: bool) -> list[Plan]:
        """Plan what the orders that wait would get, the orders in each token by themselves."""
        require_in_time(until, self._now())
        by_token: dict[Token, list[Open]] = defaultdict(list)
        used: set[tuple[PartyId, int | None]] = set()
        for order in sorted(self.pending_orders(), key=lambda each: (each.created_at, each.id)):
            slot = (order.buyer_id, order.slot)
            if slot in used or not self._may_be_cleared(order) or not answers.may_take_part(order):
                continue
            with suppress(MarketError):  # its time has not come, or is over by now
                rest = self._open(order)
                by_token[rest.demand.token].append(rest)
                used |= set() if order.slot is None else {slot}
        return [self._plan(opened, answers, share_slots=share_slots) for opened in by_token.values()]

    def _plan(self, opened: list[Open], answers: Answers, *, share_slots: bool) -> Plan:
        demands = [rest.demand for rest in opened]
        refused = answers.refused(opened)
        outcome = self._matcher.most_surplus(demands, refused, share_slots=share_slots)
        return Plan(tuple(opened), outcome)

    def _may_be_cleared(self, order: JobOrder) -> bool:
        """Tell whether an order is filled whole, and nothing else has its slot."""
        in_parts = order.comes_in_parts or self._orders.is_in_parts(order.id)
        return not in_parts and not self._reservations.is_used(order)

    def _carried_out(self, plan: Plan, answers: Answers, until: datetime) -> Clearing:
        done, surplus = [], 0
        for rest, listing in plan.pairs():
            if answers.are_good(rest, listing):
                surplus += rest.demand.spendable - rest.demand.total_at(listing.price)
                done.append(self._held(whole(rest, self._matcher.ranked(listing, rest.demand)), until))
        token = plan.opened[0].demand.token
        outcome = plan.outcome
        return Clearing(tuple(done), Amount(surplus, token), Amount(outcome.bound, token), outcome.method)

    def _executed(self, orders: Iterable[JobOrder], until: datetime) -> list[Execution]:
        """Execute orders one by one; return what was filled."""
        done = []
        for order in orders:
            with suppress(MarketError):  # it is over by now, or another order has its slot: the others go on
                done.append(self.execute(order, until))
        return [execution for execution in done if execution.fill is not None]

    def _is_filled_whole(self, order: JobOrder) -> bool:
        """Tell whether an order is filled whole by one offer or not at all, whatever the others get."""
        return order.slot is None and not order.comes_in_parts and not self._orders.is_in_parts(order.id)

    @alone
    def _matched(self, orders: list[JobOrder], until: datetime) -> list[Execution]:
        """Execute orders that are filled whole, in one round; return what was filled."""
        opened: list[Open] = []
        for order in orders:
            with suppress(MarketError):  # as above
                require_in_time(until, self._now())
                opened.append(self._open(order))
        found = self._matcher.match_round([rest.demand for rest in opened])
        return [
            self._held(whole(rest, ranked), until)
            for rest, ranked in zip(opened, found, strict=True)
            if ranked is not None
        ]

    def _reliability(self, provider: PartyId) -> int | None:
        return None if self.reliability is None else self.reliability(provider)

    def _reliability_bounds(self) -> tuple[int, int]:
        return (NEUTRAL_RELIABILITY, NEUTRAL_RELIABILITY) if self.reliability is None else (0, MILLION)

    @alone
    def _asked(self, order: JobOrder, most: int | None) -> tuple[Open, list[OrderMatch]]:
        """Return what is open of an order, and what matches all of that; the best so many of it."""
        rest = self._open(order)
        found = self._matcher.find(rest.demand) if most is None else self._matcher.best(rest.demand, most)
        return rest, [ranked.match(order, rest.demand) for ranked in found]

    def _fill(self, order: JobOrder) -> tuple[Fill, frozenset[OfferId]]:
        """Return the fill, and the offers left out because they could not be opened."""
        if self.check is None:
            return self._planned(order, ()), frozenset()
        return openable_fill(lambda refused: self._planned(order, refused), self.check)

    @alone
    def _planned(self, order: JobOrder, refused: Collection[OfferId]) -> Fill:
        rest = self._open(order)
        if not rest.order.split:
            for ranked in self._matcher.best(rest.demand, len(refused) + 1):
                if ranked.listing.offer.id not in refused:  # all of it at once: no other fill is better
                    return whole(rest, ranked)
        near = self._matcher.near(rest.demand)
        usable = [o for o in near if o.price <= rest.demand.price_limit and o.offer.id not in refused]
        found = fill(rest, self._matcher.rank(usable, rest.demand))
        if found is None:
            raise unfilled(rest, near)
        return found

    @alone
    def _hold(self, found: Fill, refused: frozenset[OfferId], until: datetime) -> Execution | None:
        """Hold a fill unless it is another one by now."""
        if self._planned(found.order, refused) != found:
            return None
        return self._held(found, until)

    def _held(self, found: Fill, until: datetime) -> Execution:
        order, now = found.order, self._now()
        held = [self._reservations.hold(match.offer, match.order, until) for match in found.matches]
        if order.id not in self._orders:
            self._orders.add(order, now)
        for match in found.matches:
            if match.order.id != order.id:
                self._orders.add_part(order.id, match.order, now)
            self._orders.move(match.order.id, OrderStatus.MATCHED, now)
        waits = self._orders.get(order.id, now).status is OrderStatus.PENDING
        return Execution(order, found, tuple(held), self._orders.open_gpus(order) if waits else 0)
