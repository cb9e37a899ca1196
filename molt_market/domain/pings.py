"""Where a deal's machine answers, and what it answered when it was asked."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from molt_market.domain.fields import Moment, Uint40, Value
from molt_market.domain.ids import ZERO_HASH, Address, EscrowId, Hash32, Signature
from molt_market.domain.jobs import Url


class Gateway(Value):
    """The agent's word where he is asked about a deal: by pings, for the usage log, and by sealed letters.

    `sealing_key` is the X25519 public key that letters to him are sealed to. Whoever answers there has the
    agent's key too, or his answers count for nothing: the address needs no trust.
    """

    deal_id: EscrowId
    url: Url
    sealing_key: Hash32
    signature: Signature


class PingAnswer(Value):
    """The agent's answer to one ping: the nonce that was asked, and how far the usage log was then.

    `heartbeats` counts those of the log, `head` is the digest of the last one, zero while there is none.
    What was answered binds the log: it cannot be written anew afterwards.
    """

    deal_id: EscrowId
    nonce: Hash32
    answered_at: Moment
    heartbeats: Uint40
    head: Hash32 = ZERO_HASH
    signature: Signature


class Ping(Value):
    """One question whether a deal's GPUs are there, as who asked keeps it; unanswered without an answer."""

    deal_id: EscrowId
    at: Moment
    nonce: Hash32
    answer: PingAnswer | None = None


class Rejection(Value):
    """An attestor's word why he does not sign a receipt: `code`, and what was found, as a text.

    `gpu_seconds` and `usage_root` are the receipt's.
    """

    deal_id: EscrowId
    gpu_seconds: Uint40
    usage_root: Hash32
    code: Annotated[str, Field(pattern=r"^[A-Za-z]{1,64}$")]
    text: Annotated[str, Field(max_length=2_000)]
    signer: Address
    signature: Signature
