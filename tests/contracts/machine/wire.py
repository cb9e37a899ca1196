"""What is signed, called and logged, written out from ESCROW 3 and the interface: no product code, no ABI."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from eth_abi.abi import encode
from eth_keys import keys
from eth_keys.exceptions import BadSignature, ValidationError
from eth_utils import keccak

ZERO = "0x" + "00" * 20
ZERO_WORD = bytes(32)
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


class Offer(NamedTuple):
    provider: str
    agent: str
    price: int
    gpus: int
    vram: int
    features: int
    country: bytes
    region: bytes
    model: bytes
    available_hours: int
    commitment_hours: int
    created_at: int
    expires_at: int
    max_fee_bps: int
    slot: int
    policy_id: bytes
    metadata: bytes


class Order(NamedTuple):
    buyer: str
    voucher_signer: str
    max_price: int
    max_budget: int
    gpus: int
    min_vram: int
    features: int
    country: bytes
    region: bytes
    model: bytes
    hours: int
    created_at: int
    expires_at: int
    slot: int
    policy_id: bytes
    offer_hash: bytes
    opener: str
    job: bytes


class Match(NamedTuple):
    offer: Offer
    order: Order
    offer_sig: bytes
    order_sig: bytes


class Terms(NamedTuple):
    buyer: str
    voucher_signer: str
    provider: str
    agent: str
    price: int
    gpus: int
    duration: int
    commitment: int
    slot: int
    policy_id: bytes
    order_hash: bytes


class Policy(NamedTuple):
    arbiter: str
    bond_bps: int
    challenge: int
    grace: int
    notice_minutes: int
    threshold: int
    arbitration: int
    arbiter_share_bps: int
    attestors_hash: bytes


# ---------------------------------------------------------------- EIP-712

TYPES = {
    "Offer": (
        "address provider,address agent,uint96 pricePerGpuHour,uint32 gpuCount,uint16 vramGb,uint32 features,"
        "bytes2 country,bytes32 region,bytes32 model,uint16 availableHours,uint16 minCommitmentHours,"
        "uint40 createdAt,uint40 expiresAt,uint16 maxFeeBps,uint64 slot,bytes32 policyId,bytes32 metadataHash"
    ),
    "Order": (
        "address buyer,address voucherSigner,uint96 maxPricePerGpuHour,uint96 maxBudget,uint32 gpuCount,"
        "uint16 minVramGb,uint32 features,bytes2 country,bytes32 region,bytes32 model,uint16 durationHours,"
        "uint40 createdAt,uint40 expiresAt,uint64 slot,bytes32 policyId,bytes32 offerHash,address opener,"
        "bytes32 jobSpecHash"
    ),
    "Terms": (
        "address buyer,address voucherSigner,address provider,address agent,uint96 pricePerGpuHour,"
        "uint32 gpuCount,uint32 duration,uint32 commitment,uint64 slot,bytes32 policyId,bytes32 orderHash"
    ),
    "Policy": (
        "address arbiter,uint16 bondBps,uint32 challenge,uint32 grace,uint8 noticeMinutes,uint8 threshold,"
        "uint32 arbitration,uint16 arbiterShareBps,bytes32 attestorsHash"
    ),
    "Voucher": "bytes32 dealId,uint40 gpuSeconds",
    "Receipt": "bytes32 dealId,uint40 gpuSeconds,bytes32 resultDigest,bytes32 usageRoot",
    "UnattestedClaim": "bytes32 dealId,uint40 gpuSeconds,uint40 deadline",
    "Split": "bytes32 dealId,uint40 gpuSeconds,uint40 deadline",
    "Concede": "bytes32 dealId,uint40 gpuSeconds,uint40 deadline",
    "Dispute": "bytes32 dealId,uint40 counter,bytes32 evidence,uint40 deadline",
    "Stop": "bytes32 dealId,uint40 deadline",
    "CancelDeal": "bytes32 dealId,uint40 deadline",
    "CancelOrders": "address account,uint8 side,uint64 group,uint40 cutoffAt,uint40 deadline",
    "RequestWithdraw": "address account,uint96 amount,uint24 nonce,uint40 deadline",
    "Withdraw": "address account,address to,uint24 nonce,uint40 deadline",
    "Ruling": "address escrow,bytes32 dealId,uint40 gpuSeconds,uint40 deadline",
    "Permit": "address owner,address spender,uint256 value,uint256 nonce,uint256 deadline",
    "EIP712Domain": "string name,string version,uint256 chainId,address verifyingContract",
}


@cache
def type_hash(name: str) -> bytes:
    return keccak(text=f"{name}({TYPES[name]})")


def abi_types(name: str) -> list[str]:
    return [field.split()[0] for field in TYPES[name].split(",")]


def abi_tuple(name: str) -> str:
    return f"({','.join(abi_types(name))})"


def struct_hash(name: str, values: tuple[Any, ...]) -> bytes:
    """Hash a struct: all members but the domain's are static, so the ABI's words are EIP-712's."""
    return keccak(type_hash(name) + encode(abi_types(name), values))


