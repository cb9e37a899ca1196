"""Who is charged for a relay: it counts for one message, one account and one deployment, until it is over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from molt_market.domain.agreements import SplitAgreement
from molt_market.domain.ids import APPROVED, EscrowId
from molt_market.domain.relays import RelayRequest
from molt_market.errors import Expired, InvalidSignature, ProofMismatch, WrongSigner
from molt_market.signing.messages import Split, Voucher
from molt_market.signing.relays import EitherPartys, RelayFor, sign_relay_request, verify_relay_request
from molt_market.signing.signers import ApprovingSigner
from molt_market.signing.statements import sign_voucher
from molt_market.signing.typed_data import Domain
from tests.factories import NOON
from tests.unit.signing.keys import BUYER, PROVIDER, STRANGER

DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
UNTIL = NOON + timedelta(minutes=10)
DEAL = EscrowId("0x" + "de" * 32)
VOUCHER = sign_voucher(DEAL, 3_600, BUYER, DOMAIN)
SPLIT = SplitAgreement(deal_id=DEAL, gpu_seconds=3_600, until=UNTIL)
EACH = pytest.mark.parametrize("message", [VOUCHER, SPLIT], ids=["voucher", "split"])


def asked(message: EitherPartys = VOUCHER) -> RelayRequest:
    return sign_relay_request(message, PROVIDER, DOMAIN, until=UNTIL)


@EACH
def test_request__is_verified_and_survives_json(message: EitherPartys) -> None:
    request = RelayRequest.model_validate_json(asked(message).model_dump_json())
    assert verify_relay_request(request, message, DOMAIN, NOON) == PROVIDER.address


def test_digest__is_that_of_the_message_that_the_contract_knows() -> None:
    assert bytes.fromhex(asked().digest[2:]) == Voucher(DEAL, 3_600).digest(DOMAIN)
    split = Split(DEAL, 3_600, int(UNTIL.timestamp()))
    assert bytes.fromhex(asked(SPLIT).digest[2:]) == split.digest(DOMAIN)
    assert RelayFor.type_string() == "RelayFor(bytes32 relayed,address account,uint40 deadline)"


@EACH
def test_request__changed_or_elsewhere__is_refused(message: EitherPartys) -> None:
    request = asked(message)
    for change in ({"account": STRANGER.address}, {"until": UNTIL + timedelta(seconds=1)}):
        with pytest.raises(WrongSigner):
            verify_relay_request(request.model_copy(update=change), message, DOMAIN, NOON)
    other = message.model_copy(update={"gpu_seconds": 3_601})
    with pytest.raises(ProofMismatch):
        verify_relay_request(request, other, DOMAIN, NOON)
    with pytest.raises(ProofMismatch):
        verify_relay_request(request, message, Domain(1, DOMAIN.escrow), NOON)


def test_request__counts_until_it_is_over() -> None:
    assert verify_relay_request(asked(), VOUCHER, DOMAIN, UNTIL - timedelta(seconds=1))
    with pytest.raises(Expired):
        verify_relay_request(asked(), VOUCHER, DOMAIN, UNTIL)


def test_request__approved__counts_if_the_chain_knows() -> None:
    signer = ApprovingSigner(PROVIDER.address, lambda _: None)
    request = sign_relay_request(VOUCHER, signer, DOMAIN, until=UNTIL)
    assert request.signature == APPROVED
    assert verify_relay_request(request, VOUCHER, DOMAIN, NOON, lambda *_: True) == PROVIDER.address
    with pytest.raises(InvalidSignature):
        verify_relay_request(request, VOUCHER, DOMAIN, NOON, lambda *_: False)
