"""The compiler wrapper answers like solc, and its cache never gives a result of other sources."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.export_abi import COMPILER, SOLC_VERSION

SOURCE = 'pragma solidity ^0.8.0; import "lib/Number.sol"; contract Main { uint256 public x = NUMBER; }'


def test_version__is_in_the_form_that_tools_parse() -> None:
    answer = subprocess.run([COMPILER, "--version"], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^Version: {re.escape(SOLC_VERSION)}\+commit\.[0-9a-f]{{8}}", answer, re.MULTILINE)


@pytest.mark.parametrize("option", ["--base-path", "--include-path"])
def test_compile__reads_imports_from(tmp_path: Path, option: str) -> None:
    write_number(tmp_path, 7)
    assert bytecode(compile_main(option, str(tmp_path)))


def test_compile__reads_again_when_an_import_changed(tmp_path: Path) -> None:
    write_number(tmp_path, 7)
    first = bytecode(compile_main("--base-path", str(tmp_path)))
    assert bytecode(compile_main("--base-path", str(tmp_path))) == first

    write_number(tmp_path, 8)
    assert bytecode(compile_main("--base-path", str(tmp_path))) != first


def test_compile__reads_from_the_folder_that_is_named(tmp_path: Path) -> None:
    """The same input from another folder is another program."""
    write_number(tmp_path / "one", 7)
    write_number(tmp_path / "two", 8)
    first = bytecode(compile_main("--base-path", str(tmp_path / "one")))
    assert bytecode(compile_main("--base-path", str(tmp_path / "two"))) != first


def test_compile__finds_an_import_that_was_missing_before(tmp_path: Path) -> None:
    errors = compile_main("--base-path", str(tmp_path))["errors"]
    assert any("lib/Number.sol not found" in error["message"] for error in errors)

    write_number(tmp_path, 7)
    assert bytecode(compile_main("--base-path", str(tmp_path)))


def test_compile__leaves_the_metadata_off(tmp_path: Path) -> None:
    write_number(tmp_path, 7)
    assert b"solc".hex() not in bytecode(compile_main("--base-path", str(tmp_path)))


def test_unknown_option__is_refused() -> None:
    done = subprocess.run([COMPILER, "--asm"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unknown option --asm" in done.stderr


def write_number(folder: Path, number: int) -> None:
    (folder / "lib").mkdir(exist_ok=True, parents=True)
    (folder / "lib" / "Number.sol").write_text(
        f"pragma solidity ^0.8.0; uint256 constant NUMBER = {number};", "utf-8"
    )


def compile_main(*options: str) -> dict[str, Any]:
    standard_input = {
        "language": "Solidity",
        "sources": {"Main.sol": {"content": "// SPDX-License-Identifier: MIT\n" + SOURCE}},
        "settings": {"outputSelection": {"*": {"*": ["evm.bytecode.object"]}}},
    }
    done = subprocess.run(
        [COMPILER, *options, "--standard-json"],
        input=json.dumps(standard_input),
        capture_output=True,
        text=True,
        check=True,
    )
    output: dict[str, Any] = json.loads(done.stdout)
    return output


def bytecode(output: dict[str, Any]) -> str:
    code: str = output["contracts"]["Main.sol"]["Main"]["evm"]["bytecode"]["object"]
    return code
