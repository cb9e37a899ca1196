"""depositWithPermit: the signer's tokens into the signer's account, and no one else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contracts.actors import DEPLOYER, RELAYER, STRANGER, Actor
from tests.contracts.desk import NEVER
from tests.contracts.market import Market
from tests.contracts.refusals import Code, refused
from tests.contracts.signatures import parts

OWNER = STRANGER
NO_PERMIT = b"\0" * 64 + b"\x1b"


@pytest.fixture
def rich(market: Market) -> Market:
    """A market in which the owner has 1,000 tokens and has approved nothing."""
    market.node.transact(DEPLOYER, market.token.mint, OWNER.address, 1_000)
    return market


def use_permit(market: Market, sender: Actor, sig: bytes, amount: int = 1_000) -> None:
    """Hand the permit to the token directly, as anybody who has seen it can."""
    spender = market.domain.escrow
    market.node.transact(sender, market.token.permit, OWNER.address, spender, amount, NEVER, *parts(sig))


@pytest.mark.parametrize("sender", [OWNER, RELAYER], ids=lambda actor: actor.role)
def test_deposit_with_permit__valid__credits_the_signer(rich: Market, sender: Actor) -> None:
    rich.deposit_with_permit(OWNER, 1_000, sig=rich.permit(OWNER, 1_000), sender=sender)
    assert rich.balance(OWNER) == 1_000
    assert rich.balance(RELAYER) == 0
    assert rich.token.allowance(OWNER.address, rich.domain.escrow) == 0


def test_deposit_with_permit__used_by_somebody_first__owner_still_deposits(rich: Market) -> None:
    sig = rich.permit(OWNER, 1_000)
    use_permit(rich, RELAYER, sig)
    rich.deposit_with_permit(OWNER, 1_000, sig=sig)
    assert rich.balance(OWNER) == 1_000


def test_deposit_with_permit__used_by_somebody_first__relayer_refused(rich: Market) -> None:
    """Otherwise anybody could move what the owner has approved for a purpose of his own."""
    sig = rich.permit(OWNER, 1_000)
    use_permit(rich, RELAYER, sig)
    with refused(Code.PERMIT_REFUSED, actual=1, limit=2):
        rich.deposit_with_permit(OWNER, 1_000, sig=sig, sender=RELAYER)


def test_deposit_with_permit__twice__refused(rich: Market) -> None:
    sig = rich.permit(OWNER, 500)
    rich.deposit_with_permit(OWNER, 500, sig=sig, sender=RELAYER)
    with refused(Code.PERMIT_REFUSED, actual=1, limit=2):
        rich.deposit_with_permit(OWNER, 500, sig=sig, sender=RELAYER)


def test_deposit_with_permit__relayer_with_an_old_allowance__refused(rich: Market) -> None:
    rich.node.transact(OWNER, rich.token.approve, rich.domain.escrow, 1_000)
    with refused(Code.PERMIT_REFUSED, actual=0, limit=1):
        rich.deposit_with_permit(OWNER, 1_000, sig=NO_PERMIT, sender=RELAYER)


def test_deposit_with_permit__owner_with_an_old_allowance__credits_him(rich: Market) -> None:
    rich.node.transact(OWNER, rich.token.approve, rich.domain.escrow, 1_000)
    rich.deposit_with_permit(OWNER, 1_000, sig=NO_PERMIT)
    assert rich.balance(OWNER) == 1_000


def test_deposit_with_permit__owner_without_either__refused(rich: Market) -> None:
    with refused(Code.TOKEN_REFUSED, actual=0, limit=1_000):
        rich.deposit_with_permit(OWNER, 1_000, sig=NO_PERMIT)


def test_deposit_with_permit__of_another_amount__refused(rich: Market) -> None:
    with refused(Code.PERMIT_REFUSED, actual=0, limit=1):
        rich.deposit_with_permit(OWNER, 999, sig=rich.permit(OWNER, 1_000), sender=RELAYER)


def test_deposit_with_permit__signed_by_another__refused(rich: Market) -> None:
    with refused(Code.PERMIT_REFUSED, actual=0, limit=1):
        rich.deposit_with_permit(OWNER, 1_000, sig=rich.permit(RELAYER, 1_000), sender=RELAYER)


def test_deposit_with_permit__after_its_deadline__refused(rich: Market) -> None:
    """The token says when: a permit counts in the second of its deadline."""
    deadline = rich.node.now + 100
    sig = rich.permit(OWNER, 1_000, deadline=deadline)
    rich.node.at(deadline + 1)
    with refused(Code.PERMIT_REFUSED, actual=0, limit=1):
        rich.deposit_with_permit(OWNER, 1_000, sig=sig, sender=RELAYER, deadline=deadline)


def test_deposit_with_permit__at_its_deadline__credits(rich: Market) -> None:
    deadline = rich.node.now + 100
    sig = rich.permit(OWNER, 1_000, deadline=deadline)
    rich.node.at(deadline)
    rich.deposit_with_permit(OWNER, 1_000, sig=sig, sender=RELAYER, deadline=deadline)


def test_deposit_with_permit__more_than_owned__refused(rich: Market) -> None:
    with refused(Code.TOKEN_REFUSED, actual=1_000, limit=1_001):
        rich.deposit_with_permit(OWNER, 1_001, sig=rich.permit(OWNER, 1_001), sender=RELAYER)


def test_deposit_with_permit__nothing__refused(rich: Market) -> None:
    with refused(Code.ZERO_AMOUNT, actual=0, limit=1):
        rich.deposit_with_permit(OWNER, 0, sig=rich.permit(OWNER, 0), sender=RELAYER)


# ---------------------------------------------------------------- tokens without permits


def approved(deploy: Callable[..., Market], token: Any) -> Market:
    """A market of a token without permits, which the owner has approved."""
    market = deploy(token=token)
    market.fund(OWNER, 1_000)
    return market


def test_deposit_with_permit__phantom_permit__refused_for_a_relayer(
    deploy: Callable[..., Market], mock: Callable[..., Any]
) -> None:
    market = approved(deploy, mock("CountingPhantomToken"))
    with refused(Code.PERMIT_REFUSED, actual=0, limit=1):
        market.deposit_with_permit(OWNER, 1_000, sig=NO_PERMIT, sender=RELAYER)


@pytest.mark.parametrize("token", ["PhantomPermitToken", "SilentToken"])
def test_deposit_with_permit__no_nonces__refused_for_a_relayer(
    deploy: Callable[..., Market], mock: Callable[..., Any], token: str
) -> None:
    market = approved(deploy, mock(token))
    with refused(Code.PERMIT_REFUSED, actual=0, limit=1):
        market.deposit_with_permit(OWNER, 1_000, sig=NO_PERMIT, sender=RELAYER)
    assert market.balance(OWNER) == 0


@pytest.mark.parametrize("token", ["CountingPhantomToken", "PhantomPermitToken", "SilentToken"])
def test_deposit_with_permit__no_permits__the_owners_allowance_counts(
    deploy: Callable[..., Market], mock: Callable[..., Any], token: str
) -> None:
    market = approved(deploy, mock(token))
    market.deposit_with_permit(OWNER, 1_000, sig=NO_PERMIT)
    assert market.balance(OWNER) == 1_000
