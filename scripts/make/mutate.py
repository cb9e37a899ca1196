"""Put small faults into copies of the escrow, one at a time, and see whether the forge tests notice.

`list` writes tests/mutation/mutants.json, all that can be made. `run` tries those of the sample that have no
result yet, and writes tests/mutation/results.json; `again` tries the whole sample and writes nothing. Both
fail when too few are noticed. `few` tries four, the same each time, and fails unless all are noticed. The
copies lie in .cache/mutation; the checkout is only read.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path

from scripts import export_abi
from tests.mutation.mutator import FILES, LIST, ROOT, Mutant, all_mutants, quotas, ranked, render

RESULTS = ROOT / "tests" / "mutation" / "results.json"
COPIES = ROOT / ".cache" / "mutation"
WORKERS = 2
SIZE = 58  # of the sample, before rounding
ENOUGH = 0.9
PATIENCE_SECONDS = 420  # a loop that does not end is noticed, too
# What is paid, who must have agreed, in which state, and what a slot holds: one fault in each.
FEW = ("7bc1e4d8", "fb19a5d4", "a643d536", "ea5732c5")
NO_PROGRAM = "does not compile"
SURVIVED = "survived"

lock = threading.Lock()


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation tests of the escrow.")
    parser.add_argument("what", choices=["list", "run", "again", "few"])
    arguments = parser.parse_args()
    mutants = all_mutants()
    if arguments.what == "list":
        LIST.write_text(render(mutants), "utf-8")
        print(f"{len(mutants)} mutants in {LIST.relative_to(ROOT)}")
        return 0
    if arguments.what == "few":
        return try_few(mutants)
    known = read_results(mutants)
    if arguments.what == "again":
        known = {name: result for name, result in known.items() if result == NO_PROGRAM}
        return try_sample(mutants, known, keep=False)
    return try_sample(mutants, known, keep=True)


def read_results(mutants: list[Mutant]) -> dict[str, str]:
    """What is known of today's mutants."""
    results: dict[str, str] = json.loads(RESULTS.read_text("utf-8"))
    return {mutant.id: results[mutant.id] for mutant in mutants if mutant.id in results}


# ---------------------------------------------------------------- which


def try_few(mutants: list[Mutant]) -> int:
    chosen = [mutant for mutant in mutants if mutant.id in FEW]
    if len(chosen) != len(FEW):
        print(
            "One of the few is no mutant any more: choose another in scripts/make/mutate.py", file=sys.stderr
        )
        return 1
    results: dict[str, str] = {}
    try_all(chosen, results)
    print(f"======== {len(noticed(results))} passed ========")
    return 0 if len(noticed(results)) == len(FEW) else 1


def try_sample(mutants: list[Mutant], results: dict[str, str], *, keep: bool) -> int:
    due = quotas(mutants, SIZE)
    while missing := [wanted(ranked(mutants, file), due[file], results) for file in FILES]:
        in_turn = [mutant for row in zip_longest(*missing) for mutant in row if mutant]
        if not in_turn:
            break
        try_all(in_turn, results, keep=keep)
    tried = programs(results)
    share = len(noticed(tried)) / len(tried)
    print(f"{len(tried)} mutants of {len(mutants)}, {len(noticed(tried))} noticed: {share:.0%}")
    return 0 if share >= ENOUGH else 1


def wanted(order: list[Mutant], quota: int, results: dict[str, str]) -> list[Mutant]:
    """What is still to be tried of a file: of the first ones in the seed's order that compile."""
    sample = [mutant for mutant in order if results.get(mutant.id) != NO_PROGRAM][:quota]
    return [mutant for mutant in sample if mutant.id not in results]


def programs(results: dict[str, str]) -> dict[str, str]:
    return {name: result for name, result in results.items() if result != NO_PROGRAM}


def noticed(results: dict[str, str]) -> list[str]:
    return [name for name, result in results.items() if result not in (NO_PROGRAM, SURVIVED)]


# ---------------------------------------------------------------- how


def try_all(mutants: list[Mutant], results: dict[str, str], *, keep: bool = False) -> None:
    queue = iter(mutants)
    copies = make_copies()
    with ThreadPoolExecutor(len(copies)) as pool:
        for worker in [pool.submit(work, copy, queue, results, keep) for copy in copies]:
            worker.result()


def make_copies() -> list[Path]:
    """The first one compiles and tests the escrow as it is; the others take over what it compiled."""
    first, *others = [COPIES / str(number) for number in range(WORKERS)]
    make_copy(first)
    by = run_tests(first)
    if by != SURVIVED:
        raise SystemExit(f"The tests fail without a mutant: {by}")
    for copy in others:
        make_copy(copy)
        shutil.rmtree(copy / ".forge", ignore_errors=True)
        shutil.copytree(first / ".forge", copy / ".forge")
    return [first, *others]


def work(copy: Path, queue: Iterator[Mutant], results: dict[str, str], keep: bool) -> None:  # noqa: FBT001
    while True:
        with lock:
            mutant = next(queue, None)
        if mutant is None:
            return
        file = copy / mutant.file
        source = file.read_bytes()
        file.write_bytes(mutant.apply(source))
        result = run_tests(copy)
        file.write_bytes(source)
        with lock:
            results[mutant.id] = result
            print(f"{mutant.file}:{mutant.line}: {mutant.mutated}\n    {mutant.id}: {result}", flush=True)
            if keep:
                RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", "utf-8")


def make_copy(copy: Path) -> None:
    """The parts of the checkout that the tests need. What forge compiled for the copy before stays there."""
    for folder in ("contracts", "tests", "scripts", ".toolchain"):
        shutil.rmtree(copy / folder, ignore_errors=True)
    harnesses = shutil.ignore_patterns("*Harness.sol")  # nothing here needs them
    shutil.copytree(ROOT / "contracts", copy / "contracts", ignore=harnesses)
    for part in ("support", "verbs"):
        shutil.copytree(ROOT / "tests" / "solidity" / part, copy / "tests" / "solidity" / part)
    compiler = export_abi.COMPILER.relative_to(ROOT)
    for file in (Path("foundry.toml"), compiler, Path("scripts/make/solc.js")):
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, copy / file)
    for link in ("node_modules", ".toolchain/bin"):
        (copy / link).unlink(missing_ok=True)
        (copy / link).symlink_to(os.path.relpath(ROOT / link, (copy / link).parent))


def run_tests(copy: Path) -> str:
    """The first test that fails, or that none does, or that there is nothing to test."""
    shutil.rmtree(copy / ".forge" / "failures", ignore_errors=True)  # a failure of the mutant before
    shutil.rmtree(copy / ".toolchain" / "solc-cache", ignore_errors=True)
    try:
        done = subprocess.run(
            ["nice", "-n", "5", ROOT / ".toolchain" / "bin" / "forge", "test", "--fail-fast"],
            cwd=copy,
            env=os.environ | {"FOUNDRY_FUZZ_RUNS": "16"},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return "no end"
    if done.returncode == 0:
        return SURVIVED
    if "Compiler run failed" in done.stdout + done.stderr:
        return NO_PROGRAM
    test = re.search(r"^Encountered .* in \S+:(\w+)$(?s:.*?)\] (test\w*|setUp)\(", done.stdout, re.MULTILINE)
    if test is None:
        raise RuntimeError(f"forge said what is not understood:\n{done.stdout}{done.stderr}")
    return f"{test[1]}.{test[2]}"


if __name__ == "__main__":
    sys.exit(main())
