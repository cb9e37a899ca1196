"""What an account asks for its balance and its groups, signed: it counts for that account and its figures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import APPROVED, Address
from molt_market.domain.requests import Side, SignedRequest
from molt_market.errors import InvalidSignature, WrongSigner
from molt_market.signing.requests import (
    sign_orders_cancellation,
    sign_withdrawal,
    sign_withdrawal_request,
    verify_request,
)
from molt_market.signing.signers import ApprovingSigner, Signer
from molt_market.signing.typed_data import Domain
from tests.factories import NOON
from tests.unit.signing.keys import BUYER, STRANGER

DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
UNTIL = NOON + timedelta(days=1)
LATER = UNTIL + timedelta(seconds=1)
PAYEE = Address("0x" + "1a" * 20)

Sign = Callable[[Signer], SignedRequest]

REQUESTS: dict[str, tuple[Sign, dict[str, Any]]] = {
    "cancellation": (
        lambda signer: sign_orders_cancellation(Side.ORDERS, 3, signer, DOMAIN, cutoff_at=5, until=UNTIL),
        {"side": Side.OFFERS, "group": 4, "cutoff_at": 6, "until": LATER},
    ),
    "request": (
        lambda signer: sign_withdrawal_request(Amount(7), signer, DOMAIN, nonce=2, until=UNTIL),
        {"amount": Amount(8), "nonce": 3, "until": LATER},
    ),
    "withdrawal": (
        lambda signer: sign_withdrawal(PAYEE, signer, DOMAIN, nonce=2, until=UNTIL),
        {"to": STRANGER.address, "nonce": 3, "until": LATER},
    ),
}
EACH = pytest.mark.parametrize(("sign", "others"), REQUESTS.values(), ids=REQUESTS)


@EACH
def test_request__is_verified_and_survives_json(sign: Sign, others: dict[str, Any]) -> None:
    request = sign(BUYER)
    assert (request.account, request.until) == (BUYER.address, UNTIL)
    assert verify_request(request, DOMAIN) == BUYER.address
    assert type(request).model_validate_json(request.model_dump_json()) == request


@EACH
def test_request__changed_afterwards__is_refused(sign: Sign, others: dict[str, Any]) -> None:
    changes = {**others, "account": STRANGER.address}
    assert changes.keys() == type(sign(BUYER)).model_fields.keys() - {"signature"}
    for field, value in changes.items():
        with pytest.raises(WrongSigner):
            verify_request(sign(BUYER).model_copy(update={field: value}), DOMAIN)


@EACH
def test_request__for_another_deployment__is_refused(sign: Sign, others: dict[str, Any]) -> None:
    for where in (Domain(1, DOMAIN.escrow), Domain(31_337, "0x" + "11" * 20)):
        with pytest.raises(WrongSigner):
            verify_request(sign(BUYER), where)


@EACH
def test_request__approved__counts_if_the_chain_knows(sign: Sign, others: dict[str, Any]) -> None:
    request = sign(ApprovingSigner(BUYER.address, lambda _: None))
    assert request.signature == APPROVED
    assert verify_request(request, DOMAIN, lambda account, _: account == BUYER.address) == BUYER.address
    with pytest.raises(InvalidSignature):
        verify_request(request, DOMAIN, lambda *_: False)


def test_request__of_no_known_kind__is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="SignedRequest"):
        verify_request(SignedRequest(account=PAYEE, until=UNTIL, signature=APPROVED), DOMAIN)
