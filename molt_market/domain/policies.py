"""Who judges and attests a deal, and how long each of them has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, field_validator, model_validator

from molt_market.domain.fields import Value, distinct, whole
from molt_market.domain.ids import ZERO_ADDRESS, Address
from molt_market.errors import InvalidValue

HOUR = 3_600
DAY = 86_400
MAX_ATTESTORS = 16
LOW_BOND_BPS = 500  # below it one is warned


def by_number(addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    """Return attestors as the contract wants them: ascending, none twice."""
    if ZERO_ADDRESS in addresses:
        raise InvalidValue("the zero address cannot attest: leave it out")
    return tuple(sorted(distinct(addresses, "attestor"), key=Address.number))


Attestors = Annotated[
    tuple[Address, ...],
    BeforeValidator(lambda given: list(given) if isinstance(given, (set, frozenset)) else given),
    AfterValidator(by_number),
]


def weaknesses(bond_bps: int, notice_minutes: int = 0, duration: int | None = None) -> Iterator[str]:
    """Say where a policy that the contract takes protects a buyer little, also for a duration in seconds.

    >>> list(weaknesses(1_000, 15, 24 * HOUR))
    []
    """
    if bond_bps < LOW_BOND_BPS:
        yield f"a bond of {bond_bps} bps is little to walk away from: prefer at least {LOW_BOND_BPS} bps"
    if duration is not None and notice_minutes * 60 >= duration:
        yield (
            f"a notice of {notice_minutes} minutes is all of the deal's time, so any delivery earns the whole"
            " bond: prefer a shorter notice"
        )


class Policy(Value):
    """Judge, attestors, windows and bond of a deal; both sides sign its hash.

    Shares in basis points: `bond_bps` of the price is the provider's stake on delivering, `arbiter_share_bps`
    of the stakes goes to the arbiter for a ruling. Windows in seconds, the notice in minutes. `threshold`
    attestors make a claim; 0 goes with no attestors, and then no claim is attested: a voucher, a split or a
    ruling pays.

    >>> Policy(arbiter="0x" + "a1" * 20).bond_bps
    1000
    """

    arbiter: Address
    bond_bps: Annotated[int, whole(0, 5_000)] = 1_000
    challenge_seconds: Annotated[int, whole(HOUR, 14 * DAY)] = DAY
    grace_seconds: Annotated[int, whole(HOUR, 7 * DAY)] = DAY
    notice_minutes: Annotated[int, whole(1, 255)] = 15
    arbitration_seconds: Annotated[int, whole(DAY, 14 * DAY)] = 3 * DAY
    arbiter_share_bps: Annotated[int, whole(0, 5_000)] = 500
    threshold: Annotated[int, whole(0, MAX_ATTESTORS)] = 0
    attestors: Attestors = ()

    @field_validator("arbiter")
    @classmethod
    def _check_arbiter(cls, arbiter: Address) -> Address:
        if arbiter == ZERO_ADDRESS:
            raise InvalidValue("the arbiter cannot be the zero address: name an account or a PanelArbiter")
        return arbiter

    @model_validator(mode="after")
    def _check_quorum(self) -> Policy:
        count = len(self.attestors)
        if count > MAX_ATTESTORS:
            raise InvalidValue(f"{count} attestors: name at most {MAX_ATTESTORS}")
        if not min(count, 1) <= self.threshold <= count:
            allowed = f"1 to {count}" if count else "0"
            raise InvalidValue(f"threshold {self.threshold} of {count} attestors: it has to be {allowed}")
        return self
