"""mint: the faucet of local and test networks."""

from __future__ import annotations

from tests.contracts.actors import STRANGER
from tests.contracts.factories import ZERO_ADDRESS
from tests.contracts.market import Market


def test_mint__by_anyone__adds_to_the_supply(market: Market) -> None:
    before = market.token.totalSupply()
    receipt = market.node.transact(STRANGER, market.token.mint, STRANGER.address, 7)
    assert market.token.balanceOf(STRANGER.address) == 7
    assert market.token.totalSupply() == before + 7
    says = {"from": ZERO_ADDRESS, "to": STRANGER.address, "value": 7}
    assert receipt.events(market.token) == [("Transfer", says)]
