"""What an event of the log moves in the accounts: a pure function of the event and of the deal around it.

The contract moves a payment less the fee, and what is left of a bond. Here each of these is told by its
parts: a payment whole and its fee, a bond that comes back and what of it is lost. They add up to what the
contract moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from molt_market.domain import events
from molt_market.domain.deals import DealStatus
from molt_market.domain.ids import Address, EscrowId
from molt_market.domain.settlement import due, price
from molt_market.indexer.records import DealRecord


class MovementKind(StrEnum):
    """Why an account's balance changes. What goes out of it is negative."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    PRICE_LOCKED = "price_locked"  # the buyer's, into a deal
    REFUND = "refund"  # what of that came back to him
    PAYMENT = "payment"  # for delivered GPU-seconds, to the provider
    FEE = "fee"  # the platform's part of a payment
    FEE_RECEIVED = "fee_received"  # the same, to the fee's recipient
    BOND_LOCKED = "bond_locked"  # the provider's, into a deal
    BOND_RETURNED = "bond_returned"  # what is not at stake any more
    BOND_LOST = "bond_lost"  # the part of that which went to others
    BOND_RECEIVED = "bond_received"  # out of the provider's bond, to the buyer
    STAKE_LOCKED = "stake_locked"  # the buyer's, into a dispute
    STAKE_RETURNED = "stake_returned"
    STAKE_LOST = "stake_lost"  # the part of that which went to others
    STAKE_WON = "stake_won"  # out of the buyer's stake, to the provider
    ARBITER_SHARE = "arbiter_share"  # of the stakes


@dataclass(frozen=True, slots=True)
class Movement:
    """Base units that an account's balance gains, or loses where they are negative.

    `counterparty` is the other side: who sent or got tokens, or the other party of the deal.
    """

    account: Address
    kind: MovementKind
    amount: int
    deal_id: EscrowId | None = None
    counterparty: Address | None = None


def of_account(event: events.Event) -> Movement | None:
    """Return what an event about an account alone moves; None: nothing, or it is about a deal."""
    match event:
        case events.Deposited(account=account, sender=sender, amount=amount):
            return Movement(account, MovementKind.DEPOSIT, amount, counterparty=sender)
        case events.Withdrawn(account=account, to=to, amount=amount):
            return Movement(account, MovementKind.WITHDRAWAL, -amount, counterparty=to)
        case _:
            return None


def of_opening(record: DealRecord) -> Iterator[Movement]:
    """Return what the opening of a deal moves; `record` is the deal just after it."""
    whole = price(record.terms)
    yield from _to_buyer(record, {MovementKind.PRICE_LOCKED: -whole})
    yield from _to_provider(record, {MovementKind.BOND_LOCKED: whole - record.held})


def of_ruling(event: events.DealRuled) -> Iterator[Movement]:
    """Return what a ruling moves by itself; the closing that follows it moves the rest."""
    if event.share:
        yield Movement(event.arbiter, MovementKind.ARBITER_SHARE, event.share, event.deal_id)


def of_deal(before: DealRecord, now: DealRecord, fee_recipient: Address) -> Iterator[Movement]:
    """Return what came between two states of a deal; a ruling moves nothing here."""
    gross = due(now.terms, now.deal.paid) - due(now.terms, before.deal.paid)
    fee = now.fee - before.fee
    refund = _unsettled(before) - _unsettled(now) - gross
    bond_to_provider = now.to_provider - before.to_provider - (gross - fee)
    bond_to_buyer = now.to_buyer - before.to_buyer - refund
    yield from _to_provider(now, {MovementKind.PAYMENT: gross, MovementKind.FEE: -fee})
    yield from _to_provider(now, _bond(_bond_at_stake(before) - _bond_at_stake(now), bond_to_provider))
    if fee:
        yield Movement(fee_recipient, MovementKind.FEE_RECEIVED, fee, now.id)
    yield from _to_buyer(now, {MovementKind.REFUND: refund})
    yield from _to_buyer(now, _stake(_buyers_stake(before), bond_to_buyer))
    yield from _to_buyer(now, {MovementKind.STAKE_LOCKED: before.stake - now.stake})


# ---------------------------------------------------------------- bonds and stakes


def _bond(settled: int, got: int) -> dict[MovementKind, int]:
    """Say how the provider fared with the bond that was settled, of what he got for it."""
    return {
        MovementKind.BOND_RETURNED: settled,
        MovementKind.BOND_LOST: min(got - settled, 0),
        MovementKind.STAKE_WON: max(got - settled, 0),
    }


def _stake(settled: int, got: int) -> dict[MovementKind, int]:
    """Say how the buyer fared with the stake that was settled; without one, what he gets is the bond's."""
    return {
        MovementKind.STAKE_RETURNED: settled,
        MovementKind.STAKE_LOST: min(got - settled, 0),
        MovementKind.BOND_RECEIVED: max(got - settled, 0),
    }


def _unsettled(record: DealRecord) -> int:
    """Return the part of the price that is neither paid nor refunded."""
    if not record.is_live:
        return 0
    disputed = record.deal.status is DealStatus.DISPUTED
    most = due(record.terms, record.deal.claim) if disputed else price(record.terms)
    return most - due(record.terms, record.deal.paid)


def _buyers_stake(record: DealRecord) -> int:
    """Return what the buyer has at stake while a dispute is open."""
    return record.stake if record.is_live else 0


def _bond_at_stake(record: DealRecord) -> int:
    """Return the part of the bond whose way is open; a share that a ruling took counts until the closing."""
    if not record.is_live:
        return 0
    return record.held + record.share - _unsettled(record) - record.stake


# ---------------------------------------------------------------- inside


def _to_provider(record: DealRecord, amounts: dict[MovementKind, int]) -> Iterator[Movement]:
    return _moved(record.terms.provider, record.terms.buyer, record.id, amounts)


def _to_buyer(record: DealRecord, amounts: dict[MovementKind, int]) -> Iterator[Movement]:
    return _moved(record.terms.buyer, record.terms.provider, record.id, amounts)


def _moved(
    account: Address, other: Address, deal_id: EscrowId, amounts: dict[MovementKind, int]
) -> Iterator[Movement]:
    return (Movement(account, kind, amount, deal_id, other) for kind, amount in amounts.items() if amount)
