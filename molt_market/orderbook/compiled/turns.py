"""The Python side of a round of the compiled index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from molt_market.orderbook.compiled import rounds
from molt_market.orderbook.compiled.blocks import BlockIndex
from molt_market.orderbook.compiled.kernels import MISSING
from molt_market.orderbook.compiled.layout import (
    BLOCK,
    CHOICE,
    CHOSEN,
    CLASSES,
    FAMILY,
    GROUP,
    HEAD,
    MOST_2,
    QUESTION,
    ROWS,
    ZONE,
)
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.scoring import Scoring


class Questions:
    """What many demands ask, one after the other, as the kernels read it."""

    def __init__(self, count: int) -> None:
        self.buffer = bytearray(count * QUESTION.itemsize)
        self.asks = np.frombuffer(self.buffer, QUESTION)
        self.kinds = np.full(count, rounds.NOTHING, np.uint8)
        self.choices = np.zeros(count, CHOICE)
        self.chosen = np.zeros(0, CHOSEN)


class Round(BlockIndex):
    """What stands of an index, to be used up by demands in turn. The index itself does not change.

    The offers of a group are parted by how many GPUs they have free: who wants eight need not look at others.
    """

    def __init__(self, index: BlockIndex) -> None:
        super().__init__()
        vars(self).update(vars(index))

    def match(self, demands: Sequence[Demand], scoring: Scoring) -> list[Listing | None]:
        questions = self.questions(demands, scoring)
        taken = self.run(questions, demands, scoring)
        return [None if number == MISSING else self._listings[number] for number in taken.tolist()]

    def questions(self, demands: Sequence[Demand], scoring: Scoring) -> Questions:
        written = Questions(len(demands))
        size, known, chosen = QUESTION.itemsize, {}, []
        kinds, choices = [], []
        for n, demand in enumerate(demands):
            is_exact = self._ask(demand, scoring)
            kinds.append(rounds.NOTHING if is_exact is None else rounds.SURE if is_exact else rounds.BY_HAND)
            if demand.offer_hash is not None:
                kinds[-1] = rounds.BY_HAND
            written.buffer[n * size : (n + 1) * size] = self._question_bytes
            models = (demand.required_models, demand.preferred_models)
            if models not in known:
                others, shares = self._worth_of_models(demand)
                known[models] = (others, len(chosen), len(chosen) + len(shares))
                chosen += shares
            choices.append(known[models])
        written.kinds[:] = kinds
        written.choices[:] = choices
        written.chosen = np.array(chosen, CHOSEN)
        return written

    def run(self, questions: Questions, demands: Sequence[Demand], scoring: Scoring) -> Any:
        asked = questions.asks[questions.kinds != rounds.NOTHING]
        if len(asked):
            self._copy(asked["now"].min(), asked["born"].max())
        taken = np.full(len(demands), MISSING, np.int64)
        at = 0 if len(asked) else len(demands)
        while at < len(demands):
            at = rounds.match(
                self._blocks,
                self._zones,
                self._groups,
                self._order,
                self._families,
                questions.asks,
                questions.kinds,
                questions.choices,
                questions.chosen,
                self._some_shares,
                self._heads,
                self._heap,
                self._fits,
                self._changed,
                self._place_of,
                self._ring,
                taken,
                at,
            )
            if at < len(demands):
                self._take_by_hand(at, demands[at], scoring, taken)
                at += 1
        return taken

    def _copy(self, soonest: int, latest: int) -> None:
        old = (self._blocks, self._zones, self._groups[: len(self._groups_by_key)], self._order)
        counts = rounds.count(*old, soonest, latest)
        present = [
            (int(old[2][g]["token"]), int(old[2][g]["model"]), g, size) for g, size in np.argwhere(counts)
        ]
        present.sort()
        groups = np.zeros(len(present), GROUP)
        families: list[list[Any]] = []
        targets = np.full(counts.shape, MISSING, np.int64)
        used = 0
        for at, (token, model, g, size) in enumerate(present):
            features = int(old[2][g]["features"])
            most = 2**16 if size == CLASSES - 1 else (2 << size) - 1
            groups[at] = (used, 0, most, token, model, features)
            targets[g, size] = at
            used += -(-int(counts[g, size]) // rounds.FILL)
            if families and families[-1][2:4] == [token, model]:
                families[-1][5] = at + 1
                families[-1][6] |= features
            else:
                families.append([0, 0, token, model, at, at + 1, features])
        self._groups = groups
        self._families = np.array([tuple(each) for each in families], FAMILY)
        self._blocks, self._zones = np.empty(used, BLOCK), np.zeros(used, ZONE)
        self._order = np.zeros(used, np.int32)
        self._heads = np.zeros(len(groups) + len(families), HEAD)
        self._heap = np.zeros(len(self._heads), np.int64)
        self._changed = np.zeros(used, np.int64)
        self._place_of = np.full(len(self._listings), MISSING, np.int64)
        self._ring = np.frombuffer(self._next_of, np.int32)
        rounds.copy(*old, soonest, latest, targets, self._blocks, self._zones, groups, self._order, self._place_of)

    def _take_by_hand(self, at: int, demand: Demand, scoring: Scoring, taken: Any) -> None:
        if demand.offer_hash is None:
            found = self.best(demand, scoring, 1)
        else:
            found = [o for o in self._of_named(demand, scoring) if self._left(o.listing) >= demand.gpu_count]
        if found:
            number = taken[at] = self._number_of(found[0].listing)
            rounds.take(
                self._blocks, self._zones, self._changed, self._place_of, self._ring, number, demand.gpu_count
            )

    def _number_of(self, listing: Listing) -> int:
        return next(number for number, each in self._of_pool(listing.pool) if each is listing)

    def _left(self, listing: Listing) -> int:
        place = int(self._place_of[self._number_of(listing)])
        return 0 if place == MISSING else int(self._blocks["free"][place // ROWS, place % ROWS])
