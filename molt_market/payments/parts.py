"""Several deals under one budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from molt_market.domain.amounts import Amount
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.matches import OrderMatch
from molt_market.errors import InvalidValue, MoltError, PriceExceedsBudget


@dataclass(frozen=True, slots=True)
class FailedPart:
    """A match that was not opened, and why; `TransactionPending` and the like say that it still may be."""

    match: OrderMatch
    error: MoltError


@dataclass(frozen=True, slots=True)
class OpenedParts:
    """The deals that are open now, and the matches that are not."""

    escrows: tuple[EscrowAccount, ...]
    failures: tuple[FailedPart, ...]


def within_budget(matches: Sequence[OrderMatch], max_budget: Amount) -> list[OrderMatch]:
    """Return the matches with orders that allow no more than they cost.

    Raises:
        PriceExceedsBudget: together they cost more than `max_budget`. InvalidValue: an order is matched
            twice.
    """
    orders = [match.order_id for match in matches]
    if len(set(orders)) != len(orders):
        raise InvalidValue("an order is matched twice: each part is an order of its own (JobOrder.in_parts)")
    cost = sum((match.total_cost for match in matches), start=Amount.zero(max_budget.token))
    if cost > max_budget:
        raise PriceExceedsBudget(cost, max_budget)
    return [_for_its_cost(match) for match in matches]


def _for_its_cost(match: OrderMatch) -> OrderMatch:
    """Let the order allow no more than the match costs."""
    return replace(match, order=match.order.model_copy(update={"max_budget": match.total_cost}))
