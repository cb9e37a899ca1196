"""The Python side of a clearing for most surplus: what is asked, and the proof of how good the outcome
is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from molt_market.domain.matches import MILLION
from molt_market.orderbook.compiled.blocks import BlockIndex
from molt_market.orderbook.compiled.kernels import rounds, surplus
from molt_market.orderbook.compiled.kernels.prices import MISSING
from molt_market.orderbook.compiled.layout import BIDDER, REMEMBERED
from molt_market.orderbook.compiled.turns import Round
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.scoring import ScoreWeights, Scoring
from molt_market.orderbook.surplus import (
    AUCTION,
    LARGEST_FIRST,
    PRICE_TIME,
    Outcome,
    Refused,
    gap_millionths,
    total,
)

BITS = 60  # of money in the kernels
UNASKED = 2**62  # what an order's memory says before the order first looks at the book
STEPS = (1_400, 350, 90)  # millionths of the mean surplus; the next one is for those whose gap is too wide
GOAL = 1_000  # millionths
SHARE = 100  # millionths of a bid's value that go on top of its step
BIDS = 500  # by each order, in the mean, at most
NO_SCORE = Scoring(ScoreWeights(), lambda _: None, lambda: (0, 0))


class Clearing(Round):
    """Many demands in one token that take slots for the most surplus, one demand a slot.

    The auction algorithm of D. P. Bertsekas, The auction algorithm: a distributed relaxation method for the
    assignment problem, Annals of Operations Research 14, 1988, with prices that start at zero, so that slots
    nobody takes cost nothing. By the duality of linear programs no outcome brings more than the prices of all
    slots and what each demand could gain at them: that is added up anew, in whole numbers.
    """

    def __init__(self, index: BlockIndex, demands: Sequence[Demand], refused: Refused) -> None:
        super().__init__(index, demands, NO_SCORE)
        self._index = index
        self._whole = (self._blocks, self._zones, self._groups[: len(self._groups_by_key)], self._order)
        self._refused = refused
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
        asked = self._asks[self._kinds != rounds.NOTHING]
        self._copy(int(asked["now"].min(initial=2**32)), int(asked["born"].max(initial=0)))
        self._sort_families()
        self._pool_of = surplus.pools(np.flatnonzero(self._place_of != MISSING), self._ring)
        self._worths = [each.spendable for each in self._demands]
        self._shift = max(max(self._worths).bit_length() - BITS, 0)
        self._bidders = np.zeros(len(self._demands), BIDDER)
        self._bidders["worth"] = [worth >> self._shift for worth in self._worths]
        self._bidders["least"] = UNASKED
        by_hand = self._kinds == rounds.BY_HAND
        self._bidders["unit"][~by_hand] = (self._asks["free"] * self._asks["hours"])[~by_hand]
        self._list_offers(np.flatnonzero(by_hand).tolist())
        self._bidders["worth"][self._kinds == rounds.NOTHING] = MISSING
        self._own = np.zeros((len(self._demands), surplus.KEPT), REMEMBERED)

    def _sort_families(self) -> None:
        """Let the family of the cheapest offer come first."""
        firsts = self._zones[self._groups["start"]]
        for family in self._families:
            prices = firsts[["hi", "lo"]][family["start"] : family["end"]].tolist()
            family["hi"], family["lo"] = min(prices)
        self._families = self._families[np.lexsort((self._families["lo"], self._families["hi"]))]

    def _list_offers(self, by_hand: list[int]) -> None:
        """List the offers of demands that columns do not decide, or that some offers were refused to."""
        self._listed_of: dict[int, list[tuple[int, int]]] = {}  # pool and exact cost
        rows: list[tuple[int, int, int, int]] = []
        for n in by_hand:
            demand, refused = self._demands[n], self._refused.get(n, ())
            fitting = [each.listing for each in self._index.find(demand, NO_SCORE)]
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

    def _arrays(self) -> tuple[Any, ...]:
        return (
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
        )

    # ------------------------------------------------------------------------------------ outcomes

    def _in_turn(self) -> list[Outcome]:
        """Let demands take the cheapest slot in turn: as they come, and those first that could gain most."""
        queue = np.flatnonzero(self._bidders["worth"] != MISSING)
        surplus.look(*self._arrays(), queue)
        first = self._own[:, 0]
        gains = np.where(self._bidders["kept"] > 0, self._bidders["worth"] - first["cost"], 0)
        by_gain = queue[np.argsort(-gains[queue], kind="stable")]
        bound = self._bound(np.zeros(len(self._pool_of), np.int64))
        return [self._taking(PRICE_TIME, queue, bound), self._taking(LARGEST_FIRST, by_gain, bound)]

    def _taking(self, method: str, queue: Any, bound: int) -> Outcome:
        bidders, own = self._bidders.copy(), self._own.copy()
        taken = self._nothing()
        surplus.in_turn(*self._arrays(), queue, taken)
        self._bidders, self._own = bidders, own
        return self._outcome(method, taken, bound)

    def _auction(self, best: Outcome, step: int) -> Outcome:
        bidders, own = self._bidders.copy(), self._own.copy()
        taken, prices = self._nothing(), np.zeros(len(self._pool_of), np.int64)
        matched = sum(listing is not None for listing in best.listings)
        size = max((best.surplus >> self._shift) * step // (matched * MILLION), 1)
        surplus.auction(*self._arrays(), size, SHARE, BIDS * len(taken), taken, prices)
        self._bidders, self._own = bidders, own
        return self._outcome(AUCTION, taken, self._bound(prices))

    def _outcome(self, method: str, taken: Any, bound: int) -> Outcome:
        listings = tuple(None if number == MISSING else self._listings[number] for number in taken.tolist())
        return Outcome(method, listings, total(self._demands, listings), bound)

    def _nothing(self) -> Any:
        return np.full(len(self._demands), MISSING, np.int64)

    # ------------------------------------------------------------------------------------ the proof

    def _bound(self, prices: Any) -> int:
        """Add up what slots cost and what each demand could gain: whole base units, rounded up throughout."""
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
            gains,
        )
        whole: int = sum(prices.tolist()) + sum(gains.tolist())
        listed = 0
        for n, offers in self._listed_of.items():
            each = [self._worths[n] - cost - (int(prices[pool]) << self._shift) for pool, cost in offers]
            listed += max([0, *each])
        return (whole << self._shift) + listed
