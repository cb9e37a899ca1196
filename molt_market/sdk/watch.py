"""Vouchers while a deal runs: the buyer pays for what he has seen himself, and keeps what he saw."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event
from typing import Protocol

from molt_market.attestation.answered import answered_seconds
from molt_market.attestation.usage import Heartbeat, UsageLog
from molt_market.attestation.verifier import Rules, answer_fault
from molt_market.chain.client import MoltClient
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.documents import Document
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.domain.pings import Ping
from molt_market.domain.proofs import Confirmation
from molt_market.errors import ChainError, InvalidValue, MoltError, ServerError, ServerUnreachable, counted
from molt_market.sdk.direct import Mailbox
from molt_market.sdk.gateways import GatewayClient, Unanswered
from molt_market.signing.signers import Signer
from molt_market.signing.statements import sign_voucher


class PingStore(Protocol):
    """Where who asks keeps his pings: each is written down before the next one is asked."""

    def add_ping(self, ping: Ping, failure: str | None = None) -> None:
        """Keep a ping; `failure` says why it was not answered."""
        ...

    def pings(self, deal_id: EscrowId) -> Sequence[Ping]:
        """Return the pings of a deal, the oldest first."""
        ...


class MemoryPings:
    """Pings that are gone with the process."""

    def __init__(self) -> None:
        self._pings: list[Ping] = []

    def add_ping(self, ping: Ping, failure: str | None = None) -> None:  # noqa: ARG002 - a port
        self._pings.append(ping)

    def pings(self, deal_id: EscrowId) -> Sequence[Ping]:
        return [ping for ping in self._pings if ping.deal_id == deal_id]


@dataclass(frozen=True, slots=True)
class WatchPolicy:
    """When a voucher is signed, and when no more.

    Args:
        interval: between two looks; an answer vouches for at most three of them.
        cap: GPU-seconds that are released in all, at most; None: the allocation.
        gpus: how many GPUs the log has to show at each heartbeat; None: it is not looked at.
        least_utilization: percent, of all GPUs together; below it for `patience`, nothing more is released.
    """

    interval: timedelta = timedelta(seconds=60)
    cap: int | None = None
    gpus: int | None = None
    least_utilization: int | None = None
    patience: timedelta = timedelta(minutes=10)

    @property
    def longest_gap(self) -> timedelta:
        return 3 * self.interval


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a deal came to.

    `voucher` is the one that was signed now; None: nothing was due, or `held_back` says why it was not.
    `gpu_seconds` are released by now in all. `is_over`: the deal is no longer LOCKED, or past its end.
    """

    at: datetime
    answered: bool
    gpu_seconds: int
    voucher: Confirmation | None = None
    held_back: str | None = None
    is_over: bool = False


def _ignore(_: object) -> None:
    """Tell nobody."""


