"""An attestor at work: he follows the chain himself, asks, and judges what agents leave at the market."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from itertools import islice
from logging import WARNING
from threading import Event

from molt_market.app import deployment_name, follow
from molt_market.attestation.verifier import Rules
from molt_market.attestor.deals import DealsToAttest, ReceivedReceipt
from molt_market.attestor.examining import Examiner, Judged
from molt_market.attestor.pinging import Pinger, PingPlan
from molt_market.domain.documents import PostedDocument
from molt_market.domain.ids import EscrowId
from molt_market.domain.pings import Gateway
from molt_market.domain.proofs import Attestation
from molt_market.domain.terms import Terms
from molt_market.domain.updates import DocumentPosted
from molt_market.errors import InvalidSignature, MoltError
from molt_market.market.clock import SteadyClock
from molt_market.sdk.attestor import Attestor
from molt_market.sdk.gateways import GatewayLimits, Unanswered
from molt_market.signing.pings import verify_gateway
from molt_market.signing.statements import verify_receipt
from molt_market.storage.attestor import SqlAttestor
from molt_market.storage.database import Database
from molt_market.storage.facts import SqlFacts
from molt_market.telling import tell

AT_ONCE = 4  # deals that are judged at the same time
AGAIN_SECONDS = 5  # before a deal is judged again whose gateway, node or market did not answer
FEED_PAGE = 500
MOST_PAGES = 20  # of the feed, in one look
MOST_DOCUMENTS = 10_000  # of a deal, in one look


class AttestorProcess:
    """What one attestor does, as three jobs that each run in a thread of their own until `stop` is set.

    Args:
        party: the attestor's key, the market, and the chain.
        database: his own: the log that he follows, his pings, and what he said.
        rules: what he lets pass.
        plan: how often he asks.
        limits: what a question to a gateway may take, and where it may go.
        told: is called with each verdict that was posted.
    """

    def __init__(
        self,
        party: Attestor,
        database: Database,
        *,
        rules: Rules,
        plan: PingPlan,
        limits: GatewayLimits,
        told: Callable[[Judged], object] = lambda _: None,
    ) -> None:
        self._party = party
        self.follower = follow(party.client, database)
        facts = SqlFacts(database, deployment_name(party.client))
        store = SqlAttestor(database, deployment_name(party.client), party.wallet.address)
        self.deals = DealsToAttest(party.wallet.address, facts.live, facts.policies)
        self._examiner = Examiner(party, store, rules=rules, limits=limits, told=told)
        clock = SteadyClock(party.client.clock)
        self._pinger = Pinger(
            self.deals.now, store, clock, party.domain, rules=rules, plan=plan, limits=limits
        )
        self._after: int | None = None  # the last step of the market's feed that was read
        self._unread: set[EscrowId] = set()  # deals whose documents are to be read
        self._read: dict[EscrowId, int] = {}  # of each deal: the last document that was
        self._examining: dict[EscrowId, Future[None]] = {}
        self._not_before: dict[EscrowId, float] = {}  # of deals that could not be judged

    def jobs(self, every: timedelta) -> tuple[Callable[[Event], None], ...]:
        """Return what has to run, each until an event is set; `every` is between two looks at the market."""

        def follow_on(stop: Event) -> None:
            self.follower.run(stop, every=every)

        def look_on(stop: Event) -> None:
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="examiner") as pool:
                while not stop.is_set():
                    self.look(pool)
                    stop.wait(every.total_seconds())

        return follow_on, look_on, self._pinger.run

    def look(self, pool: ThreadPoolExecutor) -> None:
        """Look at the chain's deals and at the market. What fails is told, and tried at the next look."""
        self._tried(self._refresh)
        self._tried(self._read_feed)
        for deal_id in list(self._unread & self.deals.now().keys()):
            if self._tried(partial(self._read_documents, deal_id)):
                self._unread.discard(deal_id)
        self._unread &= self.deals.now().keys()
        self._examine_all(pool)

    # ---------------------------------------------------------------- inside

    def _tried(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except MoltError as error:
            tell("attestor_fails", level=WARNING, reason=error)
            return False
        return True

    def _refresh(self) -> None:
        self._unread.update(self.deals.refresh())

    def _read_feed(self) -> None:
        """Note the deals for which something was posted. What was before the start is read of each deal."""
        api = self._party.api
        if self._after is None:
            self._after = api.health().sequence
            self._unread.update(self.deals.now())
        for _ in range(MOST_PAGES):  # the rest at the next look: a market may lie, and never end
            items = api.feed(self._after, FEED_PAGE)
            if not items:
                return
            posted = [each.update for each in items if isinstance(each.update, DocumentPosted)]
            self._unread.update(each.deal_id for each in posted)
            self._after = items[-1].sequence

    def _read_documents(self, deal_id: EscrowId) -> None:
        watched = self.deals.now()[deal_id]
        gateway, receipts, read = None, [], self._read.get(deal_id, 0)
        for posted in islice(self._party.api.documents(deal_id, after=read), MOST_DOCUMENTS):
            gateway = self._gateway_of(posted, watched.terms, deal_id) or gateway
            receipt = posted.document.receipt
            if receipt is not None and self._is_agents(receipt, watched.terms, deal_id):
                # the market says when it was posted; it cannot be later than now
                at = min(posted.posted_at, self._party.client.now())
                receipts.append(ReceivedReceipt(receipt, at))
            read = posted.number
        self.deals.put(deal_id, gateway, receipts)
        self._read[deal_id] = read

    def _is_agents(self, receipt: Attestation, terms: Terms, deal_id: EscrowId) -> bool:
        """Tell whether a receipt is the agent's, by its signature: a forged one must not stand for his."""
        if (receipt.deal_id, receipt.signer) != (deal_id, terms.agent):
            return False
        try:
            verify_receipt(receipt, self._party.domain)
        except InvalidSignature as error:
            tell("receipt_is_not_the_agents", level=WARNING, deal_id=deal_id, reason=error)
            return False
        return True

    def _gateway_of(self, posted: PostedDocument, terms: Terms, deal_id: EscrowId) -> Gateway | None:
        """Return a gateway that is the agent's word for this deal: the market's word counts for nothing."""
        gateway = posted.document.gateway
        if gateway is None or gateway.deal_id != deal_id:
            return None
        try:
            verify_gateway(gateway, terms.agent, self._party.domain)
        except InvalidSignature as error:
            tell("gateway_is_not_the_agents", level=WARNING, deal_id=deal_id, reason=error)
            return None
        return gateway

    def _examine_all(self, pool: ThreadPoolExecutor) -> None:
        """Examiner each deal that has receipts, unless it is being judged."""
        for deal_id, watched in self.deals.now().items():
            under_way = self._examining.get(deal_id)
            if under_way is not None and under_way.done():
                under_way.result()  # what nobody expected is not passed over in silence
            waits = time.monotonic() < self._not_before.get(deal_id, 0)
            if watched.receipts and not waits and (under_way is None or under_way.done()):
                self._examining[deal_id] = pool.submit(self._examine_one, deal_id)
        for deal_id in [each for each in self._examining if each not in self.deals.now()]:
            del self._examining[deal_id]
            self._not_before.pop(deal_id, None)
            self._read.pop(deal_id, None)

    def _examine_one(self, deal_id: EscrowId) -> None:
        watched = self.deals.now().get(deal_id)
        if watched is None:
            return
        try:
            self._examiner.examine(watched)
        except (MoltError, Unanswered) as error:
            self._not_before[deal_id] = time.monotonic() + AGAIN_SECONDS
            tell("not_judged", level=WARNING, deal_id=deal_id, reason=error)
