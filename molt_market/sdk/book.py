"""A market's book as the port that payments drive: GPUs are held at the server while a deal is opened."""

from __future__ import annotations

from datetime import datetime, timedelta

from molt_market.domain.clock import Clock
from molt_market.domain.deals import DealStatus
from molt_market.domain.ids import EscrowId, OfferId
from molt_market.domain.matches import OrderMatch
from molt_market.errors import MarketError
from molt_market.sdk.api import MarketApi
from molt_market.signing.hashes import offer_hash
from molt_market.signing.listings import sign_unlisting
from molt_market.signing.signers import Signer
from molt_market.signing.typed_data import Domain
from molt_market.telling import tell
from molt_market.wire.messages import ReservationAnswer

UNLISTING_SECONDS = 600


class RemoteBook:
    """Reserves at a server, in the name of a buyer. How deals go on the server learns from the chain."""

    def __init__(self, api: MarketApi, buyer: Signer, domain: Domain, clock: Clock) -> None:
        self._api = api
        self._buyer = buyer
        self._domain = domain
        self._clock = clock

    def reserve(self, match: OrderMatch, until: datetime) -> ReservationAnswer:
        """Hold the GPUs of a match whose order is signed. Raises as Market.reserve does."""
        seconds = int((until - self._clock.now()).total_seconds())
        named = OfferId(offer_hash(match.offer, self._domain))
        return self._api.reserve(named, match.order, max(seconds, 1))

    def confirm(self, reservation: ReservationAnswer, deal_id: EscrowId) -> None:
        """Do nothing: the server learns of the deal from the chain."""

    def release(self, reservation: ReservationAnswer) -> None:
        """Let the GPUs go. If the server cannot be told, they go when the reservation lapses."""
        until = self._clock.now() + timedelta(seconds=UNLISTING_SECONDS)
        request = sign_unlisting(reservation.deal_id, self._buyer, self._domain, until=until)
        try:
            self._api.unlist([request])
        except MarketError as error:
            tell("reservation_not_released", deal_id=reservation.deal_id, reason=error)

    def follow(self, deal_id: EscrowId, status: DealStatus, *, paid: bool = False) -> None:
        """Do nothing: the server learns how the deal goes on from the chain."""
