"""The deals to attest: LOCKED, by the chain's own log, and under a policy that names the attestor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from molt_market.domain.deals import DealStatus
from molt_market.domain.fields import moment
from molt_market.domain.ids import Address, EscrowId, Hash32
from molt_market.domain.pings import Gateway
from molt_market.domain.policies import Policy
from molt_market.domain.proofs import Attestation
from molt_market.domain.terms import Terms
from molt_market.indexer.records import DealRecord


@dataclass(frozen=True, slots=True)
class ReceivedReceipt:
    """A receipt of a deal's agent, and since when it lies at the market."""

    receipt: Attestation
    at: datetime


@dataclass(frozen=True, slots=True)
class WatchedDeal:
    """A deal to attest, and what its agent has left at the market for it."""

    record: DealRecord
    policy: Policy
    gateway: Gateway | None = None
    receipts: tuple[ReceivedReceipt, ...] = field(default=())

    @property
    def terms(self) -> Terms:
        return self.record.terms

    @property
    def ends_at(self) -> datetime:
        return moment(self.record.deal.ends_at)


class DealsToAttest:
    """Keeps which deals are to be attested now; any thread may ask for them."""

    def __init__(
        self,
        attestor: Address,
        live: Callable[[], Sequence[DealRecord]],
        policies: Callable[[], Mapping[Hash32, Policy]],
    ) -> None:
        self._attestor = attestor
        self._live = live
        self._read_policies = policies
        self._policies: dict[Hash32, Policy] = {}
        self._deals: dict[EscrowId, WatchedDeal] = {}

    def now(self) -> Mapping[EscrowId, WatchedDeal]:
        """Return the deals."""
        return self._deals

    def refresh(self) -> list[EscrowId]:
        """Bring them up to what was followed of the chain; return those that are new."""
        before = self._deals
        self._deals = {
            record.id: replace(before[record.id], record=record)
            if record.id in before
            else WatchedDeal(record, policy)
            for record, policy in self._named()
        }
        return [deal_id for deal_id in self._deals if deal_id not in before]

    def put(self, deal_id: EscrowId, gateway: Gateway | None, receipts: Sequence[ReceivedReceipt]) -> None:
        """Keep what a deal's agent has left: the gateway, if it is another one, and more receipts."""
        watched = self._deals.get(deal_id)
        if watched is not None:
            more = tuple(each for each in receipts if each not in watched.receipts)
            changed = replace(
                watched, gateway=gateway or watched.gateway, receipts=(*watched.receipts, *more)
            )
            self._deals = self._deals | {deal_id: changed}

    def _named(self) -> Iterator[tuple[DealRecord, Policy]]:
        locked = [record for record in self._live() if record.deal.status is DealStatus.LOCKED]
        if any(record.terms.policy_id not in self._policies for record in locked):
            self._policies = dict(self._read_policies())
        for record in locked:
            policy, terms = self._policies[record.terms.policy_id], record.terms
            is_party = self._attestor in {terms.buyer, terms.provider, terms.agent}
            if self._attestor in policy.attestors and not is_party:
                yield record, policy
