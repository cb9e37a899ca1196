"""Which tokens an escrow is deployed for: found out by calls that change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from molt_market.chain.node import Node as Asked
from molt_market.chain.token import LEAST_HELD, require_suitable
from molt_market.domain.ids import Address
from molt_market.errors import InvalidValue, UnsuitableToken
from tests.contracts.actors import BUYER, PROVIDER, STRANGER
from tests.contracts.node import Node

Mock = Callable[..., Any]

ESCROW = Address("0x" + "e5" * 20)  # where it would be


@pytest.fixture
def check(chain: Any) -> Callable[..., None]:
    """Look whether a token is suitable, as a deployment does."""
    asked = Asked(chain.provider.uri)

    def check_token(token: str, *holders: str) -> None:
        some = [Address(each) for each in holders]
        require_suitable(asked, chain.chain_id, Address(token), to=ESCROW, holders=some)

    return check_token


def held(node: Node, token: Any, amount: int = LEAST_HELD) -> Any:
    node.transact(STRANGER, token.mint, BUYER.address, amount)
    return token


def test_check__plain_token__is_fine_and_nobodys_money_moves(node: Node, mock: Mock, check: Any) -> None:
    token = held(node, mock("MoltToken", "Test dollar", "TUSD", 6))
    check(token.address, BUYER.address)
    check(token.address)  # the log tells who received some
    assert (token.balanceOf(BUYER.address), token.balanceOf(ESCROW)) == (LEAST_HELD, 0)
    assert token.allowance(BUYER.address, BUYER.address) == 0
    assert node.code(BUYER.address) == "0x"


def test_check__fee_on_transfer__is_refused(node: Node, mock: Mock, check: Any) -> None:
    token = held(node, mock("FeeToken"))
    with pytest.raises(UnsuitableToken, match="10000 left and 9900 arrived"):
        check(token.address)


def test_check__fee_in_one_way_of_two__is_refused(node: Node, mock: Mock, check: Any) -> None:
    token = held(node, mock("AllowanceFeeToken"))
    with pytest.raises(UnsuitableToken, match="transferFrom, 10000 left and 9999 arrived"):
        check(token.address)


def test_check__transfers_are_stopped__is_refused(node: Node, mock: Mock, check: Any) -> None:
    token = held(node, mock("PausableToken"))
    check(token.address)
    node.transact(STRANGER, token.setPaused, True)
    with pytest.raises(UnsuitableToken, match="transfer no 10000"):
        check(token.address)


@pytest.mark.parametrize(
    ("decimals", "said"), [(19, "19 decimals"), (255, "255 decimals")], ids=["19 decimals", "255 decimals"]
)
def test_check__too_many_decimals__is_refused(mock: Mock, check: Any, decimals: int, said: str) -> None:
    with pytest.raises(UnsuitableToken, match=said):
        check(mock("MoltToken", "Fine", "FINE", decimals).address)


@pytest.mark.parametrize("name", ["SilentToken", "RebasingToken"])
def test_check__without_a_symbol__is_refused(node: Node, mock: Mock, check: Any, name: str) -> None:
    with pytest.raises(UnsuitableToken, match="does not say its symbol"):
        check(held(node, mock(name)).address, BUYER.address)


def test_check__empty_symbol__is_refused(mock: Mock, check: Any) -> None:
    with pytest.raises(UnsuitableToken, match="symbol is empty"):
        check(mock("MoltToken", "Nameless", " ", 6).address)


def test_check__no_contract__is_refused(check: Any) -> None:
    with pytest.raises(UnsuitableToken, match="no contract"):
        check(PROVIDER.address)


@pytest.mark.parametrize("amount", [0, LEAST_HELD - 1])
def test_check__nobody_has_enough__asks_for_a_holder(node: Node, mock: Mock, check: Any, amount: int) -> None:
    token = held(node, mock("MoltToken", "Test dollar", "TUSD", 6), amount)
    with pytest.raises(InvalidValue, match="name an account that has"):
        check(token.address, BUYER.address, PROVIDER.address)