class Domain:
    """Where signatures count."""

    def __init__(self, name: str, chain_id: int, contract: str) -> None:
        words = (keccak(text=name), keccak(text="1"), chain_id, contract)
        encoded = encode(["bytes32", "bytes32", "uint256", "address"], words)
        self._separator = keccak(type_hash("EIP712Domain") + encoded)

    def digest(self, name: str, *values: Any) -> bytes:
        return keccak(b"\x19\x01" + self._separator + struct_hash(name, values))


def attestors_hash(attestors: tuple[str, ...]) -> bytes:
    return keccak(encode(["address[]"], [attestors]))


# ---------------------------------------------------------------- signatures


@cache
def recover(digest: bytes, sig: bytes) -> str:
    """Return the signer of 65 bytes, or of 64 (EIP-2098); 0 for anything that must not count."""
    r, s, v = int.from_bytes(sig[:32]), int.from_bytes(sig[32:64]), sig[64:]
    if len(sig) == 64:
        s, v = s & ~(1 << 255), bytes([27 + (s >> 255)])
    if len(v) != 1 or v[0] not in {27, 28} or s > HALF_ORDER:
        return ZERO
    try:
        signature = keys.Signature(vrs=(v[0] - 27, r, s))
        return str(signature.recover_public_key_from_msg_hash(digest).to_address())
    except (BadSignature, ValidationError, ValueError):
        return ZERO


def compact(sig: bytes) -> bytes:
    """Return the 64 bytes of EIP-2098: v in the highest bit of s."""
    s = int.from_bytes(sig[32:64]) | (sig[64] - 27) << 255
    return sig[:32] + s.to_bytes(32)


# ---------------------------------------------------------------- calls

TERMS = abi_tuple("Terms")
MATCH = f"({abi_tuple('Offer')},{abi_tuple('Order')},bytes,bytes)"

VERBS = {
    "deposit": ["address", "uint256"],
    "depositWithPermit": ["address", "uint256", "uint256", "uint8", "bytes32", "bytes32"],
    "requestWithdraw": ["address", "uint96", "uint40", "bytes"],
    "withdraw": ["address", "address", "uint40", "bytes"],
    "pause": [],
    "unpause": [],
    "scheduleFee": ["uint16"],
    "offerRole": ["uint8", "address"],
    "acceptRole": ["uint8"],
    "approve": ["bytes32"],
    "revoke": ["bytes32"],
    "cancel": ["address", "uint8", "uint64", "uint40", "bytes"],
    "registerPolicy": [abi_tuple("Policy"), "address[]"],
    "open": [MATCH],
    "release": [TERMS, "uint40", "bytes"],
    "claim": [TERMS, "uint40", "bytes32", "bytes32", "bytes", "address[]", "bytes"],
    "claimUnattested": [TERMS, "uint40", "uint40", "bytes"],
    "dispute": [TERMS, "uint40", "bytes32", "uint40", "bytes"],
    "resolve": [TERMS, "uint40", "uint40", "bytes"],
    "concede": [TERMS, "uint40", "uint40", "bytes"],
    "stop": [TERMS, "uint40", "bytes"],
    "cancelDeal": [TERMS, "uint40", "bytes"],
    "settle": [TERMS, "uint40", "uint40", "bytes", "bytes"],
    "finalize": [TERMS],
    "multicall": ["bytes[]", "bool"],
    "token.approve": ["address", "uint256"],
    "token.transfer": ["address", "uint256"],
    "token.mint": ["address", "uint256"],
}
VIEWS = {
    "check": [MATCH, "address"],
    "accountOf": ["address"],
    "dealOf": ["bytes32"],
    "dealIdOf": [TERMS],
    "policyOf": ["bytes32"],
    "groupOf": ["address", "uint8", "uint64"],
    "gpusInUse": ["address", "uint64"],
    "approvedUntil": ["address", "bytes32"],
    "config": [],
    "feeBps": [],
    "roleOf": ["uint8"],
    "token.balanceOf": ["address"],
    "token.allowance": ["address", "address"],
    "token.nonces": ["address"],
}


