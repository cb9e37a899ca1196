"""constructor: what a deployment fixes for ever, and its bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contracts.actors import FEE_RECIPIENT, FEE_SETTER, GUARDIAN
from tests.contracts.factories import ZERO_ADDRESS
from tests.contracts.market import Market
from tests.contracts.refusals import Code, Reverted, refused

Mock = Callable[..., Any]


def arguments(market: Market, **changed: Any) -> tuple[Any, ...]:
    given = {
        "token": market.token.address,
        "fee_recipient": FEE_RECIPIENT.address,
        "guardian": GUARDIAN.address,
        "fee_setter": FEE_SETTER.address,
        "fee_bps": 100,
        "withdraw_delay": 900,
        "cancel_delay": 600,
    }
    return tuple({**given, **changed}.values())


def test_constructor__stores_what_it_was_given(market: Market, mock: Mock) -> None:
    escrow = mock("MoltEscrow", *arguments(market))
    assert escrow.token() == market.token.address
    assert escrow.feeRecipient() == FEE_RECIPIENT.address
    assert escrow.feeBps() == 100
    assert [escrow.roleOf(role).holder for role in range(2)] == [GUARDIAN.address, FEE_SETTER.address]
    assert (escrow.withdrawDelay(), escrow.cancelDelay()) == (900, 600)


def test_constructor__names_its_signing_domain(market: Market, mock: Mock) -> None:
    escrow = mock("MoltEscrow", *arguments(market))
    domain = escrow.eip712Domain()
    assert (domain.name, domain.version) == ("MoltEscrow", "1")
    assert (domain.chainId, domain.verifyingContract) == (market.node.chain_id, escrow.address)


@pytest.mark.parametrize("within", [{"fee_bps": 0}, {"fee_bps": 300}])
def test_constructor__fee_at_a_bound__deploys(market: Market, mock: Mock, within: dict[str, int]) -> None:
    assert mock("MoltEscrow", *arguments(market, **within)).feeBps() == within["fee_bps"]


@pytest.mark.parametrize("seconds", [1, 86_400])
def test_constructor__delays_at_a_bound__deploys(market: Market, mock: Mock, seconds: int) -> None:
    escrow = mock("MoltEscrow", *arguments(market, withdraw_delay=seconds, cancel_delay=seconds))
    assert (escrow.withdrawDelay(), escrow.cancelDelay()) == (seconds, seconds)


@pytest.mark.parametrize(
    ("beyond", "actual", "limit"),
    [
        ({"fee_recipient": ZERO_ADDRESS}, 0, 1),
        ({"fee_bps": 301}, 301, 300),
        ({"withdraw_delay": 0}, 0, 1),
        ({"withdraw_delay": 86_401}, 86_401, 86_400),
        ({"cancel_delay": 0}, 0, 1),
        ({"cancel_delay": 86_401}, 86_401, 86_400),
    ],
    ids=str,
)
def test_constructor__beyond_a_bound__refused(
    market: Market, mock: Mock, beyond: dict[str, Any], actual: int, limit: int
) -> None:
    with refused(Code.DEPLOYMENT_OUT_OF_RANGE, actual=actual, limit=limit):
        mock("MoltEscrow", *arguments(market, **beyond))


@pytest.mark.parametrize("decimals", [19, 24, 255])
def test_constructor__token_of_too_many_decimals__refused(market: Market, mock: Mock, decimals: int) -> None:
    token = mock("MoltToken", "MOLT", "MOLT", decimals)
    with refused(Code.DEPLOYMENT_OUT_OF_RANGE, actual=decimals, limit=18):
        mock("MoltEscrow", *arguments(market, token=token.address))


@pytest.mark.parametrize("decimals", [0, 18])
def test_constructor__token_of_few_decimals__deploys(market: Market, mock: Mock, decimals: int) -> None:
    token = mock("MoltToken", "MOLT", "MOLT", decimals)
    assert mock("MoltEscrow", *arguments(market, token=token.address)).token() == token.address


def test_constructor__token_without_code__reverted(market: Market, mock: Mock) -> None:
    with pytest.raises(Reverted):
        mock("MoltEscrow", *arguments(market, token=FEE_RECIPIENT.address))
