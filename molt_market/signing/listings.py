"""Signing and verifying what takes an offer, an order or a reservation off a market's book.

The contract knows no such message, so that nobody can do anything with one on the chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molt_market.domain.fields import seconds
from molt_market.domain.ids import Address, Hash32
from molt_market.domain.listings import Unlisting
from molt_market.errors import Expired
from molt_market.signing.signers import Approvals, Signer, require_signer
from molt_market.signing.typed_data import Bytes32, Domain, Message, Uint40


@dataclass(frozen=True, slots=True)
class Unlist(Message):
    """By the maker: take what has this digest off the book."""

    listed: Bytes32
    deadline: Uint40


def sign_unlisting(digest: Hash32, signer: Signer, domain: Domain, *, until: datetime) -> Unlisting:
    """Take the signer's own offer or order (by its hash), or a match reserved for him (by its deal) back."""
    signature = signer.sign(Unlist(digest, seconds(until)), domain)
    return Unlisting(digest=digest, until=until, signer=signer.address, signature=signature)


def verify_unlisting(
    unlisting: Unlisting, domain: Domain, now: datetime, approvals: Approvals | None = None
) -> Address:
    """Return who signed it. Whether the digest is of something of his, the market knows.

    Raises:
        Expired: it counted until before `now`.
        InvalidSignature: it is not his signature; WrongSigner says whose it would be.
    """
    if now >= unlisting.until:
        raise Expired(f"the request to take {unlisting.digest} off the book")
    message = Unlist(unlisting.digest, seconds(unlisting.until))
    return require_signer(message, domain, unlisting.signature, unlisting.signer, approvals)
