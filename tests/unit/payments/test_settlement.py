"""What the log of a deal adds up to."""

from typing import Any

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.events import DealClaimed, DealClosed, DealDisputed, DealPaid, DealRuled, Event
from molt_market.domain.ids import ZERO_HASH, DisputeId, TransactionId
from molt_market.domain.settlement import SettlementStatus, quote_settlement
from molt_market.errors import EscrowError
from molt_market.payments.results import settlement_of
from tests.factories import ARBITER, DEAL_ID, make_escrow

ALL = 4 * 8 * 3_600  # 320 MOLT, a bond of 32, 1 % fee


def at(number: int) -> dict[str, Any]:
    return {
        "deal_id": DEAL_ID,
        "transaction_id": TransactionId(f"0x{number:064x}"),
        "block": number,
        "log_index": 0,
    }


def closing(escrow: EscrowAccount, number: int = 9, **overrides: int) -> DealClosed:
    """Make the event that closes a deal at what it has paid."""
    quote = quote_settlement(escrow, escrow.paid_gpu_seconds)
    fields: dict[str, Any] = {
        "gpu_seconds": escrow.paid_gpu_seconds,
        "to_provider": (quote.provider_payment + quote.bond_to_provider).base_units,
        "fee": quote.platform_fee.base_units,
        "to_buyer": (quote.buyer_refund + quote.bond_to_buyer).base_units,
    }
    return DealClosed(status=escrow.status, **at(number), **{**fields, **overrides})


def closed(paid: int, status: DealStatus = DealStatus.RELEASED) -> EscrowAccount:
    return make_escrow(status=status, paid_gpu_seconds=paid)


def test_closed__everything_paid__is_success() -> None:
    escrow = closed(ALL)
    result = settlement_of(escrow, [closing(escrow)])
    assert result.status == SettlementStatus.Success()
    assert result.provider_payment == Amount.from_molt("316.8")
    assert result.platform_fee == Amount.from_molt("3.2")
    assert result.buyer_refund == Amount.from_molt(0)


def test_closed__a_part_paid__is_a_partial_refund() -> None:
    escrow = closed(ALL - 4 * 1_800)
    result = settlement_of(escrow, [closing(escrow)])
    assert result.status == SettlementStatus.PartialRefund(reason="7.5 of 8 hours delivered")
    assert result.buyer_refund == Amount.from_molt(20)


def test_closed__a_second_short__is_not_said_to_be_all() -> None:
    escrow = closed(ALL - 4)
    result = settlement_of(escrow, [closing(escrow)])
    assert result.status == SettlementStatus.PartialRefund(reason="7.9997 of 8 hours delivered")


def test_closed__nothing_paid__is_a_full_refund() -> None:
    escrow = closed(0, DealStatus.REFUNDED)
    result = settlement_of(escrow, [closing(escrow)])
    assert result.status == SettlementStatus.FullRefund(reason="0 of 8 hours delivered")
    assert result.buyer_refund == escrow.amount


def test_open__counts_what_is_paid_and_says_when() -> None:
    escrow = make_escrow(paid_gpu_seconds=ALL // 2)
    paid = DealPaid(
        gpu_seconds=ALL // 2,
        to_provider=Amount.from_molt("158.4").base_units,
        fee=Amount.from_molt("1.6").base_units,
        **at(1),
    )
    result = settlement_of(escrow, [paid])
    assert result.status == SettlementStatus.Pending(claimable_at=escrow.locked_until)
    assert (result.provider_payment, result.platform_fee) == (
        Amount.from_molt("158.4"),
        Amount.from_molt("1.6"),
    )
    assert result.buyer_refund == Amount.from_molt(0)


def test_disputed__says_so() -> None:
    escrow = make_escrow(status=DealStatus.DISPUTED)
    assert settlement_of(escrow, []).status == SettlementStatus.Disputed(dispute_id=DisputeId(DEAL_ID))


def test_transactions__are_those_that_moved_something__each_once() -> None:
    escrow = closed(ALL)
    claim = DealClaimed(gpu_seconds=ALL, result_digest=ZERO_HASH, usage_root=ZERO_HASH, deadline=0, **at(1))
    opening = Event(transaction_id=TransactionId("0x" + "00" * 32), block=0, log_index=0)
    result = settlement_of(escrow, [opening, claim, closing(escrow, 1)])
    assert result.transactions == (claim.transaction_id,)


def test_closed__by_a_ruling__counts_stakes_and_share() -> None:
    """Half is paid at the dispute, the pot of both stakes goes to the buyer but for the arbiter's share."""
    escrow = closed(ALL // 2)
    quote = quote_settlement(escrow, ALL // 2)
    stake, share = quote.bond_to_buyer.base_units, 5
    disputed = DealDisputed(
        counter=ALL // 2,
        gpu_seconds=ALL,
        evidence=ZERO_HASH,
        stake=stake,
        deadline=0,
        to_provider=(quote.provider_payment + quote.bond_to_provider).base_units,
        fee=quote.platform_fee.base_units,
        to_buyer=0,
        **at(1),
    )
    ruled = DealRuled(arbiter=ARBITER, gpu_seconds=ALL // 2, share=share, **at(2))
    rest = quote.buyer_refund.base_units + 2 * stake - share
    events: list[Event] = [disputed, ruled, closing(escrow, 2, to_provider=0, fee=0, to_buyer=rest)]
    assert settlement_of(escrow, events).provider_payment == quote.provider_payment


@pytest.mark.parametrize("field", ["to_provider", "fee", "to_buyer"])
def test_closed__log_that_does_not_add_up__is_refused(field: str) -> None:
    escrow = closed(ALL // 2)
    right = closing(escrow)
    with pytest.raises(EscrowError, match="report this"):
        settlement_of(escrow, [closing(escrow, **{field: getattr(right, field) + 1})])


def test_closed__fee_taken_from_the_refund__is_refused() -> None:
    """The sum is right, the split is not."""
    escrow = closed(ALL // 2)
    right = closing(escrow)
    with pytest.raises(EscrowError):
        settlement_of(escrow, [closing(escrow, fee=right.fee + 1, to_buyer=right.to_buyer - 1)])
