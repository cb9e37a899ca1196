"""A deployment that is planned, carried out, killed at every step, and gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from molt_market.chain.client import MoltClient
from molt_market.chain.deploy import Deployer, State, deploy, has_factory
from molt_market.chain.interface import interface
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.chain.plans import FACTORY, FACTORY_CODE, NO_SALT, DeploymentSpec, PanelSpec, TokenSpec
from molt_market.domain.ids import Address, Hash32
from molt_market.domain.transactions import Call, SignedTransaction
from molt_market.errors import (
    DeploymentMismatch,
    InvalidValue,
    OtherDeployment,
    UnsuitableToken,
    WrongChain,
)
from molt_market.refusals import DeploymentOutOfRange
from molt_market.testing import anvil, dev_wallet

OTHER_CHAIN = 84_532
WALLET = dev_wallet(0)
ME = WALLET.address
SPEC = DeploymentSpec(
    TokenSpec(), ME, ME, ME, panel=PanelSpec((dev_wallet(1).address, dev_wallet(2).address), 2)
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with anvil() as url:
        yield url


@pytest.fixture
def url(address: str) -> Iterator[str]:
    node = Node(address)
    snapshot = node.request("evm_snapshot")
    yield address
    node.request("evm_revert", snapshot)


def deployer(
    url: str,
    spec: DeploymentSpec = SPEC,
    *,
    chain_id: int = 31_337,
    salt: Hash32 | None = NO_SALT,
    journal: Path | None = None,
) -> Deployer:
    return Deployer(Network.custom(chain_id, url), WALLET, spec, salt=salt, journal=journal)


def nonces(url: str) -> int:
    return Node(url).number("eth_getTransactionCount", ME, "latest")


class Killed(BaseException):
    """The process is gone, as far as this test goes; tests/contracts kills a real one."""


def die_after(monkeypatch: pytest.MonkeyPatch, broken: Deployer, step: str, count: int) -> None:
    """Have it die in place of the `count`-th time that it does `step`."""
    original = getattr(broken.transactions, step)
    calls = iter(range(1, 10))

    def dying(signed: SignedTransaction) -> object:
        if next(calls) == count:
            raise Killed
        return original(signed)

    monkeypatch.setattr(broken.transactions, step, dying)


# ---------------------------------------------------------------- addresses


def test_factory__is_anvils_own() -> None:
    with anvil() as url:
        assert has_factory(Node(url))


def test_run__by_the_factory__same_addresses_on_another_chain(url: str) -> None:
    one = deployer(url).run()
    with anvil(chain_id=OTHER_CHAIN) as other_url:
        other = deployer(other_url, chain_id=OTHER_CHAIN).run()
    assert (one.chain_id, other.chain_id) == (31_337, OTHER_CHAIN)
    assert (one.escrow, one.token_address, one.arbiter) == (other.escrow, other.token_address, other.arbiter)
    assert one.code_hash != other.code_hash, "the chain's id is in the code"


@pytest.mark.parametrize("salt", [NO_SALT, None], ids=["by the factory", "by the account"])
def test_run__is_as_it_was_planned(url: str, salt: Hash32 | None) -> None:
    ours = deployer(url, salt=salt)
    ours.check()
    planned = ours.steps()
    assert [step.state for step in planned] == [State.TO_DO] * 3
    done = ours.run()
    assert [each.address for each in done.contracts] == [step.creation.address for step in planned]
    assert [Node(url).code(step.creation.address) for step in planned] == [
        step.creation.code for step in planned
    ]
    used = [Node(url).request("eth_getBlockByNumber", hex(block), True) for block in range(1, 4)]
    gas = [int(block["gasUsed"], 16) for block in used]
    assert all(took <= step.gas for took, step in zip(gas, planned, strict=True))
    client = MoltClient(Network.custom(31_337, url), deployment=done)
    assert client.token.symbol == "MOLT"
    assert done.block == 2


def test_run__again__creates_nothing_and_finds_the_block(url: str) -> None:
    first = deployer(url).run()
    Node(url).request("hardhat_mine", "0x20")
    before = nonces(url)
    again = deployer(url)
    assert [step.state for step in again.steps()] == [State.THERE] * 3
    assert again.run() == first
    assert nonces(url) == before


# ---------------------------------------------------------------- killed


DEATHS = [(step, count) for step in ("broadcast", "wait") for count in (1, 2, 3)]


@pytest.mark.parametrize("salt", [NO_SALT, None], ids=["by the factory", "by the account"])
@pytest.mark.parametrize("death", DEATHS, ids=str)
def test_run__killed__goes_on_and_creates_nothing_twice(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, salt: Hash32 | None, death: tuple[str, int]
) -> None:
    """`broadcast`: it was signed and never sent; `wait`: it was sent, and nobody heard what became of it."""
    journal = tmp_path / "31337.journal"
    broken = deployer(url, salt=salt, journal=journal)
    planned = [each.creation.address for each in broken.steps()]
    before = nonces(url)
    with monkeypatch.context() as patch:
        die_after(patch, broken, *death)
        with pytest.raises(Killed):
            broken.run()
    later = deployer(url, salt=salt, journal=journal)
    assert [each.creation.address for each in later.steps()] == planned
    done = later.run()
    assert [each.address for each in done.contracts] == planned
    assert nonces(url) == before + 3


def test_run__what_was_sent_never_was_mined__is_sent_anew(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "31337.journal"
    broken = deployer(url, salt=None, journal=journal)
    with monkeypatch.context() as patch:
        die_after(patch, broken, "broadcast", 1)
        with pytest.raises(Killed):
            broken.run()
    deploy(Network.custom(31_337, url), WALLET)  # takes the nonce
    done = deployer(url, salt=None, journal=journal).run()
    assert len(done.contracts) == 3


def test_journal__of_other_values__is_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "31337.journal"
    broken = deployer(url, journal=journal)
    with monkeypatch.context() as patch:
        die_after(patch, broken, "wait", 1)
        with pytest.raises(Killed):
            broken.run()
    other = DeploymentSpec(TokenSpec(), ME, ME, ME, fee_bps=50)
    with pytest.raises(OtherDeployment, match="other values"):
        deployer(url, other, journal=journal)
    with anvil() as elsewhere, pytest.raises(OtherDeployment, match="another chain"):
        deployer(elsewhere, journal=journal)


def test_journal__damaged__is_refused(url: str, tmp_path: Path) -> None:
    (tmp_path / "31337.journal").write_text("{", "utf-8")
    with pytest.raises(OtherDeployment, match="no journal"):
        deployer(url, journal=tmp_path / "31337.journal")


# ---------------------------------------------------------------- refused


def test_check__other_code_at_an_address__is_refused(url: str) -> None:
    ours = deployer(url)
    Node(url).request("hardhat_setCode", ours.plan().escrow.address, "0x6000")
    with pytest.raises(DeploymentMismatch, match="other code"):
        ours.check()
    before = nonces(url)
    with pytest.raises(DeploymentMismatch, match="other code"):
        ours.run()
    assert nonces(url) == before + 1, "the token came first"


def test_deployer__other_code_in_the_factorys_place__is_not_the_factory(url: str) -> None:
    node = Node(url)
    assert node.code(FACTORY) == FACTORY_CODE
    for code in ("0x", "0x6000"):
        node.request("hardhat_setCode", FACTORY, code)
        assert not has_factory(node)
        with pytest.raises(InvalidValue, match="leave the salt out"):
            deployer(url, salt=NO_SALT)


def test_deployer__chain_of_another_id__is_refused(url: str) -> None:
    with pytest.raises(WrongChain):
        deployer(url, chain_id=OTHER_CHAIN)


@pytest.mark.parametrize("salt", [NO_SALT, None], ids=["by the factory", "by the account"])
def test_check__value_that_the_escrow_refuses__is_told_before_its_token_is_paid(
    url: str, salt: Hash32 | None
) -> None:
    with pytest.raises(DeploymentOutOfRange) as refused:
        deployer(url, DeploymentSpec(TokenSpec(), ME, ME, ME, fee_bps=301), salt=salt).check()
    assert (refused.value.actual, refused.value.limit) == (301, 300)
    assert nonces(url) == 0


def test_check__fee_above_the_cap__is_told_though_a_factory_would_swallow_it(url: str) -> None:
    token = deploy(Network.custom(31_337, url), WALLET).token_address
    mint(url, token, 20_000)
    with pytest.raises(DeploymentOutOfRange):
        deployer(url, DeploymentSpec(token, ME, ME, ME, fee_bps=301)).check()


def test_file__of_another_escrow_that_is_there__is_kept(url: str, tmp_path: Path) -> None:
    first = deployer(url).run()
    first.save(tmp_path)
    deployer(url).require_no_other(tmp_path)
    other = deployer(url, salt=Hash32("0x" + "01" * 32))
    with pytest.raises(OtherDeployment, match=first.escrow):
        other.require_no_other(tmp_path)
    Node(url).request("hardhat_setCode", first.escrow, "0x")
    other.require_no_other(tmp_path)


def test_deploy__token_that_nobody_has__asks_for_a_holder(url: str) -> None:
    token = deploy(Network.custom(31_337, url), WALLET).token_address
    with pytest.raises(InvalidValue, match="name an account that has"):
        deploy(Network.custom(31_337, url), WALLET, token=token)
    mint(url, token, 20_000)
    assert deploy(Network.custom(31_337, url), WALLET, token=token, token_holder=ME).token_address == token


def test_deploy__no_token__is_refused(url: str) -> None:
    with pytest.raises(UnsuitableToken, match="no contract"):
        deploy(Network.custom(31_337, url), WALLET, token=Address("0x" + "11" * 20))


def mint(url: str, token: Address, units: int) -> None:
    call = Call(token, interface("MoltToken").encode("mint", ME, units))
    deployer(url).transactions.send(call, WALLET)
