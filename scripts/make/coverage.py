"""Measure by forge how much of the contracts the fuzz tests of tests/solidity/verbs run, and want all of it.

Prints lines and branches per file, and fails below 100 % of either. The contracts do not compile without
the IR, so forge measures with `--ir-minimum`, and then counts every line of inline assembly as never run (the
same tests over libraries/Hashes.sol alone, compiled without the IR, count each of them). Such a line is taken
as run when its block has no branch and the statement before the block ran; the table says how many that are.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / ".forge" / "coverage" / "lcov.info"
FOLDERS = ("contracts", "contracts/escrow", "contracts/libraries")
LEFT_OUT = {"contracts/MoltToken.sol"}  # of test networks
BRANCHING = re.compile(r"\b(if|for|switch|function|leave|break|continue|revert|return|stop|invalid)\b")


@dataclass
class File:
    """Forge's counts of one file."""

    lines: dict[int, int] = field(default_factory=dict)  # line: times run
    branches: dict[tuple[int, str], int] = field(default_factory=dict)  # (line, which): times taken
    assembly: set[int] = field(default_factory=set)  # lines that forge does not count

    @property
    def missed_lines(self) -> list[int]:
        return [line for line, times in self.lines.items() if times == 0 and line not in self.assembly]

    @property
    def missed_branches(self) -> list[int]:
        return [line for (line, _), times in self.branches.items() if times == 0]


def main() -> int:
    if measure() != 0:
        return 1
    files = read_report(REPORT.read_text("utf-8"))
    wanted = sorted(name for folder in FOLDERS for name in sources(folder))
    missing = [name for name in wanted if name not in files]
    if missing:
        print(f"forge did not measure {', '.join(missing)}", file=sys.stderr)
        return 1
    for name in wanted:
        files[name].assembly = uncounted(files[name], (ROOT / name).read_text("utf-8"))
        print(row(name, files[name]))
    missed = [where for name in wanted for where in misses(name, files[name])]
    for where in missed:
        print(where, file=sys.stderr)
    return 1 if missed else 0


def measure() -> int:
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    command = [".toolchain/bin/forge", "coverage", "--ir-minimum", "--exclude-tests"]
    command += ["--report", "lcov", "--report-file", str(REPORT)]
    environment = os.environ | {"FOUNDRY_PROFILE": "coverage"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
    return done.returncode


def read_report(report: str) -> dict[str, File]:
    """Read an LCOV tracefile: SF file, DA line,times, BRDA line,block,branch,times (- for never reached)."""
    files: dict[str, File] = {}
    for entry in report.splitlines():
        kind, _, value = entry.partition(":")
        if kind == "SF":
            file = files.setdefault(value, File())
        elif kind == "DA":
            line, times = value.split(",")
            file.lines[int(line)] = int(times)
        elif kind == "BRDA":
            line, block, branch, taken = value.split(",")
            file.branches[int(line), f"{block},{branch}"] = 0 if taken == "-" else int(taken)
    return files


def sources(folder: str) -> Iterator[str]:
    for path in (ROOT / folder).glob("*.sol"):
        name = path.relative_to(ROOT).as_posix()
        if name not in LEFT_OUT:
            yield name


def uncounted(file: File, source: str) -> set[int]:
    """The lines of inline assembly that ran although forge says that they did not."""
    ran: set[int] = set()
    for first, last, body in assembly_blocks(source):
        before = [line for line in file.lines if line <= first]
        if before and file.lines[max(before)] > 0 and not BRANCHING.search(body):
            ran |= {line for line in file.lines if first < line < last and file.lines[line] == 0}
    return ran


def assembly_blocks(source: str) -> Iterator[tuple[int, int, str]]:
    """First line, last line and body of each block; none of the contracts has braces within one."""
    for block in re.finditer(r'assembly \("memory-safe"\) \{(.*?)\}', source, re.DOTALL):
        line = source.count("\n", 0, block.start()) + 1
        yield line, line + block.group().count("\n"), block.group(1)


def row(name: str, file: File) -> str:
    lines, branches = len(file.lines), len(file.branches)
    text = f"{name:34} lines {lines - len(file.missed_lines):3} of {lines:3}"
    text += f"   branches {branches - len(file.missed_branches):2} of {branches:2}"
    return text + (
        f"   ({len(file.assembly)} lines of assembly, which forge does not count)" if file.assembly else ""
    )


def misses(name: str, file: File) -> Iterator[str]:
    for line in file.missed_lines:
        yield f"{name}:{line} was never run"
    for line in file.missed_branches:
        yield f"{name}:{line} has a branch that was never taken"


if __name__ == "__main__":
    sys.exit(main())
