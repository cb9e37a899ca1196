"""How long a deal can last, at worst. The seconds around each window stand with the verb that it shuts."""

from __future__ import annotations

from tests.contracts import model
from tests.contracts.actors import ARBITER, ATTESTORS, BUYER, PROVIDER, STRANGER
from tests.contracts.endings import FullMarket
from tests.contracts.factories import DAY, UNIT, make_policy
from tests.contracts.hall import WITHDRAW_DELAY


def test_windows__longest_deal_and_windows__end_when_they_should(market: FullMarket) -> None:
    """A year, and every window at its bound: no sum of start and window overflows, nobody waits longer."""
    longest = make_policy(challenge=14 * DAY, grace=7 * DAY, arbitration=14 * DAY, notice_minutes=255)
    policy = {"policy_id": market.register(longest, ATTESTORS)}
    year = 8_760
    order = {**policy, "duration_hours": year, "gpu_count": 1, "max_budget": 10 * year * UNIT}
    market.stock(BUYER, 10 * year * UNIT)
    market.stock(PROVIDER, year * UNIT)
    deal = market.open(market.match({**policy, "available_hours": year}, order))
    assert deal.ends_at == deal.opened_at + 365 * DAY
    assert market.deadline(deal) == deal.ends_at + 7 * DAY
    market.node.at(market.deadline(deal) - 1)
    claimed = market.claim(deal, deal.allocation // 2).time
    assert market.deadline(deal) == claimed + 14 * DAY
    market.node.at(market.deadline(deal) - 1)
    disputed = market.dispute(deal, 0).time
    assert market.deadline(deal) == disputed + 14 * DAY
    market.node.at(market.deadline(deal))
    market.finalize(deal)
    assert market.status(deal) == model.RELEASED
    assert market.node.now - deal.opened_at == (365 + 7 + 14 + 14) * DAY - 2


def test_windows__silent_everybody__a_withdrawal_still_goes_out(market: FullMarket) -> None:
    """Arbiter, agent, buyer and attestors are gone: time alone returns price and bond."""
    deal = market.open(market.match())
    market.node.at(deal.deadline)
    market.finalize(deal, sender=STRANGER)
    for party in (BUYER, PROVIDER):
        market.request_withdraw(party, market.balance(party))
    market.node.mine(market.node.now + WITHDRAW_DELAY)
    market.withdraw(BUYER)
    market.withdraw(PROVIDER)
    assert market.balance(ARBITER) == 0
    assert market.token.balanceOf(market.domain.escrow) == 0
