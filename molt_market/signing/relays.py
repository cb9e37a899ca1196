"""Signing and verifying who is charged for a relay that either party of a deal may ask for.

The contract knows no such message, so that nobody can do anything with one on the chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from molt_market.domain.agreements import SplitAgreement
from molt_market.domain.fields import seconds
from molt_market.domain.ids import Address, Hash32
from molt_market.domain.proofs import Confirmation
from molt_market.domain.relays import RelayRequest
from molt_market.errors import Expired, ProofMismatch
from molt_market.signing.messages import Split, Voucher
from molt_market.signing.signers import Approvals, Signer, require_signer
from molt_market.signing.typed_data import Bytes32, Domain, Message, Uint40

EitherPartys: TypeAlias = Confirmation | SplitAgreement
"""What either party of a deal may have relayed, so that its signatures do not say who is charged."""


@dataclass(frozen=True, slots=True)
class RelayFor(Message):
    """By the account: bring the message with this digest, and charge me."""

    relayed: Bytes32
    account: Address
    deadline: Uint40


def sign_relay_request(
    message: EitherPartys, signer: Signer, domain: Domain, *, until: datetime
) -> RelayRequest:
    """Have a voucher or a split brought at the expense of the signer's gas budget."""
    digest = _digest(message, domain)
    return RelayRequest(
        digest=digest,
        account=signer.address,
        until=until,
        signature=signer.sign(RelayFor(digest, signer.address, seconds(until)), domain),
    )


def verify_relay_request(
    request: RelayRequest,
    message: EitherPartys,
    domain: Domain,
    now: datetime,
    approvals: Approvals | None = None,
) -> Address:
    """Return the account that is charged for a message, if it has asked for that.

    Raises:
        ProofMismatch: it has asked for another message.
        Expired: it counted until before `now`.
        InvalidSignature: it is not the account's signature; WrongSigner says whose it would be.
    """
    digest = _digest(message, domain)
    if request.digest != digest:
        raise ProofMismatch(f"the request is for {request.digest}, not {digest}: sign one for this message")
    if now >= request.until:
        raise Expired(f"the request to relay {digest}")
    signed = RelayFor(digest, request.account, seconds(request.until))
    return require_signer(signed, domain, request.signature, request.account, approvals)


def _digest(message: EitherPartys, domain: Domain) -> Hash32:
    signed: Message = (
        Voucher(message.deal_id, message.gpu_seconds)
        if isinstance(message, Confirmation)
        else Split(message.deal_id, message.gpu_seconds, seconds(message.until))
    )
    return Hash32.of(signed.digest(domain))
