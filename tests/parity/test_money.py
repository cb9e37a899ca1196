"""What GPU-seconds are worth: Python against the contract's library, to the base unit."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from web3 import Web3
from web3.contract import Contract

from molt_market.domain.fields import MAX_UINT32, MAX_UINT40, MAX_UINT96
from molt_market.domain.settlement import bond, bond_earned, due, held, owed, price
from molt_market.domain.terms import Terms
from molt_market.signing.hashes import terms_message
from tests.factories import make_terms
from tests.parity.samples import call_many

CASES = 3_000


@dataclass(frozen=True)
class Case:
    terms: Terms
    run_seconds: int
    gpu_seconds: int
    paid: int
    fee_bps: int
    bond_bps: int
    notice_minutes: int

    def figures(self) -> tuple[int, ...]:
        """What MoneyHarness.figures returns, as Python has it."""
        paid = owed(self.terms, self.gpu_seconds, paid=self.paid, fee_bps=self.fee_bps)
        earned = bond_earned(
            self.terms,
            self.gpu_seconds,
            bond_bps=self.bond_bps,
            run_seconds=self.run_seconds,
            notice_minutes=self.notice_minutes,
        )
        return (
            self.terms.gpu_seconds,
            due(self.terms, self.gpu_seconds),
            price(self.terms),
            bond(price(self.terms), self.bond_bps),
            held(self.terms, paid=self.paid, bond_bps=self.bond_bps),
            paid.to_provider,
            paid.fee,
            earned,
        )

    def call(self, money: Contract) -> Any:
        opened_at = 1_800_000_000
        ends_at = opened_at + self.run_seconds
        deal = (
            1,
            0,
            self.fee_bps,
            self.bond_bps,
            opened_at,
            ends_at,
            ends_at,
            self.paid,
            0,
            self.notice_minutes,
        )
        return money.functions.figures(terms_message(self.terms).as_tuple(), deal, self.gpu_seconds)


def random_case(rng: random.Random) -> Case:
    """Make a deal that the contract can hold; prices and times lean to the ends of their ranges."""
    gpu_count = rng.choice([1, 8, rng.randint(1, 100_000)])
    duration = rng.choice([1, 3_600, rng.randint(1, min(MAX_UINT32, MAX_UINT40 // gpu_count))])
    allocation = gpu_count * duration
    most = min(MAX_UINT96, MAX_UINT96 * 3_600 // allocation)  # so that the whole price stays below 2^96
    terms = make_terms(
        gpu_count=gpu_count,
        duration=duration,
        commitment=0,
        price_per_gpu_hour=rng.choice([1, most, rng.randint(1, 10_000), rng.randint(1, most)]),
    )
    run_seconds = rng.choice([duration, rng.randint(1, duration)])
    paid = rng.choice([0, rng.randint(0, allocation)])
    return Case(
        terms=terms,
        run_seconds=run_seconds,
        gpu_seconds=rng.choice([paid, allocation, rng.randint(paid, allocation)]),
        paid=paid,
        fee_bps=rng.choice([0, 300, rng.randint(0, 300)]),
        bond_bps=rng.choice([0, 1_000, 5_000, rng.randint(0, 5_000)]),
        notice_minutes=rng.choice([1, 15, 255]),
    )


def test_settlement_arithmetic(chain: Web3, deploy: Callable[..., Contract]) -> None:
    money = deploy("MoneyHarness")
    rng = random.Random(11)
    cases = [random_case(rng) for _ in range(CASES)]
    found = call_many(chain, [case.call(money) for case in cases])
    for case, figures in zip(cases, found, strict=True):
        assert case.figures() == tuple(figures), case
