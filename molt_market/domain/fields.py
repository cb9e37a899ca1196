"""What the models share: their base, integers of the contract's widths, moments, lists without duplicates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from molt_market.errors import InvalidValue

MAX_UINT32 = 2**32 - 1
MAX_UINT40 = 2**40 - 1
MAX_UINT64 = 2**64 - 1
MAX_UINT96 = 2**96 - 1
MAX_HOURS = 8_760
SECONDS_PER_HOUR = 3_600
BPS = 10_000

Item = TypeVar("Item")


class Value(BaseModel):
    """An immutable value that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def whole(least: int, most: int) -> Any:
    """Make the field of an integer in a range; floats, strings and bools are not converted."""
    return Field(strict=True, ge=least, le=most)


Uint8 = Annotated[int, whole(0, 2**8 - 1)]
Uint16 = Annotated[int, whole(0, 2**16 - 1)]
Uint32 = Annotated[int, whole(0, MAX_UINT32)]
Uint40 = Annotated[int, whole(0, MAX_UINT40)]
Uint64 = Annotated[int, whole(0, MAX_UINT64)]
GpuCount = Annotated[int, whole(1, MAX_UINT32)]
Hours = Annotated[int, whole(1, MAX_HOURS)]


def _utc_second(value: object) -> datetime:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        time = None
    if not isinstance(time, datetime):
        raise InvalidValue(f"{value!r} is not a time: give a datetime with a zone, e.g. datetime.now(UTC)")
    if time.tzinfo is None:
        raise InvalidValue(f"{time} has no time zone: give it one, e.g. datetime.now(UTC)")
    if not 1970 < time.year < 9999:
        raise InvalidValue(f"{time} is out of range: the contract counts seconds from 1970 on")
    return time.astimezone(UTC).replace(microsecond=0)


Moment = Annotated[datetime, BeforeValidator(_utc_second)]
"""A time in UTC, rounded down to the second as the contract keeps it. A time without a zone is refused."""

CLOCKS_DIFFER = timedelta(seconds=5)  # a machine's and a chain's, when both are right


def now() -> datetime:
    """Return the present second in UTC."""
    return datetime.now(UTC).replace(microsecond=0)


def just_now() -> datetime:
    """Return a second shortly before the present one: a chain refuses what is of the future by its clock."""
    return now() - CLOCKS_DIFFER


def seconds(moment: datetime) -> int:
    """Return the Unix second of a moment, as it is signed and stored."""
    return int(moment.timestamp())


def moment(unix_seconds: int) -> datetime:
    """Return the moment of a Unix second."""
    return datetime.fromtimestamp(unix_seconds, UTC)


def lasting(lifetime: timedelta) -> Callable[[dict[str, Any]], datetime]:
    """Make the default of `expires_at`: so long after `created_at`."""
    return lambda data: (data.get("created_at") or now()) + lifetime  # it lacks only where it was refused


def require_expiry_after_creation(created_at: datetime, expires_at: datetime) -> None:
    if expires_at <= created_at:
        raise InvalidValue(f"expires_at {expires_at} is not after created_at {created_at}: move it on")


def distinct(items: Iterable[Item], what: str) -> tuple[Item, ...]:
    """Return the items as a tuple, refusing one that comes twice."""
    kept = tuple(items)
    for position, item in enumerate(kept):
        if item in kept[:position]:
            raise InvalidValue(f"{what} {item} is listed twice: name it once")
    return kept
