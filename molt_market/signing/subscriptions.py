"""Signing and verifying what a party asks of its alerts.

The contract knows no such message, so that nobody can do anything with one on the chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from eth_utils import keccak

from molt_market.domain.fields import seconds
from molt_market.domain.ids import Address, Hash32
from molt_market.domain.subscriptions import AlertsRequest, AlertsVerb
from molt_market.errors import Expired
from molt_market.signing import typed_data
from molt_market.signing.signers import Approvals, Signer, require_signer
from molt_market.signing.typed_data import Domain, Message


@dataclass(frozen=True, slots=True)
class AlertsFor(Message):
    """By the party: do this with my alerts."""

    party: Address
    verb: typed_data.Uint8
    url_hash: typed_data.Bytes32
    number: typed_data.Uint64
    deadline: typed_data.Uint40


def sign_alerts_request(
    verb: AlertsVerb, signer: Signer, domain: Domain, *, until: datetime, url: str = "", number: int = 0
) -> AlertsRequest:
    """Subscribe the signer's alerts to a URL, list his subscriptions, or end one by its number."""
    message = _message(signer.address, verb, url, number, until)
    return AlertsRequest(
        party=signer.address,
        verb=verb,
        url=url,
        number=number,
        until=until,
        signature=signer.sign(message, domain),
    )


def verify_alerts_request(
    request: AlertsRequest, domain: Domain, now: datetime, approvals: Approvals | None = None
) -> Address:
    """Return the party that asks.

    Raises:
        Expired: it counted until before `now`.
        InvalidSignature: it is not the party's signature; WrongSigner says whose it would be.
    """
    if now >= request.until:
        raise Expired(f"the request about the alerts of {request.party}")
    message = _message(request.party, request.verb, request.url, request.number, request.until)
    return require_signer(message, domain, request.signature, request.party, approvals)


def _message(party: Address, verb: AlertsVerb, url: str, number: int, until: datetime) -> AlertsFor:
    return AlertsFor(party, int(verb), Hash32.of(keccak(text=url)), number, seconds(until))
