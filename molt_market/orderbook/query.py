"""The language in which offers are searched: what a text means, or what is wrong with it.

gpu_model in [H100, H200] vram_gb>=80 price<2.5 country=DE --sort price,-score
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from molt_market.errors import InvalidQuery, InvalidValue
from molt_market.orderbook.query_fields import FEATURE, FIELDS, Field, Known

if TYPE_CHECKING:
    from lark import Lark, Token, Tree
    from lark.exceptions import UnexpectedInput

MAX_CHARACTERS = 2_000
SCORE = "score"
SORTABLE = (*(name for name, field in FIELDS.items() if field.kind is not FEATURE), SCORE)

GRAMMAR = r"""
    start: filter* sort?
    filter: FIELD OPERATOR _value
          | FIELD IN _list
          | FIELD NOT IN _list
    sort: _SORT key ("," key)*
    key: DESCENDING? FIELD
    _list: "[" _value ("," _value)* "]"
    _value: WORD | QUOTED

    OPERATOR: "<=" | ">=" | "!=" | "=" | "<" | ">"
    IN: /in\b/
    NOT: /not\b/
    FIELD: /[A-Za-z_]+/
    WORD: /[^\s,\[\]<>=!"']+/
    QUOTED: /"[^"]*"|'[^']*'/
    _SORT: "--sort"
    DESCENDING: "-"
    %ignore /\s+/
"""
EXAMPLE = "vram_gb>=80 gpu_model in [H100,H200] --sort price"
EXPECTED = {
    "FIELD": "a field",
    "OPERATOR": "an operator: = != < <= > >= in, not in",
    "WORD": "a value",
    "LSQB": "a list in [ ]",
    "COMMA": "a comma",
    "RSQB": "]",
    "_SORT": "--sort",
}


@dataclass(frozen=True, slots=True)
class Filter:
    """A field, an operator, and what it is compared with: one value, or those of a list."""

    field: str
    operator: str
    values: tuple[Known, ...]

    def __str__(self) -> str:
        written = [_quoted(FIELDS[self.field].kind.write(value)) for value in self.values]
        if self.operator in {"in", "not in"}:
            return f"{self.field} {self.operator} [{', '.join(written)}]"
        return f"{self.field}{self.operator}{written[0]}"


@dataclass(frozen=True, slots=True)
class SortKey:
    """A field, or "score", and its direction."""

    field: str
    descending: bool = False

    def __str__(self) -> str:
        return f"-{self.field}" if self.descending else self.field


@dataclass(frozen=True, slots=True)
class Query:
    """Filters that all must hold, and sort keys, the first one first. Its text is the same query again."""

    filters: tuple[Filter, ...] = ()
    sort: tuple[SortKey, ...] = ()

    def __str__(self) -> str:
        filters = [str(each) for each in self.filters]
        return " ".join(filters + ([f"--sort {','.join(map(str, self.sort))}"] if self.sort else []))


def parse_query(text: str) -> Query:
    """Read a query; an empty one is for every offer. Raises InvalidQuery, which points at the character.

    >>> query = parse_query("gpu_model='NVIDIA H100 80GB'  price < 2.50 --sort -vram_gb")
    >>> str(query)
    'gpu_model=H100 price<2.50 --sort -vram_gb'
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidQuery(text, MAX_CHARACTERS, f"a query has at most {MAX_CHARACTERS:,} characters")
    tree = _tree(text)
    keys: list[SortKey] = []
    for part in tree.find_data("key"):
        keys.append(_sort_key(text, part, keys))
    filters = [_filter(text, part.children) for part in tree.find_data("filter")]
    return Query(tuple(filters), tuple(keys))


# ------------------------------------------------------------------------------------ what the parser finds


@cache
def _parser() -> Lark:
    from lark import Lark  # noqa: PLC0415 - for those only who search

    return Lark(GRAMMAR, parser="lalr", maybe_placeholders=False)


def _tree(text: str) -> Tree[Token]:
    from lark.exceptions import UnexpectedInput  # noqa: PLC0415

    try:
        return _parser().parse(text)
    except UnexpectedInput as error:
        raise _unexpected(text, error) from None


def _unexpected(text: str, error: UnexpectedInput) -> InvalidQuery:
    token: Any = getattr(error, "token", None)
    at_end = token is not None and token.type == "$END"
    names = getattr(error, "allowed", None) or getattr(error, "accepts", None) or set()
    words = [word for name, word in EXPECTED.items() if name in names]
    position = len(text) if at_end else error.pos_in_stream
    expected = " or ".join(words) or "nothing more"
    return InvalidQuery(text, position or 0, f"expected {expected}, as in {EXAMPLE}")


def _filter(text: str, tokens: list[Any]) -> Filter:
    name, *rest = tokens
    words = [token for token in rest if token.type in {"OPERATOR", "NOT", "IN"}]
    values = [token for token in rest if token.type in {"WORD", "QUOTED"}]
    field = FIELDS.get(name)
    if field is None:
        raise _no_field(text, name, tuple(FIELDS))
    operator = " ".join(words)
    if operator not in field.kind.operators:
        allowed = ", ".join(field.kind.operators)
        problem = f"{name} is a {field.kind.name}: compare it by {allowed}"
        raise InvalidQuery(text, words[0].start_pos, problem)
    return Filter(field.name, operator, tuple(_value(text, field, value) for value in values))


def _value(text: str, field: Field, token: Token) -> Known:
    written = token[1:-1] if token.type == "QUOTED" else str(token)
    try:
        return field.kind.read(written)
    except InvalidValue as error:
        raise InvalidQuery(text, token.start_pos or 0, str(error)) from None


def _sort_key(text: str, part: Tree[Token], before: list[SortKey]) -> SortKey:
    name: Any = part.children[-1]
    if name not in SORTABLE:
        raise _no_field(text, name, SORTABLE)
    if any(key.field == name for key in before):
        raise InvalidQuery(text, name.start_pos, f"{name} is sorted by twice: name it once")
    return SortKey(str(name), descending=len(part.children) > 1)


def _no_field(text: str, name: Token, names: tuple[str, ...]) -> InvalidQuery:
    close = difflib.get_close_matches(name.lower(), names, n=2)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names)}"
    return InvalidQuery(text, name.start_pos or 0, f"no field {str(name)!r} here: {hint}")


def _quoted(written: str) -> str:
    plain = written and not any(letter.isspace() or letter in ",[]<>=!\"'" for letter in written)
    if plain and not written.startswith("--"):
        return written
    return f'"{written}"' if '"' not in written else f"'{written}'"
