"""One chain per file; what a test does on it is undone after the test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from molt_market.testing import Devnet, devnet
from tests.integration.scene import SPEC, Scene
from tests.tokens import pytest_ignore_collect  # noqa: F401 - a hook

HERE = Path(__file__).parent
NODES = HERE.with_name("nodes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With Hardhat's node in Anvil's place, leave out what the list beside it says that it cannot do."""
    if Path(os.environ.get("MOLT_ANVIL", "")).name != "hardhat.mjs":
        return
    lines = (NODES / "hardhat.txt").read_text("utf-8").splitlines()
    lacking = {line.partition(" # ")[0] for line in lines if line and not line.startswith("#")}
    assert {each.partition("::")[0] for each in lacking} <= {path.name for path in HERE.glob("test_*.py")}
    left_out = [item for item in items if lacking & names_of(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def names_of(item: pytest.Item) -> set[str]:
    """Return what the list may say of a test: its file, or its file and name."""
    return {item.path.name, f"{item.path.name}::{item.name.partition('[')[0]}"}


@pytest.fixture(scope="module")
def chain() -> Iterator[Devnet]:
    with devnet(token=SPEC) as net:
        yield net


@pytest.fixture
def net(chain: Devnet) -> Iterator[Devnet]:
    with chain.isolated():
        yield chain


@pytest.fixture
def scene(net: Devnet) -> Scene:
    return Scene(net)


@pytest.fixture
def folder(net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the deployment's file, and the environment of somebody who uses it."""
    (tmp_path / f"{net.deployment.chain_id}.json").write_text(net.deployment.model_dump_json())
    for name in [name for name in os.environ if name.startswith("MOLT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MOLT_RPC_URL", net.url)
    monkeypatch.setenv("MOLT_DEPLOYMENTS", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    return tmp_path
