"""Compare what slither finds in contracts/ with what tests/proofs/slither.json explains.

Fails on a finding that the list does not explain, and on an entry of the list that slither does not find any
more. What it looks at stands in slither.config.json: our own contracts, everything above informational.
Slither reads syntax trees and interfaces only, so the compiler is asked for no code: 2 s instead of 20.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import solcx

from scripts import export_abi

ROOT = Path(__file__).resolve().parents[2]
EXPLAINED = ROOT / "tests" / "proofs" / "slither.json"
BUILD_INFO = ROOT / ".cache" / "slither"
SLITHER = ROOT / ".venv-prove" / "bin" / "slither"

Finding = tuple[str, str]  # detector, element


def main() -> int:
    write_build_info()
    found = Counter(_key(finding) for finding in run_slither())
    explained = Counter(read_explained(json.loads(EXPLAINED.read_text("utf-8"))))
    report("found, and not explained", found - explained)
    report("explained, and not found any more", explained - found)
    if found != explained:
        print(f"The explanations are in {EXPLAINED.relative_to(ROOT)}.", file=sys.stderr)
        return 1
    print(f"{found.total()} findings above informational, all explained")
    return 0


def report(what: str, findings: Counter[Finding]) -> None:
    for detector, element in sorted(findings.elements()):
        print(f"{what}: {detector}: {element}", file=sys.stderr)


def write_build_info() -> None:
    """Write what `forge build --build-info` would, but without code."""
    sources = {str(file.relative_to(ROOT)): file for file in sorted((ROOT / "contracts").rglob("*.sol"))}
    standard_input = {
        "language": "Solidity",
        "settings": export_abi.SETTINGS | {"outputSelection": {"*": {"": ["ast"], "*": ["abi"]}}},
        "sources": {name: {"content": file.read_text("utf-8")} for name, file in sources.items()},
    }
    output = solcx.compile_standard(standard_input, base_path=ROOT, solc_binary=export_abi.COMPILER)
    no_code = {"object": "", "sourceMap": ""}
    for contracts in output["contracts"].values():
        for contract in contracts.values():
            contract["evm"] = {"bytecode": no_code, "deployedBytecode": no_code}
    info = {"solcVersion": export_abi.SOLC_VERSION, "input": standard_input, "output": output}
    BUILD_INFO.mkdir(parents=True, exist_ok=True)
    (BUILD_INFO / "contracts.json").write_text(json.dumps(info), "utf-8")


def run_slither() -> list[dict[str, Any]]:
    done = subprocess.run(
        [SLITHER, ".", "--ignore-compile", "--foundry-build-info-directory", BUILD_INFO, "--json", "-"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,  # it exits with 255 when there are findings, and says in its output whether it worked
    )
    if not done.stdout:
        raise RuntimeError(f"slither said nothing:\n{done.stderr}")
    answer = json.loads(done.stdout)
    if not answer["success"]:
        raise RuntimeError(f"slither failed: {answer['error']}\n{done.stderr}")
    results: list[dict[str, Any]] = answer["results"]["detectors"]
    return results


def read_explained(groups: list[dict[str, Any]]) -> Iterator[Finding]:
    for group in groups:
        if not group["reason"]:
            raise ValueError(f"no reason for {group['detector']}")
        for element in group["elements"]:
            yield group["detector"], element


def _key(finding: dict[str, Any]) -> Finding:
    return finding["check"], _name(finding["elements"][0])


def _name(element: dict[str, Any]) -> str:
    """Contract.function(types).variable: no line, which changes with every edit above it."""
    fields = element.get("type_specific_fields", {})
    name: str = fields.get("signature", element["name"])
    parent = fields.get("parent", {"type": "none"})
    return f"{_name(parent)}.{name}" if parent["type"] in ("contract", "function") else name


if __name__ == "__main__":
    sys.exit(main())
