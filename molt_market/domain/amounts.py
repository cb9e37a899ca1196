"""Money: whole base units of one token, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Self

from pydantic import AfterValidator, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from molt_market.domain.fields import MAX_UINT96
from molt_market.domain.ids import Address
from molt_market.errors import InexactAmount, InvalidValue, NegativeAmount, TokenMismatch

MAX_DECIMALS = 18
MAX_DIGITS = 100  # keeps "1e999999999" from filling the memory


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its symbol, how many decimals it has, and its contract where there is one.

    Two tokens are the same if all three are equal.

    >>> Token("USDC", 6).amount("1.5").base_units
    1500000
    """

    symbol: str
    decimals: int
    address: Address | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.symbol, str) or not self.symbol.strip():
            raise InvalidValue("a token needs a symbol, e.g. 'MOLT'")
        if type(self.decimals) is not int or not 0 <= self.decimals <= MAX_DECIMALS:
            raise InvalidValue(f"{self.decimals!r} decimals: give a whole number of 0 to {MAX_DECIMALS}")
        if self.address is not None:
            object.__setattr__(self, "address", Address(self.address))

    @property
    def label(self) -> str:
        """The symbol, and the contract that sets it apart from tokens of the same symbol."""
        return self.symbol if self.address is None else f"{self.symbol} ({self.address})"

    def amount(self, value: int | str | Decimal) -> Amount:
        """Make an amount of `value` whole tokens. Raises InexactAmount for a float or too many decimals."""
        return Amount(_base_units(value, self), self)

    def written(self, base_units: int) -> str:
        """Write base units as whole tokens, to the unit.

        >>> Token("USDC", 6).written(1_500_000)
        '1.5 USDC'
        """
        return str(Amount(base_units, self))


