"""The contract's two roles, and what they have set. Neither can touch a balance or an open deal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from molt_market.domain.ids import Address


class Role(IntEnum):
    """A role, by the contract's number."""

    GUARDIAN = 0  # may pause openings, for a while
    FEE_SETTER = 1  # may announce another fee


@dataclass(frozen=True, slots=True)
class RoleHolder:
    """Who has a role, and who may accept it. Without a holder nobody has it, for ever."""

    holder: Address | None
    pending: Address | None = None


@dataclass(frozen=True, slots=True)
class EscrowConfig:
    """What the roles have set, as a deal that opens now meets it; an open deal keeps its own fee.

    `fee_bps` is the fee now, and `next_fee_bps` from `next_fee_from` on: None while nothing else is
    announced. No deal opens before `paused_until`: None while openings are not paused.
    """

    fee_bps: int
    next_fee_bps: int | None = None
    next_fee_from: datetime | None = None
    paused_until: datetime | None = None
