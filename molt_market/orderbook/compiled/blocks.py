"""The compiled index: the columns of all offers as arrays, and the Python side of what `kernels` does with
them."""

from __future__ import annotations

from array import array
from bisect import insort
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, overload

import numpy as np

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.fields import MAX_UINT96
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.ids import Hash32, PartyId
from molt_market.domain.matches import MILLION
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobRequirements
from molt_market.orderbook.compiled.kernels import every, few, rows
from molt_market.orderbook.compiled.kernels.prices import MISSING
from molt_market.orderbook.compiled.layout import (
    BLOCK,
    BLOCKS_USED,
    FIGURES,
    FOUND,
    FREE_BLOCK,
    GROUP,
    HEAD,
    MOST_2,
    MOST_4,
    OTHER,
    PACK_QUESTION,
    PACK_ROW,
    QUESTION,
    ROW,
    ROWS,
    SIZES,
    ZONE,
)
from molt_market.orderbook.constraints import fits
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.index import one_by_one, ranking
from molt_market.orderbook.listing import Listing, Pool
from molt_market.orderbook.ranked import Ranked
from molt_market.orderbook.scoring import FULL_BANDWIDTH_GB_PER_SECOND, ScoreWeights, Scoring, share_of_model
from molt_market.orderbook.surplus import Outcome, Refused

AT_ONCE = 256  # keys that become Python's numbers together
FEW = 1_024  # above that, all that fits is found and sorted: to keep the best in order costs more
ANY = -1
NONE = 0
LOW = 2**64 - 1
FILL = ROWS - ROWS // 16


class Codes:
    """Small numbers for texts, from 1 on, `other` for all that come when the rest are given away; 0 for
    None."""

    def __init__(self, other: int) -> None:
        self.other = other
        self.known: dict[Hashable, int] = {None: NONE}

    def of(self, text: Hashable) -> int:
        code = self.known.get(text)
        if code is None:
            code = self.known[text] = min(len(self.known), self.other)
        return code


class Answer(Sequence[Ranked]):
    """Listings and their scores, the best first; what makes a score up is told of each as it is looked at."""

    def __init__(self, demand: Demand, scoring: Scoring, listings: Sequence[Listing]) -> None:
        self._demand = demand
        self._scoring = scoring
        self._listings = listings

    def __len__(self) -> int:
        return len(self._listings)

    @overload
    def __getitem__(self, at: int) -> Ranked: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Ranked]: ...

    def __getitem__(self, at: int | slice) -> Ranked | Sequence[Ranked]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        return Ranked.of(self._listings[at], self._demand, self._scoring)


class Found(Sequence[Listing]):
    """Listings by their places in the blocks, the best first; each is looked up when it is asked for.

    What nothing but its id sets apart is sorted by that then, and stays so for who reads on.
    """

    def __init__(self, keys: Any, index: BlockIndex) -> None:
        self._keys = keys
        self._index = index
        self._run: tuple[range, list[int]] = (range(0), [])

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, at: int) -> Listing: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Listing]: ...

    def __getitem__(self, at: int | slice) -> Listing | Sequence[Listing]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        at = range(len(self))[at]
        run, places = self._run
        if at not in run:
            run = self._tied_with(at)
            places = sorted(run, key=lambda each: self._listing(each).offer.id)
            self._run = run, places
        return self._listing(places[at - run.start])

    def _tied_with(self, at: int) -> range:
        first, last = at, at + 1
        while self._is_tied(first):
            first -= 1
        while last < len(self) and self._is_tied(last):
            last += 1
        return range(first, last)

    def _is_tied(self, at: int) -> bool:
        return bool(int(self._keys[at]) & int(every.TIED))

    def _listing(self, at: int) -> Listing:
        return self._index.listing_at(int(self._keys[at]) & int(every.PLACE))


