"""From the text of a query to the query: the grammar says what may follow what, this module what it means.

Words are looked at one by one as they come, so that of several mistakes the first one is told.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from lark import Lark, Token, UnexpectedInput, UnexpectedToken

from molt_market.errors import InvalidQuery, InvalidValue
from molt_market.orderbook.search_fields import FIELDS, SCORE, SORTABLE, Field, Value, any_of
from molt_market.orderbook.search_query import ORDERED, Filter, Operator, Query, SortKey

MAX_LENGTH = 2_000
_SORT_EXAMPLE = "write e.g. --sort price,-score"
# What people write who expect another language, and what they mean by it.
_FOREIGN = {
    **dict.fromkeys(("and", "&&", "&"), "filters hold all together: leave it out"),
    **dict.fromkeys(("or", "||", "|"), "alternatives are written as a list, e.g. country in [DE,FR]"),
    "not": "write e.g. country!=DE or country not in [DE,FR]",
    SCORE: f"it is only for sorting, {_SORT_EXAMPLE}",
}


def read(text: str) -> Query:
    """Read a query. Raises InvalidQuery."""
    if len(text) > MAX_LENGTH:
        told = f"a query has at most {MAX_LENGTH:,} characters, this one has {len(text):,}: ask for less"
        raise InvalidQuery(text, MAX_LENGTH, told)
    reader = _Reader(text)
    parser = _grammar().parse_interactive(text)
    try:
        for token in parser.iter_parse():
            reader.take(token)
        parser.feed_eof()
    except UnexpectedInput as error:
        raise reader.unexpected(error, parser.accepts()) from None
    return reader.query


@cache
def _grammar() -> Lark:
    grammar = files("molt_market.orderbook").joinpath("search.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", start="query")


class _Reader:
    """Makes filters and sort keys of the tokens, which come in an order that the grammar allows."""

    _field: Field
    _operator: Operator

    def __init__(self, text: str) -> None:
        self._text = text
        self._filters: list[Filter] = []
        self._sort: list[SortKey] = []
        self._values: list[Value] = []

    @property
    def query(self) -> Query:
        return Query(tuple(self._filters), tuple(self._sort))

    def take(self, token: Token) -> None:
        match token.type:
            case "FIELD":
                self._take_field(token)
            case "OPERATOR" | "IN" | "NOT_IN":
                self._take_operator(token)
            case "WORD" | "QUOTED":
                self._take_value(token)
            case "RSQB":
                self._end_filter()
            case "KEY":
                self._take_key(token)

    def _take_field(self, token: Token) -> None:
        name = token.lower()
        if name not in FIELDS:
            told = _FOREIGN.get(name) or _nearest(name, FIELDS)
            raise self._wrong(token, f"{shown(token)} is no field to search by: {told}")
        self._field = FIELDS[name]

    def _take_operator(self, token: Token) -> None:
        written = " ".join(token.lower().split())
        if written not in set(Operator):
            raise self._wrong(token, f"{shown(token)} is no operator: write {any_of(Operator)}")
        self._operator = Operator(written)
        if self._operator in ORDERED and not self._field.kind.is_ordered:
            name = self._field.name
            told = f"'{written}' does not compare {name}, which has no order: write =, !=, in or not in"
            raise self._wrong(token, f"{told}, e.g. {self._field.example}")

    def _take_value(self, token: Token) -> None:
        word = re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL) if token.type == "QUOTED" else str(token)
        try:
            self._values.append(self._field.kind.read(word))
        except InvalidValue as error:
            raise self._wrong(token, f"{shown(word)} is {error}") from None
        if not self._operator.is_of_lists:
            self._end_filter()

    def _end_filter(self) -> None:
        self._filters.append(Filter(self._field.name, self._operator, tuple(self._values)))
        self._values = []

    def _take_key(self, token: Token) -> None:
        name = token.removeprefix("-").lower()
        if name not in SORTABLE:
            told = "an offer has several" if name in FIELDS else _nearest(name, SORTABLE)
            raise self._wrong(token, f"{shown(token)} is nothing to sort by: {told}")
        if any(key.field == name for key in self._sort):
            raise self._wrong(token, f"{name} is sorted by already: name it once")
        self._sort.append(SortKey(name, descending=token.startswith("-")))

    def _wrong(self, token: Token, told: str) -> InvalidQuery:
        return InvalidQuery(self._text, token.start_pos or 0, told)

    # --------------------------------------------------------------------- where the grammar does not go on

    def unexpected(self, error: UnexpectedInput, expected: set[str]) -> InvalidQuery:
        """Say what was expected at a place where something else stands, or nothing."""
        at_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        position = len(self._text.rstrip()) if at_end else error.pos_in_stream or 0
        return InvalidQuery(self._text, position, self._expected(expected, self._text[position:].strip()))

    def _expected(self, expected: set[str], rest: str) -> str:
        if "OPERATOR" in expected:
            return f"{self._field.name} needs an operator and a value: write e.g. {self._field.example}"
        if "LSQB" in expected:
            return f"'{self._operator}' needs a list in brackets: write e.g. {self._field.list_example}"
        if "RSQB" in expected:
            return _rest_of_list(rest)
        if "WORD" in expected:
            return self._expected_value(rest)
        if "FIELD" in expected:
            return _expected_filter(rest)
        if "KEY" in expected:
            return f"a field to sort by is missing: {_SORT_EXAMPLE}"
        return "after --sort there are only fields with commas between them: write filters before --sort"

    def _expected_value(self, rest: str) -> str:
        name, listed = self._field.name, self._operator.is_of_lists
        if rest.startswith(('"', "'")):
            return f"the quote is not closed: write {rest[0]} also at its end"
        if listed and not rest:
            return _rest_of_list(rest)
        if listed and rest.startswith("]") and not self._values:
            return f"the list is empty: write at least one value, e.g. {self._field.list_example}"
        if rest.startswith("["):
            return f"'{self._operator}' takes one value: for several write e.g. {self._field.list_example}"
        example = self._field.list_example if listed else f"{name}{self._operator}{self._field.examples[0]}"
        return f"a value is missing: write e.g. {example}, in quotes if it has spaces or signs"


def _rest_of_list(rest: str) -> str:
    if not rest:
        return "the list is not closed: write ] after its last value"
    told = "write a comma between values, ] after the last, and values with spaces in quotes"
    return f"{shown(_first(rest))} does not continue the list: {told}"


def _expected_filter(rest: str) -> str:
    if rest.startswith("--"):
        return f"{shown(_first(rest))} is no option: the only one is --sort, {_SORT_EXAMPLE}"
    if rest.startswith(","):
        return "a comma is only for lists and sort keys: write spaces between filters, and decimals as 2.5"
    return f"{shown(_first(rest))} starts no filter: write field, operator and value, e.g. vram_gb>=80"


def _first(rest: str) -> str:
    """Return the first word, or the sign that stands in its place."""
    found = re.match(r"[^\s\[\],]+|\S", rest)
    return found[0] if found else rest


def _nearest(name: str, names: Iterable[str]) -> str:
    """Say which names look like this one, or share a word with it; else say all names."""
    near = difflib.get_close_matches(name, list(names), n=2)
    if not near and len(name) > 2:
        near = [each for each in names if name in each or each in name]
    return f"did you mean {any_of(near)}?" if near else f"write {any_of(names)}"


def shown(word: str) -> str:
    """Quote a word for a message, cut if it is long."""
    return repr(str(word) if len(word) <= 40 else f"{word[:37]}...")
