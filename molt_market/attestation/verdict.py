"""What the contract will say of a claim, known before anything is sent.

`verify_proof` makes every check of `MoltEscrow.claim`, in its order, with its codes and figures. What the
usage log says (sequence, gaps, root) the contract never sees; `molt_market.attestation.verifier` checks that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.fields import seconds
from molt_market.domain.ids import ZERO_ADDRESS, Address
from molt_market.domain.policies import Policy
from molt_market.domain.proofs import Attestation, ExecutionProof
from molt_market.domain.terms import Terms
from molt_market.errors import InvalidSignature, InvalidValue
from molt_market.refusals import (
    AboveElapsed,
    AttestorIsParty,
    AttestorOrder,
    AttestorSet,
    AttestorUnknown,
    BadSignature,
    NotAbovePaid,
    NotCompleted,
    Quorum,
    TooLate,
    UnattestedPolicy,
    WrongStatus,
)
from molt_market.signing.hashes import attestors_hash, deal_id, policy_id
from molt_market.signing.messages import Receipt
from molt_market.signing.signers import recover
from molt_market.signing.typed_data import Domain


@dataclass(frozen=True, slots=True)
class Accepted:
    """A proof that the contract takes: the GPU-seconds that it will owe in all, and those not paid yet."""

    gpu_seconds: int
    payable: int
    signers: tuple[Address, ...]


def verify_proof(
    proof: ExecutionProof, escrow: EscrowAccount, policy: Policy, domain: Domain, now: datetime
) -> Accepted:
    """Judge a proof as `claim` would in a block of the time `now`.

    Raises:
        Refused: the subclass, with the figures, that the contract would refuse with.
        InvalidValue: `policy` is not the deal's.
    """
    receipt = proof.receipt
    digest = verify_unsigned(receipt, escrow, policy, domain, now)
    signers = tuple(_signer(digest, attestation) for attestation in proof.attestations)
    _require_quorum(signers, proof.attestors, escrow.terms, policy)
    return Accepted(receipt.gpu_seconds, receipt.gpu_seconds - escrow.paid_gpu_seconds, signers)


def verify_unsigned(
    receipt: Attestation, escrow: EscrowAccount, policy: Policy, domain: Domain, now: datetime
) -> bytes:
    """Judge an agent's receipt as `claim` would up to the quorum; return what attestors are to sign.

    Raises as `verify_proof` does.
    """
    if policy_id(policy) != escrow.terms.policy_id:
        raise InvalidValue(f"policy {policy_id(policy)} is not the deal's, {escrow.terms.policy_id}")
    _require_delivered(receipt, escrow, domain, seconds(now))
    # The contract hashes the deal of these terms, whatever deal the receipt names.
    deal = deal_id(escrow.terms, domain)
    message = Receipt(deal, receipt.gpu_seconds, receipt.result_digest, receipt.usage_root)
    digest = message.digest(domain)
    agent = _signer(digest, receipt)
    if agent != escrow.terms.agent:
        raise BadSignature(agent.number(), escrow.terms.agent.number())
    if policy.threshold == 0:
        raise UnattestedPolicy(0, 1)
    return digest


def _require_delivered(receipt: Attestation, escrow: EscrowAccount, domain: Domain, now: int) -> None:
    """Refuse a claim that is too late, brings nothing, or says more than the time that has passed."""
    here = deal_id(escrow.terms, domain) == escrow.id
    status = escrow.status if here else DealStatus.NONE  # another escrow has no such deal
    if status != DealStatus.LOCKED or escrow.opened_at is None or escrow.ends_at is None:
        raise WrongStatus(status, DealStatus.LOCKED)
    if now >= seconds(escrow.locked_until):
        raise TooLate(now, seconds(escrow.locked_until))
    if receipt.gpu_seconds <= escrow.paid_gpu_seconds:
        raise NotAbovePaid(receipt.gpu_seconds, escrow.paid_gpu_seconds)
    ends_at = seconds(escrow.ends_at)
    elapsed = escrow.terms.gpu_count * (min(now, ends_at) - seconds(escrow.opened_at))
    if receipt.gpu_seconds > elapsed:
        raise AboveElapsed(receipt.gpu_seconds, elapsed)
    if now < ends_at and not receipt.completed:
        raise NotCompleted(now, ends_at)


def _require_quorum(
    signers: tuple[Address, ...], attestors: Iterable[Address], terms: Terms, policy: Policy
) -> None:
    """Refuse unless `threshold` distinct attestors of the policy signed, none of them a party of the deal."""
    given, needed = attestors_hash(attestors), attestors_hash(policy.attestors)
    if given != needed:
        raise AttestorSet(int(given, 16), int(needed, 16))
    if len(signers) < policy.threshold:
        raise Quorum(len(signers), policy.threshold)
    last = ZERO_ADDRESS
    for signer in signers:
        if signer.number() <= last.number():
            raise AttestorOrder(signer.number(), last.number())
        if signer in {terms.buyer, terms.provider, terms.agent}:
            raise AttestorIsParty(signer.number(), signer.number())
        if signer not in policy.attestors:
            raise AttestorUnknown(signer.number(), 0)
        last = signer


def _signer(digest: bytes, attestation: Attestation) -> Address:
    """Return who signed, the zero address for nobody, as the contract has it."""
    try:
        return recover(digest, attestation.signature)
    except InvalidSignature:
        return ZERO_ADDRESS
