"""The Python side of a clearing for most surplus: what is asked, and the proof of how good the outcome
is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from molt_market.domain.matches import MILLION
from molt_market.orderbook.compiled.blocks import BlockIndex
from molt_market.orderbook.compiled.kernels import rounds, sharing, surplus
from molt_market.orderbook.compiled.kernels.prices import MISSING
from molt_market.orderbook.compiled.layout import BIDDER, MOST_2, REMEMBERED, ROWS
from molt_market.orderbook.compiled.turns import Round
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.index import one_by_one
from molt_market.orderbook.listing import Listing, Pool
from molt_market.orderbook.scoring import ScoreWeights, Scoring
from molt_market.orderbook.surplus import (
    AUCTION,
    LARGEST_FIRST,
    PRICE_TIME,
    Outcome,
    Refused,
    gap_millionths,
)

BITS = 60  # of money in the kernels
UNASKED = 2**62  # what an order's memory says before the order first looks at the book
STEPS = (1_400, 350, 90)  # millionths of the mean surplus; the next one is for those whose gap is too wide
GOAL = 1_000  # millionths
SHARE = 100  # millionths of a bid's value that go on top of its step
BIDS = 500  # by each order, in the mean, at most
BY_PRICE = Scoring(
    ScoreWeights(price=MILLION, model=0, features=0, reliability=0), lambda _: None, lambda: (0, 0)
)
LISTED = 4_000_000  # edges, at most, of all demands together
HELD = 10_000_000  # bids for GPUs, at most, that all slots hold together
SHARING_STEP = 2_500  # millionths of the mean gain of a GPU
PARTS = np.array([95, 90, 70, 40, 0, 0])  # hundredths of the price of GPUs that are left free, pass by pass


class Clearing(Round):
    """Many demands in one token that take slots for the most surplus, one demand a slot.

    The auction algorithm of D. P. Bertsekas, The auction algorithm: a distributed relaxation method for the
    assignment problem, Annals of Operations Research 14, 1988, with prices that start at zero, so that slots
    nobody takes cost nothing. By the duality of linear programs no outcome brings more than the prices of all
    slots and what each demand could gain at them: that is added up anew, in whole numbers.
    """

    def __init__(self, index: BlockIndex, demands: Sequence[Demand], refused: Refused) -> None:
        super().__init__(index, demands, BY_PRICE)
        self._index = index
        self._whole = (self._blocks, self._zones, self._groups[: len(self._groups_by_key)], self._order)
        self._refused = refused
        self._worths = [each.spendable for each in demands]
        self.write()
        for n in refused:
            if self._kinds[n] == rounds.SURE:
                self._kinds[n] = rounds.BY_HAND

    def outcome(self) -> Outcome:
        """Return the best of what the auction brings and of what demands get in turn."""
        self._prepare()
        best = max(self._in_turn(), key=lambda outcome: outcome.surplus)
        for step in STEPS:
            if gap_millionths(best.surplus, best.bound) <= GOAL or not best.surplus:
                break
            found = self._auction(best, step)
            bound = min(best.bound, found.bound)
            best = max(found, best, key=lambda outcome: outcome.surplus).within(bound)
        return best

    # ------------------------------------------------------------------------------------ the bidders

    def _prepare(self) -> None:
        self._blocks, self._zones, self._groups, self._order = self._whole
        asked = self._asks[self._kinds != rounds.NOTHING]
        self._copy(int(asked["now"].min(initial=2**32)), int(asked["born"].max(initial=0)))
        self._sort_families()
        self._pool_of = surplus.pools(np.flatnonzero(self._place_of != MISSING), self._ring)
        self._shift = max(max(self._worths).bit_length() - self._bits(), 0)
        self._bidders = np.zeros(len(self._demands), BIDDER)
        self._bidders["worth"] = [worth >> self._shift for worth in self._worths]
        self._bidders["least"] = UNASKED
        by_hand = self._kinds == rounds.BY_HAND
        self._bidders["unit"][~by_hand] = (self._asks["free"] * self._asks["hours"])[~by_hand]
        self._list_offers(np.flatnonzero(by_hand).tolist())
        self._bidders["worth"][self._kinds == rounds.NOTHING] = MISSING
        self._own = np.zeros((len(self._demands), surplus.KEPT), REMEMBERED)

    def _bits(self) -> int:
        """Return how many bits of money the kernels can work with."""
        return BITS

    def _sort_families(self) -> None:
        """Let the family of the cheapest offer come first."""
        firsts = self._zones[self._groups["start"]]
        for family in self._families:
            prices = firsts[["hi", "lo"]][family["start"] : family["end"]].tolist()
            family["hi"], family["lo"] = min(prices)
        self._families = self._families[np.lexsort((self._families["lo"], self._families["hi"]))]

    def _list_offers(self, by_hand: list[int]) -> None:
        """List the offers of demands that columns do not decide, or that some offers were refused to."""
        self._listed_of: dict[int, list[tuple[int, int]]] = {}  # slot, and exact cost
        rows: list[tuple[int, int, int, int]] = []
        for n in by_hand:
            demand, refused = self._demands[n], self._refused.get(n, ())
            fitting = [each.listing for each in self._index.find(demand, BY_PRICE)]
            offers = [(self._number_of(each), each.price) for each in fitting if each not in refused]
            self._bidders["start"][n] = len(rows)
            own = self._listed_of[n] = []
            for number, price in offers:
                pool, cost = int(self._pool_of[number]), demand.total_at(price)
                own.append((pool, cost))
                rows.append((cost >> self._shift, 0, pool, number))
            self._bidders["end"][n] = len(rows)
            if not offers:
                self._kinds[n] = rounds.NOTHING
        self._listed = np.array(rows, REMEMBERED)

    def _run(self, kernel: Any, *more: Any) -> None:
        """Call a kernel that lets the bidders look through the copy of the book."""
        kernel(
            self._blocks,
            self._zones,
            self._groups,
            self._order,
            self._families,
            self._asks,
            self._choices,
            self._chosen,
            self._some_shares,
            self._bidders,
            self._own,
            self._listed,
            self._shift,
            self._pool_of,
            *more,
        )

    # ------------------------------------------------------------------------------------ outcomes

    def _in_turn(self) -> list[Outcome]:
        """Let demands take the cheapest slot in turn: as they come, and those first that could gain most."""
        queue = np.flatnonzero(self._bidders["worth"] != MISSING)
        self._run(surplus.look, queue)
        first = self._own[:, 0]
        gains = np.where(self._bidders["kept"] > 0, self._bidders["worth"] - first["cost"], 0)
        by_gain = queue[np.argsort(-gains[queue], kind="stable")]
        bound = self._bound(np.zeros(len(self._pool_of), np.int64))
        return [self._taking(PRICE_TIME, queue, bound), self._taking(LARGEST_FIRST, by_gain, bound)]

    def _taking(self, method: str, queue: Any, bound: int) -> Outcome:
        bidders, own = self._bidders.copy(), self._own.copy()
        taken = self._nothing()
        self._run(surplus.in_turn, queue, taken)
        self._bidders, self._own = bidders, own
        return self._outcome(method, taken, bound)

    def _auction(self, best: Outcome, step: int) -> Outcome:
        bidders, own = self._bidders.copy(), self._own.copy()
        taken, prices = self._nothing(), np.zeros(len(self._pool_of), np.int64)
        matched = sum(listing is not None for listing in best.listings)
        size = max((best.surplus >> self._shift) * step // (matched * MILLION), 1)
        self._run(surplus.auction, size, SHARE, BIDS * len(taken), taken, prices)
        self._bidders, self._own = bidders, own
        return self._outcome(AUCTION, taken, self._bound(prices))

    def _outcome(self, method: str, taken: Any, bound: int) -> Outcome:
        listings = tuple(None if number == MISSING else self._listings[number] for number in taken.tolist())
        return Outcome(method, listings, self._total(listings), bound)

    def _total(self, listings: Sequence[Listing | None]) -> int:
        """Add up what demands gain by what they get, in base units."""
        each = zip(self._demands, self._worths, listings, strict=True)
        return sum(worth - demand.total_at(o.price) for demand, worth, o in each if o is not None)

    def _nothing(self) -> Any:
        return np.full(len(self._demands), MISSING, np.int64)

    # ------------------------------------------------------------------------------------ the proof

    def _bound(self, prices: Any) -> int:
        """Add up what slots cost and what each demand could gain: whole base units, rounded up throughout."""
        return self._proved(prices, sum(prices.tolist()), np.ones(len(self._demands), np.int64))

    def _proved(self, prices: Any, slots: int, sizes: Any) -> int:
        """Add to what all slots cost what each demand could gain if it takes so much of a slot."""
        gains = np.zeros(len(self._demands), np.int64)
        surplus.most_gained(
            *self._whole,
            self._asks,
            self._choices,
            self._chosen,
            self._some_shares,
            self._kinds,
            self._bidders,
            self._shift,
            self._pool_of,
            prices,
            sizes,
            gains,
        )
        whole: int = slots + sum(gains.tolist())
        listed = 0
        for n, offers in self._listed_of.items():
            size = int(sizes[n]) << self._shift
            each = [self._worths[n] - cost - size * int(prices[pool]) for pool, cost in offers]
            listed += max([0, *each])
        return (whole << self._shift) + listed


class Sharing(Clearing):
    """The same, but a slot serves as many demands as its GPUs do.

    Prices of GPUs come from an auction as of a transportation problem (D. P. Bertsekas and D. A. Castanon,
    The auction algorithm for the transportation problem, Annals of Operations Research 20, 1989): each GPU
    that is wanted bids for itself. They prove a bound as above, of the linear program that lets orders be
    split. A search that fills slot after slot anew, and values what it leaves free at those prices, finds
    the outcome.
    """

    def outcome(self) -> Outcome:
        first = self._oldest_first()
        self._prepare()
        self._gpus = np.array([each.gpu_count for each in self._demands], np.int64)
        self._kinds[self._gpus >= MOST_2] = rounds.NOTHING  # a column could not tell what they leave
        self._edges, self._starts = sharing.edges(
            self._blocks,
            self._zones,
            self._groups,
            self._order,
            self._asks,
            self._kinds,
            self._choices,
            self._chosen,
            self._some_shares,
            self._bidders,
            self._listed,
            self._shift,
            self._pool_of,
            max(LISTED // len(self._demands), 64),
        )
        self._rooms = self._free_of_slots()
        prices = self._prices()
        bound = self._bound(prices)
        found = [first, self._largest_first(), self._improved(prices)]
        return max(reversed(found), key=lambda outcome: outcome.surplus).within(bound)

    def _bits(self) -> int:
        return BITS - max(each.gpu_count for each in self._demands).bit_length()

    # ------------------------------------------------------------------------------------ the slots

    def _free_of_slots(self) -> Any:
        """Return the most free GPUs of any offer of each slot."""
        rooms = np.zeros(len(self._pool_of), np.int64)
        live = np.flatnonzero(self._place_of != MISSING)
        blocks, rows = np.divmod(self._place_of[live], ROWS)
        free = self._blocks["free"][blocks, rows].astype(np.int64)
        for n in np.flatnonzero(free == MOST_2).tolist():  # more than a column holds
            free[n] = self._known(int(live[n])).free
        np.maximum.at(rooms, self._pool_of[live], free)
        return rooms

    def _prices(self) -> Any:
        """Return a price of each slot's GPUs."""
        pools, sizes = self._edges["pool"], self._gpus[self._edges["order"]]
        asked = np.zeros(len(self._rooms), np.int64)
        np.add.at(asked, pools, sizes)
        prices = np.zeros(len(self._rooms), np.int64)
        if len(sizes):
            mean = int((self._edges["gain"] // sizes).mean())
            step = max(mean * SHARING_STEP // MILLION, 1)
            most = BIDS * int(self._gpus.sum())
            held = np.minimum(np.minimum(self._rooms, asked), max(HELD // int(np.count_nonzero(asked)), 1))
            sharing.prices_of_gpus(self._edges, self._starts, self._gpus, held, step, most, prices)
        return prices

    def _bound(self, prices: Any) -> int:
        slots = np.flatnonzero(prices)
        cost = sum(
            room * price
            for room, price in zip(self._rooms[slots].tolist(), prices[slots].tolist(), strict=True)
        )
        return self._proved(prices, cost, self._gpus)

    # ------------------------------------------------------------------------------------ outcomes

    def _oldest_first(self) -> Outcome:
        """Let demands in turn each take the cheapest offer that has its GPUs left."""
        if self._large or not all(0 < each.gpu_count < MOST_2 for each in self._demands):
            demands = [each for n, each in enumerate(self._demands) if n not in self._refused]
            served = iter(one_by_one(self._index.best, demands, BY_PRICE))
            places = range(len(self._demands))
            listings = tuple(None if n in self._refused else next(served) for n in places)
        else:
            kinds, self._kinds = self._kinds, self._kinds.copy()
            self._kinds[list(self._refused)] = rounds.NOTHING  # what was refused, a round does not know
            listings = tuple(None if n == MISSING else self._listings[n] for n in self.run().tolist())
            self._kinds = kinds
        return Outcome(PRICE_TIME, listings, self._total(listings), sum(self._worths))

    def _largest_first(self) -> Outcome:
        gains = sharing.most_gained(self._edges, self._gpus, np.zeros(len(self._rooms), np.int64))
        taken = self._nothing()
        queue = np.argsort(-gains, kind="stable")
        sharing.in_turn(self._edges, self._starts, self._gpus, self._rooms, queue, taken)
        return self._of_edges(LARGEST_FIRST, taken)

    def _improved(self, prices: Any) -> Outcome:
        gains = sharing.most_gained(self._edges, self._gpus, prices)
        queue = np.argsort(-(gains // self._gpus), kind="stable")
        edge_of, slot_starts = sharing.by_slot(self._edges, len(self._rooms))
        found = self._nothing()
        by_slot = (self._edges, self._starts, edge_of, slot_starts)
        sharing.improve(*by_slot, self._gpus, self._rooms, prices, PARTS, queue, found)
        return self._of_edges(AUCTION, found)

    def _of_edges(self, method: str, edges: Any) -> Outcome:
        numbers = (
            np.where(edges == MISSING, MISSING, self._edges["number"][edges]) if len(self._edges) else edges
        )
        taken = [None if number == MISSING else self._listings[number] for number in numbers.tolist()]
        self._keep_what_fits(taken)
        listings = tuple(taken)
        return Outcome(method, listings, self._total(listings), sum(self._worths))

    def _keep_what_fits(self, taken: list[Listing | None]) -> None:
        """Drop what smaller offers of a slot have no room for: each counts what is taken from it and from
        smaller ones."""
        of_slot: dict[Pool, list[tuple[int, int, int]]] = defaultdict(list)
        for n, listing in enumerate(taken):
            if (
                listing is not None
                and self._next_of[self._first_of[listing.pool]] != self._first_of[listing.pool]
            ):
                gain = self._worths[n] - self._demands[n].total_at(listing.price)
                of_slot[listing.pool].append((-gain, n, listing.free))
        for found in of_slot.values():
            kept: list[tuple[int, int]] = []
            for _, n, free in sorted(found):
                more = [*kept, (free, self._demands[n].gpu_count)]
                if all(sum(gpus for size, gpus in more if size <= limit) <= limit for limit, _ in more):
                    kept = more
                else:
                    taken[n] = None
