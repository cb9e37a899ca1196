"""What comes next for a payment, in every state that it can be in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from molt_market.domain.ids import EscrowId
from molt_market.domain.transactions import Fee
from molt_market.payments.fees import GWEI, FeePolicy, gwei
from molt_market.payments.journal import Dispatch, Entry, EntryState
from molt_market.payments.outlook import Outlook, View, first_nonces, outlook
from tests.factories import BUYER, DEAL_ID, PROVIDER
from tests.unit.payments.fakes import signed_for

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = f"release:{DEAL_ID}:3600"


def dispatch(state: EntryState, **overrides: Any) -> Dispatch:
    fields: dict[str, Any] = {
        "id": 1,
        "sender": BUYER,
        "nonce": 7,
        "transactions": (signed_for(BUYER, 7, most=2 * GWEI, tip=GWEI),),
        "signed_at": NOON,
        "since": NOON,
        "state": state,
    }
    return Dispatch(**{**fields, **overrides})


def looked(entry: Entry, **view: Any) -> Outlook:
    return outlook(
        entry, View(**{"now": NOON + timedelta(seconds=10), "head": 121, "confirmations": 3, **view})
    )


def carried(state: EntryState, **overrides: Any) -> Entry:
    return Entry(KEY, NOON, dispatch=dispatch(state, **overrides))


def test_deal_id__is_the_keys() -> None:
    assert looked(Entry(KEY, NOON)).deal_id == EscrowId(DEAL_ID)
    assert looked(Entry("fill:0xaa:7", NOON)).deal_id is None


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (None, "mined in block 120, final at block 123"),
        (121, "mined in block 120, final at block 123: 2 to go"),
        (123, "mined in block 120, final at block 123, which is there: noted by whoever looks next"),
    ],
)
def test_mined__says_when_it_is_final(head: int | None, says: str) -> None:
    found = looked(carried(EntryState.MINED, block=120), head=head)
    assert (found.next, found.final_at, found.blocked_by) == (says, 123, None)


@pytest.mark.parametrize("state", [EntryState.BROADCAST, EntryState.REPLACED])
def test_unmined__says_when_it_is_replaced_and_for_how_much(state: EntryState) -> None:
    assert looked(carried(state)).next == (
        "mined; if not, replaced for a higher fee from 2026-01-01 12:00:30 UTC on, at most 500 gwei"
    )


def test_signed__is_sent_first() -> None:
    assert looked(carried(EntryState.SIGNED)).next.startswith(
        "sent by whoever looks next, then mined; if not"
    )


def test_unmined__patience_is_over__says_what_the_next_offer_is_at_least() -> None:
    late = NOON + timedelta(seconds=30)
    assert looked(carried(EntryState.BROADCAST), now=late).next == (
        "not mined in time: replaced by whoever looks next, for 2.25 gwei at least, 500 at most"
    )


def test_unmined__cap_is_reached__waits() -> None:
    late, fees = NOON + timedelta(seconds=30), FeePolicy(cap=2 * GWEI)
    assert looked(carried(EntryState.REPLACED), now=late, fees=fees).next == (
        "an eighth more would be above the cap of 2 gwei: waits until the base fee falls"
    )


@pytest.mark.parametrize("state", [EntryState.SIGNED, EntryState.BROADCAST, EntryState.REPLACED])
def test_unmined__an_earlier_nonce_is_stuck__that_one_first(state: EntryState) -> None:
    found = looked(carried(state), first_nonces={BUYER: 5, PROVIDER: 1})
    assert found.blocked_by == 5
    assert found.next == "waits for nonce 5 of its account, which is not mined: that one first"
    assert looked(carried(state), first_nonces={BUYER: 7}).blocked_by is None


def test_first_nonces__are_the_lowest_of_each_account_that_are_in_no_block() -> None:
    found = first_nonces(
        [
            dispatch(EntryState.MINED, nonce=4),
            dispatch(EntryState.REPLACED, nonce=6),
            dispatch(EntryState.SIGNED, nonce=5),
            dispatch(EntryState.BROADCAST, nonce=9, sender=PROVIDER),
        ]
    )
    assert found == {BUYER: 5, PROVIDER: 9}
    assert first_nonces([]) == {}


def test_ended__says_what_moved_and_whether_it_may_be_done_again() -> None:
    told = {
        EntryState.PLANNED: looked(Entry(KEY, NOON)),
        EntryState.FAILED: looked(Entry(KEY, NOON, failure="no money")),
        EntryState.FINAL: looked(carried(EntryState.FINAL, block=1)),
        EntryState.DROPPED: looked(carried(EntryState.DROPPED)),
        EntryState.REVERTED: looked(
            Entry(KEY, NOON, dispatch=dispatch(EntryState.FINAL, block=1), failure="too late")
        ),
    }
    assert all(found.entry.state is state for state, found in told.items())
    assert {state: found.next for state, found in told.items()} == {
        EntryState.PLANNED: "signed and sent by the call that planned it; if its process is gone, call again",
        EntryState.FAILED: (
            "refused before it was signed, nothing was spent (no money); the same call plans it again"
        ),
        EntryState.FINAL: "nothing: it is done",
        EntryState.DROPPED: (
            "its nonce went to another transaction, nothing moved; the same call plans it again"
        ),
        EntryState.REVERTED: (
            "the contract refused it, only gas was spent (too late); the same call plans it again"
        ),
    }


@pytest.mark.parametrize(
    ("wei", "text"), [(0, "0"), (1, "0.000000001"), (GWEI, "1"), (2_250_000_000, "2.25"), (500 * GWEI, "500")]
)
def test_gwei__is_exact(wei: int, text: str) -> None:
    assert gwei(wei) == text


def test_fee_policy__of_nothing_in_the_market__still_raises() -> None:
    assert FeePolicy().raised(Fee(8, 8), Fee(0, 0)) == Fee(9, 9)
