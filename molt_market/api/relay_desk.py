"""Bringing to the chain what users signed: each message by one thread, however often it is posted."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Lock, Thread

from molt_market.domain.clock import Clock
from molt_market.domain.ids import Address, TransactionId
from molt_market.errors import TooManyRequests
from molt_market.payments.relayer import Relayer
from molt_market.signing.relays import EitherPartys, verify_relay_request
from molt_market.signing.signers import Approvals
from molt_market.signing.typed_data import Domain
from molt_market.wire.relays import Relay

AT_ONCE = 32  # messages that are on their way at the same time


class RelayDesk:
    """Takes what is posted to be relayed. Who is charged has to have signed for it.

    Whoever stops waiting stops nothing: the journal has what is under way.
    """

    def __init__(
        self, relayer: Relayer, payer: Address, domain: Domain, clock: Clock, approvals: Approvals
    ) -> None:
        self.relayer = relayer
        self.payer = payer
        self._domain = domain
        self._clock = clock
        self._approvals = approvals
        self._lock = Lock()
        self._going: dict[str, Future[TransactionId]] = {}

    def take(self, posted: Relay) -> Future[TransactionId]:
        """Have a message brought, or wait with the others that posted it. Raises TooManyRequests."""
        named = posted.model_dump_json()
        with self._lock:
            if named not in self._going:
                if len(self._going) >= AT_ONCE:
                    raise TooManyRequests(1)
                future: Future[TransactionId] = Future()
                self._going[named] = future
                future.set_running_or_notify_cancel()
                # A daemon: what waits for its block must not keep the server alive.
                Thread(target=self._bring, args=(named, posted, future), name="relay", daemon=True).start()
            return self._going[named]

    def _bring(self, named: str, posted: Relay, future: Future[TransactionId]) -> None:
        try:
            future.set_result(self.relayer.relay(posted.message, account=self._charged(posted)))
        except BaseException as error:  # noqa: BLE001 - whoever waits raises it
            future.set_exception(error)
        finally:
            with self._lock:
                del self._going[named]

    def _charged(self, posted: Relay) -> Address | None:
        """Return the account that has signed to be charged; None: who signed the message is."""
        message = posted.message
        if posted.asked is None or not isinstance(message, EitherPartys):
            return None
        now = self._clock.now()
        return verify_relay_request(posted.asked, message, self._domain, now, self._approvals)
