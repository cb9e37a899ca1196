"""What a server works with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Protocol

from molt_market.api.limits import Limits
from molt_market.api.relay_desk import RelayDesk
from molt_market.chain.client import MoltClient
from molt_market.domain.ids import Address, EscrowId, Hash32
from molt_market.indexer.ports import Checkpoint
from molt_market.indexer.records import DealRecord
from molt_market.market.clock import SteadyClock
from molt_market.market.market import Market
from molt_market.storage.alerts import SqlAlerts
from molt_market.wire.messages import KnownPolicy

VERSION = version("molt-market")


class DealFacts(Protocol):
    """What was followed of the log; `molt_market.storage.facts.SqlFacts` is one."""

    def cursor(self) -> Checkpoint | None: ...

    def deal(self, deal_id: EscrowId) -> DealRecord | None: ...

    def arbiters(self) -> Mapping[Hash32, Address]: ...

    def deals_of(self, party: Address, after: EscrowId | None, limit: int) -> Sequence[DealRecord]: ...


@dataclass(frozen=True)
class Service:
    """A market, the chain that it settles on, and what was followed of that chain's log.

    `policies` are those that the operator points to. `clock` is the chain's. `opener` opens the deals of
    orders that wait, `relays` brings what others signed, `alerts` has who gets which. `limits` are those of
    each network address.
    """

    market: Market
    client: MoltClient
    facts: DealFacts
    clock: SteadyClock
    policies: tuple[KnownPolicy, ...] = ()
    opener: Address | None = None
    relays: RelayDesk | None = None
    alerts: SqlAlerts | None = None
    limits: Limits = field(default_factory=lambda: Limits(per_second=500, burst=5_000))
