"""requestShares and withdrawShares: what rulings brought is split equally, and nobody can hold it up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contracts.actors import BUYER, PROVIDER, STRANGER
from tests.contracts.desk import NEVER
from tests.contracts.endings import FullMarket
from tests.contracts.factories import HOUR, UNIT
from tests.contracts.hall import WITHDRAW_DELAY
from tests.contracts.panel import MEMBERS, Panel, reverts
from tests.contracts.refusals import Code, Reverted, refused

SHARE = 16 * UNIT // 10
A, B, C, D, E = MEMBERS


def ruled(panel: Panel, *, slot: int = 130) -> Panel:
    """Have a ruling bring the panel 1.6 MOLT."""
    panel.rule(panel.disputed(slot=slot), 16 * HOUR)
    return panel


def dust(panel: Panel, amount: int) -> None:
    """Let anybody give the panel some units inside the escrow."""
    panel.market.fund(STRANGER, amount)
    panel.market.deposit(STRANGER, amount, to=panel.address)


# ---------------------------------------------------------------- the way of a share


def test_shares__withdrawn_after_the_delay__split_equally(market: FullMarket, panel: Panel) -> None:
    ruled(panel)
    panel.request(sender=STRANGER)
    panel.wait()
    receipt = panel.withdraw(sender=STRANGER)
    assert panel.tokens(*MEMBERS) == [SHARE // 5] * 5
    says = {"token": market.token.address, "toEachMember": SHARE // 5}
    assert receipt.events(panel.contract) == [("SharesPaid", says)]


def test_shares__requested__are_marked(market: FullMarket, panel: Panel) -> None:
    ruled(panel)
    receipt = panel.request()
    unlock_at = receipt.time + WITHDRAW_DELAY
    says = {"account": panel.address, "amount": SHARE, "unlockAt": unlock_at}
    assert receipt.events(market.escrow) == [("WithdrawRequested", says)]


def test_shares__a_second_before_the_delay_is_over__refused(market: FullMarket, panel: Panel) -> None:
    ruled(panel)
    unlock_at = panel.request().time + WITHDRAW_DELAY
    market.node.at(unlock_at - 1)
    with refused(Code.TOO_EARLY, actual=unlock_at - 1, limit=unlock_at):
        panel.withdraw()


def test_shares__dust__waits_for_the_next_time(market: FullMarket, panel: Panel) -> None:
    """3 units too many for five equal parts; two more make one for each."""
    dust(panel, 1_003)
    panel.request()
    panel.wait()
    panel.withdraw()
    assert panel.tokens(*MEMBERS) == [200] * 5
    assert market.token.balanceOf(panel.address) == 3
    dust(panel, 2)
    panel.request()
    panel.wait()
    panel.withdraw()
    assert panel.tokens(*MEMBERS) == [201] * 5
    assert market.token.balanceOf(panel.address) == 0


def test_shares__of_several_rulings__are_split_together(panel: Panel) -> None:
    ruled(panel)
    ruled(panel, slot=131)
    panel.request()
    panel.wait()
    panel.withdraw()
    assert panel.tokens(A, E) == [2 * SHARE // 5] * 2


def test_shares__ruled_after_the_request__wait_for_the_next_one(market: FullMarket, panel: Panel) -> None:
    ruled(panel)
    panel.request()
    ruled(panel, slot=131)
    panel.withdraw()
    assert panel.tokens(A) == [SHARE // 5]
    assert market.escrow.accountOf(panel.address).balance == SHARE


# ---------------------------------------------------------------- nobody holds it up


def test_shares__requested_again_by_a_stranger__do_not_wait_longer(market: FullMarket, panel: Panel) -> None:
    """Else one call in every delay would keep them for ever."""
    ruled(panel)
    unlock_at = panel.request().time + WITHDRAW_DELAY
    market.node.at(unlock_at - 1)
    with reverts("SharesPending(uint256)", unlock_at):
        panel.request(sender=STRANGER)
    panel.withdraw()
    assert panel.tokens(A) == [SHARE // 5]


def test_shares__requested_while_there_are_none__refused(market: FullMarket, panel: Panel) -> None:
    """Else a stranger could use up the panel's nonces, and lock in what rulings bring later."""
    with reverts("NoShares()"):
        panel.request(sender=STRANGER)
    assert market.escrow.accountOf(panel.address).nonce == 0
    ruled(panel)
    panel.request()
    panel.wait()
    panel.withdraw()
    assert panel.tokens(A) == [SHARE // 5]


def test_shares__requested_when_all_are_withdrawn__refused(market: FullMarket, panel: Panel) -> None:
    ruled(panel)
    panel.request()
    panel.wait()
    panel.withdraw()
    with reverts("NoShares()"):
        panel.request(sender=STRANGER)
    assert market.escrow.accountOf(panel.address).nonce == 2


def test_shares__withdrawn_with_a_strange_token__are_split_afterwards(
    market: FullMarket, panel: Panel, mock: Callable[..., Any]
) -> None:
    """A stranger has them withdrawn and something else split: they lie in the panel until the next call."""
    ruled(panel)
    panel.request()
    panel.wait()
    other = mock("FeeToken")
    panel.send(STRANGER, "withdrawShares", market.escrow.address, other.address)
    market.model.withdraw(panel.address)
    assert market.token.balanceOf(panel.address) == SHARE
    panel.withdraw()
    assert panel.tokens(*MEMBERS) == [SHARE // 5] * 5


def test_shares__member_denied_by_the_token__holds_up_nobody(
    deploy: Callable[..., FullMarket], mock: Callable[..., Any], project: Any
) -> None:
    """His part stays in the panel, and is split the next time."""
    market = deploy(token=mock("DenylistToken"))
    market.stock(BUYER, 1_000 * UNIT)
    market.stock(PROVIDER, 100 * UNIT)
    panel = ruled(Panel(market, project))
    market.node.transact(STRANGER, market.token.deny, C.address, True)
    panel.request()
    panel.wait()
    panel.withdraw()
    assert panel.tokens(*MEMBERS) == [SHARE // 5, SHARE // 5, 0, SHARE // 5, SHARE // 5]
    market.node.transact(STRANGER, market.token.deny, C.address, False)
    panel.withdraw()
    assert panel.tokens(A, C) == [SHARE // 5 + SHARE // 25, SHARE // 25]


def test_shares__token_that_refuses_all__keeps_them(
    deploy: Callable[..., FullMarket], mock: Callable[..., Any], project: Any
) -> None:
    """The escrow does not let go of what the token will not move."""
    market = deploy(token=mock("DenylistToken"))
    market.stock(BUYER, 1_000 * UNIT)
    market.stock(PROVIDER, 100 * UNIT)
    panel = ruled(Panel(market, project))
    panel.request()
    market.node.transact(STRANGER, market.token.deny, panel.address, True)
    panel.wait()
    held = int(market.token.balanceOf(market.escrow.address))
    with refused(Code.TOKEN_REFUSED, actual=held, limit=SHARE):
        panel.withdraw()


def test_shares__only_the_panel_itself__requests_and_withdraws_them(market: FullMarket, panel: Panel) -> None:
    ruled(panel)
    with refused(Code.BAD_SIGNATURE, actual=A.address, limit=panel.address):
        market.send(A, "requestWithdraw", panel.address, SHARE, NEVER, b"")
    panel.request()
    panel.wait()
    with refused(Code.BAD_SIGNATURE, actual=A.address, limit=panel.address):
        market.send(A, "withdraw", panel.address, A.address, NEVER, b"")


def test_shares__no_ether_and_no_other_call__is_taken(panel: Panel) -> None:
    """It has the functions above and nothing else: no fallback, no owner."""
    with pytest.raises(Reverted):
        panel.market.node.send(A.address, panel.address, bytes.fromhex("deadbeef"))
