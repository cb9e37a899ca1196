"""Which step a deal needs next: pure, so that it can be read, tested and shared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from molt_market.domain.agreements import (
    Concession,
    ProviderCancellation,
    Ruling,
    RulingVote,
    SplitAgreement,
    StopRequest,
    UnattestedClaim,
)
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.disputes import Dispute
from molt_market.domain.ids import EscrowId
from molt_market.domain.proofs import Confirmation, ExecutionProof


@dataclass(frozen=True, slots=True)
class Release:
    """Pay by the buyer's voucher."""

    voucher: Confirmation


@dataclass(frozen=True, slots=True)
class Claim:
    """Demand by receipt and attestors; the buyer may contest it for a while."""

    proof: ExecutionProof


@dataclass(frozen=True, slots=True)
class Finalize:
    """Close a deal whose deadline is over."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End early, as the buyer; without a request, who sends it is the buyer. So it is with the next four."""

    request: StopRequest | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give up, as the provider."""

    cancellation: ProviderCancellation | None = None


@dataclass(frozen=True, slots=True)
class ClaimUnattested:
    """Demand without attestors, as the provider; the arbiter has to rule."""

    gpu_seconds: int
    claim: UnattestedClaim | None = None


@dataclass(frozen=True, slots=True)
class Contest:
    """Contest a claim, as the buyer."""

    dispute: Dispute


@dataclass(frozen=True, slots=True)
class Concede:
    """Give in, as either party."""

    gpu_seconds: int
    concession: Concession | None = None


@dataclass(frozen=True, slots=True)
class Resolve:
    """Rule, as the arbiter."""

    gpu_seconds: int
    ruling: Ruling | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """Bring the ruling of a panel."""

    votes: tuple[RulingVote, ...]


@dataclass(frozen=True, slots=True)
class Settle:
    """Close as both parties agreed."""

    agreement: SplitAgreement


Action: TypeAlias = (
    Release | Claim | Finalize | Stop | Cancel | ClaimUnattested | Contest | Concede | Resolve | Rule | Settle
)
Step: TypeAlias = tuple[Action, ...]
"""What to send in one transaction; empty if there is nothing to do (yet)."""

CLOSED = frozenset({DealStatus.RELEASED, DealStatus.REFUNDED})


def key_of(step: Step, deal_id: EscrowId) -> str:
    """Return the idempotency key of a step, e.g. `release:0x..:676800`; a deal is claimed and closed once."""
    names = "+".join(type(action).__name__.lower() for action in step)
    vouchers = [f":{action.voucher.gpu_seconds}" for action in step if isinstance(action, Release)]
    return f"{names}:{deal_id}{''.join(vouchers)}"


def next_step(
    escrow: EscrowAccount, now: datetime, proof: ExecutionProof, voucher: Confirmation | None = None
) -> Step:
    """Return the step that brings a deal closer to being settled at the proof's GPU-seconds.

    `escrow` has to be the present state, and `now` the chain's time.

    A voucher for the whole allocation closes the deal. A voucher for less never does by itself: the buyer
    could hold back a second and the rest. With a proof that can be claimed, claim and voucher together
    close the deal at once, in this order: after a claim, a voucher for all that is claimed is the buyer's
    consent. Without such a proof the voucher is paid, and what is left can be closed when the deadline is
    over.
    """
    if escrow.status is DealStatus.CLAIMED:
        return _of_claimed(escrow, now, proof, voucher)
    due = now >= escrow.locked_until
    if escrow.status is DealStatus.DISPUTED:
        return (Finalize(),) if due else ()
    if escrow.status is not DealStatus.LOCKED:
        return ()
    if proof.receipt.gpu_seconds <= escrow.paid_gpu_seconds:
        return (Finalize(),) if due else ()
    if voucher is None:
        return (Claim(proof),)  # after the deadline the contract refuses it: what is not claimed is not paid
    if proof.receipt.gpu_seconds >= escrow.terms.gpu_seconds:
        return (Release(voucher),)
    if due:
        return Release(voucher), Finalize()
    if can_be_claimed(escrow, now, proof):
        return Claim(proof), Release(voucher)
    return (Release(voucher),)


def _of_claimed(
    escrow: EscrowAccount, now: datetime, proof: ExecutionProof, voucher: Confirmation | None
) -> Step:
    if now >= escrow.locked_until:
        return (Finalize(),)
    if voucher is not None and proof.receipt.gpu_seconds > escrow.paid_gpu_seconds:
        return (Release(voucher),)
    return ()


def can_be_claimed(escrow: EscrowAccount, now: datetime, proof: ExecutionProof) -> bool:
    """Tell whether a proof can be claimed by its time, and carries attestors; the contract judges them."""
    if escrow.opened_at is None or escrow.ends_at is None or not proof.attestations:
        return False
    ran = int((min(now, escrow.ends_at) - escrow.opened_at).total_seconds())
    in_time = proof.receipt.completed or now >= escrow.ends_at
    return in_time and proof.receipt.gpu_seconds <= escrow.terms.gpu_count * ran
