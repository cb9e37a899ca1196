"""Alerts: what they are about, whom they concern, and how they are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from molt_market.domain.ids import Address, EscrowId


class AlertKind(StrEnum):
    """What an alert is about."""

    END_NEAR = "end_near"  # to both parties: the allocation ends soon
    VOUCHERS_LAG = "vouchers_lag"  # to the provider: much is delivered that no voucher has paid
    CLAIM_CLOSING = "claim_closing"  # to the provider: the time to claim is over soon
    CLAIM_OPENED = "claim_opened"  # to the buyer: a claim stands unless he contests it in time
    CONTEST_CLOSING = "contest_closing"  # to the buyer: the time to contest is over soon
    DISPUTE_OPENED = "dispute_opened"  # to both parties and the arbiter
    RULING_CLOSING = "ruling_closing"  # to the same: the time to rule is over soon
    NOT_CLOSED = "not_closed"  # to both parties and the operator: a deal is due, and nobody has closed it
    GAS_LOW = "gas_low"  # to the operator: an account has little left to pay gas with


@dataclass(frozen=True, slots=True)
class Alert:
    """What somebody has to know. `id` is the same whenever it is found: each subscription gets it once.

    `to` are the accounts that it concerns; `operator` says that it concerns the operator too. `until` is when
    it is too late to act (UTC).
    """

    id: str
    kind: AlertKind
    text: str
    to: frozenset[Address] = frozenset()
    operator: bool = False
    deal_id: EscrowId | None = None
    until: datetime | None = None
    figures: Mapping[str, int] = field(default_factory=dict)

    def concerns(self, party: Address | None) -> bool:
        """Tell whether it is for an account; None: for the operator."""
        return self.operator if party is None else party in self.to

    def body(self, deployment: str) -> str:
        """Write it as JSON, the same each time. Figures are strings, as they may be large."""
        told = {
            "id": self.id,
            "kind": self.kind.value,
            "deployment": deployment,
            "deal": self.deal_id,
            "until": None if self.until is None else self.until.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "text": self.text,
            "figures": {name: str(value) for name, value in self.figures.items()},
        }
        return json.dumps(told, separators=(",", ":"))
