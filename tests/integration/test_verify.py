"""`scripts/verify.py` against a chain on which the code is ours, and one on which it was tampered with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import solcx
from eth_utils import keccak

from molt_market.chain.artefacts import WORD_BYTES, Artefact, artefact, read_artefact
from molt_market.chain.deploy import Deployer
from molt_market.chain.deployments import DeployedContract, Deployment, hash_of
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.chain.plans import NO_SALT, DeploymentSpec, PanelSpec, TokenSpec
from molt_market.domain.ids import Address, Hash32
from molt_market.testing import anvil, dev_wallet
from scripts.export_abi import COMPILER, compile_contracts
from scripts.verify import Outcome, Verdict, main, verify

Sources = dict[str, Artefact]

CHAIN = 421_614
ME = dev_wallet(0).address
STRANGER = Address("0x" + "55" * 20)
PANEL = PanelSpec((dev_wallet(1).address, dev_wallet(2).address), 2)
SPEC = DeploymentSpec(TokenSpec("Test Dollar", "TUSD", 6), ME, ME, ME, panel=PANEL)


@pytest.fixture(scope="module")
def deployed() -> Iterator[tuple[str, Deployment]]:
    with anvil(chain_id=CHAIN) as url:
        yield url, Deployer(Network.custom(CHAIN, url), dev_wallet(0), SPEC, salt=NO_SALT).run()


@pytest.fixture
def node(deployed: tuple[str, Deployment]) -> Iterator[Node]:
    node = Node(deployed[0])
    snapshot = node.request("evm_snapshot")
    yield node
    node.request("evm_revert", snapshot)


@pytest.fixture
def deployment(deployed: tuple[str, Deployment]) -> Deployment:
    return deployed[1]


@pytest.fixture(scope="module")
def sources() -> Sources:
    return {name: read_artefact(stored) for name, stored in compile_contracts().items()}


def verdict(deployment: Deployment, node: Node, sources: Sources, name: str) -> Verdict:
    """Return what is said of one contract, which has to be the only one that something is said against."""
    said = list(verify(deployment, node, sources))
    assert [each.contract for each in said if not each.is_good] == [name]
    return next(each for each in said if not each.is_good)


def entry(deployment: Deployment, name: str) -> DeployedContract:
    return next(each for each in deployment.contracts if each.name == name)


def with_entry(deployment: Deployment, name: str, **changes: object) -> Deployment:
    """Change the file's entry of one contract."""
    contracts = [
        each.model_copy(update=changes) if each.name == name else each for each in deployment.contracts
    ]
    return deployment.model_copy(update={"contracts": tuple(contracts)})


