"""What agent and attestors say while a deal runs: it counts for one deal, one deployment and one signer."""

from __future__ import annotations

import pytest

from molt_market.domain.ids import EscrowId, Hash32
from molt_market.domain.pings import Gateway, PingAnswer, Rejection
from molt_market.errors import InvalidSignature, WrongSigner
from molt_market.signing.pings import (
    sign_gateway,
    sign_ping_answer,
    sign_rejection,
    verify_gateway,
    verify_ping_answer,
    verify_rejection,
)
from molt_market.signing.typed_data import Domain
from tests.factories import NOON
from tests.unit.signing.keys import PROVIDER, STRANGER

DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
ELSEWHERE = Domain(1, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
DEAL, OTHER = EscrowId("0x" + "de" * 32), EscrowId("0x" + "df" * 32)
DIGEST = Hash32("0x" + "11" * 32)
GATEWAY = sign_gateway(DEAL, "https://gpus.example", DIGEST, PROVIDER, DOMAIN)
ANSWER = sign_ping_answer(DEAL, DIGEST, PROVIDER, DOMAIN, answered_at=NOON, heartbeats=3, head=DIGEST)
REJECTION = sign_rejection(
    DEAL, PROVIDER, DOMAIN, gpu_seconds=60, usage_root=DIGEST, code="AboveLog", text="50 of 60"
)


@pytest.mark.parametrize(
    "change",
    [{}, {"deal_id": OTHER}, {"url": "https://other.example"}, {"sealing_key": Hash32("0x" + "12" * 32)}],
    ids=str,
)
def test_gateway__is_verified_and_binds_every_field(change: dict[str, object]) -> None:
    gateway = Gateway.model_validate_json(GATEWAY.model_dump_json()).model_copy(update=change)
    if not change:
        assert verify_gateway(gateway, PROVIDER.address, DOMAIN) == PROVIDER.address
        change = {"agent": STRANGER.address}
    with pytest.raises(WrongSigner):
        verify_gateway(gateway, STRANGER.address if "agent" in change else PROVIDER.address, DOMAIN)
    with pytest.raises(InvalidSignature):
        verify_gateway(GATEWAY, PROVIDER.address, ELSEWHERE)


@pytest.mark.parametrize(
    "change",
    [
        {"deal_id": OTHER},
        {"nonce": Hash32("0x" + "12" * 32)},
        {"answered_at": NOON.replace(second=1)},
        {"heartbeats": 4},
        {"head": Hash32("0x" + "12" * 32)},
    ],
    ids=str,
)
def test_answer__binds_every_field(change: dict[str, object]) -> None:
    assert verify_ping_answer(
        PingAnswer.model_validate_json(ANSWER.model_dump_json()), PROVIDER.address, DOMAIN
    )
    with pytest.raises(InvalidSignature):
        verify_ping_answer(ANSWER.model_copy(update=change), PROVIDER.address, DOMAIN)
    with pytest.raises(InvalidSignature):
        verify_ping_answer(ANSWER, PROVIDER.address, ELSEWHERE)


@pytest.mark.parametrize(
    "change",
    [
        {"deal_id": OTHER},
        {"gpu_seconds": 61},
        {"usage_root": Hash32("0x" + "12" * 32)},
        {"code": "AbovePings"},
        {"text": "51 of 60"},
        {"signer": STRANGER.address},
    ],
    ids=str,
)
def test_rejection__binds_every_field(change: dict[str, object]) -> None:
    assert verify_rejection(Rejection.model_validate_json(REJECTION.model_dump_json()), DOMAIN)
    with pytest.raises(InvalidSignature):
        verify_rejection(REJECTION.model_copy(update=change), DOMAIN)
    with pytest.raises(InvalidSignature):
        verify_rejection(REJECTION, ELSEWHERE)
