"""Random books and queries, written in every way: the search answers as the brute-force oracle does."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from molt_market.domain.amounts import MOLT, Amount
from molt_market.domain.gpus import Feature, Location
from molt_market.domain.offers import CapacityOffer
from molt_market.orderbook import OrderBook, ScoreWeights, parse_query
from molt_market.orderbook.search_fields import FIELDS, SORTABLE
from molt_market.orderbook.search_query import ORDERED, Operator
from molt_market.testing import ManualClock
from tests.factories import AGENT, NOON, PROVIDER, STRANGER, make_order
from tests.oracle.market import Market
from tests.oracle.search import search
from tests.unit.orderbook import strategies as some
from tests.unit.orderbook.mirror import offer_as_dict, order_as_dict, second

# What the oracle compares with, and ways to write it.
SPELLINGS: dict[str, list[tuple[Any, list[str]]]] = {
    "gpu_model": [
        ("H100", ["H100", "h100-sxm5", "NVIDIA H100 80GB"]),
        ("A100", ["a100", "A100 40GB"]),
        ("L40S", ["L40S", "nvidia l40s"]),
        ("H200", ["H200"]),
    ],
    "form_factor": [("SXM", ["SXM", "sxm"]), ("PCIe", ["PCIe", "PCIE"]), ("OAM", ["oam"])],
    "price": [
        (Fraction(3), ["3", "3.0", "03"]),
        (Fraction(2), ["2", "2.000000000000000000"]),
        (Fraction(5, 2), ["2.5", "2.50"]),
        (3 + Fraction(1, 10**18), ["3.000000000000000001", "3.0000000000000000010"]),
        (Fraction(1, 2), [".5", "0.5"]),
    ],
    "token": [("MOLT", ["MOLT"]), ("USDC", ["USDC"]), ("molt", ["molt"])],
    "country": [("DE", ["DE", "de"]), ("US", ["US", "uS"]), ("IN", ["IN", "in"])],
    "region": [("eu-1", ["eu-1", "EU-1"]), ("us-1", ["us-1"])],
    "features": [(each.value, [each.value, each.name]) for each in list(Feature)[:3]],
    "provider": [(each, [each, each.lower()]) for each in (PROVIDER, AGENT, STRANGER)],
    "compute_capability": [("9.0", ["9.0", "09.00"]), ("8.9", ["8.9"]), ("10.0", ["10.0"])],
}
NUMBERS = {
    "vram_gb": [24, 80, 81],
    "gpu_count": [1, 3, 5],
    "free_gpus": [1, 2, 3, 5],
    "available_hours": [1, 2, 4],
    "min_commitment_hours": [1, 2],
    "memory_bandwidth": [0, 3_350, 8_000],
    "current_utilization": [0, 33, 50],
}
SPELLINGS |= {
    name: [(each, [str(each), f"0{each}"]) for each in each_of] for name, each_of in NUMBERS.items()
}
FORM_FACTORS = {"H100": "SXM", "A100": "SXM", "L40S": "PCIe"}
OFFER_IDS = [f"offer-{number}" for number in range(8)]

gaps = st.sampled_from(["", "", " ", "  ", "\n"])
breaks = st.sampled_from([" ", " ", "   ", "\t"])


@st.composite
def values(draw: st.DrawFn, field: str) -> tuple[Any, str]:
    value, spellings = draw(st.sampled_from(SPELLINGS[field]))
    written = draw(st.sampled_from(spellings))
    quote = draw(st.sampled_from(["", "'", '"'] if " " not in written else ["'", '"']))
    return value, quote + written + quote


@st.composite
def filters(draw: st.DrawFn) -> tuple[tuple[str, str, list[Any]], str]:
    """Draw a filter as the oracle takes it, and as somebody may write it."""
    field = draw(st.sampled_from(sorted(SPELLINGS)))
    operators = [each for each in Operator if each not in ORDERED or FIELDS[field].kind.is_ordered]
    operator = draw(st.sampled_from(operators))
    several = draw(st.lists(values(field), min_size=1, max_size=3 if operator.is_of_lists else 1))
    asked = (field, operator.value, [value for value, _ in several])
    name = draw(st.sampled_from([field, field, field.upper()]))
    if not operator.is_of_lists:
        return asked, f"{name}{draw(gaps)}{operator}{draw(gaps)}{several[0][1]}"
    inner = f"{draw(gaps)},{draw(gaps)}".join(written for _, written in several)
    word = operator.replace(" ", draw(breaks))
    return (
        asked,
        f"{name} {draw(st.sampled_from([word, word.upper()]))}{draw(gaps)}[{draw(gaps)}{inner}{draw(gaps)}]",
    )


@st.composite
def queries(draw: st.DrawFn) -> tuple[list[tuple[str, str, list[Any]]], list[str], str]:
    chosen = draw(st.lists(filters(), max_size=draw(st.sampled_from([0, 1, 1, 2, 3]))))
    fields = draw(st.lists(st.sampled_from(SORTABLE), unique=True, max_size=3))
    keys = [draw(st.sampled_from(["", "-"])) + field for field in fields]
    parts = [written for _, written in chosen]
    if keys:
        parts.append(f"--sort{draw(breaks)}" + f"{draw(gaps)},{draw(gaps)}".join(keys))
    text = draw(gaps) + draw(breaks).join(parts) + draw(gaps)
    return [asked for asked, _ in chosen], keys, text


@st.composite
def books(draw: st.DrawFn) -> list[CapacityOffer]:
    """Draw offers in two tokens at prices of the same size, some of which state more than they have to."""
    found = []
    for each in OFFER_IDS[: draw(st.integers(0, len(OFFER_IDS)))]:
        offer = draw(
            some.plain_offers(st.just(each)) | some.plain_offers(st.just(each)) | some.offers(st.just(each))
        )
        token = draw(st.sampled_from([MOLT, MOLT, some.USDC]))
        dust = draw(st.sampled_from([0, 0, 1]))
        price = Amount(draw(st.integers(1, 4)) * 10**token.decimals + dust, token)
        capability = draw(st.sampled_from([None, "8.9", "9.0", "10.0"]))
        gpus = offer.gpu_capacity.model_copy(update={"compute_capability": capability})
        place = draw(st.sampled_from([offer.location, Location(country="IN"), Location(region="eu-1")]))
        changes = {"price_per_hour": price, "gpu_capacity": gpus, "location": place}
        found.append(offer.model_copy(update=changes))
    return found


def as_dict(offer: CapacityOffer) -> dict[str, Any]:
    return offer_as_dict(offer) | {
        "decimals": offer.price_per_hour.token.decimals,
        "form_factor": FORM_FACTORS[offer.gpu_capacity.gpu_model],
        "capability": offer.gpu_capacity.compute_capability,
    }


def hold(book: OrderBook, market: Market, offer: CapacityOffer, gpus: int, now: int) -> None:
    """Hold GPUs of an offer in both, by an order that takes it at any price."""
    order = make_order(
        id=f"order-of-{offer.id}",
        voucher_signer=None,
        slot=None,
        policy_id=None,
        min_gpu_count=gpus,
        min_vram_gb=0,
        estimated_hours=offer.min_commitment_hours,
        max_price_per_hour=offer.price_per_hour,
        required_models=[offer.gpu_capacity.gpu_model],
    )
    match = next((each for each in book.match_order(order) if each.offer_id == offer.id), None)
    if match is not None:
        until = NOON + timedelta(seconds=60)
        book.reserve(match, until)
        market.reserve(as_dict(offer), order_as_dict(order), second(until), now)


@given(books(), queries(), st.integers(-1, 9), some.weights(), st.data())
def test_search__any_book_and_query__equals_the_oracle(
    offers: list[CapacityOffer],
    query: tuple[list[tuple[str, str, list[Any]]], list[str], str],
    limit: int,
    weights: ScoreWeights,
    data: st.DataObject,
) -> None:
    asked, keys, text = query
    now = second(NOON)
    book, market = OrderBook(ManualClock(NOON), weights=weights), Market(asdict(weights))
    for offer in offers:
        if offer.status.name == "ACTIVE" and offer.expires_at > NOON:
            book.add_offer(offer)
            market.add_offer(as_dict(offer), now)
    for offer in book.active_offers():
        gpus = data.draw(st.sampled_from([0, 0, 1, offer.gpu_capacity.gpu_count]))
        if 0 < gpus <= market.free(as_dict(offer), now):
            hold(book, market, offer, gpus, now)
    assert [offer.id for offer in book.search(text, limit)] == search(market, asked, keys, limit, now)
    assert parse_query(str(parse_query(text))) == parse_query(text)


def test_strategies__have_every_field_and_every_model() -> None:
    assert SPELLINGS.keys() == FIELDS.keys()
    assert FORM_FACTORS.keys() == set(some.MODELS)