def test_verify__as_deployed__all_is_the_same(
    deployment: Deployment, node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(deployment.save(tmp_path))
    assert main([file, "--rpc-url", node.url, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    names = ("MoltToken", "MoltEscrow", "PanelArbiter")
    assert [(each["contract"], each["outcome"]) for each in said] == [(name, Outcome.SAME) for name in names]
    node.request("hardhat_setCode", deployment.escrow, "0x00")
    assert main([file, "--rpc-url", node.url]) == 1
    assert f"FAIL MoltEscrow {deployment.escrow}: other code, 1 bytes" in capsys.readouterr().out


def test_verify__file_that_lists_no_contracts__looks_at_the_escrow(
    deployment: Deployment, node: Node, sources: Sources
) -> None:
    old = deployment.model_copy(update={"contracts": (), "arbiter": None})
    assert [(each.contract, each.is_good) for each in verify(old, node, sources)] == [("MoltEscrow", True)]
    node.request("hardhat_setCode", deployment.escrow, "0x00")
    assert verdict(old, node, sources, "MoltEscrow").outcome is Outcome.OTHER_CODE


@pytest.mark.parametrize("name", ["MoltToken", "MoltEscrow", "PanelArbiter"])
def test_verify__any_immutable_is_another__is_refused(
    deployment: Deployment, node: Node, sources: Sources, name: str
) -> None:
    """Each of them, at each of its places in the code."""
    address = entry(deployment, name).address
    code = node.code(address)
    for immutable, places in artefact(name).immutables.items():
        for start in places:
            tampered = bytearray(code)
            tampered[start + WORD_BYTES - 1] ^= 1
            node.request("hardhat_setCode", address, "0x" + tampered.hex())
            found = verdict(deployment, node, sources, name)
            assert found.outcome is Outcome.OTHER_VALUES
            assert found.reason.startswith(f"{immutable} is")


@pytest.mark.parametrize("place", [0, 10_000, -1])
def test_verify__any_other_byte__is_refused(
    deployment: Deployment, node: Node, sources: Sources, place: int
) -> None:
    code = bytearray(node.code(deployment.escrow))
    code[place] ^= 0xFF
    node.request("hardhat_setCode", deployment.escrow, "0x" + code.hex())
    found = verdict(deployment, node, sources, "MoltEscrow")
    assert found.outcome is Outcome.OTHER_CODE
    assert found.reason.startswith(f"byte {place % len(code):,} is")


def test_verify__no_code__is_refused(deployment: Deployment, node: Node, sources: Sources) -> None:
    node.request("hardhat_setCode", deployment.escrow, "0x")
    assert verdict(deployment, node, sources, "MoltEscrow").outcome is Outcome.NO_CODE


def test_verify__guardian_is_another__is_refused_by_the_factorys_address(
    deployment: Deployment, node: Node, sources: Sources
) -> None:
    """The guardian is in storage, and not in the code: but the address hangs on it."""
    words = entry(deployment, "MoltEscrow").arguments
    guardian = 2 * 64
    other = words[:guardian] + STRANGER[2:].lower().rjust(64, "0") + words[guardian + 64 :]
    changed = with_entry(deployment, "MoltEscrow", arguments=other)
    assert verdict(changed, node, sources, "MoltEscrow").outcome is Outcome.OTHER_ADDRESS


def test_verify__members_are_others__is_refused(deployment: Deployment, node: Node, sources: Sources) -> None:
    """The first one lies at keccak256 of the array's slot, which is the third: two are EIP712's."""
    slot = Hash32.of(keccak((2).to_bytes(32, "big")))
    word = "0x" + STRANGER[2:].rjust(64, "0")
    node.request("hardhat_setStorageAt", entry(deployment, "PanelArbiter").address, slot, word)
    found = verdict(deployment, node, sources, "PanelArbiter")
    assert (found.outcome, "members" in found.reason) == (Outcome.OTHER_VALUES, True)


@pytest.mark.parametrize(
    "changes",
    [{"fee_recipient": STRANGER}, {"withdraw_delay_seconds": 1}, {"code_hash": hash_of(b"")}],
    ids=str,
)
def test_verify__file_says_otherwise__is_refused(
    deployment: Deployment, node: Node, sources: Sources, changes: dict[str, object]
) -> None:
    changed = deployment.model_copy(update=changes)
    assert verdict(changed, node, sources, "MoltEscrow").outcome is Outcome.OTHER_VALUES


def test_verify__file_names_another_escrow_than_it_lists__is_refused(
    deployment: Deployment, node: Node, sources: Sources
) -> None:
    changed = deployment.model_copy(update={"escrow": STRANGER})
    assert verdict(changed, node, sources, "MoltEscrow").outcome is Outcome.OTHER_ADDRESS


def test_verify__nothing_to_compare__says_why(
    deployment: Deployment, node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = deployment.save(tmp_path)
    with anvil() as other:
        assert main([str(file), "--rpc-url", other]) == 1
    assert f"chain {CHAIN} was asked for" in capsys.readouterr().err
    assert main([str(tmp_path / "1.json"), "--rpc-url", node.url]) == 1
    assert "no deployment is known" in capsys.readouterr().err
    assert main([str(file.rename(tmp_path / "base.json"))]) == 1
    assert "<chain-id>.json" in capsys.readouterr().err


def test_standard_json__in_an_empty_folder__compiles_to_the_same(tmp_path: Path) -> None:
    """As an explorer does it: all sources are in the file. One contract, for the compiler's time."""
    file, empty = tmp_path / "standard.json", tmp_path / "empty"
    empty.mkdir()
    assert main(["--standard-json", str(file)]) == 0
    given = json.loads(file.read_text("utf-8"))
    assert all("content" in source for source in given["sources"].values())
    source = "contracts/PanelArbiter.sol"
    given["settings"]["outputSelection"] = {source: {"PanelArbiter": ["evm.bytecode.object"]}}
    compiled = solcx.compile_standard(given, base_path=empty, solc_binary=COMPILER)
    bytecode = compiled["contracts"][source]["PanelArbiter"]["evm"]["bytecode"]["object"]
    assert bytes.fromhex(bytecode) == artefact("PanelArbiter").creation_code