class Call(NamedTuple):
    """A call of the escrow, or of its token; an unknown verb stands for bytes that are no call at all."""

    verb: str
    args: tuple[Any, ...] = ()

    @property
    def of_token(self) -> bool:
        return self.verb.startswith("token.")

    def data(self) -> bytes:
        types = VERBS.get(self.verb, VIEWS.get(self.verb))
        if types is None:
            return self.verb.encode()
        args = self.args
        if self.verb == "multicall":
            args = ([item.data() for item in args[0]], args[1])
        return selector(self.verb, tuple(types)) + encode(types, args)


@cache
def selector(verb: str, types: tuple[str, ...]) -> bytes:
    return keccak(text=f"{verb.removeprefix('token.')}({','.join(types)})")[:4]


# ---------------------------------------------------------------- events: how many of the values are indexed

EVENTS: dict[str, tuple[int, list[str]]] = {
    "ItemRefused": (1, ["uint256", "uint8", "uint256", "uint256"]),
    "Deposited": (2, ["address", "address", "uint256"]),
    "WithdrawRequested": (1, ["address", "uint256", "uint256"]),
    "Withdrawn": (2, ["address", "address", "uint256"]),
    "OrdersCancelled": (1, ["address", "uint8", "uint64", "uint256"]),
    "DigestApproved": (2, ["address", "bytes32"]),
    "DigestRevoked": (2, ["address", "bytes32", "uint256"]),
    "RoleOffered": (1, ["uint8", "address", "address"]),
    "RoleAccepted": (1, ["uint8", "address"]),
    "OpeningsPaused": (0, ["uint256"]),
    "FeeAnnounced": (0, ["uint256", "uint256"]),
    "PolicyRegistered": (1, ["bytes32", abi_tuple("Policy"), "address[]"]),
    "DealOpened": (
        3,
        ["bytes32", "address", "address", *abi_types("Terms")[1:2], *abi_types("Terms")[3:], "uint256"],
    ),
    "DealPaid": (1, ["bytes32", "uint256", "uint256", "uint256"]),
    "DealClaimed": (1, ["bytes32", "uint256", "bytes32", "bytes32", "uint256"]),
    "DealStopped": (1, ["bytes32", "uint256", "uint256", "bool"]),
    "DealDisputed": (1, ["bytes32", "uint256", "uint256", "bytes32", *["uint256"] * 5]),
    "DealRuled": (2, ["bytes32", "address", "uint256", "uint256"]),
    "DealClosed": (1, ["bytes32", "uint8", "uint256", "uint256", "uint256", "uint256"]),
}


class Event(NamedTuple):
    name: str
    values: tuple[Any, ...]

    def log(self) -> tuple[list[str], str]:
        """Return topics and data as a node shows them."""
        indexed, types = EVENTS[self.name]
        topics = [keccak(text=f"{self.name}({','.join(types)})")]
        topics += [
            encode([type_], [value]) for type_, value in zip(types[:indexed], self.values, strict=False)
        ]
        data = encode(types[indexed:], self.values[indexed:])
        return ["0x" + topic.hex() for topic in topics], "0x" + data.hex()
