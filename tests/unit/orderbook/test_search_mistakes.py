"""A query that cannot be read says where and why; whatever the text, nothing else comes of it."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molt_market.errors import InvalidQuery, InvalidValue
from molt_market.orderbook import Query, parse_query
from molt_market.orderbook.search_fields import FIELDS
from molt_market.orderbook.search_query import Operator


def read(text: str) -> Query | InvalidQuery:
    try:
        return parse_query(text)
    except InvalidQuery as error:
        return error


def mistake(text: str) -> InvalidQuery:
    found = read(text)
    assert isinstance(found, InvalidQuery)
    return found


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("vram_gb=abc", 8, "'abc' is not a whole number: write digits only"),
        ("vram_gb>=80.5", 9, "not a whole number"),
        ("vram_gb=-1", 8, "not a whole number"),
        ("vram_gb=٨٠", 8, "not a whole number"),
        (f"vram_gb={'9' * 41}", 8, "too long: write at most 40 digits"),
        ("free_gpus=''", 10, "'' is not a whole number"),
        ("price<2.5MOLT", 6, "not a price: write whole tokens per GPU and hour"),
        ("price<1e3", 6, "not a price"),
        ("price<NaN", 6, "not a price"),
        ("price<2,5", 7, "decimals as 2.5"),
        ("price<2.", 6, "not a price"),
        ("compute_capability=9", 19, "write major and minor with a point, e.g. 9.0"),
        ("country<DE", 7, "'<' does not compare country, which has no order: write =, !=, in or not in"),
        ("features>=nvlink", 8, "no order"),
        ("country=Germany", 8, "no country: write the two letters"),
        ("country in [DE, FRA]", 16, "'FRA' is no country"),
        ("region='a b'", 7, "no region: write 1 to 31 letters"),
        ("provider='a b'", 9, "no provider: write an address"),
        ("provider=0xAbababababababababababababababababababab", 9, "the right checksum"),
        ("token=' '", 6, "no token: write its symbol"),
        ("form_factor=SMX", 12, "'SMX' is no form factor: write superchip, SXM"),
        ("features=nvlnk", 9, "no feature: write nvlink, infiniband"),
        ("gpu_model=H1000", 10, "no known GPU model: did you mean H100"),
        ("gpu_model=NVIDIA H100", 10, "names with spaces go in quotes"),
        ("gpu_model in [H100, XYZZY-1]", 20, "no known GPU model"),
        ("vram>=80", 0, "'vram' is no field to search by: did you mean vram_gb?"),
        ("vram_gb>=80  hours=3", 13, "did you mean available_hours or min_commitment_hours?"),
        ("xy=3", 0, "write gpu_model, form_factor, vram_gb"),
        ("score>3", 0, "only for sorting"),
        ("vram_gb>=80 and price<3", 12, "filters hold all together: leave it out"),
        ("not country=DE", 0, "write e.g. country!=DE"),
        ("H100", 0, "'H100' is no field"),
        ("vram_gb", 7, "vram_gb needs an operator and a value: write e.g. vram_gb>=80"),
        ("vram_gb price<3", 8, "vram_gb needs an operator"),
        ("vram_gb 80", 8, "vram_gb needs an operator"),
        ("country not", 8, "country needs an operator"),
        ("vram_gb>= ", 9, "a value is missing: write e.g. vram_gb>=80"),
        ("vram_gb>= --sort price", 10, "a value is missing"),
        ("vram_gb==80", 7, "'==' is no operator: write =, !=, <, <=, >, >=, in or not in"),
        ("vram_gb=>80", 7, "'=>' is no operator"),
        ("country in DE", 11, "'in' needs a list in brackets: write e.g. country in [DE,FR]"),
        ("country not  in", 15, "'not in' needs a list"),
        ("country=[DE]", 8, "'=' takes one value: for several write e.g. country in [DE,FR]"),
        ("country in []", 12, "the list is empty: write at least one value, e.g. country in [DE,FR]"),
        ("country in [DE,]", 15, "a value is missing: write e.g. country in [DE,FR]"),
        ("country in [,DE]", 12, "a value is missing"),
        ("country in [DE", 14, "the list is not closed: write ] after its last value"),
        ("country in [", 12, "the list is not closed"),
        ("country in [DE,", 15, "the list is not closed"),
        ("country in [DE price<3", 15, "'price<3' does not continue the list"),
        ("country in [DE [FR]]", 15, "'[' does not continue the list"),
        ("country='DE", 8, "the quote is not closed: write ' also at its end"),
        ('country in ["DE]', 12, 'the quote is not closed: write " also at its end'),
        ("vram_gb>=80 ]", 12, "']' starts no filter: write field, operator and value"),
        ("= 3", 0, "'=' starts no filter"),
        ("'vram_gb'=80", 0, "starts no filter"),
        ("--limit 3", 0, "'--limit' is no option: the only one is --sort"),
        ("--sort=price", 0, "write e.g. --sort price,-score"),
        ("vram_gb>=80 --sort", 18, "a field to sort by is missing: write e.g. --sort price,-score"),
        ("--sort price,", 13, "a field to sort by is missing"),
        ("--sort price,,score", 13, "a field to sort by is missing"),
        ("--sort --price", 7, "a field to sort by is missing"),
        ("--sort price vram_gb>=80", 13, "write filters before --sort"),
        ("--sort price --sort score", 13, "write filters before --sort"),
        ("--sort prize", 7, "'prize' is nothing to sort by: did you mean price or provider?"),
        ("--sort features", 7, "'features' is nothing to sort by: an offer has several"),
        ("--sort price,-PRICE", 13, "price is sorted by already: name it once"),
        ("foo=1 vram_gb=", 0, "'foo' is no field"),
        (" " * 2_001, 2_000, "at most 2,000 characters, this one has 2,001"),
    ],
)
def test_parse_query__mistake__is_told_with_its_place(text: str, position: int, says: str) -> None:
    error = mistake(text)
    assert (error.text, error.position) == (text, position)
    assert says in str(error)
    problem, shown, mark = str(error).splitlines()
    assert re_position(problem) == position
    assert mark.strip() == "^"
    at = mark.index("^")
    assert shown[at : at + 1] == text[position : position + 1]


def re_position(problem: str) -> int:
    return int(problem.rpartition("(at position ")[2].removesuffix(")"))


def test_invalid_query__is_an_invalid_value_and_survives_pickling() -> None:
    error = mistake("vram_gb=abc")
    twin = pickle.loads(pickle.dumps(error))
    assert isinstance(error, InvalidValue)
    assert (str(twin), twin.text, twin.position) == (str(error), "vram_gb=abc", 8)


@pytest.mark.parametrize(
    ("before", "columns"),
    [("", 0), ("\t\n", 2), ("\x1b[0m", 4), ("日本 ", 5), ("e\u0301 ", 2), ("x" * 100, 51)],
)
def test_invalid_query__text_that_terminals_show_otherwise__keeps_the_mark_in_place(
    before: str, columns: int
) -> None:
    message = str(InvalidQuery(f"{before}!", len(before), "wrong: mend it"))
    assert message.splitlines()[-1] == "  " + " " * columns + "^"
    assert len(message.splitlines()) == 3
    assert message.replace("\n", "").isprintable()


signs = st.sampled_from(
    [
        *FIELDS,
        *Operator,
        *"[],'\"\\ \n",
        "--sort",
        "-price",
        "score",
        "80",
        "9.0",
        "DE",
        "H100",
        "nvlink",
        "--",
        "é",
    ]
)


@given(st.text() | st.lists(signs, max_size=20).map("".join) | st.lists(signs, max_size=20).map(" ".join))
def test_parse_query__any_text__is_read_or_refused_at_a_place(text: str) -> None:
    found = read(text)
    if isinstance(found, Query):
        assert parse_query(str(found)) == found
    else:
        assert found.text == text
        assert 0 <= found.position <= len(text)


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1, max_size=40))
def test_query__any_name__can_be_written_and_read_again(name: str) -> None:
    for quote in "\"'":
        quoted = name.replace("\\", "\\\\").replace(quote, f"\\{quote}")
        try:
            query = parse_query(f"provider={quote}{quoted}{quote}")
        except InvalidQuery:
            assert name.startswith("0x")
        else:
            assert query.filters[0].values == (name,)
            assert parse_query(str(query)) == query
