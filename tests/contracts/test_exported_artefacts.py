"""What the package ships is what these tests prove: ape compiles the bytecode that was exported."""

import json
from pathlib import Path

import pytest
from ape.managers.project import LocalProject

EXPORTED = sorted((Path(__file__).resolve().parents[2] / "molt_market" / "chain" / "abi").glob("*.json"))


def test_export__has_contracts() -> None:
    assert EXPORTED


@pytest.mark.parametrize("file", EXPORTED, ids=lambda file: file.stem)
def test_export__is_the_tested_contract(project: LocalProject, file: Path) -> None:
    artefact = json.loads(file.read_text("utf-8"))
    compiled = project.get_contract(file.stem).contract_type
    assert artefact["bytecode"] == compiled.deployment_bytecode.bytecode
    assert artefact["deployedBytecode"] == compiled.runtime_bytecode.bytecode
