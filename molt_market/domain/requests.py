"""What an account asks for its balance and its groups of slots, signed so that anyone may bring it.

Each works once, and counts while the chain's time is before `until`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from molt_market.domain.amounts import Amount
from molt_market.domain.fields import Moment, Uint40, Uint64, Value, whole
from molt_market.domain.ids import Address, Signature

Nonce = Annotated[int, whole(0, 2**24 - 1)]


class Side(IntEnum):
    """Whose groups are cancelled, by the contract's number."""

    OFFERS = 0
    ORDERS = 1


class SignedRequest(Value):
    """An account's request."""

    account: Address
    until: Moment
    signature: Signature


class OrdersCancellation(SignedRequest):
    """The account takes back its offers (or orders) of a group of slots, those signed so far.

    `cutoff_at` is the Unix second at which the cancel before this one took effect (0: there was none); once
    this one is brought it is another, so that the request works once.
    """

    side: Side
    group: Uint64
    cutoff_at: Uint40


class WithdrawalRequest(SignedRequest):
    """The account marks an amount of its balance for withdrawal after the delay; 0 takes the mark back.

    `nonce` counts the account's requests and withdrawals before this one.
    """

    amount: Amount
    nonce: Nonce


class Withdrawal(SignedRequest):
    """The account has the marked amount paid to `to`; `nonce` as in a WithdrawalRequest."""

    to: Address
    nonce: Nonce
