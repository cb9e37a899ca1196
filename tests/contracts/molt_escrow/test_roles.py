"""offerRole and acceptRole: a role is handed over in two steps, by its holder and whom he names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contracts.actors import BUYER, FEE_RECIPIENT, FEE_SETTER, GUARDIAN, OPENER, STRANGER, Actor
from tests.contracts.factories import ZERO_ADDRESS
from tests.contracts.market import Market
from tests.contracts.refusals import Code, Reverted, refused

GUARDS, SETS_FEES = range(2)  # enum Role
ROLES = {GUARDS: GUARDIAN, SETS_FEES: FEE_SETTER}

Deploy = Callable[..., Market]
both_roles = pytest.mark.parametrize("role", ROLES, ids=["guardian", "fee setter"])


def offer(market: Market, role: int, to: Actor) -> None:
    receipt = market.send(ROLES[role], "offerRole", role, to.address)
    says = {"role": role, "holder": ROLES[role].address, "pending": to.address}
    assert receipt.events(market.escrow) == [("RoleOffered", says)]


def accept(market: Market, role: int, by: Actor) -> None:
    receipt = market.send(by, "acceptRole", role)
    assert receipt.events(market.escrow) == [("RoleAccepted", {"role": role, "holder": by.address})]


def use(market: Market, role: int, by: Actor) -> None:
    """Do what only the holder may."""
    if role == GUARDS:
        market.pause(by)
    else:
        market.schedule_fee(50, by)


# ---------------------------------------------------------------- two steps


@both_roles
def test_offer_role__not_accepted_yet__stays_with_its_holder(market: Market, role: int) -> None:
    offer(market, role, OPENER)
    assert market.role_of(role) == (ROLES[role].address, OPENER.address)
    with refused(Code.NOT_HOLDER, actual=OPENER.address, limit=ROLES[role].address):
        use(market, role, OPENER)
    use(market, role, ROLES[role])


@both_roles
def test_accept_role__offered__moves_it(market: Market, role: int) -> None:
    offer(market, role, OPENER)
    accept(market, role, OPENER)
    assert market.role_of(role) == (OPENER.address, ZERO_ADDRESS)
    with refused(Code.NOT_HOLDER, actual=ROLES[role].address, limit=OPENER.address):
        use(market, role, ROLES[role])
    use(market, role, OPENER)


@both_roles
def test_accept_role__offered__leaves_the_other_role(market: Market, role: int) -> None:
    offer(market, role, OPENER)
    accept(market, role, OPENER)
    assert market.role_of(1 - role) == (ROLES[1 - role].address, ZERO_ADDRESS)


@both_roles
def test_accept_role__offered_by_its_next_holder__goes_on(market: Market, role: int) -> None:
    offer(market, role, OPENER)
    accept(market, role, OPENER)
    market.send(OPENER, "offerRole", role, ROLES[role].address)
    accept(market, role, ROLES[role])
    use(market, role, ROLES[role])


@both_roles
def test_accept_role__twice__refused(market: Market, role: int) -> None:
    offer(market, role, OPENER)
    accept(market, role, OPENER)
    with refused(Code.NOT_HOLDER, actual=OPENER.address, limit=0):
        accept(market, role, OPENER)


@both_roles
def test_accept_role__nothing_offered__refused(market: Market, role: int) -> None:
    with refused(Code.NOT_HOLDER, actual=STRANGER.address, limit=0):
        accept(market, role, STRANGER)


@both_roles
def test_accept_role__offered_to_another__refused(market: Market, role: int) -> None:
    offer(market, role, OPENER)
    with refused(Code.NOT_HOLDER, actual=STRANGER.address, limit=OPENER.address):
        accept(market, role, STRANGER)


@both_roles
def test_accept_role__other_role_offered__refused(market: Market, role: int) -> None:
    offer(market, role, OPENER)
    with refused(Code.NOT_HOLDER, actual=OPENER.address, limit=0):
        accept(market, 1 - role, OPENER)


# ---------------------------------------------------------------- the offer


@both_roles
def test_offer_role__to_nobody__takes_the_offer_back(market: Market, role: int) -> None:
    offer(market, role, OPENER)
    market.send(ROLES[role], "offerRole", role, ZERO_ADDRESS)
    assert market.role_of(role) == (ROLES[role].address, ZERO_ADDRESS)
    with refused(Code.NOT_HOLDER, actual=OPENER.address, limit=0):
        accept(market, role, OPENER)


@both_roles
def test_offer_role__to_another__replaces_the_first(market: Market, role: int) -> None:
    offer(market, role, OPENER)
    offer(market, role, BUYER)
    with refused(Code.NOT_HOLDER, actual=OPENER.address, limit=BUYER.address):
        accept(market, role, OPENER)
    accept(market, role, BUYER)


@both_roles
@pytest.mark.parametrize("sender", [STRANGER, FEE_RECIPIENT, BUYER], ids=lambda actor: actor.role)
def test_offer_role__by_a_stranger__refused(market: Market, role: int, sender: Actor) -> None:
    with refused(Code.NOT_HOLDER, actual=sender.address, limit=ROLES[role].address):
        market.send(sender, "offerRole", role, sender.address)


@both_roles
def test_offer_role__by_the_other_roles_holder__refused(market: Market, role: int) -> None:
    other = ROLES[1 - role]
    with refused(Code.NOT_HOLDER, actual=other.address, limit=ROLES[role].address):
        market.send(other, "offerRole", role, other.address)


@both_roles
def test_offer_role__by_whom_it_is_offered_to__refused(market: Market, role: int) -> None:
    offer(market, role, OPENER)
    with refused(Code.NOT_HOLDER, actual=OPENER.address, limit=ROLES[role].address):
        market.send(OPENER, "offerRole", role, OPENER.address)


@pytest.mark.parametrize("verb", ["offerRole", "acceptRole"])
def test_offer_role__of_no_such_role__reverted(market: Market, verb: str) -> None:
    arguments = (GUARDS, STRANGER.address) if verb == "offerRole" else (GUARDS,)
    data = market.encode(verb, *arguments)
    with pytest.raises(Reverted):
        market.node.send(GUARDIAN.address, market.domain.escrow, data[:35] + b"\x02" + data[36:])


# ---------------------------------------------------------------- a role that nobody has


@both_roles
def test_offer_role__of_nobodys__stays_empty(deploy: Deploy, role: int) -> None:
    """Deployed without a holder, a role has none for ever: there is nobody to offer it."""
    market = deploy(**{"guardian" if role == GUARDS else "fee_setter": ZERO_ADDRESS})
    assert market.role_of(role) == (ZERO_ADDRESS, ZERO_ADDRESS)
    for sender in (STRANGER, ROLES[role], ROLES[1 - role]):
        with refused(Code.NOT_HOLDER, actual=sender.address, limit=0):
            market.send(sender, "offerRole", role, sender.address)
        with refused(Code.NOT_HOLDER, actual=sender.address, limit=0):
            market.send(sender, "acceptRole", role)
        with refused(Code.NOT_HOLDER, actual=sender.address, limit=0):
            use(market, role, sender)


def test_role_of__deployed__reads_the_holders(market: Market) -> None:
    assert market.role_of(GUARDS) == (GUARDIAN.address, ZERO_ADDRESS)
    assert market.role_of(SETS_FEES) == (FEE_SETTER.address, ZERO_ADDRESS)
