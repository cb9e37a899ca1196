"""Prove what tests/proofs says, with halmos: `prove.py [CONTRACT...]`, all of them without an argument.

Each `check_...` must hold, on every path and within the time; each `fails_...` must be refuted by a
counterexample. A proof that took too long, left a loop half unrolled or met no path that works is none.
First it is seen whether queries that terms.py makes simpler still mean the same.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROOFS = ROOT / "tests" / "proofs"
RESULTS = ROOT / ".cache" / "proofs"
BIN = ROOT / ".venv-prove" / "bin"
TOOLS = ROOT / ".toolchain" / "bin"  # forge
HOLDS, REFUTED = 0, 1  # exit codes of halmos, of one test
OPTIONS = [
    "--early-exit",
    "--loop=256",
    "--solver-timeout-assertion=180s",
    "--forge-build-out=.forge/proofs/out",
]


def main(contracts: list[str]) -> int:
    RESULTS.mkdir(parents=True, exist_ok=True)
    subprocess.run([BIN / "python", "-m", "scripts.make.sound"], cwd=ROOT, check=True)
    wrong = passed = 0
    for contract in contracts or all_contracts():
        for prefix, wanted in (("check_", HOLDS), ("fails_", REFUTED)):
            for test in prove(contract, prefix):
                name, ok = test["name"].split("(")[0], is_shown(test, wanted)
                print(f"{'ok' if ok else 'NO'} {test['time'][0]:8.1f} s  {contract}.{name}", flush=True)
                passed += ok
                wrong += not ok
    print(f"======== {passed} passed ========")
    return 1 if wrong else 0


def all_contracts() -> list[str]:
    """Return the files of proofs, without what several of them share."""
    files = sorted(PROOFS.glob("*.sol"))
    return [each.stem for each in files if "\nabstract contract " not in each.read_text("utf-8")]


def is_shown(test: dict[str, Any], wanted: int) -> bool:
    return test["exitcode"] == wanted and (wanted == REFUTED or test["num_bounded_loops"] == 0)


def prove(contract: str, prefix: str) -> list[dict[str, Any]]:
    report = RESULTS / f"{contract}-{prefix}.json"
    report.unlink(missing_ok=True)
    solver = f"{BIN / 'python'} -m scripts.make.solver"
    command = [str(BIN / "halmos"), "--contract", contract, "--function", prefix, *OPTIONS]
    command += ["--solver-command", solver, "--json-output", str(report)]
    environment = os.environ | {"FOUNDRY_PROFILE": "proofs", "PATH": f"{TOOLS}:{os.environ['PATH']}"}
    log = report.with_suffix(".log")
    with log.open("w") as out:
        subprocess.run(command, cwd=ROOT, env=environment, stdout=out, stderr=out, check=False)
    answer = json.loads(report.read_text("utf-8"))["test_results"] if report.exists() else {}
    found: list[dict[str, Any]] = [test for tests in answer.values() for test in tests]
    if not found:
        raise SystemExit(f"halmos proved no {prefix} of {contract}: {log.relative_to(ROOT)} says why")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