MOLT = Token("MOLT", 18)


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of base units of one token, never negative. Amounts of two tokens do not mix (TokenMismatch).

    >>> str(Amount.from_molt("1.5") * 2)
    '3 MOLT'
    """

    base_units: int
    token: Token = field(default=MOLT)

    def __post_init__(self) -> None:
        if type(self.base_units) is not int:
            raise InexactAmount(
                f"{self.base_units!r} is not a whole number of base units{_hint(self.base_units)}"
            )
        if self.base_units < 0:
            raise NegativeAmount(f"{self.base_units} base units: an amount is never below zero")

    @classmethod
    def from_molt(cls, value: int | str | Decimal) -> Self:
        """Make an amount of `value` whole MOLT (18 decimals). Raises InexactAmount for a float.

        >>> Amount.from_molt("0.5").base_units
        500000000000000000
        """
        return cls(_base_units(value, MOLT), MOLT)

    @classmethod
    def zero(cls, token: Token = MOLT) -> Self:
        return cls(0, token)

    def to_decimal(self) -> Decimal:
        """Return the exact number of whole tokens."""
        digits = tuple(int(digit) for digit in str(self.base_units))
        return Decimal((0, digits, -self.token.decimals))

    def as_float(self) -> float:
        """Return the nearest float, for display only."""
        return float(self.to_decimal())

    def __str__(self) -> str:
        tokens, rest = divmod(self.base_units, 10**self.token.decimals)
        fraction = f"{rest:0{self.token.decimals}d}".rstrip("0") if rest else ""
        return f"{tokens}.{fraction} {self.token.symbol}" if fraction else f"{tokens} {self.token.symbol}"

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.base_units + self._units_of(other), self.token)

    def __sub__(self, other: Amount) -> Amount:
        """Subtract. Raises NegativeAmount if `other` is larger."""
        if self.base_units < self._units_of(other):
            raise NegativeAmount(f"{self} less {other}: an amount is never below zero")
        return Amount(self.base_units - other.base_units, self.token)

    def __mul__(self, times: int) -> Amount:
        if type(times) is not int:
            raise InexactAmount(f"{self} times {times!r}: multiply by a whole number")
        return Amount(self.base_units * times, self.token)

    __rmul__ = __mul__

    def __lt__(self, other: Amount) -> bool:
        return self.base_units < self._units_of(other)

    def __le__(self, other: Amount) -> bool:
        return self.base_units <= self._units_of(other)

    def __gt__(self, other: Amount) -> bool:
        return self.base_units > self._units_of(other)

    def __ge__(self, other: Amount) -> bool:
        return self.base_units >= self._units_of(other)

    def _units_of(self, other: Amount) -> int:
        if not isinstance(other, Amount):
            raise InexactAmount(f"{other!r} is not an amount{_hint(other)}")
        if other.token != self.token:
            raise TokenMismatch(self.token, other.token)
        return other.base_units

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _amount_field,
            serialization=core_schema.plain_serializer_function_ser_schema(
                _to_json, return_schema=_JSON_SCHEMA
            ),
            json_schema_input_schema=_JSON_SCHEMA,
        )


def _chargeable(price: Amount) -> Amount:
    if not 0 < price.base_units <= MAX_UINT96:
        raise InvalidValue(f"{price} cannot be charged: give more than 0 and less than 2^96 base units")
    return price


Price = Annotated[Amount, AfterValidator(_chargeable)]
"""An amount that the contract can charge: above zero, below 2^96 base units."""


_JSON_SCHEMA = core_schema.typed_dict_schema(
    {
        "base_units": core_schema.typed_dict_field(core_schema.str_schema(pattern=r"^[0-9]+$")),
        "token": core_schema.typed_dict_field(
            core_schema.typed_dict_schema(
                {
                    "symbol": core_schema.typed_dict_field(core_schema.str_schema()),
                    "decimals": core_schema.typed_dict_field(core_schema.int_schema(ge=0, le=MAX_DECIMALS)),
                    "address": core_schema.typed_dict_field(
                        core_schema.nullable_schema(core_schema.str_schema())
                    ),
                }
            )
        ),
    }
)


def _base_units(value: object, token: Token) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        raise InexactAmount(f"{value!r} is not exact money{_hint(value)}")
    try:
        sign, digits, exponent = Decimal(value).as_tuple()
    except InvalidOperation:
        raise InvalidValue(f"{value!r} is not a number: write e.g. '1.5'") from None
    if not isinstance(exponent, int):
        raise InvalidValue(f"{value!r} is not a sum of money: write e.g. '1.5'")
    if len(digits) > MAX_DIGITS or not -MAX_DIGITS <= exponent <= MAX_DIGITS:
        raise InvalidValue(f"too many digits: no sum of {token.symbol} needs more than {MAX_DIGITS}")
    coefficient = int("".join(map(str, digits)) or "0")
    if sign and coefficient:
        raise NegativeAmount(f"{value} {token.symbol}: an amount is never below zero")
    shift = exponent + token.decimals
    scale: int = 10 ** abs(shift)
    units, dust = (coefficient * scale, 0) if shift >= 0 else divmod(coefficient, scale)
    if dust:
        raise InexactAmount(f"{value} {token.symbol} has more than {token.decimals} decimals: round it first")
    return units


def _hint(value: object) -> str:
    if isinstance(value, bool):
        return ""
    return f': write Amount.from_molt("{value}") or token.amount("{value}")'


def _amount_field(value: object) -> Amount:
    if isinstance(value, Amount):
        return value
    if not isinstance(value, dict):
        raise InexactAmount(f"{value!r} is not an amount{_hint(value)}")
    if value.keys() != {"base_units", "token"} or not isinstance(value["token"], dict):
        raise InvalidValue(
            "an amount is written {'base_units': '...', 'token': {'symbol', 'decimals', 'address'}}"
        )
    units = value["base_units"]
    if not isinstance(units, str) or not (units.isascii() and units.isdigit()) or len(units) > MAX_DIGITS:
        raise InexactAmount(f"base units {units!r}: write them as a string of digits")
    return Amount(int(units), _token_field(value["token"]))


def _token_field(value: dict[str, Any]) -> Token:
    if not {"symbol", "decimals"} <= value.keys() <= {"symbol", "decimals", "address"}:
        raise InvalidValue("a token is written {'symbol': 'MOLT', 'decimals': 18, 'address': null}")
    return Token(**value)


def _to_json(amount: Amount) -> dict[str, Any]:
    token = amount.token
    address = None if token.address is None else str(token.address)
    written = {"symbol": token.symbol, "decimals": token.decimals, "address": address}
    return {"base_units": str(amount.base_units), "token": written}
