"""A buyer's order, and the states it goes through."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from molt_market.domain.amounts import Amount, Price
from molt_market.domain.fields import (
    MAX_UINT40,
    MAX_UINT96,
    SECONDS_PER_HOUR,
    GpuCount,
    Hours,
    Moment,
    Uint64,
    Value,
    just_now,
    lasting,
    require_expiry_after_creation,
    whole,
)
from molt_market.domain.gpus import Features, Location, ModelNames
from molt_market.domain.ids import ZERO_ADDRESS, ZERO_HASH, Address, Hash32, OrderId, PartyId, Signature
from molt_market.errors import InvalidStateTransition, InvalidValue, TokenMismatch, counted

LIFETIME = timedelta(hours=1)
MAX_ID_OF_PARTS = 128 - len(".4294967295")


class Priority(StrEnum):
    """How urgent an order is to its buyer."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class TimeInForce(StrEnum):
    """How long an order waits for GPUs that are not free now."""

    GTC = "good_till_cancelled"  # until it expires or is cancelled
    IOC = "immediate_or_cancel"  # not at all: what is not filled at once is cancelled
    FOK = "fill_or_kill"  # not at all: it is filled whole at once, or not


class OrderStatus(StrEnum):
    """Where an order stands; TRANSITIONS says what may follow."""

    PENDING = "pending"
    MATCHED = "matched"
    ESCROWED = "escrowed"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    DISPUTED = "disputed"
    RESOLVED = "resolved"
    SETTLED = "settled"
    REFUNDED = "refunded"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TRANSITIONS: Mapping[OrderStatus, frozenset[OrderStatus]] = MappingProxyType(
    {
        OrderStatus.PENDING: frozenset({OrderStatus.MATCHED, OrderStatus.CANCELLED, OrderStatus.EXPIRED}),
        OrderStatus.MATCHED: frozenset(
            {OrderStatus.ESCROWED, OrderStatus.PENDING}
        ),  # back: the reservation lapsed
        OrderStatus.ESCROWED: frozenset({OrderStatus.RUNNING, OrderStatus.FAILED, OrderStatus.DISPUTED}),
        OrderStatus.RUNNING: frozenset({OrderStatus.COMPLETED, OrderStatus.FAILED, OrderStatus.DISPUTED}),
        OrderStatus.COMPLETED: frozenset({OrderStatus.SETTLED, OrderStatus.DISPUTED}),
        OrderStatus.FAILED: frozenset({OrderStatus.REFUNDED}),
        OrderStatus.DISPUTED: frozenset({OrderStatus.RESOLVED}),
        OrderStatus.RESOLVED: frozenset({OrderStatus.SETTLED, OrderStatus.REFUNDED}),
        OrderStatus.SETTLED: frozenset(),
        OrderStatus.REFUNDED: frozenset(),
        OrderStatus.CANCELLED: frozenset(),
        OrderStatus.EXPIRED: frozenset(),
    }
)


def part_id(order_id: OrderId, number: int) -> str:
    """Return what a part of an order is called."""
    return f"{order_id}.{number}"


def transition(from_: OrderStatus, to: OrderStatus) -> OrderStatus:
    """Return `to` if it may follow `from_`. Raises InvalidStateTransition otherwise."""
    if to not in TRANSITIONS[from_]:
        raise InvalidStateTransition(from_.name, to.name)
    return to


class JobRequirements(Value):
    """What a job needs.

    `min_gpu_count` GPUs are allocated, exactly, for `estimated_hours`, exactly. VRAM is GB of each GPU.
    Preferred models move the score; required ones (none: any) are a condition.
    """

    min_gpu_count: GpuCount
    min_vram_gb: Annotated[int, whole(0, 2**16 - 1)]
    preferred_models: ModelNames = ()
    max_price_per_hour: Price
    estimated_hours: Hours
    required_features: Features = ()
    location: Location | None = None
    required_models: ModelNames = ()

    @model_validator(mode="after")
    def _check_allocation(self) -> Self:
        if self.gpu_seconds > MAX_UINT40:
            raise InvalidValue(
                f"{self.min_gpu_count} GPUs for {self.estimated_hours} hours are more than 2^40 GPU-seconds:"
                " split the order"
            )
        return self

    @property
    def gpu_seconds(self) -> int:
        """The whole allocation."""
        return self.min_gpu_count * self.estimated_hours * SECONDS_PER_HOUR

    def cost_at(self, price_per_hour: Amount) -> Amount:
        """Return what the whole allocation costs at a price per GPU-hour."""
        return price_per_hour * (self.min_gpu_count * self.estimated_hours)


