"""What moves the money: statements of usage and who signed them."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from molt_market.domain.fields import Uint40, Value
from molt_market.domain.ids import ZERO_HASH, Address, EscrowId, Hash32, Signature
from molt_market.domain.policies import Attestors
from molt_market.errors import InvalidValue


class Confirmation(Value):
    """The buyer's voucher: he releases the first `gpu_seconds` of the deal, all earlier ones included."""

    deal_id: EscrowId
    gpu_seconds: Uint40
    signer: Address
    signature: Signature


class Attestation(Value):
    """A receipt and one signature of it, by the provider's agent or by an attestor.

    A `result_digest` that is not zero says that the job is completed; `usage_root` commits to the usage log.
    """

    deal_id: EscrowId
    gpu_seconds: Uint40
    result_digest: Hash32 = ZERO_HASH
    usage_root: Hash32 = ZERO_HASH
    signer: Address
    signature: Signature

    @property
    def completed(self) -> bool:
        return self.result_digest != ZERO_HASH

    def same_receipt_as(self, other: Attestation) -> bool:
        """Tell whether both are of the same receipt."""
        return (
            self.deal_id == other.deal_id
            and self.gpu_seconds == other.gpu_seconds
            and self.result_digest == other.result_digest
            and self.usage_root == other.usage_root
        )


class ExecutionProof(Value):
    """The agent's receipt, the attestors' signatures of the same receipt, and the policy's whole set of
    attestors.

    Both lists are kept ascending by address, as the contract wants them. `usage_log` says where the log can
    be had.
    """

    receipt: Attestation
    attestations: tuple[Attestation, ...] = ()
    attestors: Attestors = ()
    usage_log: str | None = None

    @model_validator(mode="after")
    def _check_attestations(self) -> Self:
        for attestation in self.attestations:
            if not attestation.same_receipt_as(self.receipt):
                raise InvalidValue(
                    f"attestor {attestation.signer} signed another receipt: collect it for this one"
                )
            if attestation.signer not in self.attestors:
                raise InvalidValue(
                    f"{attestation.signer} is not among the attestors: give the policy's whole set"
                )
        signers = [attestation.signer for attestation in self.attestations]
        for signer in signers:
            if signers.count(signer) > 1:
                raise InvalidValue(f"attestor {signer} signed twice: it counts once, drop one")
        ascending = tuple(sorted(self.attestations, key=lambda each: each.signer.number()))
        object.__setattr__(self, "attestations", ascending)
        return self
