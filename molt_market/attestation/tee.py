"""What trusted hardware says of a deal's machine: Intel TDX quotes, and NVIDIA's attestation tokens.

It is extra, and never sufficient alone: no quote has a clock, so none proves hours; and who owns the machine
can, with a device on its memory bus, take out the keys that sign such quotes. A verdict says what a quote
or token proves, and nothing in the product pays by it.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from molt_market.domain.fields import Value, seconds
from molt_market.domain.ids import ZERO_HASH, Address, EscrowId, Hash32
from molt_market.errors import InvalidValue
from molt_market.signing import typed_data
from molt_market.signing.typed_data import Domain, Message

DEBUG = 1  # of the TD's attributes: its owner can read its memory
UP_TO_DATE = "UpToDate"
ISSUER = "https://nras.attestation.nvidia.com"
CLOCK_TOLERANCE = timedelta(minutes=1)
ALGORITHM = "ES384"


@dataclass(frozen=True, slots=True)
class TeeBinding(Message):
    """Signed by nobody: its digest is what the hardware is asked to sign, so that it counts for one deal."""

    deal_id: typed_data.Bytes32
    agent: Address
    usage_root: typed_data.Bytes32
    result_digest: typed_data.Bytes32


def tee_binding(
    deal_id: EscrowId,
    agent: Address,
    domain: Domain,
    *,
    usage_root: Hash32 = ZERO_HASH,
    result_digest: Hash32 = ZERO_HASH,
) -> Hash32:
    """Return what a quote's report data begins with, and what a token's nonce is, in hexadecimal.

    Root and result are those of the receipt; zero while there is none.
    """
    return Hash32.of(TeeBinding(deal_id, agent, usage_root, result_digest).digest(domain))


class TeeOutcome(StrEnum):
    """What came of looking at a quote or a token; only BOUND says anything about the deal."""

    BOUND = "bound"
    NOT_BOUND = "not_bound"
    OUTDATED = "outdated"
    DEBUGGABLE = "debuggable"
    FAILED = "failed"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class TeeVerdict:
    """The outcome, in words, and what was measured: `measurements` by their names, in hexadecimal."""

    outcome: TeeOutcome
    text: str
    measurements: Mapping[str, str]


class TdxEvidence(Value):
    """A TDX quote (base64), and Intel's certificates and lists for it, as `dcap-qvl` writes them (JSON)."""

    quote: Annotated[str, Field(max_length=50_000)]
    certificates: Annotated[str, Field(max_length=200_000)]


def verify_tdx(evidence: TdxEvidence, binding: Hash32, now: datetime) -> TeeVerdict:
    """Look at a TDX quote: signed by Intel's chain, up to date at `now`, of a deal with this `binding`.

    Raises InvalidValue if the package for it is not installed.
    """
    library = _installed("dcap_qvl")
    try:
        raw = b64decode(evidence.quote, validate=True)
        quote = library.Quote.parse(raw)
        if not quote.is_tdx():
            return _nothing(TeeOutcome.INVALID, f"a quote of {quote.quote_type()}, not of TDX")
        certificates = library.QuoteCollateralV3.from_json(evidence.certificates)
        status = library.verify(raw, certificates, seconds(now)).status
    except (ValueError, TypeError) as error:
        return _nothing(TeeOutcome.INVALID, str(error))
    report = quote.report
    measured = {name: getattr(report, name).hex() for name in TDX_MEASUREMENTS}
    if status != UP_TO_DATE:
        return TeeVerdict(TeeOutcome.OUTDATED, f"the platform is {status}", measured)
    if report.td_attributes[0] & DEBUG:
        return TeeVerdict(TeeOutcome.DEBUGGABLE, "its owner can read the machine's memory", measured)
    said = Hash32.of(report.report_data[:32])
    if said != binding:
        return TeeVerdict(TeeOutcome.NOT_BOUND, f"the quote is of {said}, the deal is {binding}", measured)
    return TeeVerdict(TeeOutcome.BOUND, "a machine with these measurements signed for this deal", measured)


TDX_MEASUREMENTS = ("mr_td", "rt_mr0", "rt_mr1", "rt_mr2", "rt_mr3")


def verify_nvidia(
    token: str, keys: Mapping[str, Any], binding: Hash32, now: datetime, *, issuer: str = ISSUER
) -> TeeVerdict:
    """Look at an attestation token of NVIDIA's service: an ES384 JWT of a pinned key, bound to the deal.

    `keys` is the JWK set that you have got from NVIDIA and pinned; keys are told apart by their `kid`.

    Raises InvalidValue if the package for it is not installed, or `keys` is no JWK set.
    """
    jwt = _installed("jwt")
    try:
        pinned = {key.key_id: key for key in jwt.PyJWKSet.from_dict(dict(keys)).keys}
    except (jwt.PyJWTError, AttributeError, TypeError) as error:
        raise InvalidValue(f"the pinned keys are no JWK set: {error}") from error
    try:
        header = jwt.get_unverified_header(token)
        key = pinned.get(header.get("kid"))
        if key is None or header.get("alg") != ALGORITHM:
            return _nothing(TeeOutcome.INVALID, "the token is not signed with ES384 by a pinned key")
        # Times are compared here, with the chain's: the library would take this machine's.
        options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": ["exp", "nbf"]}
        claims = jwt.decode(token, key.key, algorithms=[ALGORITHM], issuer=issuer, options=options)
        begins, ends = int(claims["nbf"]), int(claims["exp"])
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        return _nothing(TeeOutcome.INVALID, f"{type(error).__name__}: {error}")
    return _of_claims(claims, binding, begins, ends, now)


def _of_claims(
    claims: Mapping[str, Any], binding: Hash32, begins: int, ends: int, now: datetime
) -> TeeVerdict:
    measured = {name: json.dumps(claims[name]) for name in NVIDIA_CLAIMS if name in claims}
    if not begins <= seconds(now + CLOCK_TOLERANCE) or not seconds(now - CLOCK_TOLERANCE) < ends:
        return TeeVerdict(TeeOutcome.OUTDATED, f"the token counts from {begins} to {ends}", measured)
    if claims.get("x-nvidia-overall-att-result") is not True:
        return TeeVerdict(TeeOutcome.FAILED, "NVIDIA's service did not find the GPUs genuine", measured)
    nonce = str(claims.get("eat_nonce", "")).lower().removeprefix("0x")
    if nonce != binding.raw().hex():
        return TeeVerdict(TeeOutcome.NOT_BOUND, f"the token is of {nonce[:80]}, not of this deal", measured)
    return TeeVerdict(TeeOutcome.BOUND, "NVIDIA's service found genuine GPUs that signed for it", measured)


NVIDIA_CLAIMS = ("hwmodel", "ueid", "x-nvidia-gpu-driver-version", "x-nvidia-gpu-vbios-version", "submods")


def _nothing(outcome: TeeOutcome, text: str) -> TeeVerdict:
    return TeeVerdict(outcome, text, {})


def _installed(module: str) -> Any:
    """Import what only this needs. Raises InvalidValue where it is not installed."""
    try:
        return __import__(module)
    except ImportError as error:
        raise InvalidValue("this needs more packages: pip install 'molt-market[tee]'") from error
