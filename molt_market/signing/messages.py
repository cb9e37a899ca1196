"""Everything that is signed, in the shape and order of the contract.

Amounts are base units, times Unix seconds, usage GPU-seconds; ids and digests are hex text.
`molt_market.signing.hashes` makes these from offers, orders and policies.
"""

from dataclasses import dataclass

from molt_market.domain.ids import Address
from molt_market.domain.requests import Side as Side  # noqa: PLC0414 - known from here too
from molt_market.signing.typed_data import (
    Bytes2,
    Bytes32,
    Message,
    Uint8,
    Uint16,
    Uint24,
    Uint32,
    Uint40,
    Uint64,
    Uint96,
    Uint256,
)


@dataclass(frozen=True, slots=True)
class Offer(Message):
    provider: Address
    agent: Address
    price_per_gpu_hour: Uint96
    gpu_count: Uint32
    vram_gb: Uint16
    features: Uint32
    country: Bytes2
    region: Bytes32
    model: Bytes32
    available_hours: Uint16
    min_commitment_hours: Uint16
    created_at: Uint40
    expires_at: Uint40
    max_fee_bps: Uint16
    slot: Uint64
    policy_id: Bytes32
    metadata_hash: Bytes32


@dataclass(frozen=True, slots=True)
class Order(Message):
    buyer: Address
    voucher_signer: Address
    max_price_per_gpu_hour: Uint96
    max_budget: Uint96
    gpu_count: Uint32
    min_vram_gb: Uint16
    features: Uint32
    country: Bytes2
    region: Bytes32
    model: Bytes32
    duration_hours: Uint16
    created_at: Uint40
    expires_at: Uint40
    slot: Uint64
    policy_id: Bytes32
    offer_hash: Bytes32
    opener: Address
    job_spec_hash: Bytes32


@dataclass(frozen=True, slots=True)
class Terms(Message):
    """Signed by nobody: its digest is the deal's id."""

    buyer: Address
    voucher_signer: Address
    provider: Address
    agent: Address
    price_per_gpu_hour: Uint96
    gpu_count: Uint32
    duration: Uint32
    commitment: Uint32
    slot: Uint64
    policy_id: Bytes32
    order_hash: Bytes32


@dataclass(frozen=True, slots=True)
class Policy(Message):
    """Signed by nobody: its struct hash, the same on every chain, is the policy's id."""

    arbiter: Address
    bond_bps: Uint16
    challenge: Uint32
    grace: Uint32
    notice_minutes: Uint8
    threshold: Uint8
    arbitration: Uint32
    arbiter_share_bps: Uint16
    attestors_hash: Bytes32


@dataclass(frozen=True, slots=True)
class Voucher(Message):
    """By the voucher signer: the deal's first `gpu_seconds` (cumulative) may be paid."""

    deal_id: Bytes32
    gpu_seconds: Uint40


@dataclass(frozen=True, slots=True)
class Receipt(Message):
    """By agent and attestors: `gpu_seconds` were available. Final by type; zero result = not completed."""

    deal_id: Bytes32
    gpu_seconds: Uint40
    result_digest: Bytes32
    usage_root: Bytes32


@dataclass(frozen=True, slots=True)
class UnattestedClaim(Message):
    """By the provider's own key, never the agent's."""

    deal_id: Bytes32
    gpu_seconds: Uint40
    deadline: Uint40


@dataclass(frozen=True, slots=True)
class Split(Message):
    """By buyer and provider: close the deal at `gpu_seconds`."""

    deal_id: Bytes32
    gpu_seconds: Uint40
    deadline: Uint40


@dataclass(frozen=True, slots=True)
class Concede(Message):
    deal_id: Bytes32
    gpu_seconds: Uint40
    deadline: Uint40


@dataclass(frozen=True, slots=True)
class Dispute(Message):
    """By the buyer: only `counter` GPU-seconds are right."""

    deal_id: Bytes32
    counter: Uint40
    evidence: Bytes32
    deadline: Uint40


@dataclass(frozen=True, slots=True)
class Stop(Message):
    deal_id: Bytes32
    deadline: Uint40


@dataclass(frozen=True, slots=True)
class CancelDeal(Message):
    deal_id: Bytes32
    deadline: Uint40


@dataclass(frozen=True, slots=True)
class CancelOrders(Message):
    """By the maker of a group's offers or orders."""

    account: Address
    side: Uint8
    group: Uint64
    cutoff_at: Uint40  # the group's before this cancel, which makes the request a one-shot
    deadline: Uint40


@dataclass(frozen=True, slots=True)
class RequestWithdraw(Message):
    account: Address
    amount: Uint96
    nonce: Uint24
    deadline: Uint40


@dataclass(frozen=True, slots=True)
class Withdraw(Message):
    account: Address
    to: Address
    nonce: Uint24
    deadline: Uint40


@dataclass(frozen=True, slots=True)
class Ruling(Message):
    """By the arbiter, for the escrow; or by a member of a panel, for the panel's contract."""

    escrow: Address
    deal_id: Bytes32
    gpu_seconds: Uint40
    deadline: Uint40


@dataclass(frozen=True, slots=True)
class Permit(Message):
    """ERC-2612, for the token's domain."""

    owner: Address
    spender: Address
    value: Uint256
    nonce: Uint256
    deadline: Uint256
