from __future__ import annotations

from datetime import timedelta

import pytest

from molt_market.domain.amounts import MOLT, Amount
from molt_market.domain.deals import DealStatus, EscrowAccount, EscrowState
from tests.factories import NOON, make_escrow, make_terms


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (DealStatus.NONE, EscrowState.CREATED),
        (DealStatus.LOCKED, EscrowState.LOCKED),
        (DealStatus.CLAIMED, EscrowState.LOCKED),
        (DealStatus.DISPUTED, EscrowState.DISPUTED),
        (DealStatus.RELEASED, EscrowState.RELEASED),
        (DealStatus.REFUNDED, EscrowState.REFUNDED),
    ],
)
def test_state__is_the_references_word_for_the_status(status: DealStatus, state: EscrowState) -> None:
    assert make_escrow(status=status).state is EscrowState.of(status) is state


def test_states__are_the_references() -> None:
    assert [state.name for state in EscrowState] == ["CREATED", "LOCKED", "RELEASED", "REFUNDED", "DISPUTED"]


def test_account__has_the_references_fields() -> None:
    reference = (
        "id state order_id offer_id buyer provider amount created_at locked_until released_at transaction_id"
    )
    account = make_escrow()
    assert all(hasattr(account, name) for name in reference.split())
    assert account.amount == Amount.from_molt(10 * 4 * 8)
    assert account.token == MOLT


def test_account__as_json__comes_back_equal() -> None:
    account = make_escrow(released_at=NOON, transaction_id="0x" + "77" * 32)
    assert EscrowAccount.model_validate_json(account.model_dump_json()) == account
    assert EscrowAccount.model_validate(account.model_dump()) == account


def test_run_seconds__after_a_stop__are_fewer() -> None:
    assert make_escrow().run_seconds == 28_800
    assert make_escrow(ends_at=NOON + timedelta(hours=1)).run_seconds == 3_600


def test_run_seconds__before_the_opening_is_confirmed__are_the_duration() -> None:
    account = make_escrow(
        status=DealStatus.NONE, opened_at=None, ends_at=None, terms=make_terms(duration=7_200)
    )
    assert account.run_seconds == 7_200
