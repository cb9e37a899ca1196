"""Signing and verifying the letters that parties of a deal leave for each other.

A letter is sealed before it is signed; the signature says who left it, so that nobody fills another's box.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_utils import keccak

from molt_market.domain.documents import Letter
from molt_market.domain.ids import Address, EscrowId, Hash32
from molt_market.signing import typed_data
from molt_market.signing.signers import Approvals, Signer, require_signer
from molt_market.signing.typed_data import Domain, Message


@dataclass(frozen=True, slots=True)
class SealedLetter(Message):
    """By a party of the deal: this text is for another one."""

    deal_id: typed_data.Bytes32
    reader: Address
    text_hash: typed_data.Bytes32


def sign_letter(deal_id: EscrowId, reader: Address, sealed: str, signer: Signer, domain: Domain) -> Letter:
    """Leave a sealed text (base64) for another party of a deal."""
    message = SealedLetter(deal_id, reader, _hash(sealed))
    return Letter(
        deal_id=deal_id,
        sender=signer.address,
        reader=reader,
        sealed=sealed,
        signature=signer.sign(message, domain),
    )


def verify_letter(letter: Letter, domain: Domain, approvals: Approvals | None = None) -> Address:
    """Return the sender, if he signed the letter.

    Raises:
        InvalidSignature: it is not his signature; WrongSigner says whose it would be.
    """
    message = SealedLetter(letter.deal_id, letter.reader, _hash(letter.sealed))
    return require_signer(message, domain, letter.signature, letter.sender, approvals)


def _hash(sealed: str) -> Hash32:
    return Hash32.of(keccak(text=sealed))
