"""The same compiler with the same settings everywhere, locks that any machine can use, lists without gaps."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from scripts import export_abi
from tests.tokens import SIDES

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def test_forge__compiles_with_the_exported_settings() -> None:
    forge = read_toml("foundry.toml")["profile"]["default"]
    assert forge["solc"] == f".toolchain/solc-v{export_abi.SOLC_VERSION}"
    assert forge["offline"]
    assert {
        "evmVersion": forge["evm_version"],
        "metadata": {"appendCBOR": forge["cbor_metadata"], "bytecodeHash": forge["bytecode_hash"]},
        "optimizer": {"enabled": forge["optimizer"], "runs": forge["optimizer_runs"]},
        "remappings": [line for line in forge["remappings"] if line.startswith("@openzeppelin/")],
        "viaIR": forge["via_ir"],
    } == export_abi.SETTINGS


def test_ape__compiles_with_the_exported_settings() -> None:
    """The metadata has no setting in ape: the compiler wrapper sets it for all."""
    ape = section("solidity", (ROOT / "ape-config.yaml").read_text("utf-8"))
    assert ape["version"] == export_abi.SOLC_VERSION
    assert ape["evm_version"] == export_abi.SETTINGS["evmVersion"]
    assert ape["via_ir"] == str(export_abi.SETTINGS["viaIR"]).lower()
    assert ape["optimization_runs"] == str(export_abi.SETTINGS["optimizer"]["runs"])


def test_ape__runs_the_hardfork_that_contracts_are_compiled_for() -> None:
    foundry = section("foundry", (ROOT / "ape-config.yaml").read_text("utf-8"))
    assert foundry["evm_version"] == export_abi.SETTINGS["evmVersion"]


def test_ape__plugins_are_the_locked_ones() -> None:
    plugins = re.findall(r"- name: (\w+)\n +version: (\S+)", (ROOT / "ape-config.yaml").read_text("utf-8"))
    locked = (ROOT / "requirements" / "ape.txt").read_text("utf-8")
    assert plugins
    for name, version in plugins:
        assert f"ape-{name}=={version} " in locked


def test_npm__installs_the_compiler_that_is_named() -> None:
    packages = json.loads((ROOT / "package.json").read_text("utf-8"))["dependencies"]
    assert packages["solc"] == export_abi.SOLC_VERSION
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in packages.values())


def test_locks__name_no_host_and_no_path() -> None:
    assert len(LOCKS) == 7
    for lock in LOCKS:
        assert "://" not in lock.read_text("utf-8"), lock.name
        assert "file:" not in lock.read_text("utf-8"), lock.name
    packages = json.loads((ROOT / "package-lock.json").read_text("utf-8"))["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]


def test_locks__carry_a_hash_for_every_package() -> None:
    for lock in LOCKS:
        text = lock.read_text("utf-8")
        pinned = re.findall(r"^\S+==.*\\$", text, re.MULTILINE)
        assert pinned
        assert len(pinned) == len(re.findall(r"^[^\s#].*\\\n +--hash=sha256:", text, re.MULTILINE)), lock.name
    packages = json.loads((ROOT / "package-lock.json").read_text("utf-8"))["packages"]
    assert not [name for name, package in packages.items() if name and "integrity" not in package]


def test_locks__give_the_wheel_what_the_product_is_tested_with() -> None:
    tested = versions("dev")
    assert versions("runtime").items() <= tested.items()


def test_files__that_run_with_one_token__are_there() -> None:
    assert [each for each in SIDES if not each.is_file()] == []


def versions(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")
    return dict(re.findall(r"^([\w.-]+)==([\w.+!-]+)", text, re.MULTILINE))


def read_toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text("utf-8"))


def section(name: str, yaml: str) -> dict[str, str]:
    """Read the plain keys of one top-level mapping: all that is needed here of YAML."""
    [body] = re.findall(rf"^{name}:\n((?:  .*\n|\n)*)", yaml, re.MULTILINE)
    return dict(re.findall(r"^  (\w+): ([^#\n]*?) *(?:#.*)?$", body, re.MULTILINE))
