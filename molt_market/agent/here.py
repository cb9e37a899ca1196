"""What the parts of a gateway work with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Protocol

from molt_market.agent.heartbeats import Heartbeats
from molt_market.agent.inputs import FetchLimits
from molt_market.agent.ports import Devices, ExpectedJobSpec, Runner, Usage
from molt_market.domain.clock import Clock
from molt_market.domain.deals import DealStatus
from molt_market.domain.documents import Document
from molt_market.domain.handling import AT_WORK, Handling, HandlingPhase
from molt_market.domain.ids import ZERO_HASH, Address, EscrowId
from molt_market.domain.jobs import JobLimits
from molt_market.errors import counted
from molt_market.indexer.records import DealRecord
from molt_market.sdk.api import MarketApi
from molt_market.signing.hashes import job_spec_hash
from molt_market.signing.sealing import SealingKey
from molt_market.signing.signers import Approvals, Signer
from molt_market.signing.typed_data import Domain

GAP_INTERVALS = 3  # so many intervals without a heartbeat are not counted


class DealFacts(Protocol):
    """What was followed of the log; `molt_market.storage.facts.SqlFacts` is one."""

    def deal(self, deal_id: EscrowId) -> DealRecord | None: ...

    def live(self) -> Collection[DealRecord]: ...


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """How a gateway is set up.

    Args:
        url: its public address, without a slash at the end.
        providers: those that it serves; deals of others are none of its business, whatever agent they name.
        limits: the most that a job may take; `seconds` None: as long as the deal.
        interval: between two heartbeats.
        ports: that leases may listen at.
        private_inputs: also fetch inputs from addresses that are not public.
        kept: how long a job's files are there after its end.
    """

    url: str
    providers: frozenset[Address]
    limits: JobLimits
    interval: timedelta = timedelta(seconds=10)
    ports: range = range(0)
    private_inputs: bool = False
    kept: timedelta = timedelta(days=7)

    @property
    def longest_gap(self) -> timedelta:
        """Between two heartbeats, if the time between is to count."""
        return GAP_INTERVALS * self.interval

    @property
    def fetching(self) -> FetchLimits:
        """What a job's inputs may take: together no more than one file may."""
        return FetchLimits(self.limits.disk_mb or 0, private=self.private_inputs)


@dataclass(frozen=True, slots=True)
class Here:
    """One gateway: its key, the market, the chain's facts, its memory and its machine.

    `expected_job_spec` says what the order of a deal says of its job.
    """

    settings: GatewaySettings
    agent: Signer
    sealing: SealingKey
    domain: Domain
    approvals: Approvals
    clock: Clock
    api: MarketApi
    facts: DealFacts
    usage: Usage
    runner: Runner
    devices: Devices
    heartbeats: Heartbeats
    expected_job_spec: ExpectedJobSpec = lambda _: None
    assigning: Lock = field(default_factory=Lock)

    def now(self) -> datetime:
        """Return the chain's time."""
        return self.clock.now()

    def leave(self, name: str, document: Document) -> None:
        """Write down what the agent says in a deal, once under each name: here it lies, and is posted."""
        self.usage.leave(name, document, self.agent.address, self.now())

    def at_work(self) -> Sequence[Handling]:
        """Return the deals with something to do: claimed ones too, where a voucher still counts."""
        live = self.facts.live()  # of all providers: only this gateway's own are looked up
        claimed = [each.id for each in live if each.deal.status is DealStatus.CLAIMED and self.serves(each)]
        closed = [each for each in map(self.usage.handling, claimed) if each is not None]
        return [*self.usage.handlings(AT_WORK), *(each for each in closed if each.phase not in AT_WORK)]

    def reads_mail_of(self, handling: Handling, record: DealRecord) -> bool:
        """Tell whether a deal's mail is still read: vouchers count while a claim may be contested."""
        return handling.phase in AT_WORK or record.deal.status is DealStatus.CLAIMED

    def next_of(self, handling: Handling) -> DealRecord | None:
        """Return the deal in which a deal's job goes on: opened as it was closed, on its GPUs, for its buyer.

        None: there is none, or its order names another job. Raises NodeUnreachable, NodeError.
        """
        record = self.facts.deal(handling.deal_id)
        if handling.phase is not HandlingPhase.RUNNING or handling.spec is None or record is None:
            return None
        after = [
            each
            for each in self.facts.live()
            if each.opened_by == record.closed_by and self.serves(each) and _same_gpus(each, record)
        ]
        if len(after) != 1 or after[0].deal.status is not DealStatus.LOCKED:
            return None
        wanted = self.expected_job_spec(after[0])
        return after[0] if wanted in {None, ZERO_HASH, job_spec_hash(handling.spec)} else None

    def shortage(self, record: DealRecord) -> str | None:
        """Say why a deal gets no GPUs here now, and what its buyer may do; None: enough are free.

        GPUs of deals that are over are as good as free: the step that lets them go is on its way.
        """
        count, wanted = self.devices.count(), record.terms.gpu_count
        if wanted > count:
            has = counted(count, "GPU")
            return f"this gateway has {has}, the deal is for {wanted}: stop it (`molt deal stop`)"
        locked = {each.id for each in self.facts.live() if each.deal.status is DealStatus.LOCKED}
        held = [each.devices for each in self.usage.handlings(AT_WORK) if each.deal_id in locked]
        free = count - len({device for devices in held for device in devices})
        if wanted <= free:
            return None
        return (
            f"other deals have its GPUs: the deal is for {wanted}, {free} of {count} are free. It is taken up"
            " once they are: hand the job over again later, or stop it (`molt deal stop`)"
        )

    def serves(self, record: DealRecord) -> bool:
        """Tell whether a deal is this gateway's: its agent's, and of a provider that it serves."""
        terms = record.terms
        return terms.agent == self.agent.address and terms.provider in self.settings.providers


def _same_gpus(record: DealRecord, before: DealRecord) -> bool:
    """Tell whether two deals are of one buyer and user, for as many GPUs of one slot."""
    mine, his = record.terms, before.terms
    return (mine.provider, mine.slot, mine.gpu_count, mine.buyer, mine.voucher_signer) == (
        his.provider,
        his.slot,
        his.gpu_count,
        his.buyer,
        his.voucher_signer,
    )
