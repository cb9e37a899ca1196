"""The Python side of a round of the compiled index: what is asked, and what the kernels leave to be
answered."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from molt_market.orderbook.compiled.blocks import BlockIndex
from molt_market.orderbook.compiled.kernels import rounds
from molt_market.orderbook.compiled.kernels.prices import MISSING
from molt_market.orderbook.compiled.layout import (
    BEST,
    BLOCK,
    CHOICE,
    CHOSEN,
    FAMILY,
    GROUP,
    HEAD,
    QUESTION,
    ROWS,
    ZONE,
)
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.scoring import Scoring

NO_PRICE = 0  # a family's, until it is first looked at: none is below


class Round(BlockIndex):
    """What stands of an index, to be used up by demands in turn. The index itself does not change.

    `write` makes arrays of the demands; `run` is one compiled call, unless demands have to be answered one by
    one: those that columns do not decide (docs/matching.md), or where only the id says which offer is first.
    """

    def __init__(self, index: BlockIndex, demands: Sequence[Demand], scoring: Scoring) -> None:
        super().__init__()
        vars(self).update(vars(index))
        self._demands = demands
        self._scoring = scoring

    def listings(self) -> list[Listing | None]:
        """Return what each demand takes."""
        if not self._demands:
            return []
        self.write()
        return [None if number == MISSING else self._listings[number] for number in self.run().tolist()]

    def write(self) -> None:
        """Write all demands down for the kernels."""
        size = QUESTION.itemsize
        written = bytearray(size * len(self._demands))
        kinds: list[int] = []
        choices: list[tuple[int, int, int]] = []
        chosen: list[tuple[int, int]] = []
        known: dict[Any, tuple[int, int, int]] = {}
        for n, demand in enumerate(self._demands):
            kinds.append(self._kind(demand))
            written[n * size : (n + 1) * size] = self._question_bytes
            models = (demand.required_models, demand.preferred_models)
            if models not in known:
                others, shares = self._worth_of_models(demand)
                known[models] = (others, len(chosen), len(chosen) + len(shares))
                chosen += shares
            choices.append(known[models])
        self._asks = np.frombuffer(written, QUESTION)
        self._kinds = np.array(kinds, np.uint8)
        self._choices, self._chosen = np.array(choices, CHOICE), np.array(chosen, CHOSEN)

    def run(self) -> Any:
        """Return the number of the listing that each demand takes, MISSING where nothing fits."""
        taken = np.full(len(self._demands), MISSING, np.int64)
        asked = self._asks[self._kinds != rounds.NOTHING]
        if not len(asked):
            return taken
        self._copy(int(asked["now"].min()), int(asked["born"].max()))
        at = 0
        while (at := self._match(taken, at)) < len(taken):
            taken[at] = number = self._answered(self._demands[at])
            if number != MISSING:
                self._take(number, self._demands[at].gpu_count)
            at += 1
        return taken

    def _kind(self, demand: Demand) -> int:
        """Write one demand down, and say who answers it."""
        is_exact = self._ask(demand, self._scoring)
        if demand.offer_hash is not None:
            return rounds.BY_HAND
        if is_exact is None:
            return rounds.NOTHING
        return rounds.SURE if is_exact else rounds.BY_HAND

    def _match(self, taken: Any, first: int) -> int:
        at: int = rounds.match(
            self._blocks,
            self._zones,
            self._groups,
            self._order,
            self._families,
            self._asks,
            self._kinds,
            self._choices,
            self._chosen,
            self._some_shares,
            self._heads,
            self._heap,
            self._best_row,
            self._changes,
            self._place_of,
            self._ring,
            taken,
            first,
        )
        return at

    # ------------------------------------------------------------------------------------ one by one

    def _answered(self, demand: Demand) -> int:
        if demand.offer_hash is None:
            found = list(self.best(demand, self._scoring, 1))
        else:
            named = self._of_named(demand, self._scoring)
            found = [each for each in named if self._left_of(each.listing) >= demand.gpu_count]
        return self._number_of(found[0].listing) if found else MISSING

    def _take(self, number: int, gpus: int) -> None:
        rounds.take(self._blocks, self._zones, self._changes, self._place_of, self._ring, number, gpus)

    def _number_of(self, listing: Listing) -> int:
        return next(number for number, each in self._of_pool(listing.pool) if each is listing)

    def _left_of(self, listing: Listing) -> int:
        place = int(self._place_of[self._number_of(listing)])
        return 0 if place == MISSING else int(self._blocks["free"][place // ROWS, place % ROWS])

    # ------------------------------------------------------------------------------------ the copy

    def _copy(self, soonest: int, latest: int) -> None:
        """Take a copy of all that stands between two moments, its groups sorted by token and model."""
        source = (self._blocks, self._zones, self._groups[: len(self._groups_by_key)], self._order)
        counts = rounds.count(*source, soonest, latest)
        kept = np.flatnonzero(counts)
        kept = kept[np.lexsort((source[2]["model"][kept], source[2]["token"][kept]))]
        blocks = -(-counts[kept] // rounds.FILL)
        self._groups = np.zeros(len(kept), GROUP)
        for name in ("token", "model", "features"):
            self._groups[name] = source[2][name][kept]
        self._groups["start"] = np.cumsum(blocks) - blocks
        self._families = _families(self._groups)
        used = int(blocks.sum())
        self._blocks, self._zones = np.empty(used, BLOCK), np.zeros(used, ZONE)
        self._order = np.arange(used, dtype=np.int32)
        self._heads = np.zeros(len(self._groups) + len(self._families), HEAD)
        self._heap = np.zeros(len(self._heads), np.int64)
        self._best_row = np.zeros(1, BEST)
        self._changes = np.zeros(used, np.int64)
        self._place_of = np.full(len(self._listings), MISSING, np.int64)
        self._ring = np.array(self._next_of, np.int32)
        copied = (self._blocks, self._zones, self._groups)
        rounds.copy(*source, soonest, latest, kept, *copied, self._place_of)


def _families(groups: Any) -> Any:
    """Return the families of groups that are sorted by token and model."""
    families, start = [], 0
    for (token, model), each in groupby(groups[["token", "model", "features"]].tolist(), lambda g: g[:2]):
        features = [g[2] for g in each]
        end = start + len(features)
        families.append((NO_PRICE, 0, token, model, start, end, int(np.bitwise_or.reduce(features))))
        start = end
    return np.array(families, FAMILY)
