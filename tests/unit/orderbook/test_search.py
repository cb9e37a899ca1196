"""What a search finds, in what order, and what is said of one that cannot be read."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.gpus import Location
from molt_market.domain.offers import CapacityOffer
from molt_market.errors import InvalidQuery
from molt_market.orderbook import OrderBook, Query, ScoreWeights, parse_query
from molt_market.orderbook.query_fields import FIELDS
from molt_market.testing import ManualClock
from tests.factories import NOON, PROVIDER, STRANGER, make_offer, make_order
from tests.oracle import search as oracle
from tests.oracle.market import Market
from tests.unit.orderbook import strategies as some
from tests.unit.orderbook.mirror import offer_as_dict, order_as_dict, ours, second

EXAMPLE = "gpu_model in [H100,H200] vram_gb>=80 price<2.5 country=DE --sort price,-score"


def molt(tokens: str) -> Amount:
    return Amount.from_molt(tokens)


def found(book: OrderBook, query: str) -> list[str]:
    return [offer.id for offer in book.search(query)]


@pytest.fixture
def offered(book: OrderBook) -> OrderBook:
    """Three offers: h100 and h200 in Germany, at 2 and 2.4, and a4000 that states no more than it has to."""
    german = {"location": Location(region="eu-1", country="DE"), "memory_bandwidth": 3_350}
    book.add_offer(
        make_offer(
            id="h100",
            price_per_hour=molt("2"),
            features=["nvlink", "fp8"],
            current_utilization=30,
            compute_capability="9.0",
            **german,
        )
    )
    book.add_offer(
        make_offer(
            id="h200",
            slot=1,
            gpu_model="H200",
            vram_gb=141,
            price_per_hour=molt("2.4"),
            features=["fp8"],
            compute_capability="10.0",
            min_commitment_hours=6,
            **german,
        )
    )
    book.add_offer(
        make_offer(
            id="a4000",
            slot=2,
            gpu_model="RTXA4000",
            vram_gb=16,
            gpu_count=1,
            price_per_hour=molt("0.2"),
            available_hours=720,
            provider_id="somebody",
        )
    )
    return book


# ---------------------------------------------------------------------------------- what is found


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["a4000", "h100", "h200"]),
        (EXAMPLE, ["h100", "h200"]),
        ("gpu_model = 'NVIDIA H100 80GB'", ["h100"]),
        ("gpu_model!=h100", ["a4000", "h200"]),
        ("gpu_model not in [H100, 'RTX A4000']", ["h200"]),
        ("form_factor=SXM", ["h100", "h200"]),
        ("form_factor!=sxm", ["a4000"]),
        ("vram_gb>80", ["h200"]),
        ("vram_gb in [16,80]", ["a4000", "h100"]),
        ("gpu_count<8", ["a4000"]),
        ("free_gpus >= 8", ["h100", "h200"]),
        ("price<=2", ["a4000", "h100"]),
        ("price=2.40", ["h200"]),
        ("price!=2.4", ["a4000", "h100"]),
        ("price<2.3999999999999999999999999999999999", ["a4000", "h100"]),
        ("token=MOLT price>1", ["h100", "h200"]),
        ("available_hours>24", ["a4000"]),
        ("min_commitment_hours>=6", ["h200"]),
        ("country=de", ["h100", "h200"]),
        ("country!=DE", []),
        ("region=EU-1", ["h100", "h200"]),
        ("features=nvlink", ["h100"]),
        ("features!=NVLINK", ["a4000", "h200"]),
        ("features in [nvlink,fp8]", ["h100", "h200"]),
        ("features not in [nvlink,infiniband]", ["a4000", "h200"]),
        ("features=nvlink features=fp8", ["h100"]),
        ("provider=somebody", ["a4000"]),
        (f"provider={PROVIDER}", ["h100", "h200"]),
        ("memory_bandwidth>3000", ["h100", "h200"]),
        ("memory_bandwidth!=1", ["h100", "h200"]),
        ("current_utilization<50", ["h100"]),
        ("compute_capability>=9.0", ["h100", "h200"]),
        ("compute_capability>9.0", ["h200"]),
    ],
)
def test_search__conditions(offered: OrderBook, query: str, ids: list[str]) -> None:
    assert sorted(found(offered, query)) == sorted(ids)


@pytest.mark.parametrize(
    ("sort", "ids"),
    [
        ("price", ["a4000", "h100", "h200"]),
        ("-price", ["h200", "h100", "a4000"]),
        ("-vram_gb", ["h200", "h100", "a4000"]),
        ("gpu_model", ["h100", "h200", "a4000"]),
        ("memory_bandwidth,-price", ["h200", "h100", "a4000"]),
        ("-memory_bandwidth,price", ["h100", "h200", "a4000"]),  # what is not stated comes last
        ("current_utilization,price", ["h100", "a4000", "h200"]),
        ("-current_utilization,price", ["h100", "a4000", "h200"]),
        ("-score", ["a4000", "h100", "h200"]),
        ("score", ["h200", "h100", "a4000"]),
    ],
)
def test_search__sorts(offered: OrderBook, sort: str, ids: list[str]) -> None:
    assert found(offered, f"--sort {sort}") == ids


def test_search__only_what_stands_and_has_gpus_free(offered: OrderBook, clock: ManualClock) -> None:
    offered.add_offer(make_offer(id="later", slot=4, created_at=NOON.replace(minute=1)))
    order = make_order(min_gpu_count=1, min_vram_gb=0, required_models=["RTXA4000"])
    offered.reserve(offered.match_order(order)[0], NOON.replace(second=59))
    assert found(offered, "--sort price") == ["h100", "h200"]
    clock.advance(60)
    assert found(offered, "--sort price") == ["a4000", "h100", "h200", "later"]


@pytest.mark.parametrize(("limit", "count"), [(-1, 0), (0, 0), (2, 2), (99, 3)])
def test_search__limit(offered: OrderBook, limit: int, count: int) -> None:
    assert len(offered.search("", limit)) == count


def test_search__prices_of_two_tokens__compare_by_whole_tokens(offered: OrderBook) -> None:
    offered.add_offer(make_offer(id="usdc", slot=5, price_per_hour=Token("USDC", 6).amount("2.1")))
    assert found(offered, "price>2 price<2.4") == ["usdc"]
    assert found(offered, "token=USDC") == ["usdc"]


def test_search__takes_a_query_that_was_read(offered: OrderBook) -> None:
    assert offered.search(parse_query(EXAMPLE)) == offered.search(EXAMPLE)
    assert offered.search(Query()) == offered.search("")


# ---------------------------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize(
    ("query", "position", "says"),
    [
        ("gpumodel=H100", 0, "no field 'gpumodel' here: did you mean gpu_model?"),
        ("vram_gb>=80 xyz=red", 12, "there are gpu_model, form_factor"),
        ("gpu_model=H1000", 10, "unknown GPU model 'H1000': did you mean H100"),
        ("gpu_model in [H100,H1000]", 19, "unknown GPU model"),
        ("vram_gb>=abc", 9, "'abc' is not a whole number"),
        ("vram_gb>=80.5", 9, "not a whole number"),
        ("price<2,5", 7, "expected a field or --sort"),
        ("price<-1", 6, "not a price"),
        ("compute_capability>=9", 20, "not a version, e.g. 9.0"),
        ("features=nv", 9, "no feature 'nv': write nvlink, infiniband"),
        ("country<DE", 7, "compare it by =, !=, in, not in"),
        ("price", 5, "expected an operator"),
        ("price 2", 6, "expected an operator"),
        ("price<", 6, "expected a value"),
        ("price==2", 6, "expected a value"),
        ("gpu_model='H100", 10, "expected a value"),
        ("gpu_model in H100", 13, "expected a list in [ ]"),
        ("gpu_model in [H100", 18, "expected a comma or ]"),
        ("gpu_model in []", 14, "expected a value"),
        ("vram_gb>=80 ]", 12, "expected a field or --sort"),
        ("--sort", 6, "expected a field"),
        ("--sort price vram_gb>3", 13, "expected a comma"),
        ("--sort price,price", 13, "sorted by twice"),
        ("--sort features", 7, "no field 'features' here"),
        ("x" * 2_001, 2_000, "at most 2,000 characters"),
    ],
)
def test_search__cannot_be_read__points_at_the_character(query: str, position: int, says: str) -> None:
    with pytest.raises(InvalidQuery) as refusal:
        OrderBook().search(query)
    assert (refusal.value.text, refusal.value.position) == (query, position)
    assert says in refusal.value.problem


def test_invalid_query__shows_the_place() -> None:
    with pytest.raises(InvalidQuery) as refusal:
        parse_query("vram_gb>=80 vramgb<2")
    assert str(refusal.value) == (
        "at 12, no field 'vramgb' here: did you mean vram_gb?\n  vram_gb>=80 vramgb<2\n              ^"
    )


def test_invalid_query__of_a_long_text__shows_what_lies_around_the_place() -> None:
    text = "price<2\n" * 20 + "prise<2 " + "price<2 " * 20
    with pytest.raises(InvalidQuery) as refusal:
        parse_query(text)
    _, shown, caret = str(refusal.value).splitlines()
    assert len(shown) <= 62
    assert shown[caret.index("^") :].startswith("prise<2")


# ---------------------------------------------------------------------------------- any query, any book

WORDS = {
    "gpu_model": some.models,
    "vram_gb": st.sampled_from([24, 48, 80]),
    "gpu_count": st.integers(1, 6),
    "free_gpus": st.integers(0, 6),
    "price": st.sampled_from([Fraction(n, 2) for n in range(1, 12)]),
    "available_hours": st.integers(1, 5),
    "min_commitment_hours": st.integers(1, 3),
    "country": st.sampled_from(["DE", "US"]),
    "region": st.sampled_from(["eu-1", "us-1"]),
    "features": st.sampled_from(["nvlink", "fp8"]),
    "provider": st.sampled_from([PROVIDER, STRANGER]),
    "memory_bandwidth": st.sampled_from([0, 3_350, 8_000]),
    "current_utilization": st.sampled_from([0, 33, 100]),
}


@st.composite
def conditions(draw: st.DrawFn) -> tuple[str, str, list[Any]]:
    field = draw(st.sampled_from(sorted(WORDS)))
    operator = draw(st.sampled_from(FIELDS[field].kind.operators))
    most = 3 if operator in {"in", "not in"} else 1
    return field, operator, draw(st.lists(WORDS[field], min_size=1, max_size=most))


sort_keys = st.lists(
    st.tuples(st.sampled_from(sorted({*WORDS, "score"} - {"features"})), st.booleans()),
    max_size=3,
    unique_by=lambda key: key[0],
)


@st.composite
def written(draw: st.DrawFn, asked: list[tuple[str, str, list[Any]]], sort: list[tuple[str, bool]]) -> str:
    """Write a query as people do: spaces here and there, quotes where they are not needed."""

    def space(least: int) -> str:
        return draw(st.sampled_from(["", " ", "  ", "\n"][least:]))

    def word(value: Any) -> str:
        text = f"{float(value):g}" if isinstance(value, Fraction) else str(value)
        return draw(st.sampled_from([text, f"'{text}'", f'"{text}"']))

    parts = []
    for field, operator, values in asked:
        if operator in {"in", "not in"}:
            listed = f",{space(0)}".join(map(word, values))
            parts.append(f"{field} {operator}{space(0)}[{listed}{space(0)}]")
        else:
            parts.append(f"{field}{space(0)}{operator}{space(0)}{word(values[0])}")
    if sort:
        keys = [f"{'-' if descending else ''}{field}" for field, descending in sort]
        parts.append(f"--sort{space(1)}{f',{space(0)}'.join(keys)}")
    return space(1).join(parts) + space(0)


@given(
    st.lists(some.offers(st.just("offer")), max_size=6),
    st.lists(conditions(), max_size=3),
    sort_keys,
    st.data(),
)
def test_search__any_book_any_query__equals_the_oracle(
    offers: list[CapacityOffer],
    asked: list[tuple[str, str, list[Any]]],
    sort: list[tuple[str, bool]],
    data: st.DataObject,
) -> None:
    book, market, now = OrderBook(ManualClock(NOON)), Market(asdict(ScoreWeights())), second(NOON)
    for number, offer in enumerate(offers):
        own = offer.model_copy(update={"id": f"offer-{number}", "status": "active"})
        price = Amount(own.price_per_hour.base_units)
        if own.expires_at > NOON:
            own = CapacityOffer(**{**dict(own), "price_per_hour": price})
            book.add_offer(own)
            market.add_offer(offer_as_dict(own), now)
    order = make_order(min_gpu_count=2, min_vram_gb=0, policy_id=None, estimated_hours=2)
    if book.explain(order).fitting:
        match = book.match_order(order)[0]
        book.reserve(match, NOON.replace(second=59))
        market.reserve(offer_as_dict(match.offer), order_as_dict(order), now + 59, now)
    text = data.draw(written(asked, sort))
    assert found(book, text) == oracle.search(market, asked, sort, now)


@given(st.lists(conditions(), max_size=3), sort_keys, st.data())
def test_query__written_again__is_the_same(
    asked: list[tuple[str, str, list[Any]]], sort: list[tuple[str, bool]], data: st.DataObject
) -> None:
    query = parse_query(data.draw(written(asked, sort)))
    assert parse_query(str(query)) == query


PIECES = st.sampled_from([*FIELDS, *"[],=<>!'\"-", "<=", "in", "not", "--sort", " ", "2", "2.5", "H100", "é"])


@given(st.text(max_size=40) | st.lists(PIECES, max_size=12).map("".join))
def test_parse_query__any_text__is_read_or_refused_with_a_place(text: str) -> None:
    answer = ours(lambda: parse_query(text))
    if isinstance(answer, Query):
        assert parse_query(str(answer)) == answer
    else:
        name, position, (message,) = answer
        assert name == "InvalidQuery"
        assert 0 <= position <= len(text)
        assert message.count("\n") == 2
