"""What the log says of one deal, and what it cannot say. The contract is asked in the integration tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from molt_market.domain import events
from molt_market.domain.deals import Deal, DealStatus
from molt_market.domain.events import DealEvent
from molt_market.domain.ids import ZERO_ADDRESS, ZERO_HASH, TransactionId
from molt_market.errors import NodeError
from molt_market.indexer.records import DealRecord, Fact, record_of
from molt_market.signing.hashes import deal_id
from tests.unit.indexer.fakes import BOND_BPS, DOMAIN, FEE_BPS, GENESIS, HOUR, hash_of, terms

TERMS = terms(1)  # 2 GPUs for 2 hours: 14,400 GPU-seconds of one base unit each, and a bond of 1,440
ID = deal_id(TERMS, DOMAIN)
WORD = Deal(
    DealStatus.LOCKED, 0, FEE_BPS, BOND_BPS, GENESIS, GENESIS + 2 * HOUR, GENESIS + 3 * HOUR, 0, 0, 15
)


def where(number: int) -> dict[str, Any]:
    return {"transaction_id": TransactionId(hash_of(number)), "block": number, "log_index": 0}


OPENED = events.DealOpened(deal_id=ID, terms=TERMS, deal=WORD, **where(1))
PAID = events.DealPaid(deal_id=ID, gpu_seconds=3_600, to_provider=3_564, fee=36, **where(2))
CLOSED = events.DealClosed(
    deal_id=ID,
    status=DealStatus.RELEASED,
    gpu_seconds=7_200,
    to_provider=3_564 + 720,
    fee=36,
    to_buyer=7_200 + 720,
    **where(3),
)


def record(*logged: DealEvent) -> DealRecord:
    return record_of([Fact(event, 100 * event.block) for event in logged])


def test_record__of_a_deal_that_is_paid_and_closed() -> None:
    told = record(OPENED, PAID, CLOSED)
    assert told.deal == replace(WORD, status=DealStatus.RELEASED, paid=7_200)
    assert (told.to_provider, told.fee, told.to_buyer, told.held) == (7_848, 72, 7_920, 0)
    assert (told.opened_by, told.closed_by) == (OPENED.transaction_id, CLOSED.transaction_id)
    assert told.closed_at == 300
    assert not told.is_live


def test_record__of_a_deal_that_runs() -> None:
    told = record(OPENED, PAID)
    assert told.deal == replace(WORD, paid=3_600)
    assert told.held == 14_400 + 1_440 - 3_600
    assert (told.closed_by, told.closed_at) == (None, None)
    assert told.is_live


def test_record__of_a_stop__moves_end_and_deadline() -> None:
    stopped = events.DealStopped(deal_id=ID, ends_at=7, deadline=9, excused=False, **where(2))
    assert record(OPENED, stopped).deal == replace(WORD, flags=4, ends_at=7, deadline=9)
    excused = replace(stopped, excused=True)
    assert record(OPENED, excused).deal.flags == 4 | 1


def test_record__of_a_ruling__counts_stake_and_share() -> None:
    claimed = events.DealClaimed(
        deal_id=ID, gpu_seconds=14_400, result_digest=ZERO_HASH, usage_root=ZERO_HASH, deadline=5, **where(2)
    )
    disputed = events.DealDisputed(
        deal_id=ID,
        counter=0,
        gpu_seconds=14_400,
        evidence=ZERO_HASH,
        stake=1_440,
        deadline=6,
        to_provider=0,
        fee=0,
        to_buyer=0,
        **where(3),
    )
    ruled = events.DealRuled(deal_id=ID, arbiter=ZERO_ADDRESS, gpu_seconds=0, share=144, **where(4))
    told = record(OPENED, claimed, disputed, ruled)
    assert (told.stake, told.share, told.held) == (1_440, 144, 14_400 + 2 * 1_440 - 144)
    assert (told.deal.status, told.deal.claim, told.deal.deadline) == (DealStatus.DISPUTED, 14_400, 6)
    assert told.deal.attested


@pytest.mark.parametrize(
    ("logged", "said"),
    [
        ([PAID], "does not begin with its opening"),
        ([OPENED, OPENED], "opens it twice"),
        ([OPENED, PAID, CLOSED, PAID], "goes on after its end"),
        ([OPENED, CLOSED], "does not add up: 3600 base units are left"),
        ([OPENED, PAID, PAID, CLOSED], "does not add up: -3600 base units are left"),
    ],
)
def test_record__of_a_log_that_contradicts_itself__is_refused(logged: list[DealEvent], said: str) -> None:
    with pytest.raises(NodeError, match=said):
        record(*logged)
