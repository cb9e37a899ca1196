"""What a server does beside answering: it follows the chain's log and the market's feed, and tidies up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from logging import WARNING

from molt_market.errors import MoltError
from molt_market.indexer.follower import Change, Follower
from molt_market.indexer.ports import Checkpoint
from molt_market.market.market import Market
from molt_market.telling import tell

log = logging.getLogger(__name__)

FEED_SECONDS = 0.1  # how late another process's steps are known here, at most
LOG_SECONDS = 1.0
MATCH_SECONDS = 0.5
ALL_DEALS_SECONDS = 60.0


class Upkeep:
    """A thread that keeps a market current, until `stop`. What fails is tried again at the next turn.

    `match_once` matches the orders that wait, if this server does that.

    Any number of servers may do this over one database: each step is written once.
    """

    def __init__(
        self, market: Market, follower: Follower, match_once: Callable[[], object] | None = None
    ) -> None:
        self._market = market
        self._follower = follower
        self._noted: Checkpoint | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._due: dict[Callable[[], object], tuple[float, float]] = {
            market.catch_up: (FEED_SECONDS, 0.0),
            self._follow: (LOG_SECONDS, 0.0),
            market.tidy: (LOG_SECONDS, 0.0),
            market.note_deals: (ALL_DEALS_SECONDS, 0.0),
        }
        if match_once is not None:
            self._due[match_once] = MATCH_SECONDS, 0.0
        follower.listen(self._note)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for the turn that is under way."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(FEED_SECONDS):
            if not self._market.book.is_read:
                self._try(self._market.book.read_on)
            for task, (every, at) in list(self._due.items()):
                if time.monotonic() >= at and not self._stopped.is_set():
                    self._try(task)
                    self._due[task] = every, time.monotonic() + every

    def _try(self, task: Callable[[], object]) -> None:
        try:
            task()
        except MoltError as error:
            tell("upkeep_failed", level=WARNING, task=task.__name__, reason=error)
        except Exception:  # a fault of ours: it is told in full, and the other tasks go on
            log.exception("upkeep failed at %s", task.__name__)

    def _follow(self) -> None:
        """Follow the log; look at all deals if another process has followed some of it into the database."""
        at = self._follower.advance()
        if at != self._noted:
            self._market.note_deals()
            self._noted = at

    def _note(self, change: Change) -> None:
        touched = [record.id for record in change.records]
        self._market.note_deals([*touched, *change.gone])
        if change.before == self._noted:
            self._noted = change.at
