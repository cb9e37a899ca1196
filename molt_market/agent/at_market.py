"""Carrying between a gateway and the market, apart from the jobs: a market that is down holds none up."""

from __future__ import annotations

import time
from logging import WARNING
from threading import Event

from molt_market.agent.here import Here
from molt_market.agent.mail import Mail
from molt_market.domain.documents import Document
from molt_market.domain.ids import EscrowId
from molt_market.errors import ChainError, MoltError, ServerUnreachable, StorageUnavailable
from molt_market.indexer.records import DealRecord
from molt_market.telling import tell

LOOK_SECONDS = 0.5
AGAIN_SECONDS = 5  # until a deal that failed is tried again


class AtMarket:
    """Fetches what buyers have left at the market, and posts there what the agent has written down."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._mail = Mail(here)
        self._read: dict[EscrowId, int] = {}  # not kept: what is read again is taken in once
        self._not_before: dict[EscrowId, float] = {}

    def run(self, stop: Event) -> None:
        """Look again and again until it is told to stop. What goes wrong is told, and tried again."""
        while not stop.is_set():
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - a thread that dies in silence costs every deal
                tell("market_fails", level=WARNING, reason=error)
            stop.wait(LOOK_SECONDS)

    def look(self) -> None:
        """Fetch and post for each deal, once; for one that is over, post what is still owed.

        Raises ServerUnreachable: none of the others would fare better.
        """
        at_work = [each.deal_id for each in self._here.at_work()]
        for deal_id in dict.fromkeys((*at_work, *self._here.usage.unposted_deals())):
            if time.monotonic() < self._not_before.get(deal_id, 0):
                continue
            try:
                if deal_id in at_work:
                    self.fetch(deal_id)
                self.post(deal_id)
            except ServerUnreachable:
                raise
            except MoltError as error:
                self._not_before[deal_id] = time.monotonic() + AGAIN_SECONDS
                tell("not_exchanged", level=WARNING, deal_id=deal_id, reason=error)

    def fetch(self, deal_id: EscrowId) -> None:
        """Take in what is new at the market for a deal's agent.

        Raises ServerUnreachable, ServerError; ChainError, StorageUnavailable: what was read stays done.
        """
        record = self._here.facts.deal(deal_id)
        if record is None:
            return
        for posted in self._here.api.documents(deal_id, after=self._read.get(deal_id, 0)):
            self._take(posted.document, record)
            self._read[deal_id] = posted.number

    def post(self, deal_id: EscrowId) -> None:
        """Post what the market does not have yet. Raises as MarketApi.post_document does."""
        for name, document in self._here.usage.unposted(deal_id):
            self._here.usage.posted(deal_id, name, self._here.api.post_document(document))

    # ---------------------------------------------------------------- inside

    def _take(self, document: Document, record: DealRecord) -> None:
        """Take a document in if it is for the agent. What is nobody's is passed over."""
        letter = document.letter
        if document.voucher is None and (letter is None or letter.reader != self._here.agent.address):
            return
        try:
            self._mail.receive(document, record)
        except (ChainError, StorageUnavailable):
            raise  # it is read again
        except MoltError as error:
            tell("document_is_unusable", level=WARNING, deal_id=record.id, reason=error)
