"""What the parties of a deal leave for each other at a market: signed statements, and sealed letters."""

from __future__ import annotations

import re
from enum import StrEnum

from pydantic import field_validator

from molt_market.domain.disputes import Dispute
from molt_market.domain.fields import Moment, Uint32, Value
from molt_market.domain.ids import Address, EscrowId, Signature
from molt_market.domain.proofs import Attestation, Confirmation
from molt_market.errors import InvalidValue

MAX_LETTER = 65_536  # characters of base64
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


class DocumentKind(StrEnum):
    """What a document is."""

    VOUCHER = "voucher"
    RECEIPT = "receipt"
    DISPUTE = "dispute"
    LETTER = "letter"


class Letter(Value):
    """A sealed text of one party of a deal for another: base64, which only its reader can open."""

    deal_id: EscrowId
    sender: Address
    reader: Address
    sealed: str
    signature: Signature

    @field_validator("sealed")
    @classmethod
    def _check_sealed(cls, sealed: str) -> str:
        if len(sealed) > MAX_LETTER:
            raise InvalidValue(
                f"a letter of {len(sealed):,} characters: at most {MAX_LETTER:,}, put more elsewhere"
            )
        if len(sealed) % 4 or not _BASE64.fullmatch(sealed):
            raise InvalidValue("a sealed letter is written in base64: encode it, padding included")
        return sealed


class Document(Value):
    """One of these about a deal: the field that is set says which."""

    voucher: Confirmation | None = None
    receipt: Attestation | None = None
    dispute: Dispute | None = None
    letter: Letter | None = None

    @property
    def kind(self) -> DocumentKind:
        """What it is. Raises InvalidValue unless one field is set."""
        set_ = [kind for kind in DocumentKind if getattr(self, kind) is not None]
        if len(set_) != 1:
            raise InvalidValue("a document is a voucher, a receipt, a dispute or a letter: set one of them")
        return set_[0]

    @property
    def deal_id(self) -> EscrowId:
        """The deal that it is about."""
        about = self.voucher or self.receipt or self.letter
        if about is not None:
            return about.deal_id
        if self.dispute is not None:
            return self.dispute.escrow_id
        raise InvalidValue("a document is a voucher, a receipt, a dispute or a letter: set one of them")


class PostedDocument(Value):
    """A document as it lies ready: `number` counts those of its deal up from 1."""

    number: Uint32
    sender: Address
    posted_at: Moment
    document: Document
