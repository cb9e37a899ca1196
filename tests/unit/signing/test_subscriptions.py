"""What a party asks of its alerts: it counts for that party, verb, webhook and number, until it is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from molt_market.domain.ids import APPROVED
from molt_market.domain.subscriptions import AlertsRequest, AlertsVerb
from molt_market.errors import Expired, InvalidSignature, WrongSigner
from molt_market.signing.signers import ApprovingSigner
from molt_market.signing.subscriptions import AlertsFor, sign_alerts_request, verify_alerts_request
from molt_market.signing.typed_data import Domain
from tests.factories import NOON
from tests.unit.signing.keys import BUYER, STRANGER

DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
UNTIL = NOON + timedelta(minutes=10)
URL = "https://buyer.example/alerts"


def asked(verb: AlertsVerb = AlertsVerb.SUBSCRIBE, **fields: Any) -> AlertsRequest:
    return sign_alerts_request(verb, BUYER, DOMAIN, until=UNTIL, **fields)


@pytest.mark.parametrize("verb", AlertsVerb)
def test_request__is_verified_and_survives_json(verb: AlertsVerb) -> None:
    request = AlertsRequest.model_validate_json(asked(verb, url=URL, number=7).model_dump_json())
    assert verify_alerts_request(request, DOMAIN, NOON) == BUYER.address


def test_request__changed_or_elsewhere__is_refused() -> None:
    changes: dict[str, Any] = {
        "party": STRANGER.address,
        "verb": AlertsVerb.LIST,
        "url": URL + "/",
        "number": 8,
        "until": UNTIL + timedelta(seconds=1),
    }
    assert changes.keys() == AlertsRequest.model_fields.keys() - {"signature"}
    request = asked(url=URL, number=7)
    for name, value in changes.items():
        with pytest.raises(WrongSigner):
            verify_alerts_request(request.model_copy(update={name: value}), DOMAIN, NOON)
    with pytest.raises(WrongSigner):
        verify_alerts_request(request, Domain(1, DOMAIN.escrow), NOON)


def test_request__counts_until_it_is_over() -> None:
    assert verify_alerts_request(asked(), DOMAIN, UNTIL - timedelta(seconds=1))
    with pytest.raises(Expired):
        verify_alerts_request(asked(), DOMAIN, UNTIL)


def test_request__approved__counts_if_the_chain_knows() -> None:
    signer = ApprovingSigner(BUYER.address, lambda _: None)
    request = sign_alerts_request(AlertsVerb.LIST, signer, DOMAIN, until=UNTIL)
    assert request.signature == APPROVED
    assert verify_alerts_request(request, DOMAIN, NOON, lambda *_: True) == BUYER.address
    with pytest.raises(InvalidSignature):
        verify_alerts_request(request, DOMAIN, NOON, lambda *_: False)


def test_type__is_no_type_of_the_contract() -> None:
    wanted = "AlertsFor(address party,uint8 verb,bytes32 urlHash,uint64 number,uint40 deadline)"
    assert AlertsFor.type_string() == wanted