class Watch:
    """One deal, watched by its buyer: pings, reads the usage log, and signs cumulative vouchers.

    What is released never exceeds what his own pings vouch for, nor the time since the opening.

    Args:
        mailbox: where vouchers are left: the market's server, or DirectMail of the gateway.
        client: the chain.
        signer: the deal's voucher signer. This key pays for this buyer's deals and can do nothing else.
        pings: where the pings are kept: the counter-evidence in a dispute.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        client: MoltClient,
        signer: Signer,
        escrow: EscrowAccount,
        gateway: GatewayClient,
        *,
        policy: WatchPolicy | None = None,
        pings: PingStore | None = None,
    ) -> None:
        if signer.address != escrow.terms.voucher_signer:
            raise InvalidValue(
                f"{signer.address} signs no vouchers of deal {escrow.id}: use {escrow.terms.voucher_signer}"
            )
        self.policy = policy or WatchPolicy()
        self.store = pings or MemoryPings()
        self.log = UsageLog(escrow.id)
        self._deal = escrow
        self._mailbox, self._client, self._signer, self._gateway = mailbox, client, signer, gateway
        self._released = escrow.paid_gpu_seconds
        self._idle_since: datetime | None = None

    def run(self, stop: Event, after: Callable[[Look | MoltError], object] = _ignore) -> None:
        """Look again and again until the deal is over, or it is told to stop.

        `after` is told what each look came to. One that mailbox or node did not answer is made again later;
        all else is raised.
        """
        while not stop.is_set():
            try:
                look = self.look()
            except (ChainError, ServerUnreachable, ServerError) as error:
                after(error)
            else:
                after(look)
                if look.is_over:
                    return
            stop.wait(self.policy.interval.total_seconds())

    def look(self) -> Look:
        """Ask the machine, write down what it said, and release what is due.

        Raises ServerUnreachable, ServerError of the mailbox, ChainError of the node: look again later.
        """
        escrow = self._client.escrow(self._deal.id)
        now = self._client.now()
        is_over = escrow.status is not DealStatus.LOCKED or escrow.ends_at is None or now >= escrow.ends_at
        if escrow.status is not DealStatus.LOCKED:
            return Look(now, answered=False, gpu_seconds=self._released, is_over=True)
        answered = self._ask(now)
        held_back = self._objection(now) if answered else None
        due = self._due(escrow, now)
        if held_back is not None or due <= self._released:
            return Look(now, answered, self._released, held_back=held_back, is_over=is_over)
        voucher = sign_voucher(escrow.id, due, self._signer, self._client.domain)
        self._mailbox.post_document(Document(voucher=voucher))
        self._released = due
        return Look(now, answered, due, voucher=voucher, is_over=is_over)

    def _ask(self, now: datetime) -> bool:
        """Ping, and write down whether it was answered, by the agent and in time."""
        deal, agent = self._deal.id, self._deal.terms.agent
        ping = Ping(deal_id=deal, at=now, nonce=Hash32.of(secrets.token_bytes(32)))
        try:
            answer = self._gateway.ping(ping.nonce)
            fault = answer_fault(ping, answer, agent, self._client.domain, Rules())
        except Unanswered as error:
            self.store.add_ping(ping, str(error))
            return False
        if fault is not None:
            self.store.add_ping(ping, fault.text)
            return False
        self.store.add_ping(ping.model_copy(update={"answer": answer}))
        return True

    def _due(self, escrow: EscrowAccount, now: datetime) -> int:
        """Return the GPU-seconds that this buyer's own pings vouch for, within his cap."""
        if escrow.opened_at is None or escrow.ends_at is None:
            return 0
        terms = escrow.terms
        reachable = answered_seconds(
            self.store.pings(escrow.id),
            opened_at=escrow.opened_at,
            until=min(now, escrow.ends_at),
            longest_gap=self.policy.longest_gap,
            start_up=self._start_up,
        )
        return min(terms.gpu_count * reachable, self.policy.cap or terms.gpu_seconds, terms.gpu_seconds)

    @property
    def _start_up(self) -> timedelta:
        minutes = self._client.policy(self._deal.terms.policy_id).notice_minutes
        return max(timedelta(minutes=minutes), self.policy.longest_gap)

    # ---------------------------------------------------------------- what the usage log shows

    def _objection(self, now: datetime) -> str | None:
        """Return why nothing more is released, by the usage log; None: there is no reason."""
        try:
            for heartbeat in self._gateway.heartbeats(len(self.log.heartbeats)):
                self.log.append(heartbeat)
                self._note_use(heartbeat)
        except InvalidValue as error:
            return f"the usage log does not continue: {error}"
        except Unanswered as error:
            return f"the usage log cannot be read: {error}"
        return self._bad_readings(now)

    def _note_use(self, heartbeat: Heartbeat) -> None:
        """Remember since when the GPUs have done too little."""
        used = [gpu.utilization_percent for gpu in heartbeat.gpus]
        measured = [percent for percent in used if percent is not None]
        least = self.policy.least_utilization
        if least is None or (measured and sum(measured) >= least * len(measured)):
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = heartbeat.at

    def _bad_readings(self, now: datetime) -> str | None:
        last = self.log.heartbeats[-1] if self.log.heartbeats else None
        wanted = self.policy.gpus
        if wanted is not None and last is not None and len(last.gpus) < wanted:
            return f"the last heartbeat shows {counted(len(last.gpus), 'GPU')} of {wanted}"
        if self._idle_since is not None and now - self._idle_since >= self.policy.patience:
            return f"the GPUs have done less than {self.policy.least_utilization}% since {self._idle_since}"
        return None
