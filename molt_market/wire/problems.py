"""Errors over the wire: RFC 9457 problem details out of an error, and the same error out of them."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict

from molt_market import errors, refusals
from molt_market.domain.amounts import Amount, Token
from molt_market.domain.fields import Moment
from molt_market.errors import (
    ChainError,
    DealNotFound,
    Expired,
    InvalidValue,
    MarketError,
    MoltError,
    OfferNotFound,
    OrderNotFound,
    PolicyNotFound,
    SignatureError,
    StorageUnavailable,
    TooManyDocuments,
    TooManyReservations,
)

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:molt-market:error:"

# The first that fits counts.
STATUSES: tuple[tuple[type[MoltError], int], ...] = (
    (errors.TooManyRequests, 429),
    (TooManyReservations, 429),
    (TooManyDocuments, 429),
    (InvalidValue, 422),
    (SignatureError, 403),
    (OrderNotFound, 404),
    (OfferNotFound, 404),
    (DealNotFound, 404),
    (PolicyNotFound, 404),
    (Expired, 410),
    (StorageUnavailable, 503),
    (errors.TransactionPending, 503),
    (ChainError, 503),
    (MarketError, 409),
)


class Problem(BaseModel):
    """What went wrong. `code` is the class of the SDK's error, `values` are its figures."""

    model_config = ConfigDict(frozen=True)

    type: str
    title: str
    status: int
    detail: str
    code: str
    values: dict[str, Any] = {}


def problem_of(error: MoltError) -> Problem:
    """Write an error down."""
    kind = type(error)
    return Problem(
        type=TYPE + kind.__name__,
        title=(kind.__doc__ or kind.__name__).split("\n")[0],
        status=next((status for each, status in STATUSES if isinstance(error, each)), 500),
        detail=str(error),
        code=kind.__name__,
        values={name: _written(value) for name, value in vars(error).items() if not name.startswith("_")},
    )


def error_of(problem: Problem) -> MoltError:
    """Return the error that was written down; one of an unknown class is a MarketError."""
    kind = _kinds().get(problem.code, MarketError)
    error = kind.__new__(kind, problem.detail)
    error.args = (problem.detail,)
    error.__dict__.update({name: _read(value) for name, value in problem.values.items()})
    return error


@cache
def _kinds() -> dict[str, type[MoltError]]:
    found = [*vars(errors).values(), *vars(refusals).values()]
    return {each.__name__: each for each in found if isinstance(each, type) and issubclass(each, MoltError)}


def _written(value: Any) -> Any:
    """Write a value so that its type can be told: JSON has neither amounts nor times."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return {"integer": str(value)}
        case Amount():
            return {"amount": _amount(value)}
        case Token():
            return {"amount_of": _amount(Amount(0, value))}
        case datetime():
            return {"time": value.isoformat()}
        case tuple() | list() | frozenset() | set():
            return {"list": [_written(each) for each in value]}
        case _:
            return str(value)


def _amount(amount: Amount) -> Any:
    return _Money(amount=amount).model_dump()["amount"]


def _read(value: Any) -> Any:
    if not isinstance(value, dict) or len(value) != 1:
        return value
    [(kind, inner)] = value.items()
    match kind:
        case "integer":
            return int(inner)
        case "amount":
            return _Money(amount=inner).amount
        case "amount_of":
            return _Money(amount=inner).amount.token
        case "time":
            return _Time(time=inner).time
        case "list":
            return tuple(_read(each) for each in inner)
        case _:
            return value


class _Money(BaseModel):
    amount: Amount


class _Time(BaseModel):
    time: Moment
