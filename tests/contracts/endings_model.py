"""The endings of a deal in plain Python: stop, dispute, unattested claim, ruling, split.

Written from ESCROW's table, a method for a row; imports nothing of the product. What the contract works out
as a remainder is written down here as a sum, and `contest` asserts that the two agree.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.contracts import model
from tests.contracts.model import ATTESTED, BPS, DISPUTED, EXCUSED, REFUNDED, RELEASED, Payout

STOPPED = 4


@dataclass(kw_only=True)
class Deal(model.Deal):
    """A deal with all that its endings need of terms and policy. Windows in seconds."""

    commitment: int
    grace: int
    arbitration: int
    arbiter: str
    arbiter_share_bps: int

    @property
    def stake(self) -> int:
        """What the provider has at stake in a dispute: the bond of the contested GPU-seconds."""
        return self.bond_of(self.claim) - self.bond_of(self.paid)

    @property
    def buyers_stake(self) -> int:
        """As much, but nothing against a claim that no quorum has signed."""
        return self.stake if self.flags & ATTESTED else 0

    @property
    def pot(self) -> int:
        return self.stake + self.buyers_stake

    @property
    def share(self) -> int:
        """What a ruling brings the arbiter, whatever it says."""
        return self.pot * self.arbiter_share_bps // BPS

    @property
    def held(self) -> int:
        if self.status == DISPUTED:
            return self.due(self.claim) - self.due(self.paid) + self.pot
        return super().held

    def stop(self, time: int) -> bool:
        """Bring the end forward, and say whether the bond is excused."""
        notice = self.notice_minutes * 60
        excused = time < self.opened_at + notice
        self.ends_at = max(time + notice, self.opened_at + self.commitment)
        self.deadline = self.ends_at + self.grace
        self.flags |= STOPPED | (EXCUSED if excused else 0)
        return excused

    def claim_unattested(self, units: int, time: int) -> Payout:
        self.claim = units
        return self.contest(self.paid, time)

    def contest(self, counter: int, time: int) -> Payout:
        """Settle all but what lies between `counter` and the claim. The payout is without the stake."""
        before = self.held
        undelivered = self.bond - self.bond_of(self.claim)
        excused = bool(self.flags & EXCUSED)
        provider, fee, _ = self.pay(counter)
        provider += self.bond_of(counter) + (undelivered if excused else 0)
        buyer = self.cost - self.due(self.claim) + (0 if excused else undelivered)
        self.status = DISPUTED
        self.deadline = time + self.arbitration
        assert before + self.buyers_stake == provider + fee + buyer + self.held
        return Payout(provider=provider, fee=fee, buyer=buyer)

    def rule(self, units: int, share: int = 0) -> Payout:
        """Close the dispute at `units`: the pot, less the share, is split as the bond at stake is."""
        earned = self.bond_of(units) - self.bond_of(self.paid)
        won = (self.pot - share) * earned // self.stake if self.stake else 0
        return self._end(units, won, share)

    def fall_silent(self) -> Payout:
        """Close the dispute because nobody has ruled."""
        return self.rule(self.claim if self.flags & ATTESTED else self.paid)

    def split(self, units: int) -> Payout:
        """Close as both parties wish: the provider gets the whole bond back, or in a dispute his stake."""
        return self._end(units, self.stake if self.status == DISPUTED else self.bond)

    def _end(self, units: int, bond: int, share: int = 0) -> Payout:
        held = self.held
        provider, fee, _ = self.pay(units)
        self.status = RELEASED if units else REFUNDED
        buyer = held - share - provider - fee - bond
        assert min(provider, fee, bond, buyer) >= 0
        return Payout(provider=provider + bond, fee=fee, buyer=buyer)
