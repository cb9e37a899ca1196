"""Pings at times that nobody can know before, each deal on its own: a slow gateway delays no other."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from logging import WARNING
from threading import Event

from molt_market.attestation.ports import AttestorStore
from molt_market.attestation.verifier import Rules, answer_fault
from molt_market.attestor.deals import WatchedDeal
from molt_market.domain.clock import Clock
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.domain.pings import Gateway, Ping
from molt_market.errors import MarketError
from molt_market.sdk.gateways import GatewayCaller, GatewayLimits, Unanswered
from molt_market.signing.typed_data import Domain
from molt_market.telling import tell

LOOK_SECONDS = 0.2  # between two looks whether deals came or went
MOST_OF_MEAN = 2.5  # an interval is at most so many times the mean
WAITING = timedelta(seconds=5)  # an interval begins when the ping before has ended

Watched = Callable[[], Mapping[EscrowId, WatchedDeal]]


@dataclass(frozen=True, slots=True)
class PingPlan:
    """How often a gateway is asked: after so long on average (a little less, as long ones are cut).

    Intervals are exponential: who was asked just now is as likely to be asked again as anybody.
    """

    mean: timedelta = timedelta(seconds=60)

    @property
    def longest(self) -> timedelta:
        """The longest time between two pings of an attestor that runs."""
        return self.mean * MOST_OF_MEAN

    @property
    def longest_gap(self) -> timedelta:
        """The longest time between two answered pings that counts as one stretch."""
        return self.mean * 3 + WAITING

    def draw(self) -> timedelta:
        """Draw the time to the next ping, from the randomness of the operating system."""
        drawn = secrets.SystemRandom().expovariate(1 / self.mean.total_seconds())
        return min(timedelta(seconds=drawn), self.longest)


class Pinger:
    """Asks the gateways of the deals that are watched, and keeps every ping, answered or not."""

    def __init__(
        self,
        watched: Watched,
        store: AttestorStore,
        clock: Clock,
        domain: Domain,
        *,
        rules: Rules,
        plan: PingPlan,
        limits: GatewayLimits,
    ) -> None:
        self._watched = watched
        self._store = store
        self._clock = clock
        self._domain = domain
        self._rules = rules
        self._plan = plan
        self._limits = limits

    def run(self, stop: Event) -> None:
        """Ask until `stop` is set."""
        asyncio.run(self._run(stop))

    async def _run(self, stop: Event) -> None:
        asking: dict[EscrowId, asyncio.Task[None]] = {}
        async with GatewayCaller(self._limits) as caller:
            while not stop.is_set():
                watched = self._watched()
                for deal_id in watched.keys() - asking.keys():
                    asking[deal_id] = asyncio.create_task(self._ask_on(deal_id, caller))
                for deal_id in asking.keys() - watched.keys():
                    asking.pop(deal_id).cancel()
                for task in asking.values():
                    if task.done():
                        task.result()  # it goes on for ever, or dies of what nobody expected
                await asyncio.sleep(LOOK_SECONDS)
            for task in asking.values():
                task.cancel()
            await asyncio.gather(*asking.values(), return_exceptions=True)

    async def _ask_on(self, deal_id: EscrowId, caller: GatewayCaller) -> None:
        while True:
            await asyncio.sleep(self._plan.draw().total_seconds())
            watched = self._watched().get(deal_id)
            if watched is None or watched.gateway is None:
                continue  # nobody to ask: that says nothing of the provider, and counts for nothing
            try:
                await self._ask(watched, watched.gateway, caller)
            except MarketError as error:  # no node tells the time, or the database fails: no ping
                tell("ping_fails", level=WARNING, deal_id=deal_id, reason=error)

    async def _ask(self, watched: WatchedDeal, gateway: Gateway, caller: GatewayCaller) -> None:
        at = await asyncio.to_thread(self._clock.now)
        if at >= watched.ends_at:
            return
        asked = Ping(deal_id=gateway.deal_id, at=at, nonce=Hash32.of(secrets.token_bytes(32)))
        ping, failure = asked, None
        try:
            answer = await caller.ping(gateway, asked.nonce)
            fault = answer_fault(asked, answer, watched.terms.agent, self._domain, self._rules)
            failure = None if fault is None else fault.text
            ping = asked if fault else asked.model_copy(update={"answer": answer})
        except Unanswered as error:
            failure = str(error)
        await asyncio.to_thread(self._store.add_ping, ping, failure)
        tell("pinged", deal_id=ping.deal_id, answered=ping.answer is not None, reason=failure)