class BlockIndex:
    """Offers by token, model and features; each group by price, in blocks of columns.

    Constraints that no column holds (parties, the named offer), and values that do not fit into one, are
    checked on what was found; then more is looked for until the answer is sure.
    """

    def __init__(self) -> None:
        self._listings: list[Listing | None] = []
        self._left: list[int] = []  # numbers of listings that went
        self._regions, self._countries, self._policies = Codes(MOST_2), Codes(OTHER), Codes(OTHER)
        self._places: dict[
            tuple[str | None, str | None], tuple[int, int]
        ] = {}  # region, country: their codes
        self._models: dict[str, int] = {}
        self._tokens: dict[Token, int] = {}
        self._groups_by_key: dict[tuple[int, str, int], int] = {}
        self._last_token: tuple[Token | None, int | None] = (None, None)
        self._providers: dict[str, int] = {}  # with the number of their offers
        self._agents: dict[str, int] = {}  # of others than themselves
        self._named: dict[Hash32, list[Listing]] = {}
        self._large = 0  # offers of more GPUs than a column holds
        self._first_of: dict[Pool, int] = {}  # one listing of a pool
        self._next_of = array("i")  # by a listing's number: the next one of its pool, in a ring
        self._told = self._note_held
        self._row_bytes = bytearray(ROW.itemsize)
        self._row = np.frombuffer(self._row_bytes, ROW)
        self._question_bytes = bytearray(QUESTION.itemsize)
        self._question = np.frombuffer(self._question_bytes, QUESTION)
        self._blocks, self._zones = np.zeros(16, BLOCK), np.zeros(16, ZONE)
        self._groups, self._heads = np.zeros(16, GROUP), np.zeros(16, HEAD)
        self._heap = np.zeros(16, np.int64)
        self._order = np.zeros(64, np.int32)
        self._figures = np.zeros(FIGURES, np.int64)
        self._figures[FREE_BLOCK] = MISSING
        self._fits = np.zeros(ROWS + 1, np.int64)
        self._shares = self._all_shares = np.full(16, MILLION, np.int64)
        self._some_shares = np.zeros(16, np.int64)
        self._found = np.zeros(FEW + 1, FOUND)
        self._handles = self._found["handle"]

    def __len__(self) -> int:
        return len(self._listings) - len(self._left)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that are in use."""
        used = int(self._figures[BLOCKS_USED])
        return used * (BLOCK.itemsize + ZONE.itemsize) + self._order.nbytes + self._groups.nbytes

    # ------------------------------------------------------------------------------------ offers

    def add(self, listing: Listing) -> None:
        number = self._number(listing)
        PACK_ROW(self._row_bytes, 0, *self._columns(listing, number))
        group = self._group(listing)
        while outcome := rows.insert(
            self._blocks, self._zones, self._groups, self._order, self._figures, self._row, group
        ):
            if outcome == rows.NO_BLOCK:
                self._blocks, self._zones = _grown(self._blocks), _grown(self._zones)
            else:
                self._order = _grown(self._order)

    def add_all(self, listings: Iterable[Listing]) -> None:
        """Add many to an index that is empty: faster than one by one."""
        by_group: dict[int, list[tuple[int, ...]]] = defaultdict(list)
        for listing in listings:
            by_group[self._group(listing)].append(self._columns(listing, self._number(listing)))
        blocks = sum(-(-len(each) // FILL) for each in by_group.values())
        self._blocks, self._zones = np.zeros(blocks + 16, BLOCK), np.zeros(blocks + 16, ZONE)
        self._order = np.zeros(2 * blocks + 8 * len(by_group) + 64, np.int32)
        for group, each in by_group.items():
            table = np.array(each, ROW)
            table = table[np.lexsort((table["lo"], table["hi"]))]
            place = self._groups[group : group + 1]
            rows.load(self._blocks, self._zones, place, self._order, self._figures, table)

    def remove(self, listing: Listing) -> None:
        number = self._forget(listing)
        hi, lo = divmod(listing.price, 2**64)
        group = self._group(listing)
        rows.remove(
            self._blocks,
            self._zones,
            self._groups,
            self._order,
            self._figures,
            group,
            hi,
            np.uint64(lo),
            number,
        )

    # ------------------------------------------------------------------------------------ answers

    def find(self, demand: Demand, scoring: Scoring) -> Sequence[Ranked]:
        if demand.offer_hash is not None:
            return self._of_named(demand, scoring)
        found, is_exact = self._all(demand, scoring)
        if is_exact:
            return Answer(demand, scoring, found)
        return ranking((o for o in found if fits(o, demand)), demand, scoring)

    def best(self, demand: Demand, scoring: Scoring, limit: int) -> Sequence[Ranked]:
        if demand.offer_hash is not None:
            return self._of_named(demand, scoring)[:limit]
        is_exact = self._ask(demand, scoring)
        if is_exact is None or not limit:
            return []
        return self._exact(demand, scoring, limit) if is_exact else self._checked(demand, scoring, limit)

    def match_round(self, demands: Sequence[Demand], scoring: Scoring) -> list[Listing | None]:
        from molt_market.orderbook.compiled.turns import Round  # noqa: PLC0415 - it is made of this class

        if self._large or not all(0 < demand.gpu_count < MOST_2 for demand in demands):
            return one_by_one(
                self.best, demands, scoring
            )  # a column of free GPUs could not tell what is left
        return Round(self, demands, scoring).listings()

    def prepare_for_surplus(self) -> None:
        compile_for_surplus()

    def most_surplus(self, demands: Sequence[Demand], refused: Refused, *, share_slots: bool) -> Outcome:
        from molt_market.orderbook.compiled import surplus  # noqa: PLC0415 - it is made of this class

        mode = surplus.Sharing if share_slots else surplus.Clearing
        return mode(self, demands, refused).outcome()

    def candidates_at_any_price(self, demand: Demand) -> Iterable[Listing]:
        if demand.offer_hash is not None:
            return self._named.get(demand.offer_hash, [])
        if self._ask_for_anything(demand):
            return Found(self._keys(), self)
        return ()

    def listing_at(self, place: int) -> Listing:
        """Return the listing at a place: 128 times the number of the block, and the row."""
        return self._known(self._number_at(place))

    def _number_at(self, place: int) -> int:
        return int(self._blocks["handle"][place // ROWS, place % ROWS])

    def _known(self, number: int) -> Listing:
        listing = self._listings[number]
        if listing is None:  # pragma: no cover - an answer was read too late
            raise LookupError("the offers have changed since this was found")
        return listing

    def _exact(self, demand: Demand, scoring: Scoring, limit: int) -> Sequence[Ranked]:
        """Return the best of rows that fit for sure; one more is found to see whether it ties with the
        last."""
        size = limit + 1
        while size <= FEW:
            n, ties, is_last = self._best(size)
            if n < size or not is_last:
                listings: list[Any] = [self._listings[each] for each in self._handles[:n].tolist()]
                if ties:
                    return ranking(listings, demand, scoring)[:limit]
                return Answer(demand, scoring, listings[:limit])
            size *= 4
        return Answer(demand, scoring, Found(self._keys(), self)[:limit])

    def _checked(self, demand: Demand, scoring: Scoring, limit: int) -> Sequence[Ranked]:
        """Return the best of rows that may not fit, or score less than they seem to.

        They come by what they score at most, so that each says how good those behind it can be.
        """
        least, most = scoring.by_reliability()
        found: list[tuple[Any, Listing]] = []
        for at_most, listing in self._by_bound(2 * limit + 6):
            if len(found) == limit and found[-1][0][:2] < (-at_most, listing.price):
                break
            if fits(listing, demand):
                score = (
                    at_most if least == most else at_most - most + scoring.reliability_of(listing.provider)
                )
                insort(found, ((-score, listing.price, listing.created_at, listing.offer.id), listing))
                del found[limit:]
        return Answer(demand, scoring, [listing for _, listing in found])

    def _by_bound(self, few: int) -> Iterator[tuple[int, Listing]]:
        """Give what was asked for with the most that it scores, the best first: a few, more, and then all."""
        seen: set[int] = set()
        for size in (few, FEW):
            n = self._best(size)[0] if len(seen) < size <= FEW else 0
            scores, numbers = self._found["score"][:n].tolist(), self._handles[:n].tolist()
            for score, number in zip(scores, numbers, strict=True):
                if number not in seen:
                    seen.add(number)
                    yield score, self._known(number)
            if 0 < n < size:
                return
        keys = self._keys()
        for start in range(0, len(keys), AT_ONCE):
            for key in keys[start : start + AT_ONCE].tolist():
                number = self._number_at(key & int(every.PLACE))
                if number not in seen:
                    yield MILLION - (key >> 44), self._known(number)

    def _best(self, size: int) -> tuple[int, int, bool]:
        found: tuple[int, int, bool] = few.best(
            self._blocks,
            self._zones,
            self._groups,
            self._order,
            self._question,
            self._shares,
            self._heads,
            self._heap,
            self._fits,
            self._found,
            size,
        )
        return found

    def _all(self, demand: Demand, scoring: Scoring) -> tuple[Sequence[Listing], bool]:
        is_exact = self._ask(demand, scoring)
        return ([], True) if is_exact is None else (Found(self._keys(), self), is_exact)

    def _keys(self) -> Any:
        keys, spare = np.empty(len(self), np.uint64), np.empty(len(self), np.uint64)
        n = every.find(
            self._blocks,
            self._zones,
            self._groups,
            self._order,
            self._question,
            self._shares,
            self._fits,
            keys,
            spare,
        )
        return spare[:n]

    def _of_named(self, demand: Demand, scoring: Scoring) -> list[Ranked]:
        named = self._named.get(demand.offer_hash, []) if demand.offer_hash else []
        return ranking((o for o in named if fits(o, demand)), demand, scoring)

    # ------------------------------------------------------------------------------------ questions

    def _ask(self, demand: Demand, scoring: Scoring) -> bool | None:
        """Write a demand down for the kernels: whether all that they find fits and scores so; None: nothing
        fits."""
        unit = demand.gpu_count * demand.hours
        cap = min(demand.price_limit, demand.budget // unit) if unit else demand.price_limit
        least, most = scoring.by_reliability()
        weights = scoring.weights
        worth = (weights.price, weights.model, weights.utilization, weights.bandwidth, weights.features, most)
        is_exact = self._write(demand, demand.price_limit, cap, worth, demand.gpu_count)
        return is_exact if is_exact is None else is_exact and least == most

    def _ask_for_anything(self, demand: Demand) -> bool:
        """Write down a demand at any price, for any number of GPUs; False: nothing fits."""
        return self._write(demand, MAX_UINT96, MAX_UINT96, (0, 0, 0, 0, 0, 0), 0) is not None

    def _write(
        self, demand: Demand, limit: int, cap: int, worth: tuple[int, int, int, int, int, int], gpus: int
    ) -> bool | None:
        token = self._known_token(demand.token)
        region, country, policy = demand.region, demand.country, demand.policy_id
        in_region = ANY if region is None else self._regions.known.get(region)
        in_country = ANY if country is None else self._countries.known.get(country)
        if token is None or in_region is None or in_country is None:
            return None
        if in_region > NONE and in_country > NONE and (region, country) not in self._places:
            return None
        by_policy = ANY if policy is None else self._policies.known.get(policy, NONE)
        self._choose_models(demand)
        vram, hours, now = demand.min_vram_gb, demand.hours, int(demand.now.timestamp())
        is_exact = (
            gpus < MOST_2
            and vram < MOST_2
            and now < MOST_4
            and in_region != MOST_2
            and OTHER not in {in_country, by_policy}
            and demand.buyer not in self._providers
            and (
                demand.voucher_signer is None
                or (
                    demand.voucher_signer not in self._providers and demand.voucher_signer not in self._agents
                )
            )
        )
        born = now
        if not 0 <= now < MOST_4:
            now, born = (MOST_4 - 1, MOST_4) if now > 0 else (0, 0)
        if hours > MOST_2 or not is_exact:
            gpus, vram, hours = min(gpus, MOST_2), min(vram, MOST_2), min(hours, MOST_2)
        size = gpus.bit_length()
        shift = limit.bit_length() - 32 if limit >> 32 else 0
        PACK_QUESTION(
            self._question_bytes,
            0,
            limit & LOW,
            limit >> 64,
            cap & LOW,
            cap >> 64,
            shift,
            2**63 // (limit >> shift),
            *worth,
            token,
            demand.features,
            now,
            born,
            gpus,
            size if size < SIZES else SIZES - 1,
            vram,
            hours,
            in_region,
            in_country,
            by_policy,
        )
        return is_exact

    def _choose_models(self, demand: Demand) -> None:
        """Write down the share of each model, -1 for those that do not do."""
        others, chosen = self._worth_of_models(demand)
        if not chosen and others == MILLION:
            self._shares = self._all_shares
            return
        self._shares = self._some_shares
        self._shares.fill(others)
        for code, share in chosen:
            self._shares[code] = share

    def _worth_of_models(self, demand: Demand) -> tuple[int, list[tuple[int, int]]]:
        """Return the share of each model that a demand names, by its code, and that of all others; -1: they
        do not do."""
        required, preferred = demand.required_models, demand.preferred_models
        if not required and not preferred:
            return MILLION, []
        known = [
            (code, model) for model in required or preferred if (code := self._models.get(model)) is not None
        ]
        return -1 if required else 0, [(code, share_of_model(model, preferred)) for code, model in known]

    # ------------------------------------------------------------------------------------ listings

    def _number(self, listing: Listing) -> int:
        """Give a listing a number, and note what is looked up by other things than columns."""
        if self._left:
            number = self._left.pop()
            self._listings[number] = listing
        else:
            number = len(self._listings)
            self._listings.append(listing)
            self._next_of.append(-1)
        pool = listing.pool
        beside = self._first_of.setdefault(pool, number)
        self._next_of[number] = number if beside == number else self._next_of[beside]
        self._next_of[beside] = number
        pool.watch(self._told)
        self._providers[listing.provider] = self._providers.get(listing.provider, 0) + 1
        if listing.agent is not listing.provider:
            self._agents[listing.agent] = self._agents.get(listing.agent, 0) + 1
        self._large += listing.gpu_count > MOST_2
        if listing.offer_hash is not None:
            self._named.setdefault(listing.offer_hash, []).append(listing)
        return number

    def _forget(self, listing: Listing) -> int:
        """Take a listing's number back."""
        before = self._first_of[listing.pool]
        while self._listings[self._next_of[before]] is not listing:
            before = self._next_of[before]
        number = self._next_of[before]
        if number == before:
            del self._first_of[listing.pool]
        else:
            self._next_of[before] = self._next_of[number]
            self._first_of[listing.pool] = before
        self._listings[number] = None
        self._left.append(number)
        _count_down(self._providers, listing.provider)
        if listing.agent is not listing.provider:
            _count_down(self._agents, listing.agent)
        self._large -= listing.gpu_count > MOST_2
        if listing.offer_hash is not None:
            self._named[listing.offer_hash].remove(listing)
            if not self._named[listing.offer_hash]:
                del self._named[listing.offer_hash]
        return number

    def _of_pool(self, pool: Pool) -> Iterator[tuple[int, Listing]]:
        number = first = self._first_of.get(pool, -1)
        while number >= 0:
            yield number, self._known(number)
            number = self._next_of[number]
            if number == first:
                return

    def _note_held(self, pool: Pool) -> None:
        for number, listing in self._of_pool(pool):
            hi, lo = divmod(listing.price, 2**64)
            group = self._group(listing)
            free = min(listing.free, MOST_2)
            rows.set_free(
                self._blocks, self._zones, self._groups, self._order, group, hi, np.uint64(lo), number, free
            )

    def _columns(self, listing: Listing, number: int) -> tuple[int, ...]:
        """Return a row. It is made of every offer: no calls where none is needed."""
        gpus = listing.offer.gpu_capacity
        busy, bandwidth = gpus.current_utilization, gpus.memory_bandwidth
        place = (listing.region, listing.country)
        codes = self._places.get(place) or self._new_place(*place)
        policy = self._policies.known.get(listing.policy_id)
        created, expires = int(listing.created_at.timestamp()), int(listing.expires_at.timestamp())
        free = listing.gpu_count - listing.pool.held
        return (
            listing.price & LOW,
            listing.price >> 64,
            number,
            min(MOST_4, created),
            min(MOST_4, expires),
            0 if free < 0 else min(MOST_2, free),
            listing.vram_gb,
            listing.available_hours,
            listing.min_commitment_hours,
            codes[0],
            min(bandwidth, FULL_BANDWIDTH_GB_PER_SECOND) if bandwidth else 0,
            codes[1],
            self._policies.of(listing.policy_id) if policy is None else policy,
            0 if busy is None else 100 - busy,
        )

    def _new_place(self, region: str | None, country: str | None) -> tuple[int, int]:
        codes = self._places[region, country] = (self._regions.of(region), self._countries.of(country))
        return codes

    def _group(self, listing: Listing) -> int:
        token = self._known_token(listing.token)
        if token is None:
            token = self._tokens[listing.token] = len(self._tokens)
        key = (token, listing.model, listing.features)
        group = self._groups_by_key.get(key)
        return self._new_group(*key) if group is None else group

    def _known_token(self, token: Token) -> int | None:
        last, code = self._last_token
        if token is last:  # to hash a token takes longer than all else that an offer is filed by
            return code
        code = self._tokens.get(token)
        if code is not None:
            self._last_token = (token, code)
        return code

    def _new_group(self, token: int, model: str, features: int) -> int:
        group = self._groups_by_key[token, model, features] = len(self._groups_by_key)
        if group == len(self._groups):
            self._groups, self._heads, self._heap = map(_grown, (self._groups, self._heads, self._heap))
        self._groups[group]["token"] = token
        self._groups[group]["model"] = code = self._models.setdefault(model, len(self._models))
        self._groups[group]["features"] = features
        if code == len(self._all_shares):
            self._all_shares = np.full(2 * code, MILLION, np.int64)
            self._some_shares = np.zeros(2 * code, np.int64)
        return group


