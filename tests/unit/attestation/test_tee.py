"""What trusted hardware's evidence is worth: real quotes, and tokens signed by a key of the test's own."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from molt_market.attestation import tee
from molt_market.attestation.tee import (
    ISSUER,
    TdxEvidence,
    TeeOutcome,
    tee_binding,
    verify_nvidia,
    verify_tdx,
)
from molt_market.domain.ids import Hash32
from molt_market.errors import InvalidValue
from molt_market.signing.typed_data import Domain
from tests.unit.attestation.deals import DOMAIN, ROOT, escrow
from tests.unit.signing.keys import AGENT, STRANGER

HERE = Path(__file__).parent / "tdx"
SIGNED_AT = datetime(
    2026, 10, 9, tzinfo=UTC
)  # a day after Intel signed the collateral, which counts for a month
DEAL = escrow().id
BINDING = tee_binding(DEAL, AGENT.address, DOMAIN)
REPORT_DATA = 574  # where it is in a quote of version 5


def tdx(quote: bytes | None = None, *, collateral: str | None = None, name: str = "") -> TdxEvidence:
    raw = quote if quote is not None else (HERE / f"{name}quote.bin").read_bytes()
    text = collateral if collateral is not None else (HERE / f"{name}collateral.json").read_text()
    return TdxEvidence(quote=b64encode(raw).decode(), certificates=text)


def bound_to_sample() -> Hash32:
    dcap_qvl = pytest.importorskip("dcap_qvl")
    return Hash32.of(dcap_qvl.Quote.parse((HERE / "quote.bin").read_bytes()).report.report_data[:32])


def test_binding__is_of_one_deal_agent_receipt_and_deployment() -> None:
    others = {
        tee_binding(Hash32("0x" + "01" * 32), AGENT.address, DOMAIN),  # type: ignore[arg-type]
        tee_binding(DEAL, STRANGER.address, DOMAIN),
        tee_binding(DEAL, AGENT.address, Domain(1, DOMAIN.escrow)),
        tee_binding(DEAL, AGENT.address, DOMAIN, usage_root=ROOT),
        tee_binding(DEAL, AGENT.address, DOMAIN, result_digest=ROOT),
    }
    assert len(others | {BINDING}) == 6


# ---------------------------------------------------------------- TDX


def test_quote__of_this_deal__is_bound_and_says_what_was_measured() -> None:
    verdict = verify_tdx(tdx(), bound_to_sample(), SIGNED_AT)
    assert verdict.outcome is TeeOutcome.BOUND
    assert verdict.measurements.keys() == set(tee.TDX_MEASUREMENTS)
    assert all(len(each) == 96 for each in verdict.measurements.values())


def test_quote__of_another_deal__is_not_bound() -> None:
    assert verify_tdx(tdx(), BINDING, SIGNED_AT).outcome is TeeOutcome.NOT_BOUND


@pytest.mark.parametrize("days", [-2, 60])
def test_quote__at_a_time_that_intel_has_not_signed_for__is_invalid(days: int) -> None:
    verdict = verify_tdx(tdx(), bound_to_sample(), SIGNED_AT + timedelta(days=days))
    assert verdict.outcome is TeeOutcome.INVALID


def test_quote__of_a_platform_without_a_known_level__is_invalid() -> None:
    at = datetime(2026, 2, 20, tzinfo=UTC)
    verdict = verify_tdx(tdx(name="revoked_level_"), BINDING, at)
    assert (verdict.outcome, "No matching TCB level" in verdict.text) == (TeeOutcome.INVALID, True)


@pytest.mark.parametrize("at", [0, 100, REPORT_DATA, 700, 800, 1_000])
def test_quote__that_was_changed__is_invalid(at: int) -> None:
    """Anywhere in head, report and signatures; at its end stands Intel's root, which is known anyway."""
    raw = bytearray((HERE / "quote.bin").read_bytes())
    raw[at] ^= 1
    assert verify_tdx(tdx(bytes(raw)), bound_to_sample(), SIGNED_AT).outcome is TeeOutcome.INVALID


@pytest.mark.parametrize("quote", [b"", b"\x00" * 5_000, b"hello"])
def test_bytes__that_are_no_quote__are_invalid(quote: bytes) -> None:
    assert verify_tdx(tdx(quote), BINDING, SIGNED_AT).outcome is TeeOutcome.INVALID


