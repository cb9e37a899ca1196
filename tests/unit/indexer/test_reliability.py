"""How reliable a provider was: what is promised and delivered, how it fades, what it costs to fake."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molt_market.domain.amounts import Amount
from molt_market.domain.deals import EXCUSED, Deal, DealStatus
from molt_market.domain.ids import Hash32, PartyId, TransactionId
from molt_market.errors import InvalidValue
from molt_market.indexer.follower import Change
from molt_market.indexer.ports import Checkpoint
from molt_market.indexer.records import DealRecord
from molt_market.indexer.reliability import DAY, MILLION, Outcome, ProviderReliability, faded, outcome_of
from molt_market.signing.hashes import deal_id
from tests.unit.indexer.fakes import BOND_BPS, DOMAIN, FEE_BPS, GENESIS, HOUR, hash_of, terms

WHOLE = 14_400  # GPU-seconds of a deal of 2 GPUs for 2 hours, and base units of its price
NOTICE = 15  # minutes: 1,800 GPU-seconds
PRIOR = 14_400
NOON = GENESIS - GENESIS % DAY + DAY // 2
PROVIDER = PartyId("0x" + f"{0xA002:040x}")


def closed(
    number: int = 1,
    *,
    paid: int = WHOLE,
    run: int = 2 * HOUR,
    flags: int = 0,
    closed_at: int | None = NOON,
    **of_terms: Any,
) -> DealRecord:
    agreed = terms(number, **of_terms)
    status = DealStatus.LOCKED if closed_at is None else DealStatus.RELEASED if paid else DealStatus.REFUNDED
    word = Deal(status, flags, FEE_BPS, BOND_BPS, NOON, NOON + run, NOON + run + HOUR, paid, 0, NOTICE)
    id_ = deal_id(agreed, DOMAIN)
    return DealRecord(id_, agreed, word, TransactionId(hash_of(number)), closed_at=closed_at)


def reliability(*records: DealRecord, at: int = NOON, **settings: Any) -> ProviderReliability:
    known = ProviderReliability(Amount(PRIOR), **settings)
    known.note(records)
    known.let_pass(at)
    return known


@pytest.mark.parametrize(
    ("record", "promised", "delivered"),
    [
        (closed(), WHOLE, WHOLE),
        (closed(paid=0), WHOLE, 0),
        (closed(paid=7_200), WHOLE, 7_200),
        (closed(paid=WHOLE - 1_800), WHOLE - 1_800, WHOLE - 1_800),  # within the notice: all of it
        (closed(paid=WHOLE - 1_801), WHOLE, WHOLE - 1_801),
        (closed(paid=7_200, run=HOUR), 7_200, 7_200),  # the buyer stopped it
        (closed(paid=3_600, run=HOUR), 7_200, 3_600),
        (closed(paid=0, run=600), 1_200, 0),
        (closed(paid=100, flags=EXCUSED), 100, 100),
        (closed(paid=0, flags=EXCUSED), 0, 0),
    ],
)
def test_outcome(record: DealRecord, promised: int, delivered: int) -> None:
    provider, buyer = record.terms.provider, record.terms.buyer
    assert outcome_of(record) == Outcome(provider, buyer, NOON // DAY, promised, delivered)


def test_outcome__of_an_open_deal__is_none() -> None:
    assert outcome_of(closed(closed_at=None)) is None


def test_reliability__of_a_newcomer__is_not_known() -> None:
    assert reliability()(PROVIDER) is None
    assert reliability(closed(closed_at=None))(PROVIDER) is None
    assert reliability(closed(paid=0, flags=EXCUSED))(PROVIDER) is None
    assert reliability(closed())(PartyId("somebody")) is None


def test_reliability__moves_from_one_half_as_a_record_grows() -> None:
    assert reliability(closed())(PROVIDER) == 750_000  # half of the prior's weight, and all of the deal's
    assert reliability(closed(paid=0))(PROVIDER) == 250_000
    many = [closed(number, buyer=number) for number in range(99)]
    assert reliability(*many)(PROVIDER) == 995_000


def test_reliability__counts_deals_by_the_money_that_they_promised() -> None:
    large, small = closed(1, buyer=1), closed(2, buyer=2, gpu_count=1, hours=1, run=HOUR, paid=0)
    assert reliability(large, small)(PROVIDER) == (PRIOR // 2 + WHOLE) * MILLION // (PRIOR + WHOLE + 3_600)


def test_reliability__one_buyer__weighs_no_more_than_the_prior() -> None:
    """Who trades with himself a hundred times has no better record than who did so once."""
    alone = [closed(number) for number in range(100)]
    assert reliability(*alone)(PROVIDER) == 750_000
    failed = closed(1_000, buyer=9, paid=0)
    assert reliability(*alone, failed)(PROVIDER) == 500_000


def test_reliability__fades() -> None:
    known = reliability(closed(paid=0, closed_at=NOON))
    seen = []
    for days in (0, 15, 30, 60, 599, 600):
        known.let_pass(NOON + days * DAY)
        seen.append(known(PROVIDER))
    assert seen[:4] == [250_000, 285_714, 333_333, 400_000]
    assert seen[4:] == [500_000, None]  # hardly anything, and forgotten


def test_reliability__follows_steps__also_back() -> None:
    known = reliability()
    bad, good = closed(1, paid=0), closed(2, buyer=2)
    at = Checkpoint(1, Hash32(hash_of("block")), NOON)
    known.follow(Change(at, (bad, good)))
    assert known(PROVIDER) == 500_000
    known.follow(Change(at, (closed(2, buyer=2, closed_at=None),), (bad.id,)))
    assert known(PROVIDER) is None
    known.follow(Change(None, (good,)))
    assert known(PROVIDER) == 750_000


@pytest.mark.parametrize(
    "wrong", [{"prior": Amount(0)}, {"prior": Amount(1), "half_life": timedelta(hours=23)}]
)
def test_reliability__of_nonsense__is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        ProviderReliability(**wrong)


deals = st.lists(
    st.builds(
        closed,
        st.integers(0, 10**6),
        paid=st.integers(0, WHOLE),
        run=st.integers(1, 2 * HOUR),
        flags=st.sampled_from([0, EXCUSED]),
        closed_at=st.integers(NOON - 100 * DAY, NOON),
        buyer=st.integers(0, 3),
    ),
    max_size=12,
    unique_by=lambda record: record.id,
)


@given(deals, st.randoms(use_true_random=False))
def test_reliability__is_the_same_in_whatever_order_it_was_learnt(
    records: list[DealRecord], random: Any
) -> None:
    """Of a rebuild after a restart, and of one deal after the other, with steps back between."""
    once = reliability(*records)(PROVIDER)
    assert once is None or 0 <= once <= MILLION
    shuffled = list(records)
    random.shuffle(shuffled)
    known = reliability()
    for record in shuffled:
        known.note([record])
        known(PROVIDER)
    for record in shuffled[: len(shuffled) // 2]:
        known.follow(Change(None, (), (record.id,)))
        known(PROVIDER)
        known.follow(Change(None, (record,)))
    assert known(PROVIDER) == once


@given(st.integers(0, 2**96), st.integers(0, 1_000), st.integers(1, 100))
def test_faded__falls_day_by_day__and_halves_each_half_life(amount: int, age: int, half_life: int) -> None:
    assert faded(amount, age + 1, half_life) <= faded(amount, age, half_life) <= amount
    assert faded(amount, half_life, half_life) == amount // 2
