"""A query of offers: filters that must all hold, and what to sort by. As text it can be parsed again."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from molt_market.orderbook.listing import Listing
from molt_market.orderbook.search_fields import FIELDS, Value

_BARE = re.compile(r"(?!--)[A-Za-z0-9._:+-]+")


class Operator(StrEnum):
    """How a filter compares."""

    EQUAL = "="
    UNEQUAL = "!="
    BELOW = "<"
    AT_MOST = "<="
    ABOVE = ">"
    AT_LEAST = ">="
    IN = "in"
    NOT_IN = "not in"

    @property
    def is_of_lists(self) -> bool:
        return self in {Operator.IN, Operator.NOT_IN}


_ORDER = {
    Operator.BELOW: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.ABOVE: operator.gt,
    Operator.AT_LEAST: operator.ge,
}
ORDERED = frozenset(_ORDER)


@dataclass(frozen=True, slots=True)
class Filter:
    """One thing that must hold of an offer; several values are alternatives."""

    field: str
    operator: Operator
    values: tuple[Value, ...]

    def keeps(self, listing: Listing) -> bool:
        """Say whether it holds; of a field that the offer does not state nothing does, not even `!=`."""
        stated = FIELDS[self.field].stated(listing)
        if stated is None:
            return False
        if compare := _ORDER.get(self.operator):
            return bool(compare(stated, self.values[0]))
        held = stated if isinstance(stated, frozenset) else {stated}
        return held.isdisjoint(self.values) == (self.operator in {Operator.UNEQUAL, Operator.NOT_IN})

    def __str__(self) -> str:
        values = ",".join(_written(value) for value in self.values)
        if self.operator.is_of_lists:
            return f"{self.field} {self.operator} [{values}]"
        return f"{self.field}{self.operator}{values}"


@dataclass(frozen=True, slots=True)
class SortKey:
    """A field, or the score, that decides which offers come first."""

    field: str
    descending: bool = False

    def __str__(self) -> str:
        return f"-{self.field}" if self.descending else self.field


@dataclass(frozen=True, slots=True, repr=False)
class Query:
    """Filters that must all hold, and sort keys, the first one first; `parse_query` makes it.

    >>> from molt_market.orderbook import parse_query
    >>> query = parse_query("gpu_model in ['NVIDIA H100 80GB', h200]   price < 2.50   --sort -vram_gb")
    >>> query
    Query('gpu_model in [H100,H200] price<2.5 --sort -vram_gb')
    >>> parse_query(str(query)) == query
    True
    """

    filters: tuple[Filter, ...] = ()
    sort: tuple[SortKey, ...] = ()

    def __str__(self) -> str:
        parts = [str(each) for each in self.filters]
        if self.sort:
            parts.append(f"--sort {','.join(map(str, self.sort))}")
        return " ".join(parts)

    def __repr__(self) -> str:
        return f"Query({str(self)!r})"


def _written(value: Value) -> str:
    """Write a value as it is parsed."""
    if isinstance(value, tuple):
        return f"{value[0]}.{value[1]}"
    if isinstance(value, Decimal):
        whole, _, fraction = f"{value:f}".partition(".")
        return f"{whole}.{fraction.rstrip('0')}".rstrip(".")
    if isinstance(value, int) or _BARE.fullmatch(value):
        return str(value)
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
