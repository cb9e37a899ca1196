"""What the contract answers when it refuses, and the one way in which tests expect it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, auto

import pytest
from eth_abi.abi import decode
from eth_utils import keccak


class Code(IntEnum):
    """`enum Code` of IMoltEscrow.sol."""

    NONE = 0
    WRONG_STATUS = auto()
    TOO_EARLY = auto()
    TOO_LATE = auto()
    BAD_SIGNATURE = auto()
    MALFORMED_CALL = auto()
    NESTED_MULTICALL = auto()
    TOO_MANY_CALLS = auto()
    BATCH_GAS = auto()
    DEPLOYMENT_OUT_OF_RANGE = auto()
    ZERO_AMOUNT = auto()
    TOKEN_REFUSED = auto()
    INEXACT_TRANSFER = auto()
    TOKEN_CAP = auto()
    PERMIT_REFUSED = auto()
    INSUFFICIENT_BALANCE = auto()
    BAD_RECEIVER = auto()
    NOT_HOLDER = auto()
    PAUSE_RESTING = auto()
    FEE_OUT_OF_RANGE = auto()
    CANCEL_PENDING = auto()
    POLICY_ARBITER = auto()
    POLICY_BOND = auto()
    POLICY_CHALLENGE = auto()
    POLICY_GRACE = auto()
    POLICY_NOTICE = auto()
    POLICY_ARBITRATION = auto()
    POLICY_ARBITER_SHARE = auto()
    POLICY_THRESHOLD = auto()
    POLICY_ATTESTOR_COUNT = auto()
    POLICY_ATTESTOR_ORDER = auto()
    POLICY_ATTESTORS = auto()
    POLICY_UNKNOWN = auto()
    SELF_TRADE = auto()
    OFFER_MISMATCH = auto()
    POLICY_MISMATCH = auto()
    PRICE_ZERO = auto()
    PRICE_ABOVE_LIMIT = auto()
    BUDGET_EXCEEDED = auto()
    GPU_COUNT_ZERO = auto()
    VRAM_BELOW_MINIMUM = auto()
    FEATURES_MISSING = auto()
    COUNTRY_MISMATCH = auto()
    REGION_MISMATCH = auto()
    MODEL_MISMATCH = auto()
    DURATION_OUT_OF_RANGE = auto()
    DURATION_BELOW_COMMITMENT = auto()
    DURATION_ABOVE_AVAILABLE = auto()
    ALLOCATION_TOO_LARGE = auto()
    AGENT_ZERO = auto()
    VOUCHER_SIGNER_FORBIDDEN = auto()
    PAUSED = auto()
    NOT_OPENER = auto()
    OFFER_NOT_YET_VALID = auto()
    OFFER_EXPIRED = auto()
    OFFER_CANCELLED = auto()
    ORDER_NOT_YET_VALID = auto()
    ORDER_EXPIRED = auto()
    ORDER_CANCELLED = auto()
    ORDER_ALREADY_OPENED = auto()
    CAPACITY_EXCEEDED = auto()
    ARBITER_IS_PARTY = auto()
    FEE_ABOVE_LIMIT = auto()
    BUYER_BALANCE = auto()
    PROVIDER_BALANCE = auto()
    NOT_ABOVE_PAID = auto()
    ABOVE_ELAPSED = auto()
    NOT_COMPLETED = auto()
    UNATTESTED_POLICY = auto()
    ATTESTOR_SET = auto()
    QUORUM = auto()
    ATTESTOR_ORDER = auto()
    ATTESTOR_UNKNOWN = auto()
    ATTESTOR_IS_PARTY = auto()
    ALREADY_STOPPED = auto()
    STOP_TOO_LATE = auto()
    COUNTER_OUT_OF_RANGE = auto()
    RULING_OUT_OF_RANGE = auto()
    SPLIT_OUT_OF_RANGE = auto()


SELECTOR = keccak(text="Refused(uint8,uint256,uint256)")[:4]
REENTRANT = keccak(text="ReentrancyGuardReentrantCall()")[:4]


class Reverted(Exception):
    """A transaction was mined with status 0; `data` is what its call returned."""

    def __init__(self, data: bytes) -> None:
        super().__init__(f"reverted with {data.hex() or 'no data'}")
        self.data = data


class Refused(Reverted):
    """The data is the contract's one error."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.answer = refusal_in(data)
        self.args = (f"refused: {self.answer}",)


def refusal_in(data: bytes) -> tuple[Code, int, int]:
    code, actual, limit = decode(["uint8", "uint256", "uint256"], data[4:])
    return Code(code), actual, limit


def reverted(data: bytes) -> Reverted:
    return Refused(data) if data[:4] == SELECTOR else Reverted(data)


@contextmanager
def refused(code: Code, *, actual: int | str, limit: int | str) -> Iterator[None]:
    """Expect a mined transaction that was refused for this reason with these values (hex text: a word)."""
    with pytest.raises(Refused) as caught:
        yield
    expected = (code, word(actual), word(limit))
    assert caught.value.answer == expected, f"{caught.value}; expected {expected}"


def word(value: int | str) -> int:
    return int(value, 16) if isinstance(value, str) else value
