"""What a deployment will create, worked out without a chain; the integration tests compare it with one."""

import pytest
from eth_utils import keccak

from molt_market.chain.artefacts import artefact
from molt_market.chain.plans import (
    FACTORY,
    NO_SALT,
    DeploymentSpec,
    PanelSpec,
    Plan,
    TokenSpec,
    address_by_factory,
    immutables_of,
    plan_deployment,
)
from molt_market.domain.ids import ZERO_ADDRESS, Address, Hash32
from molt_market.errors import InvalidValue
from tests.factories import BUYER, PROVIDER

TOKEN = Address("0x" + "ab" * 20)
SPEC = DeploymentSpec(TokenSpec(), BUYER, BUYER, BUYER, panel=PanelSpec((PROVIDER, BUYER), 2))


def plan(spec: DeploymentSpec = SPEC, *, nonce: int = 5, salt: Hash32 | None = None, **placed: int) -> Plan:
    known = {name: (TOKEN, used) for name, used in placed.items()}
    return plan_deployment(spec, chain_id=7, sender=BUYER, nonce=nonce, salt=salt, placed=known)


def test_plan__creates_in_the_order_of_what_needs_what() -> None:
    planned = plan()
    assert [each.contract for each in planned.creations] == ["MoltToken", "MoltEscrow", "PanelArbiter"]
    assert [each.nonce for each in planned.creations] == [5, 6, 7]
    assert len({each.address for each in planned.creations}) == 3
    assert planned.escrow.values[0] == planned.token == planned.creations[0].address


def test_plan__token_that_is_there__creates_none() -> None:
    planned = plan(DeploymentSpec(TOKEN, BUYER, BUYER, BUYER))
    assert [each.contract for each in planned.creations] == ["MoltEscrow"]
    assert planned.token == TOKEN


def test_plan__something_is_placed__keeps_its_address_and_its_nonce() -> None:
    planned = plan(nonce=9, MoltToken=3)
    assert (planned.token, planned.escrow.values[0]) == (TOKEN, TOKEN)
    assert [each.nonce for each in planned.creations] == [3, 9, 10]


def test_plan__with_a_salt__addresses_hang_on_neither_account_nor_nonce() -> None:
    one = plan(salt=NO_SALT)
    other = plan_deployment(SPEC, chain_id=8, sender=PROVIDER, nonce=1, salt=NO_SALT)
    assert [each.address for each in one.creations] == [each.address for each in other.creations]
    assert one.escrow.address != plan(salt=Hash32("0x" + "01" * 32)).escrow.address
    assert one.escrow.call.to == FACTORY
    assert one.escrow.call.data == bytes(32) + one.escrow.init_code


def test_factory__address__is_that_of_the_standard() -> None:
    """EIP-1014: keccak256(0xff ++ deployer ++ salt ++ keccak256(init code)), the last 20 bytes."""
    hashed = keccak(b"\xff" + bytes.fromhex(FACTORY[2:]) + bytes(32) + keccak(b"code"))
    assert address_by_factory(NO_SALT, b"code") == Address("0x" + hashed[12:].hex())


@pytest.mark.parametrize(
    "spec", [PanelSpec((BUYER,), 2), PanelSpec((BUYER,), 0), PanelSpec((), 0), PanelSpec((BUYER, BUYER), 1)]
)
def test_panel__that_cannot_rule__is_refused(spec: PanelSpec) -> None:
    with pytest.raises(InvalidValue):
        plan(DeploymentSpec(TOKEN, BUYER, BUYER, BUYER, panel=spec))


def test_panel__members__ascend() -> None:
    members, threshold = PanelSpec((PROVIDER, BUYER), 2).values
    assert (list(members), threshold) == (sorted([BUYER, PROVIDER], key=Address.number), 2)


@pytest.mark.parametrize("decimals", [-1, 19, 6.0])
def test_token__of_other_decimals__is_refused(decimals: int) -> None:
    with pytest.raises(InvalidValue, match="decimals"):
        TokenSpec("Test", "TST", decimals)


def test_immutables__are_all_that_the_compiler_left_open() -> None:
    for creation in plan().creations:
        known = immutables_of(creation.contract, creation.values, creation.address, 7)
        assert known.keys() == artefact(creation.contract).immutables.keys()
        assert artefact(creation.contract).is_code(creation.code)


def test_immutables__of_another_contract__are_not_known() -> None:
    with pytest.raises(InvalidValue):
        immutables_of("TransferTrial", (), ZERO_ADDRESS, 1)
