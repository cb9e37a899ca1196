"""The independent sides: contracts on a chain of their own, and viem in one process per batch."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import solcx
from web3 import Web3
from web3.contract import Contract

from scripts.export_abi import COMPILER, SETTINGS
from tests.parity.stage import Stage
from tests.unit.signing.keys import BUYER, BUYER_KEY, PROVIDER

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".toolchain" / "bin"
VIEM = Path(__file__).with_name("viem_hash.mjs")
DEPLOYER = Web3.to_checksum_address("0xa0ee7a142d267c1f36714e4a8f75612f20a79720")  # Anvil's last account

SOURCES = {
    "HashesHarness": "contracts/mocks/HashesHarness.sol",
    "MoneyHarness": "contracts/mocks/MoneyHarness.sol",
    "MoltEscrow": "contracts/MoltEscrow.sol",
    "MoltToken": "contracts/MoltToken.sol",
}


@pytest.fixture(scope="session")
def chain() -> Iterator[Web3]:
    """Start an Anvil that nobody else uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [_tool("anvil"), "--silent", "--hardfork", "prague", "--port", str(port)]
    process = subprocess.Popen(command)
    try:
        web3 = Web3(Web3.HTTPProvider(f"http://127.0.0.1:{port}"))
        until = time.monotonic() + 20
        while not web3.is_connected():
            assert process.poll() is None, "anvil ended at once"
            assert time.monotonic() < until, "anvil does not answer"
            time.sleep(0.05)
        web3.eth.default_account = DEPLOYER
        yield web3
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture(scope="session")
def artefacts() -> dict[str, Any]:
    """Compile the contracts as they are released."""
    outputs = {
        path: {name: ["abi", "evm.bytecode.object", "storageLayout"]} for name, path in SOURCES.items()
    }
    compiled = solcx.compile_standard(
        {
            "language": "Solidity",
            "settings": SETTINGS | {"outputSelection": outputs},
            "sources": {path: {"content": (ROOT / path).read_text("utf-8")} for path in SOURCES.values()},
        },
        base_path=ROOT,
        solc_binary=COMPILER,
    )
    return {name: compiled["contracts"][path][name] for name, path in SOURCES.items()}


@pytest.fixture(scope="session")
def deploy(chain: Web3, artefacts: dict[str, Any]) -> Callable[..., Contract]:
    """Return a function that deploys a contract by name."""

    def deploy(name: str, *args: Any) -> Contract:
        artefact = artefacts[name]
        factory = chain.eth.contract(
            abi=artefact["abi"], bytecode=artefact["evm"]["bytecode"]["object"], decode_tuples=True
        )
        receipt = chain.eth.wait_for_transaction_receipt(factory.constructor(*args).transact())
        return factory(receipt["contractAddress"])

    return deploy


@pytest.fixture(scope="session")
def hashes(deploy: Callable[..., Contract]) -> Contract:
    return deploy("HashesHarness")


@pytest.fixture(scope="session")
def viem() -> Callable[..., dict[str, Any]]:
    """Return a function that asks viem about many items at once; see viem_hash.mjs."""

    def ask(items: list[dict[str, Any]] | None = None, sets: list[list[str]] | None = None) -> dict[str, Any]:
        question = json.dumps({"key": BUYER_KEY, "items": items or [], "addresses": sets or []})
        command = [_tool("node"), str(VIEM)]
        done = subprocess.run(command, input=question, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return ask


def _tool(name: str) -> str:
    own = TOOLS / name
    found = str(own) if own.exists() else shutil.which(name)
    assert found, f"{name} is not set up: run `make dev`"
    return found


@pytest.fixture(scope="module")
def stage(chain: Web3, deploy: Callable[..., Contract], artefacts: dict[str, Any]) -> Stage:
    """An escrow with a funded buyer and a funded provider."""
    token = deploy("MoltToken", "Molt", "MOLT", 18)
    escrow = deploy("MoltEscrow", token.address, DEPLOYER, DEPLOYER, DEPLOYER, 100, 60, 60)
    variables = artefacts["MoltEscrow"]["storageLayout"]["storage"]
    stage = Stage(chain, token, escrow, {each["label"]: int(each["slot"]) for each in variables})
    stage.fund(BUYER, 10**24)
    stage.fund(PROVIDER, 10**24)
    return stage
