"""What is posted to have a signed message brought to the chain, and what is answered."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from molt_market.domain.agreements import (
    Concession,
    ProviderCancellation,
    Ruling,
    SplitAgreement,
    StopRequest,
    UnattestedClaim,
)
from molt_market.domain.disputes import Dispute
from molt_market.domain.fields import Moment, Uint8, Value
from molt_market.domain.ids import Address, Hash32, TransactionId
from molt_market.domain.proofs import Confirmation
from molt_market.domain.relays import RelayRequest
from molt_market.domain.requests import OrdersCancellation, Withdrawal, WithdrawalRequest
from molt_market.errors import InvalidValue
from molt_market.payments.gas import GasBudget
from molt_market.payments.relayer import Relayed
from molt_market.signing.statements import SignedPermit

MAX_UINT256 = 2**256 - 1


def _from_text(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not (value.isascii() and value.isdigit() and len(value) <= len(str(MAX_UINT256))):
        raise InvalidValue(f"{value[:100]!r} is no whole number: write its digits")
    return int(value)


Digits = Annotated[
    int,
    BeforeValidator(_from_text),
    Field(ge=0, le=MAX_UINT256),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,78}$"}),
]
"""A whole number that JSON's readers would round: its digits as text."""


class Permit(Value):
    """A token's permit, as `SignedPermit`."""

    owner: Address
    value: Digits
    deadline: Digits
    v: Uint8
    r: Hash32
    s: Hash32

    @classmethod
    def of(cls, permit: SignedPermit) -> Self:
        return cls(**{name: getattr(permit, name) for name in cls.model_fields})

    @property
    def signed(self) -> SignedPermit:
        return SignedPermit(self.owner, self.value, self.deadline, self.v, self.r, self.s)


class Relay(Value):
    """One signed message: the field that is set says which.

    A voucher and a split come with `asked`, by which a party says that its gas budget is charged.
    """

    orders_cancellation: OrdersCancellation | None = None
    withdrawal_request: WithdrawalRequest | None = None
    withdrawal: Withdrawal | None = None
    permit: Permit | None = None
    stop: StopRequest | None = None
    provider_cancellation: ProviderCancellation | None = None
    unattested_claim: UnattestedClaim | None = None
    dispute: Dispute | None = None
    concession: Concession | None = None
    ruling: Ruling | None = None
    voucher: Confirmation | None = None
    split: SplitAgreement | None = None
    asked: RelayRequest | None = None

    @classmethod
    def of(cls, message: Relayed, asked: RelayRequest | None = None) -> Self:
        """Wrap a message up. Raises InvalidValue if it is nothing that is relayed."""
        name = FIELDS.get(type(message))
        if name is None:
            raise InvalidValue(f"{type(message).__name__} is nothing that is relayed")
        inner: Any = Permit.of(message) if isinstance(message, SignedPermit) else message
        return cls(**{name: inner, "asked": asked})

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if len(self._set()) != 1:
            raise InvalidValue("one message at a time: set one field, and `asked` for a voucher or a split")
        if (self.asked is not None) != (self.voucher is not None or self.split is not None):
            raise InvalidValue("`asked` goes with a voucher or a split, and with nothing else")
        return self

    @property
    def message(self) -> Relayed:
        """What is brought."""
        [found] = self._set()
        return found

    def _set(self) -> list[Relayed]:
        given = (getattr(self, name) for name in FIELDS.values())
        return [each.signed if isinstance(each, Permit) else each for each in given if each is not None]


FIELDS: dict[type, str] = {
    OrdersCancellation: "orders_cancellation",
    WithdrawalRequest: "withdrawal_request",
    Withdrawal: "withdrawal",
    SignedPermit: "permit",
    StopRequest: "stop",
    ProviderCancellation: "provider_cancellation",
    UnattestedClaim: "unattested_claim",
    Dispute: "dispute",
    Concession: "concession",
    Ruling: "ruling",
    Confirmation: "voucher",
    SplitAgreement: "split",
}


class Brought(Value):
    """The transaction that did it, now or before."""

    transaction_id: TransactionId


class BudgetAnswer(Value):
    """What is paid for an account's gas, in wei; `used` is paid or reserved until `renews_at`."""

    account: Address
    allowance: Digits
    used: Digits
    renews_at: Moment

    @classmethod
    def of(cls, budget: GasBudget) -> Self:
        return cls(**{name: getattr(budget, name) for name in cls.model_fields})

    @property
    def budget(self) -> GasBudget:
        return GasBudget(self.account, self.allowance, self.used, self.renews_at)
