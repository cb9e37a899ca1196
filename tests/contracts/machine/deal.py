"""One deal's money, as ESCROW 1 has it; by docs/escrow.md stakes follow the bond that a ruling earns."""

from __future__ import annotations

from dataclasses import dataclass

from tests.contracts.machine.wire import Terms

NONE, LOCKED, CLAIMED, DISPUTED, RELEASED, REFUNDED = range(6)
LIVE = (LOCKED, CLAIMED, DISPUTED)
STATUS_NAMES = ("NONE", "LOCKED", "CLAIMED", "DISPUTED", "RELEASED", "REFUNDED")
BPS = 10_000


@dataclass(frozen=True)
class Deal:
    terms: Terms
    fee_bps: int
    bond_bps: int
    notice_minutes: int
    opened_at: int
    ends_at: int
    deadline: int
    status: int = LOCKED
    excused: bool = False
    attested: bool = False
    stopped: bool = False
    paid: int = 0
    claim: int = 0

    @property
    def allocation(self) -> int:
        return self.terms.gpus * self.terms.duration

    def due(self, units: int) -> int:
        return units * self.terms.price // 3600

    def fee(self, units: int) -> int:
        return self.due(units) * self.fee_bps // BPS

    @property
    def price(self) -> int:
        return self.due(self.allocation)

    @property
    def bond(self) -> int:
        return self.price * self.bond_bps // BPS

    @property
    def deliverable(self) -> int:
        """What can be delivered until the end, which a stop may have moved."""
        return self.terms.gpus * (self.ends_at - self.opened_at)

    def bond_of(self, units: int) -> int:
        """What these GPU-seconds earn of the bond: in proportion, and all of it near the end."""
        tolerated = self.terms.gpus * self.notice_minutes * 60
        if units > 0 and units + tolerated >= self.deliverable:
            return self.bond
        return self.bond * units // self.deliverable

    @property
    def stake(self) -> int:
        """Each side's in a dispute: the bond that the contested GPU-seconds would earn."""
        return self.bond_of(self.claim) - self.bond_of(self.paid)

    @property
    def pot(self) -> int:
        return 2 * self.stake if self.attested else self.stake

    @property
    def held(self) -> int:
        """What the contract holds for this deal."""
        if self.status in (LOCKED, CLAIMED):
            return self.price - self.due(self.paid) + self.bond
        if self.status == DISPUTED:
            return self.due(self.claim) - self.due(self.paid) + self.pot
        return 0

    def payment(self, units: int) -> tuple[int, int]:
        """Return what raising the paid GPU-seconds to `units` brings the provider and the fee account."""
        fee = self.fee(units) - self.fee(self.paid)
        return self.due(units) - self.due(self.paid) - fee, fee

    @property
    def flags(self) -> int:
        return self.excused | self.attested << 1 | self.stopped << 2

    def words(self) -> tuple[int, ...]:
        """Return the fields of `dealOf`."""
        times = (self.opened_at, self.ends_at, self.deadline)
        rates = (self.fee_bps, self.bond_bps)
        return (self.status, self.flags, *rates, *times, self.paid, self.claim, self.notice_minutes)

    def packed(self) -> int:
        """Return the fields as one storage word, the first one lowest."""
        word, position = 0, 0
        for value, bits in zip(self.words(), (8, 8, 16, 16, 40, 40, 40, 40, 40, 8), strict=True):
            word |= value << position
            position += bits
        return word