def compile_all() -> None:
    """Have numba compile all that the index calls, or load what it compiled before, by using it once."""
    demand, listing = _example()
    index, scoring = BlockIndex(), Scoring(ScoreWeights(), lambda _: None)
    index.add_all([listing])
    index.best(demand, scoring, 1)
    index.find(demand, scoring)
    index.match_round([demand], scoring)
    listing.pool.held = 0
    index.remove(listing)
    index.add(listing)


def _example() -> tuple[Demand, Listing]:
    """Make a demand and a listing that fits it."""
    offer = CapacityOffer(
        provider_id=PartyId("nobody"),
        gpu_capacity=GpuCapacity(gpu_count=1, gpu_model="H100", vram_gb=80),
        price_per_hour=Amount(1),
        available_hours=1,
    )
    needs = JobRequirements(min_gpu_count=1, min_vram_gb=80, max_price_per_hour=Amount(9), estimated_hours=1)
    demand = Demand.of_requirements(needs, offer.created_at)
    return demand, Listing.of(offer, Pool(), None)


@cache
def compile_for_surplus() -> None:
    """Have numba compile, or load, what clears for surplus, once per process."""
    demand, listing = _example()
    index = BlockIndex()
    index.add(listing)
    for share_slots in (False, True):
        index.most_surplus([demand], {}, share_slots=share_slots)
        index.most_surplus([demand, demand], {0: (listing,)}, share_slots=share_slots)


def _count_down(counter: dict[str, int], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


def _grown(table: Any) -> Any:
    """Return a copy with half as much room again; what is not used of it takes no memory."""
    grown = np.zeros(len(table) + max(len(table) // 2, 16), table.dtype)
    grown[: len(table)] = table
    return grown
