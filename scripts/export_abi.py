"""Compile contracts/ and write ABI and bytecode into the package: molt_market/chain/abi/<Contract>.json.

`python scripts/export_abi.py` writes the files; with `--check` it writes nothing and fails when the committed
files are not what the sources give. Runs in the product's environment, with the compiler that set-up placed.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import solcx

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "molt_market" / "chain" / "abi"
EXPORTED = ("MoltEscrow", "MoltToken", "PanelArbiter", "TransferTrial")

# The compiler and its settings stand in three places that must agree (tests/unit/test_toolchain_settings.py):
# here, foundry.toml and ape-config.yaml.
SOLC_VERSION = "0.8.37"
COMPILER = ROOT / ".toolchain" / f"solc-v{SOLC_VERSION}"
SETTINGS: dict[str, Any] = {
    "evmVersion": "prague",
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
    "optimizer": {"enabled": True, "runs": 200},
    "remappings": ["@openzeppelin/=node_modules/@openzeppelin/"],
    "viaIR": True,
}
OUTPUTS = [
    "abi",
    "evm.bytecode.object",
    "evm.deployedBytecode.object",
    "evm.deployedBytecode.immutableReferences",
]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Export ABI and bytecode of the contracts into the package.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when the files are out of date"
    )
    check = parser.parse_args(arguments).check

    try:
        exports = {name: render(artefact) for name, artefact in compile_contracts().items()}
    except ExportError as error:
        print(error, file=sys.stderr)
        return 1
    return report_differences(exports) if check else write(exports)


class ExportError(Exception):
    """The contracts cannot be exported; the message says why and what to do."""


def compile_contracts() -> dict[str, dict[str, Any]]:
    """Compile the exported contracts and return their artefacts by name."""
    files = _files()
    # What these import is read by the compiler itself.
    output = _run_compiler(_input(files, _output_selection(files)))
    names = dict(_immutable_names(output["sources"]))
    return {name: _artefact(name, output["contracts"][file][name], names) for file, name in files.items()}


def standard_json() -> dict[str, Any]:
    """Return the compiler's input with all that the contracts import: it needs no file beside it.

    The format is solc's standard JSON input, which explorers take.
    """
    names = _run_compiler(_input(_files(), {"*": {"": ["ast"]}}))["sources"]
    return _input(sorted(names), {"*": {"*": OUTPUTS}})


def render(artefact: dict[str, Any]) -> str:
    """Give the file's text: the same for the same contract, on every machine."""
    return json.dumps(artefact, indent=2, sort_keys=True) + "\n"


def write(exports: dict[str, str]) -> int:
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, text in exports.items():
        (TARGET / f"{name}.json").write_text(text, "utf-8")
        print(f"wrote {(TARGET / name).relative_to(ROOT)}.json")
    return 0


def report_differences(exports: dict[str, str]) -> int:
    stale = [f"{name}.json" for name, text in exports.items() if not _is_committed(name, text)]
    stale += [file.name for file in TARGET.glob("*.json") if file.stem not in exports]
    if not stale:
        return 0
    print(
        f"molt_market/chain/abi/ is not what contracts/ gives: {', '.join(sorted(stale))}. "
        "Run `make abi` and commit the result.",
        file=sys.stderr,
    )
    return 1


def _is_committed(name: str, text: str) -> bool:
    file = TARGET / f"{name}.json"
    return file.is_file() and file.read_text("utf-8") == text


def _files() -> dict[str, str]:
    files = {f"contracts/{name}.sol": name for name in EXPORTED}
    missing = [file for file in files if not (ROOT / file).is_file()]
    if missing:
        raise ExportError(f"no source at {', '.join(missing)}")
    return files


def _input(files: Iterable[str], outputs: dict[str, dict[str, list[str]]]) -> dict[str, Any]:
    return {
        "language": "Solidity",
        "settings": SETTINGS | {"outputSelection": outputs},
        "sources": {file: {"content": (ROOT / file).read_text("utf-8")} for file in files},
    }


def _run_compiler(standard_input: dict[str, Any]) -> dict[str, Any]:
    if not COMPILER.exists():
        raise ExportError("the compiler is not set up: run `make dev` first")
    try:
        output: dict[str, Any] = solcx.compile_standard(standard_input, base_path=ROOT, solc_binary=COMPILER)
    except solcx.exceptions.SolcError as error:
        raise ExportError(f"the contracts do not compile:\n{error.message}") from error
    return output


def _output_selection(files: dict[str, str]) -> dict[str, dict[str, list[str]]]:
    """Ask for code of the exported contracts only, and for all syntax trees: they name the immutables."""
    return {file: {name: OUTPUTS} for file, name in files.items()} | {"*": {"": ["ast"]}}


def _immutable_names(sources: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield node id and name of each immutable: ids change with every edit, names do not."""
    for source in sources.values():
        for contract in source["ast"]["nodes"]:
            for node in contract.get("nodes", []):
                if node.get("mutability") == "immutable":
                    yield str(node["id"]), node["name"]


def _artefact(name: str, compiled: dict[str, Any], immutable_names: dict[str, str]) -> dict[str, Any]:
    evm = compiled["evm"]
    immutables: dict[str, list[dict[str, int]]] = {}
    for node, places in evm["deployedBytecode"]["immutableReferences"].items():
        immutables.setdefault(immutable_names[node], []).extend(places)
    return {
        "abi": compiled["abi"],
        "bytecode": "0x" + evm["bytecode"]["object"],
        "compiler": f"solc {SOLC_VERSION}",
        "contractName": name,
        "deployedBytecode": "0x" + evm["deployedBytecode"]["object"],
        "immutableReferences": immutables,
        "settings": SETTINGS,
    }


if __name__ == "__main__":
    sys.exit(main())