def test_collateral__that_was_changed__makes_it_invalid() -> None:
    text = (HERE / "collateral.json").read_text()
    collateral = json.loads(text)
    collateral["tcb_info"] = collateral["tcb_info"].replace("UpToDate", "Revoked!", 1)
    for changed in (json.dumps(collateral), "{}", "no json"):
        assert verify_tdx(tdx(collateral=changed), BINDING, SIGNED_AT).outcome is TeeOutcome.INVALID


# ---------------------------------------------------------------- NVIDIA

KEY = ec.generate_private_key(ec.SECP384R1())
OTHER = ec.generate_private_key(ec.SECP384R1())
KEYS = {"keys": [{**ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "pinned", "alg": "ES384"}]}
BEGAN = int(SIGNED_AT.timestamp())


def token(key: Any = KEY, kid: str = "pinned", algorithm: str = "ES384", **changed: Any) -> str:
    claims = {
        "iss": ISSUER,
        "nbf": BEGAN,
        "exp": BEGAN + 3_600,
        "eat_nonce": BINDING[2:],
        "x-nvidia-overall-att-result": True,
        "hwmodel": "GH100 A01 GSP BROM",
    }
    given = {name: value for name, value in {**claims, **changed}.items() if value is not None}
    return jwt.encode(given, key, algorithm=algorithm, headers={"kid": kid})


def outcome(text: str, now: datetime = SIGNED_AT, keys: dict[str, Any] | None = None) -> TeeOutcome:
    return verify_nvidia(text, keys or KEYS, BINDING, now).outcome


def test_token__of_a_pinned_key_for_this_deal__is_bound() -> None:
    verdict = verify_nvidia(token(), KEYS, BINDING, SIGNED_AT)
    assert verdict.outcome is TeeOutcome.BOUND
    assert verdict.measurements == {"hwmodel": '"GH100 A01 GSP BROM"'}
    assert outcome(token(eat_nonce=BINDING.upper().replace("0X", "0x"))) is TeeOutcome.BOUND


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"eat_nonce": "00" * 32}, TeeOutcome.NOT_BOUND),
        ({"eat_nonce": None}, TeeOutcome.NOT_BOUND),
        ({"x-nvidia-overall-att-result": False}, TeeOutcome.FAILED),
        ({"x-nvidia-overall-att-result": "true"}, TeeOutcome.FAILED),
        ({"x-nvidia-overall-att-result": None}, TeeOutcome.FAILED),
        ({"iss": "https://nras.example"}, TeeOutcome.INVALID),
        ({"iss": None}, TeeOutcome.INVALID),
        ({"exp": None}, TeeOutcome.INVALID),
        ({"nbf": None}, TeeOutcome.INVALID),
        ({"exp": "soon"}, TeeOutcome.INVALID),
        ({"exp": BEGAN - 3_600}, TeeOutcome.OUTDATED),
        ({"nbf": BEGAN + 600}, TeeOutcome.OUTDATED),
    ],
    ids=str,
)
def test_token__with_another_claim__is_told_apart(changed: dict[str, Any], expected: TeeOutcome) -> None:
    assert outcome(token(**changed)) is expected


def test_token__of_another_key__is_invalid() -> None:
    assert outcome(token(OTHER)) is TeeOutcome.INVALID
    assert outcome(token(kid="another")) is TeeOutcome.INVALID
    assert outcome(token("a secret of at least 32 bytes, for HS256", algorithm="HS256")) is TeeOutcome.INVALID
    assert outcome(token(None, algorithm="none")) is TeeOutcome.INVALID
    smaller = ec.generate_private_key(ec.SECP256R1())
    assert outcome(token(smaller, algorithm="ES256")) is TeeOutcome.INVALID


def test_token__that_was_changed__is_invalid() -> None:
    head, body, signature = token().split(".")
    claims = json.loads(b64decode(body + "=="))
    forged = b64encode(json.dumps({**claims, "hwmodel": "other"}).encode()).decode().rstrip("=")
    for text in (f"{head}.{forged}.{signature}", "", "a.b.c", f"{head}.{body}."):
        assert outcome(text) is TeeOutcome.INVALID


def test_token__after_its_end__is_outdated() -> None:
    assert outcome(token(), SIGNED_AT + timedelta(minutes=60)) is TeeOutcome.BOUND
    assert outcome(token(), SIGNED_AT + timedelta(minutes=61)) is TeeOutcome.OUTDATED
    assert outcome(token(), SIGNED_AT - timedelta(seconds=61)) is TeeOutcome.OUTDATED


@pytest.mark.parametrize("keys", [{}, {"keys": []}, {"keys": ["x"]}, {"keys": 3}])
def test_keys__that_are_no_set__are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue, match="no JWK set"):
        verify_nvidia(token(), keys, BINDING, SIGNED_AT)
