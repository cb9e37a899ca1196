"""How reliable a provider was: of what his deals promised, the part that was delivered.

A deal counts by the money that it promised: to fake a record costs the fee on all of it. What one buyer says
counts no more than the prior, so that a record takes many buyers. What is past counts half as much after
each half-life. Newcomers start at one half, and the prior says how much a record has to weigh to move that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from threading import RLock

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import Address, EscrowId, PartyId
from molt_market.domain.settlement import SECONDS_PER_MINUTE, due
from molt_market.errors import InvalidValue
from molt_market.indexer.follower import Change
from molt_market.indexer.records import DealRecord

MILLION = 1_000_000
DAY = 86_400
HALF_LIVES = 20  # after these an outcome counts less than a millionth: it is forgotten


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a closed deal promised and delivered, in base units of the price."""

    provider: Address
    buyer: Address
    day: int
    promised: int
    delivered: int


def outcome_of(record: DealRecord) -> Outcome | None:
    """Return the outcome of a deal; None while it is open.

    Promised is what the GPUs could deliver until the deal's end, which a stop moves. The start-up time that
    the policy tolerates costs nothing, nor what an excused deal leaves out: the buyer stopped it at once, or
    the job was finished early.
    """
    if record.closed_at is None:
        return None
    terms, deal = record.terms, record.deal
    deliverable = terms.gpu_count * (deal.ends_at - deal.opened_at)
    tolerated = terms.gpu_count * deal.notice_minutes * SECONDS_PER_MINUTE
    whole = deal.excused or 0 < deal.paid >= deliverable - tolerated
    promised = deal.paid if whole else deliverable
    return Outcome(
        terms.provider,
        terms.buyer,
        record.closed_at // DAY,
        promised=due(terms, promised),
        delivered=due(terms, min(deal.paid, promised)),
    )


class ProviderReliability:
    """Tells a provider's reliability in millionths, for an OrderBook; kept in memory, made of the facts.

    Args:
        prior: the weight of a newcomer's one half, and the most that one buyer's deals weigh.
        half_life: after so long an outcome counts half; whole days.
    """

    def __init__(self, prior: Amount, *, half_life: timedelta = timedelta(days=30)) -> None:
        if prior.base_units < 1:
            raise InvalidValue("a prior of nothing lets one cheap deal decide: give e.g. 1,000 tokens")
        if half_life < timedelta(days=1):
            raise InvalidValue(f"a half-life of {half_life}: give at least a day")
        self._prior = prior.base_units
        self._half_life = half_life.days
        self._outcomes: dict[EscrowId, Outcome] = {}
        self._of: defaultdict[PartyId, set[EscrowId]] = defaultdict(set)
        self._known: dict[PartyId, int | None] = {}
        self._today = 0
        self._alone = RLock()

    @property
    def horizon(self) -> timedelta:
        """How far back outcomes count."""
        return timedelta(days=HALF_LIVES * self._half_life)

    def __call__(self, provider: PartyId) -> int | None:
        """Return the reliability of a provider, in millionths; None if no deal of his was closed yet."""
        with self._alone:
            if provider not in self._known:
                self._known[provider] = self._worked_out(provider)
            return self._known[provider]

    def note(self, records: Iterable[DealRecord]) -> None:
        """Take in how deals stand now."""
        with self._alone:
            for record in records:
                self._forget(record.id)
                outcome = outcome_of(record)
                if outcome is not None and outcome.promised:
                    self._outcomes[record.id] = outcome
                    self._of[outcome.provider].add(record.id)
                    self._known.pop(outcome.provider, None)

    def follow(self, change: Change) -> None:
        """Take in a step of a Follower, whose listener this is."""
        with self._alone:
            for deal_id in change.gone:
                self._forget(deal_id)
            self.note(change.records)
            if change.at is not None:
                self.let_pass(change.at.time)

    def let_pass(self, time: int) -> None:
        """Note that it is this Unix second: what is past fades by the day."""
        with self._alone:
            if time // DAY == self._today:
                return
            self._today = time // DAY
            self._known.clear()
            over = self._today - HALF_LIVES * self._half_life
            for deal_id in [id_ for id_, outcome in self._outcomes.items() if outcome.day <= over]:
                self._forget(deal_id)

    # ---------------------------------------------------------------- inside

    def _forget(self, deal_id: EscrowId) -> None:
        outcome = self._outcomes.pop(deal_id, None)
        if outcome is not None:
            self._of[outcome.provider].discard(deal_id)
            self._known.pop(outcome.provider, None)

    def _worked_out(self, provider: PartyId) -> int | None:
        of_buyers: defaultdict[Address, list[int]] = defaultdict(lambda: [0, 0])
        for deal_id in self._of.get(provider, ()):
            outcome = self._outcomes[deal_id]
            age = max(self._today - outcome.day, 0)
            sums = of_buyers[outcome.buyer]
            sums[0] += faded(outcome.promised, age, self._half_life)
            sums[1] += faded(outcome.delivered, age, self._half_life)
        if not of_buyers:
            return None
        weight, worth = self._prior, self._prior // 2
        for promised, delivered in of_buyers.values():
            counted = min(promised, self._prior)
            weight += counted
            worth += counted * delivered // promised if promised else 0
        return worth * MILLION // weight


def faded(amount: int, age: int, half_life: int) -> int:
    """Return what an amount counts after so many days: half after each half-life, in a straight line between.

    >>> [faded(1_000, age, 30) for age in (0, 15, 30, 60)]
    [1000, 750, 500, 250]
    """
    halvings, days = divmod(age, half_life)
    return (amount >> halvings) * (2 * half_life - days) // (2 * half_life)
