"""Offers are found by a query, sorted, and no more than were asked for."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import timedelta
from decimal import Decimal

import pytest

from molt_market.domain.amounts import MOLT, Amount, Token
from molt_market.domain.gpus import Feature, Location
from molt_market.domain.offers import CapacityOffer
from molt_market.orderbook import OrderBook, Query, ScoreWeights, parse_query
from molt_market.orderbook.search_fields import FIELDS, SORTABLE, Source
from molt_market.orderbook.search_query import Filter, Operator, SortKey
from molt_market.testing import ManualClock
from tests.factories import NOON, PROVIDER, STRANGER, make_offer, make_order
from tests.unit.orderbook import strategies as some

SECOND = timedelta(seconds=1)
USDC = some.USDC


def listed(book: OrderBook, *offers: CapacityOffer) -> None:
    for offer in offers:
        book.add_offer(offer)


def ids(book: OrderBook, text: str | Query, limit: int = 20) -> list[str]:
    return [offer.id for offer in book.search(text, limit)]


# ------------------------------------------------------------------------------------ fields and operators

BIG = make_offer(
    id="big",
    gpu_model="H200",
    vram_gb=141,
    gpu_count=16,
    price_per_hour=Amount.from_molt("2.5"),
    available_hours=48,
    min_commitment_hours=2,
    location=Location(region="eu-1", country="DE"),
    features=(Feature.NVLINK, Feature.FP8),
    provider_id=STRANGER,
    memory_bandwidth=4_800,
    current_utilization=50,
    compute_capability="9.0",
)
SMALL = make_offer(
    id="small",
    gpu_model="L40S",
    vram_gb=48,
    gpu_count=4,
    price_per_hour=USDC.amount("0.9"),
    location=Location(country="IN"),
    provider_id='a "strange" n\\me'.replace(" ", "_"),
    features=(Feature.FP8,),
    compute_capability="10.0",
)
BARE = make_offer(id="bare", gpu_model="A100-PCIE", price_per_hour=Amount.from_molt(1))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {"big", "small", "bare"}),
        (" \n\t ", {"big", "small", "bare"}),
        ("gpu_model=H200", {"big"}),
        ("gpu_model='NVIDIA H200 141GB'", {"big"}),
        ("gpu_model!=h200", {"small", "bare"}),
        ("gpu_model in [h200, 'NVIDIA L40S']", {"big", "small"}),
        ("gpu_model not in [H200,L40S]", {"bare"}),
        ("form_factor=pcie", {"small", "bare"}),
        ("form_factor!=PCIe", {"big"}),
        ("form_factor in [sxm, SUPERCHIP]", {"big"}),
        ("vram_gb=48", {"small"}),
        ("vram_gb>48", {"big", "bare"}),
        ("vram_gb>=80 vram_gb<141", {"bare"}),
        ("vram_gb<=80", {"small", "bare"}),
        ("vram_gb not in [48,141]", {"bare"}),
        ("gpu_count>=8", {"big", "bare"}),
        ("gpu_count in [4,16]", {"big", "small"}),
        ("free_gpus<8", {"small"}),
        ("price<2.5", {"small", "bare"}),
        ("price<=2.50", {"big", "small", "bare"}),
        ("price=.9", {"small"}),
        ("price in [2.500000000000000000,1]", {"big", "bare"}),
        ("price>2.4999999999999999999", {"big"}),
        ("token=USDC", {"small"}),
        ("token!=USDC", {"big", "bare"}),
        ("token=usdc", set()),
        ("available_hours>24", {"big"}),
        ("min_commitment_hours<2", {"small", "bare"}),
        ("country=de", {"big"}),
        ("country=IN", {"small"}),
        ("country in [in,de]", {"big", "small"}),
        ("country!=DE", {"small"}),
        ("country not in [DE]", {"small"}),
        ("region=EU-1", {"big"}),
        ("region!=eu-1", set()),
        ("features=nvlink", {"big"}),
        ("features!=nvlink", {"small", "bare"}),
        ("features in [NVLINK, fp8]", {"big", "small"}),
        ("features not in [nvlink, fp8]", {"bare"}),
        ("features=nvlink features=fp8", {"big"}),
        (f"provider={STRANGER.lower()}", {"big"}),
        (f"provider in [{PROVIDER},{STRANGER}]", {"big", "bare"}),
        (r"""provider="a_\"strange\"_n\\me" """, {"small"}),
        (r"""provider='a_"strange"_n\\me'""", {"small"}),
        ("memory_bandwidth>=0", {"big"}),
        ("memory_bandwidth!=0", {"big"}),
        ("current_utilization<=50", {"big"}),
        ("current_utilization not in [1]", {"big"}),
        ("compute_capability>9.0", {"small"}),
        ("compute_capability>=09.0", {"big", "small"}),
        ("compute_capability!=9.0", {"small"}),
        ("VRAM_GB >= 080   Country  NOT \n IN[ fr ]price<3", {"big"}),
    ],
)
def test_search__filter__finds(book: OrderBook, text: str, found: set[str]) -> None:
    listed(book, BIG, SMALL, BARE)
    assert set(ids(book, text)) == found


def test_sort__takes_every_field_but_features_and_the_score() -> None:
    assert set(SORTABLE) == {*FIELDS, "score"} - {"features"}


def test_search__free_gpus__are_those_that_nobody_holds(book: OrderBook) -> None:
    listed(book, make_offer())
    [match] = book.match_order(make_order(min_gpu_count=4))
    reservation = book.reserve(match, NOON + SECOND)
    assert ids(book, "free_gpus=4") == ids(book, "gpu_count=8") == ["offer-1"]
    book.release(reservation)
    [match] = book.match_order(make_order(min_gpu_count=8))
    book.reserve(match, NOON + SECOND)
    assert ids(book, "") == []


def test_search__stands__from_its_creation_to_its_end(book: OrderBook, clock: ManualClock) -> None:
    listed(book, make_offer(created_at=NOON + SECOND, expires_at=NOON + 2 * SECOND))
    assert ids(book, "") == []
    clock.advance(1)
    assert ids(book, "") == ["offer-1"]
    clock.advance(1)
    assert ids(book, "") == []


def test_search__capability_beyond_all_bounds__counts_as_not_stated(book: OrderBook) -> None:
    listed(book, make_offer(compute_capability=f"{'9' * 5_000}.0"))
    assert ids(book, "compute_capability>9.0") == []
    assert ids(book, "--sort compute_capability") == ["offer-1"]


@pytest.mark.parametrize(("limit", "found"), [(-1, 0), (0, 0), (1, 1), (20, 3)])
def test_search__limit__is_the_most(book: OrderBook, limit: int, found: int) -> None:
    listed(book, BIG, SMALL, BARE)
    assert len(book.search("", limit)) == found


def test_search__by_default__returns_twenty_offers_as_they_were_added(book: OrderBook) -> None:
    offers = [make_offer(id=f"offer-{number:02}") for number in range(21)]
    listed(book, *offers)
    assert book.search("") == offers[:20]


def test_advisory_fields__are_those_that_no_signature_covers() -> None:
    advisory = {name for name, field in FIELDS.items() if field.source is Source.ADVISORY}
    assert advisory == {"memory_bandwidth", "current_utilization", "compute_capability"}


# ------------------------------------------------------------------------------------------------- sorting


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("--sort price", ["small", "bare", "big"]),
        ("--sort -price", ["big", "bare", "small"]),
        ("--sort country", ["big", "small", "bare"]),
        ("--sort -country", ["small", "big", "bare"]),
        ("--sort compute_capability", ["big", "small", "bare"]),
        ("--sort -compute_capability", ["small", "big", "bare"]),
        ("--sort form_factor , -vram_gb", ["bare", "small", "big"]),
        ("vram_gb>=80 --sort -gpu_model", ["big", "bare"]),
    ],
)
def test_search__sort__puts_what_is_not_stated_last(book: OrderBook, text: str, found: list[str]) -> None:
    listed(book, BIG, SMALL, BARE)
    assert ids(book, text) == found


def test_search__ties__go_by_score_price_time_and_id(book: OrderBook) -> None:
    dear = Amount.from_molt(12)
    listed(
        book,
        make_offer(id="dear", price_per_hour=dear),
        make_offer(id="quick", price_per_hour=dear, features=["fp8"]),
        make_offer(id="b"),
        make_offer(id="a"),
        make_offer(id="old", created_at=NOON - SECOND),
    )
    assert ids(book, "") == ids(book, "--sort vram_gb") == ["old", "a", "b", "quick", "dear"]
    assert ids(book, "--sort score") == ["dear", "quick", "old", "a", "b"]


def test_search__score__is_at_the_dearest_price_found(clock: ManualClock) -> None:
    """At a limit of 10 the fast one is ahead, at one of 100 the price difference counts for less still."""
    weights = ScoreWeights(
        price=900_000, model=0, utilization=0, bandwidth=100_000, features=0, reliability=0
    )
    book = OrderBook(clock, weights=weights)
    cheap = make_offer(id="cheap", price_per_hour=Amount.from_molt(8))
    quick = make_offer(id="quick", price_per_hour=Amount.from_molt(10), memory_bandwidth=8_000)
    listed(
        book, cheap, quick, make_offer(id="luxury", gpu_model="H200", price_per_hour=Amount.from_molt(100))
    )
    assert ids(book, "gpu_model=H100") == ["cheap", "quick"]
    assert ids(book, "") == ["quick", "cheap", "luxury"]


def test_search__tokens_of_other_decimals__are_ranked_by_whole_tokens(book: OrderBook) -> None:
    for number, token in enumerate([USDC, MOLT, Token("WHOLE", 0)]):
        listed(book, make_offer(id=f"{token.symbol}", price_per_hour=token.amount(3 - number)))
    assert ids(book, "") == ["WHOLE", "MOLT", "USDC"]
    assert ids(book, "--sort -price") == ["USDC", "MOLT", "WHOLE"]


# ---------------------------------------------------------------------------------------------- the query


def test_parse_query__holds_values_and_no_text() -> None:
    query = parse_query("price<2.50 compute_capability in [9.0] features!=NVLINK --sort -score,price")
    assert query == Query(
        filters=(
            Filter("price", Operator.BELOW, (Decimal("2.5"),)),
            Filter("compute_capability", Operator.IN, ((9, 0),)),
            Filter("features", Operator.UNEQUAL, (Feature.NVLINK,)),
        ),
        sort=(SortKey("score", descending=True), SortKey("price")),
    )
    assert hash(query) == hash(parse_query(str(query)))
    assert str(query) == "price<2.5 compute_capability in [9.0] features!=nvlink --sort -score,price"
    assert repr(query) == f"Query({str(query)!r})"
    with pytest.raises(FrozenInstanceError):
        query.sort = ()  # type: ignore[misc]


def test_search__takes_a_query_too(book: OrderBook) -> None:
    listed(book, BIG, SMALL, BARE)
    assert ids(book, parse_query("vram_gb=48")) == ["small"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("2.50", "2.5"),
        ("10", "10"),
        ("100.0", "100"),
        ("0", "0"),
        ("0.00", "0"),
        (".5", "0.5"),
        ("0.000000000000000001", "0.000000000000000001"),
        ("0000012345678901234567890.1", "12345678901234567890.1"),
    ],
)
def test_query__price__is_written_in_full_without_needless_zeros(value: str, written: str) -> None:
    assert str(parse_query(f"price>={value}")) == f"price>={written}"
