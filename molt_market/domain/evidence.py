"""What a party lays before the arbiter."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from molt_market.domain.fields import Value
from molt_market.domain.ids import Address, EscrowId, Signature

MAX_EVIDENCE = 500_000  # characters


class Evidence(Value):
    """A text about a deal that a party stands for; its hash is what a dispute names on the chain.

    The text is JSON, as `attestation.evidence` writes and checks it; who only keeps it need not read it.
    """

    deal_id: EscrowId
    content: Annotated[str, Field(min_length=2, max_length=MAX_EVIDENCE)]
    sender: Address
    signature: Signature
