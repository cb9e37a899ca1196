"""What the parties say at the end of a deal, signed so that anyone may bring it to the contract.

Every statement lapses: it counts while the chain's time is before `until`.
"""

from __future__ import annotations

from molt_market.domain.fields import Moment, Uint40, Value
from molt_market.domain.ids import Address, EscrowId, Signature


class SignedStatement(Value):
    """A party's word about a deal."""

    deal_id: EscrowId
    until: Moment
    signer: Address
    signature: Signature


class StopRequest(SignedStatement):
    """The buyer ends the deal early, one notice from when the contract learns it."""


class ProviderCancellation(SignedStatement):
    """The provider gives the deal up: what vouchers paid stays paid, the rest goes back to the buyer."""


class UnattestedClaim(SignedStatement):
    """The provider claims `gpu_seconds` without attestors; the arbiter has to rule on it."""

    gpu_seconds: Uint40


class Concession(SignedStatement):
    """A party gives in: the provider to the paid GPU-seconds, the buyer to the claimed ones."""

    gpu_seconds: Uint40


class Ruling(SignedStatement):
    """The arbiter rules: `gpu_seconds` in all are paid. A panel rules by RulingVotes."""

    gpu_seconds: Uint40


class SplitAgreement(Value):
    """Both parties close the deal at `gpu_seconds`, earlier payments included; bond and stakes go back.

    Half of it is signed first; `sign_split` adds either signature.
    """

    deal_id: EscrowId
    gpu_seconds: Uint40
    until: Moment
    buyer_signature: Signature | None = None
    provider_signature: Signature | None = None


class RulingVote(Value):
    """One member's ruling on a dispute, for the contract of its panel."""

    panel: Address
    escrow: Address
    deal_id: EscrowId
    gpu_seconds: Uint40
    until: Moment
    signer: Address
    signature: Signature

    def same_ruling_as(self, other: RulingVote) -> bool:
        """Tell whether both members rule alike, for the same panel."""
        mine = (self.panel, self.escrow, self.deal_id, self.gpu_seconds, self.until)
        return mine == (other.panel, other.escrow, other.deal_id, other.gpu_seconds, other.until)
