"""permit: an allowance by signature (ERC-2612), as depositWithPermit relies on it."""

from __future__ import annotations

import pytest

from tests.contracts.actors import RELAYER, STRANGER
from tests.contracts.desk import NEVER
from tests.contracts.market import Market
from tests.contracts.refusals import Reverted
from tests.contracts.signatures import high_s, parts


def use(market: Market, sig: bytes, amount: int = 7, deadline: int = NEVER) -> None:
    spender = market.domain.escrow
    permit = (STRANGER.address, spender, amount, deadline, *parts(sig))
    market.node.transact(RELAYER, market.token.permit, *permit)


def test_permit__valid__allows_and_uses_the_nonce(market: Market) -> None:
    use(market, market.permit(STRANGER, 7))
    assert market.token.allowance(STRANGER.address, market.domain.escrow) == 7
    assert market.token.nonces(STRANGER.address) == 1


def test_permit__replayed__reverted(market: Market) -> None:
    sig = market.permit(STRANGER, 7)
    use(market, sig)
    with pytest.raises(Reverted):
        use(market, sig)


def test_permit__of_another__reverted(market: Market) -> None:
    with pytest.raises(Reverted):
        use(market, market.permit(RELAYER, 7))


def test_permit__other_amount__reverted(market: Market) -> None:
    with pytest.raises(Reverted):
        use(market, market.permit(STRANGER, 7), amount=8)


def test_permit__high_s__reverted(market: Market) -> None:
    with pytest.raises(Reverted):
        use(market, high_s(market.permit(STRANGER, 7)))


def test_permit__after_its_deadline__reverted(market: Market) -> None:
    deadline = market.node.now + 100
    sig = market.permit(STRANGER, 7, deadline=deadline)
    market.node.at(deadline + 1)
    with pytest.raises(Reverted):
        use(market, sig, deadline=deadline)
