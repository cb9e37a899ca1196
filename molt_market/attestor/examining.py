"""From a receipt at the market to a signature or a rejection, written down before it is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from molt_market.attestation.ports import AttestorStore, Verdict
from molt_market.attestation.usage import Heartbeat
from molt_market.attestation.verifier import (
    Accepted,
    DeviceUse,
    Evidence,
    Promise,
    Rejected,
    RejectionCode,
    Rules,
    devices_of,
    verify_receipt_of_agent,
)
from molt_market.attestor.deals import ReceivedReceipt, WatchedDeal
from molt_market.chain.openings import opening_of
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.documents import Document
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.domain.pings import Gateway
from molt_market.domain.proofs import Attestation
from molt_market.sdk.attestor import Attestor
from molt_market.sdk.gateways import GatewayCaller, GatewayLimits, Unanswered
from molt_market.signing.messages import Receipt
from molt_market.signing.pings import sign_rejection
from molt_market.signing.typed_data import Domain

MOST_REJECTION = 2_000  # characters
MAY_PASS_SOON = (RejectionCode.ABOVE_ELAPSED, RejectionCode.FUTURE, RejectionCode.ROOT_MISMATCH)


@dataclass(frozen=True, slots=True)
class Judged:
    """What was said of a receipt: `code` None: it is signed."""

    deal_id: EscrowId
    gpu_seconds: int
    code: str | None
    text: str


class Examiner:
    """Examines the receipts of a deal; any number of threads may, each another deal."""

    def __init__(
        self,
        party: Attestor,
        store: AttestorStore,
        *,
        rules: Rules,
        limits: GatewayLimits,
        told: Callable[[Judged], object],
    ) -> None:
        self._party = party
        self._store = store
        self._rules = rules
        self._limits = limits
        self._told = told
        self._turn = Lock()

    def examine(self, watched: WatchedDeal) -> None:
        """Judge what is there to be judged now, and post what is not posted. To call it again is harmless.

        Raises:
            Unanswered: the gateway does not give the log; call again.
            NodeUnreachable, NodeError, ServerUnreachable, ServerError, StorageUnavailable: call again.
        """
        client = self._party.client
        known = {each.digest for each in self._store.verdicts(watched.record.id)}
        new = [each for each in watched.receipts if receipt_digest(each.receipt, client.domain) not in known]
        if new:
            now, escrow = client.now(), client.escrow(watched.record.id)
            ripe = [each for each in new if each.receipt.completed or now >= watched.ends_at]
            if ripe and escrow.status is DealStatus.LOCKED:
                self._examine_all(ripe, watched, escrow, now)
        for verdict in self._store.verdicts(watched.record.id):
            if not verdict.posted:
                self._post(verdict)

    # ---------------------------------------------------------------- inside

    def _examine_all(
        self, receipts: Sequence[ReceivedReceipt], watched: WatchedDeal, escrow: EscrowAccount, now: datetime
    ) -> None:
        if watched.gateway is None:
            raise Unanswered("the agent has not said at the market where he is asked")
        heartbeats = asyncio.run(self._log(watched.gateway))
        promise = self._promise(escrow)
        with self._turn:  # of two deals with one GPU the second finds the first
            uuids = {gpu.uuid for each in heartbeats for gpu in each.gpus}
            in_use = self._store.in_use(uuids)
            for each in receipts:
                evidence = Evidence(
                    heartbeats=heartbeats,
                    pings=self._store.pings(escrow.id),
                    promise=promise,
                    in_use=in_use,
                    received_at=each.at,
                    signed=self._signed(escrow.id),
                )
                found = verify_receipt_of_agent(
                    each.receipt,
                    evidence,
                    self._rules,
                    escrow=escrow,
                    policy=watched.policy,
                    domain=self._party.domain,
                    now=now,
                )
                if not self._may_pass_soon(found, each, now):
                    self._decide(each.receipt, found, escrow, evidence, now)

    async def _log(self, gateway: Gateway) -> list[Heartbeat]:
        async with GatewayCaller(self._limits) as caller:
            return await caller.heartbeats(gateway)

    def _promise(self, escrow: EscrowAccount) -> Promise | None:
        opening = opening_of(self._party.client.node, escrow, self._party.domain)
        return None if opening is None else Promise(Hash32(opening.offer.model), opening.offer.vram_gb)

    def _signed(self, deal_id: EscrowId) -> Attestation | None:
        signed = (each.receipt for each in self._store.verdicts(deal_id) if each.code is None)
        return next(signed, None)

    def _may_pass_soon(self, found: Accepted | Rejected, received: ReceivedReceipt, now: datetime) -> bool:
        """Our node may be a little behind the agent's, and his log be written just now: judge again."""
        early = isinstance(found, Rejected) and found.code in MAY_PASS_SOON
        return early and now < received.at + self._rules.clock_tolerance

    def _decide(
        self,
        receipt: Attestation,
        found: Accepted | Rejected,
        escrow: EscrowAccount,
        evidence: Evidence,
        now: datetime,
    ) -> None:
        digest = receipt_digest(receipt, self._party.domain)
        if isinstance(found, Rejected):
            self._store.decide(Verdict(receipt, digest, found.code, found.text[:MOST_REJECTION], now), ())
            return
        text = f"{receipt.gpu_seconds} GPU-seconds, of {found.payable} at most"
        used: list[DeviceUse] = []
        if escrow.opened_at is not None and escrow.ends_at is not None:
            until = min(now, escrow.ends_at)
            used = devices_of(evidence.heartbeats, escrow.id, opened_at=escrow.opened_at, until=until)
        self._store.decide(Verdict(receipt, digest, None, text, now), used)

    def _post(self, verdict: Verdict) -> None:
        """Say what is written down: to sign and to post it again is harmless."""
        receipt, party = verdict.receipt, self._party
        if verdict.code is None:
            party.attest(receipt)
        else:
            rejection = sign_rejection(
                receipt.deal_id,
                party.wallet,
                party.domain,
                gpu_seconds=receipt.gpu_seconds,
                usage_root=receipt.usage_root,
                code=verdict.code,
                text=verdict.text,
            )
            party.api.post_document(Document(rejection=rejection))
        self._store.mark_posted(verdict)
        self._told(Judged(receipt.deal_id, receipt.gpu_seconds, verdict.code, verdict.text))


def receipt_digest(receipt: Attestation, domain: Domain) -> Hash32:
    """Return what is signed of a receipt, whoever signs it."""
    message = Receipt(receipt.deal_id, receipt.gpu_seconds, receipt.result_digest, receipt.usage_root)
    return Hash32.of(message.digest(domain))