class JobOrder(Value):
    """A buyer's request for GPUs: one deal, unless it may be filled in parts.

    A fill is whole unless `min_quantity`, the fewest GPUs that one may bring, says less; with `split` it may
    come from several providers. Each part is an order of its own, signed at its match. `time_in_force` says
    what becomes of the rest (`OrderBook.execute`).

    Without `max_budget` the budget is what the limit price comes to. `voucher_signer` (the buyer if left out)
    signs the releases; `slot` is a number that the buyer uses for one deal, ever (assigned at the opening if
    left out); `opener` (anyone if left out) may open the deal.

    >>> order = JobOrder(buyer_id="buyer-123", requirements=JobRequirements(
    ...     min_gpu_count=4, min_vram_gb=40, max_price_per_hour=Amount.from_molt(15), estimated_hours=8))
    >>> str(order.budget)
    '480 MOLT'
    """

    id: OrderId = Field(default_factory=OrderId.new)
    buyer_id: PartyId
    requirements: JobRequirements
    max_budget: Price | None = None
    created_at: Moment = Field(default_factory=just_now)
    expires_at: Moment = Field(default_factory=lasting(LIFETIME))
    status: OrderStatus = OrderStatus.PENDING
    priority: Priority = Priority.NORMAL
    time_in_force: TimeInForce = TimeInForce.GTC
    min_quantity: GpuCount | None = None
    split: bool = False

    voucher_signer: Address | None = None
    slot: Uint64 | None = None
    policy_id: Hash32 | None = None
    offer_hash: Hash32 | None = None
    opener: Address | None = None
    job_spec_hash: Hash32 = ZERO_HASH
    signature: Signature | None = None

    @field_validator("voucher_signer")
    @classmethod
    def _check_voucher_signer(cls, signer: Address | None) -> Address | None:
        if signer == ZERO_ADDRESS:
            raise InvalidValue(
                "the voucher signer cannot be the zero address: leave it out to name the buyer"
            )
        return signer

    @model_validator(mode="after")
    def _check_budget(self) -> Self:
        limit = self.requirements.max_price_per_hour
        if self.max_budget is None:
            if self.budget.base_units > MAX_UINT96:
                raise InvalidValue(
                    f"the limit price comes to {self.budget}, 2^96 base units or more: set max_budget"
                )
            return self
        if self.max_budget.token != limit.token:
            raise TokenMismatch(self.max_budget.token, limit.token)
        return self

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        require_expiry_after_creation(self.created_at, self.expires_at)
        return self

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        whole = self.requirements.min_gpu_count
        if self.least_gpus > whole:
            raise InvalidValue(
                f"min_quantity {self.least_gpus} is above the {counted(whole, 'GPU')} asked for: lower it"
            )
        if self.least_gpus < whole and self.time_in_force is TimeInForce.FOK:
            raise InvalidValue("a fill-or-kill order is filled whole: leave min_quantity out")
        if self.comes_in_parts and len(self.id) > MAX_ID_OF_PARTS:
            raise InvalidValue(
                f"order {self.id}: its parts get a number behind its id, so leave room for that:"
                f" at most {MAX_ID_OF_PARTS} characters"
            )
        if self.comes_in_parts and self.is_bound:
            raise InvalidValue(
                f"order {self.id} is signed, or has a slot or an offer, which go for one deal:"
                " unset them, or min_quantity and split"
            )
        return self

    @property
    def least_gpus(self) -> int:
        """The fewest GPUs that a fill may bring."""
        return self.requirements.min_gpu_count if self.min_quantity is None else self.min_quantity

    @property
    def comes_in_parts(self) -> bool:
        """Whether a fill may be less than the whole, or of several providers."""
        return self.split or self.least_gpus < self.requirements.min_gpu_count

    @property
    def is_bound(self) -> bool:
        """Whether it is good for one deal only: it is signed, or has a slot or an offer."""
        return self.slot is not None or self.offer_hash is not None or self.signature is not None

    @property
    def budget(self) -> Amount:
        """The most that the deal may cost."""
        if self.max_budget is not None:
            return self.max_budget
        return self.requirements.cost_at(self.requirements.max_price_per_hour)

    def in_parts(self, *gpu_counts: int) -> tuple[Self, ...]:
        """Split the order over several providers: for each GPU count an order of its own, opened by itself.

        The budget is shared by GPUs, rounded down. The parts are not signed, and the same each time.

        Raises:
            InvalidValue: the counts do not add up, or the order is signed, or bound to a slot or an offer.

        >>> requirements = JobRequirements(
        ...     min_gpu_count=12, min_vram_gb=40, max_price_per_hour=Amount.from_molt(15), estimated_hours=8)
        >>> order = JobOrder(id="big", buyer_id="buyer-123", requirements=requirements)
        >>> [(part.id, str(part.budget)) for part in order.in_parts(8, 4)]
        [('big.1', '960 MOLT'), ('big.2', '480 MOLT')]
        """
        whole = self.requirements.min_gpu_count
        if sum(gpu_counts) != whole:
            raise InvalidValue(
                f"parts of {counted(sum(gpu_counts), 'GPU')}, the order is for {whole}: make them add up"
            )
        if self.is_bound:
            raise InvalidValue(
                f"order {self.id} is signed, or has a slot or an offer, which go for one deal: unset them"
            )
        budget, token = self.budget.base_units, self.budget.token
        shares = [Amount(budget * count // whole, token) for count in gpu_counts]
        parts = enumerate(zip(gpu_counts, shares, strict=True), start=1)
        return tuple(self.part(number, count, share) for number, (count, share) in parts)

    def part(self, number: int, gpu_count: int, max_budget: Amount) -> Self:
        """Return an order for some of the GPUs, for one provider; its id ends in the part's number."""
        needs = {**dict(self.requirements), "min_gpu_count": gpu_count}
        fields = {
            **dict(self),
            "id": OrderId(part_id(self.id, number)),
            "requirements": JobRequirements(**needs),
            "max_budget": max_budget,
            "min_quantity": None,
            "split": False,
        }
        return type(self)(**fields)

    def with_status(self, status: OrderStatus) -> Self:
        """Return the order in its next status. Raises InvalidStateTransition."""
        return self.model_copy(update={"status": transition(self.status, status)})
