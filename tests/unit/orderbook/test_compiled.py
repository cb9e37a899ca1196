"""The compiled index answers as the readable one does: the same offers, scores and order, whatever
happens."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from molt_market.domain.amounts import Amount
from molt_market.domain.fields import MAX_UINT96
from molt_market.domain.gpus import Location
from molt_market.domain.ids import Hash32, PartyId
from molt_market.domain.matches import MILLION
from molt_market.domain.offers import CapacityOffer
from molt_market.errors import InvalidValue
from molt_market.orderbook import CompiledIndex, PriceIndex, ScoreWeights
from molt_market.orderbook.compiled import blocks
from molt_market.orderbook.compiled.blocks import BlockIndex
from molt_market.orderbook.compiled.kernels import prices
from molt_market.orderbook.compiled.layout import MOST_4, OTHER, QUESTION, ROWS
from molt_market.orderbook.constraints import Kind, broken
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing, Pool
from molt_market.orderbook.scoring import NEUTRAL_RELIABILITY, Scoring
from tests.factories import AGENT, BUYER, NOON, PROVIDER, VOUCHER_SIGNER, make_offer, make_requirements
from tests.unit.orderbook import strategies as some

# few prices, so that many tie; neighbours at the edges of words; and any
PRICES = st.one_of(
    st.integers(1, 5),
    st.sampled_from([2**64 - 1, 2**64, 2**64 + 1, 10**18, 10**18 + 1, 9 * 10**18, MAX_UINT96]),
    st.integers(1, MAX_UINT96),
)
# (limit - price) * 1,000,000 / limit is a whole number, or next to one
SHARES = st.builds(
    lambda limit, share, off: (limit, min(max(limit - limit * share // MILLION + off, 1), limit)),
    st.integers(1, MAX_UINT96),
    st.integers(0, MILLION),
    st.integers(-2, 2),
)


def scoring(weights: ScoreWeights | None = None, known: dict[PartyId, int | None] | None = None) -> Scoring:
    neutral = (NEUTRAL_RELIABILITY, NEUTRAL_RELIABILITY)
    bounds = (0, MILLION) if known else neutral
    return Scoring(weights or ScoreWeights(), (known or {}).get, lambda: bounds)


def listing(pool: Pool | None = None, **fields: object) -> Listing:
    offer = make_offer(**fields)
    return Listing.of(offer, pool or Pool(), None)


@given(SHARES | st.tuples(PRICES, PRICES).map(lambda two: (max(two), min(two))))
def test_saved__any_price_up_to_the_limit__is_exact(limit_and_price: tuple[int, int]) -> None:
    limit, price = limit_and_price
    ask = np.zeros(1, QUESTION)
    ask["limit_hi"], ask["limit_lo"] = limit >> 64, limit & (2**64 - 1)
    ask["shift"] = shift = max(limit.bit_length() - 32, 0)
    ask["reciprocal"] = 2**63 // (limit >> shift)
    share = prices.saved(ask[0], np.uint64(price >> 64), np.uint64(price & (2**64 - 1)))
    assert share == (limit - price) * MILLION // limit


@st.composite
def any_demand(draw: st.DrawFn) -> Demand:
    bare = Demand.of_requirements(
        draw(some.requirements()), NOON + timedelta(seconds=draw(st.integers(-10, 300)))
    )
    limit, budget = draw(PRICES), draw(st.none() | PRICES)
    buyer = draw(st.sampled_from([None, BUYER, PROVIDER, AGENT]))
    return replace(
        bare,
        price_limit=limit,
        budget=bare.total_at(limit) if budget is None else budget,
        buyer=None if buyer is None else PartyId(buyer),
        voucher_signer=draw(st.sampled_from([None, BUYER, AGENT, VOUCHER_SIGNER])),
        policy_id=draw(st.sampled_from([None, None, *some.POLICIES])),
        offer_hash=draw(some.mostly(None, *some.OFFER_HASHES)),
    )


DEMANDS = any_demand()


class TwoIndexes(RuleBasedStateMachine):
    """The readable and the compiled index side by side, as offers come and go and GPUs are held and let
    go."""

    def __init__(self) -> None:
        super().__init__()
        self.readable, self.compiled = PriceIndex(), BlockIndex()
        self.listings: list[Listing] = []
        self.pools = [Pool() for _ in range(4)]
        self.known: dict[PartyId, int | None] = {}
        self.numbers = iter(range(10**6))

    @initialize(count=st.integers(0, 3 * ROWS), price=PRICES)
    def begin(self, count: int, price: int) -> None:
        for each in range(count):
            self.put(listing(id=f"{next(self.numbers)}", price_per_hour=Amount(max(price - each % 7, 1))))

    @rule(
        offer=some.offers(st.just("any")), price=PRICES, pool=st.integers(0, 3), named=some.mostly(None, 0, 1)
    )
    def add(self, offer: CapacityOffer, price: int, pool: int, named: int | None) -> None:
        token = offer.price_per_hour.token
        update = {"id": f"{next(self.numbers)}", "price_per_hour": Amount(price, token)}
        hashed = None if named is None else some.OFFER_HASHES[named]
        self.put(Listing.of(offer.model_copy(update=update), self.pools[pool], hashed))

    def put(self, new: Listing) -> None:
        self.listings.append(new)
        self.readable.add(new)
        self.compiled.add(new)

    @rule(data=st.data(), count=st.sampled_from([1, 1, 1, ROWS]))
    def remove(self, data: st.DataObject, count: int) -> None:
        for _ in range(min(count, len(self.listings))):
            gone = self.listings.pop(data.draw(st.integers(0, len(self.listings) - 1)) if count == 1 else 0)
            self.readable.remove(gone)
            self.compiled.remove(gone)

    @rule(pool=st.integers(0, 3), held=st.integers(0, 6))
    def hold(self, pool: int, held: int) -> None:
        self.pools[pool].held = held

    @rule(party=st.sampled_from([PROVIDER, AGENT]), share=st.none() | st.integers(0, MILLION))
    def rate(self, party: str, share: int | None) -> None:
        self.known[PartyId(party)] = share

    @rule(
        demand=DEMANDS,
        count=st.integers(0, 40),
        weights=st.just(ScoreWeights()) | some.weights(),
        is_rated=st.booleans(),
    )
    def ask(self, demand: Demand, count: int, weights: ScoreWeights, is_rated: bool) -> None:  # noqa: FBT001
        ways = scoring(weights, self.known if is_rated else None)
        expected = self.readable.find(demand, ways)
        assert list(self.compiled.find(demand, ways)) == expected
        assert list(self.compiled.best(demand, ways, count)) == expected[:count]
        near = {o.offer.id for o in self.readable.candidates_at_any_price(demand) if _meets(o, demand)}
        found = [o.offer.id for o in self.compiled.candidates_at_any_price(demand)]
        assert near <= set(found)
        assert len(found) == len(set(found))

    @rule(
        demands=st.lists(DEMANDS, max_size=12),
        times=st.sampled_from([1, 1, 4]),
        weights=st.just(ScoreWeights()) | some.weights(),
        is_rated=st.booleans(),
    )
    def match_round(
        self,
        demands: list[Demand],
        times: int,
        weights: ScoreWeights,
        is_rated: bool,  # noqa: FBT001
    ) -> None:
        ways = scoring(weights, self.known if is_rated else None)
        expected = self.readable.match_round(demands * times, ways)
        held = [pool.held for pool in self.pools]
        assert self.compiled.match_round(demands * times, ways) == expected
        assert [pool.held for pool in self.pools] == held

    @invariant()
    def is_in_order(self) -> None:
        """Each zone holds at least what is in its block, and the groups hold everything, by price."""
        index = self.compiled
        assert len(index) == len(self.listings)
        seen = 0
        for group in index._groups[: len(index._groups_by_key)]:
            numbers = index._order[group["start"] : group["start"] + group["count"]]
            prices = []
            for block, zone in zip(index._blocks[numbers], index._zones[numbers], strict=True):
                rows = int(zone["count"])
                assert 0 < rows <= ROWS
                assert int(zone["free"]) >= block["free"][:rows].max()
                assert (zone["hi"], zone["lo"]) == (block["hi"][0], block["lo"][0])
                words = zip(block["hi"][:rows].tolist(), block["lo"][:rows].tolist(), strict=True)
                prices += [hi << 64 | lo for hi, lo in words]
            assert prices == sorted(prices)
            seen += len(prices)
        assert seen == len(self.listings)


def _meets(each: Listing, demand: Demand) -> bool:
    return Kind.NEEDS not in broken(each, demand)


TestTwoIndexes = TwoIndexes.TestCase


def test_add_all__is_the_same_as_one_by_one() -> None:
    listings = [
        listing(id=f"{each}", price_per_hour=Amount(1 + each * 7919 % 1_000), gpu_model=model)
        for each, model in enumerate(["H100", "A100", "H100"] * 200)
    ]
    at_once, one_by_one = BlockIndex(), BlockIndex()
    at_once.add_all(listings)
    for each in listings:
        one_by_one.add(each)
    demand = Demand.of_requirements(make_requirements(max_price_per_hour=Amount(900)), NOON)
    assert list(at_once.find(demand, scoring())) == list(one_by_one.find(demand, scoring()))


@pytest.mark.parametrize("ids", [range(3_000), range(3_000, 0, -1)])
def test_best__more_equal_offers_than_are_kept_in_order__comes_by_id(ids: range) -> None:
    index = BlockIndex()
    for each in ids:
        index.add(listing(id=f"{each}"))
    demand = Demand.of_requirements(make_requirements(), NOON)
    for limit in (1, 10, 2_000):
        found = [each.listing.offer.id for each in index.best(demand, scoring(), limit)]
        assert found == sorted(map(str, ids))[:limit]


def test_best__outcomes_known_of_many_providers__looks_as_far_as_it_has_to() -> None:
    readable, compiled = PriceIndex(), BlockIndex()
    dice = random.Random(3)
    known: dict[PartyId, int | None] = {}
    for number in range(3_000):
        price = Amount(10**18 + dice.randrange(10**18))
        each = listing(
            id=f"{number}", provider_id=f"provider-{number % 50}", price_per_hour=price, agent=None
        )
        known[each.provider] = dice.randrange(MILLION // 2)
        readable.add(each)
        compiled.add(each)
    demand = Demand.of_requirements(make_requirements(), NOON)
    for limit in (1, 10, 500, 2_000):
        ways = scoring(known=known)
        assert list(compiled.best(demand, ways, limit)) == readable.best(demand, ways, limit)


def test_best__more_countries_and_policies_than_there_are_codes__is_exact() -> None:
    readable, compiled = PriceIndex(), BlockIndex()
    names = [a + b for a in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for b in "ABCDEFGHIJKL"][: OTHER + 20]
    for number, country in enumerate(names):
        policy = f"0x{number:064x}"
        each = listing(id=country, location=Location(country=country), policy_id=policy)
        readable.add(each)
        compiled.add(each)
    bare = Demand.of_requirements(make_requirements(), NOON)
    for number, country in enumerate(names):
        for asked in (replace(bare, country=country), replace(bare, policy_id=Hash32(f"0x{number:064x}"))):
            assert list(compiled.best(asked, scoring(), 3)) == readable.best(asked, scoring(), 3) != []


def test_best__times_beyond_32_bits__are_exact() -> None:
    readable, compiled = PriceIndex(), BlockIndex()
    far = NOON + timedelta(days=366 * 100)
    for days in (2, 3, 10):
        for created in (NOON, far, far + timedelta(days=1)):
            name = f"{days}-{created.timestamp():.0f}"
            each = listing(id=name, created_at=created, expires_at=far + timedelta(days=days))
            readable.add(each)
            compiled.add(each)
    needs = make_requirements()
    for hours in range(-24, 24 * 12, 12):
        demand = Demand.of_requirements(needs, far + timedelta(hours=hours))
        assert demand.now.timestamp() > MOST_4
        assert list(compiled.best(demand, scoring(), 2)) == readable.best(demand, scoring(), 2)
        assert list(compiled.find(demand, scoring())) == readable.find(demand, scoring())


def test_match_round__a_large_book_used_up__is_the_same_as_one_by_one() -> None:
    """Orders come until nothing is left; offers share slots, many tie, and the copy drops what is used up."""
    dice, readable, compiled = random.Random(5), PriceIndex(), BlockIndex()
    pools = [Pool() for _ in range(500)]
    listings = [
        listing(
            dice.choice(pools),
            id=f"{number}",
            price_per_hour=Amount(10**18 + dice.randrange(200) * 10**16),
            gpu_model=dice.choice(["H100", "A100", "L40S"]),
            gpu_count=dice.choice([1, 2, 4, 8]),
            location=Location(region=f"region-{dice.randrange(4)}", country="DE"),
            created_at=NOON - timedelta(seconds=dice.randrange(3)),
            expires_at=NOON + timedelta(seconds=dice.choice([1, 100])),
        )
        for number in range(1_000)
    ]
    for each in listings:
        readable.add(each)
    compiled.add_all(listings)
    demands = [
        replace(
            Demand.of_requirements(
                make_requirements(
                    min_gpu_count=dice.choice([1, 2, 4, 8]),
                    max_price_per_hour=Amount(dice.choice([2, 4]) * 10**18),
                    preferred_models=dice.sample(["H100", "A100", "L40S"], dice.randrange(3)),
                    required_models=dice.choice([[], [], ["H100"]]),
                ),
                NOON + timedelta(seconds=dice.randrange(3)),
            ),
            region=dice.choice([None, None, "region-1"]),
            buyer=PartyId(BUYER),
        )
        for _ in range(800)
    ]
    found = compiled.match_round(demands, scoring())
    assert found == readable.match_round(demands, scoring())
    assert 200 < sum(each is not None for each in found) < len(found)
    assert not any(pool.held for pool in pools)


def test_match_round__more_gpus_than_a_column_holds__is_exact() -> None:
    compiled, pool = BlockIndex(), Pool()
    large = listing(pool, id="large", gpu_count=2**16 + 10)
    compiled.add(large)
    bare = Demand.of_requirements(make_requirements(), NOON)
    demands = [replace(bare, gpu_count=each, budget=10**30) for each in (2**16, 9, 2, 1, 1)]
    assert compiled.match_round(demands, scoring()) == [large, large, None, large, None]
    in_a_column = [replace(bare, gpu_count=each, budget=10**30) for each in (40_000, 20_000, 5_000, 546, 1)]
    assert compiled.match_round(in_a_column, scoring()) == [large, large, large, large, None]
    compiled.remove(large)
    small = listing(pool, id="small", gpu_count=2)
    compiled.add(small)
    assert compiled.match_round(demands, scoring()) == [None, None, small, None, None]
    assert compiled.match_round([], scoring()) == []


def test_match_round__a_named_offer__has_what_the_earlier_ones_left() -> None:
    index, named = BlockIndex(), some.OFFER_HASHES[0]
    offer = make_offer(gpu_count=8)
    each = Listing.of(offer, Pool(), named)
    index.add(each)
    bare = Demand.of_requirements(make_requirements(), NOON)
    wants = [
        replace(bare, gpu_count=gpus, budget=10**30, offer_hash=name)
        for gpus, name in ((5, None), (4, named), (3, named), (1, named), (1, None))
    ]
    assert index.match_round(wants, scoring()) == [each, None, each, None, None]


def test_match_round__an_index_that_fails__holds_nothing() -> None:
    index, pool = PriceIndex(), Pool()
    index.add(listing(pool))
    demand = Demand.of_requirements(make_requirements(), NOON)
    with pytest.raises(AttributeError):
        index.match_round([demand, None], scoring())  # type: ignore[list-item]
    assert pool.held == 0


def test_compiled_index__answers_before_and_after_the_code_is_compiled() -> None:
    waiting, before = CompiledIndex(), listing(id="before")
    waiting._compiled = type(waiting._compiled)()  # as if the thread were still at it
    waiting.add(before)
    demand = Demand.of_requirements(make_requirements(), NOON)
    assert [each.listing for each in waiting.best(demand, scoring(), 10)] == [before]
    with pytest.raises(TimeoutError):
        waiting.wait(0)
    blocks.compile_all()
    waiting._compiled.set_result(BlockIndex)
    waiting.wait()
    assert isinstance(waiting._index, BlockIndex)
    assert [each.listing for each in waiting.best(demand, scoring(), 10)] == [before]
    assert waiting.match_round([demand], scoring()) == [before]
    waiting.remove(before)
    assert list(waiting.find(demand, scoring())) == []


def test_compiled_index__the_code_cannot_be_compiled__says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    index = CompiledIndex()
    index._compiled = type(index._compiled)()
    index._compiled.set_exception(RuntimeError("no place for its files"))
    with pytest.raises(RuntimeError, match="no place"):
        index.add(listing())


def test_compiled_index__numba_is_missing__names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("molt_market.orderbook.compiled.index.find_spec", lambda _: None)
    with pytest.raises(InvalidValue, match=r"pip install 'molt-market\[matcher\]'"):
        CompiledIndex()


def test_order_book__loads_no_numba_by_itself() -> None:
    code = "import sys, molt_market.orderbook as o; o.OrderBook(); sys.exit('numba' in sys.modules)"
    assert importlib.util.find_spec("numba") is not None
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pool__tells_each_index_once() -> None:
    pool = Pool()
    told: list[Pool] = []
    note = told.append
    pool.watch(note)
    pool.watch(note)
    pool.held += 1
    assert told == [pool]
    assert listing(pool=pool, gpu_count=3).free == 2
