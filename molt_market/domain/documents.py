"""What the parties of a deal leave for each other at a market: signed statements, and sealed letters."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TypeAlias

from pydantic import field_validator

from molt_market.domain.disputes import Dispute
from molt_market.domain.evidence import Evidence
from molt_market.domain.fields import Moment, Uint32, Value
from molt_market.domain.ids import Address, EscrowId, Signature
from molt_market.domain.pings import Gateway, Rejection
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
    GATEWAY = "gateway"
    REJECTION = "rejection"
    EVIDENCE = "evidence"


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


About: TypeAlias = Confirmation | Attestation | Dispute | Letter | Gateway | Rejection | Evidence


class Document(Value):
    """One of these about a deal: the field that is set says which."""

    voucher: Confirmation | None = None
    receipt: Attestation | None = None
    dispute: Dispute | None = None
    letter: Letter | None = None
    gateway: Gateway | None = None
    rejection: Rejection | None = None
    evidence: Evidence | None = None

    @property
    def kind(self) -> DocumentKind:
        """What it is. Raises InvalidValue unless one field is set."""
        return self._set[0]

    @property
    def deal_id(self) -> EscrowId:
        """The deal that it is about. Raises InvalidValue unless one field is set."""
        about = self._set[1]
        return about.escrow_id if isinstance(about, Dispute) else about.deal_id

    @property
    def _set(
        self,
    ) -> tuple[DocumentKind, Confirmation | Attestation | Dispute | Letter | Gateway | Rejection]:
        set_ = [(kind, about) for kind in DocumentKind if (about := getattr(self, kind)) is not None]
        if len(set_) != 1:
            kinds = ", ".join(DocumentKind)
            raise InvalidValue(f"a document is one of {kinds}: set exactly one of these fields")
        return set_[0]


class PostedDocument(Value):
    """A document as it lies ready: `number` counts those of its deal up from 1."""

    number: Uint32
    sender: Address
    posted_at: Moment
    document: Document
