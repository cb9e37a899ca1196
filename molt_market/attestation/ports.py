"""What an attestor needs of a database: a port, so that he knows none."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from molt_market.attestation.verifier import DeviceUse
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.domain.pings import Ping
from molt_market.domain.proofs import Attestation


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of an agent's receipt: `code` says why it is not signed, None: it is.

    `digest` is what is signed of a receipt: two with the same one are the same. `posted`: it lies at the
    market.
    """

    receipt: Attestation
    digest: Hash32
    code: str | None
    text: str
    judged_at: datetime
    posted: bool = False


@dataclass(frozen=True, slots=True)
class PingCount:
    """How often a deal's gateway was asked; `last_failure` says why it did not answer last, if ever."""

    answered: int = 0
    unanswered: int = 0
    last_failure: str | None = None


class AttestorStore(Protocol):
    """Keeps what one attestor has seen of one deployment. Each method is one transaction."""

    def add_ping(self, ping: Ping, failure: str | None = None) -> None:
        """Keep a ping; `failure` says why it was not answered."""
        ...

    def pings(self, deal_id: EscrowId) -> Sequence[Ping]:
        """Return the pings of a deal, the earliest first."""
        ...

    def verdicts(self, deal_id: EscrowId) -> Sequence[Verdict]:
        """Return what is said of a deal's receipts, the earliest first."""
        ...

    def decide(self, verdict: Verdict, devices: Collection[DeviceUse]) -> bool:
        """Keep a verdict before it is said, and the GPUs that its deal used.

        False, and nothing is kept: this receipt is judged already, or another of the deal's is signed.
        """
        ...

    def mark_posted(self, verdict: Verdict) -> None:
        """Keep that a verdict lies at the market."""
        ...

    def in_use(self, uuids: Collection[str]) -> Sequence[DeviceUse]:
        """Return in which deals these GPUs were used."""
        ...
