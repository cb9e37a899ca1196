"""The tests that there are, by name: what pages name has to exist."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
PYTHON = re.compile(r"^\s*(?:async )?def (test_\w+)\(", re.MULTILINE)
SOLIDITY = re.compile(r"^\s*function ((?:test|invariant|check|prove)_\w+)\(", re.MULTILINE)


@cache
def tests() -> dict[str, frozenset[str]]:
    """Return the names of the tests in each file, by its path below tests/."""
    found = {}
    for path in TESTS.rglob("*"):
        text = path.read_text("utf-8") if path.suffix in {".py", ".sol"} else ""
        names = frozenset((PYTHON if path.suffix == ".py" else SOLIDITY).findall(text))
        if names:
            found[path.relative_to(TESTS).as_posix()] = names
    return found


@cache
def every_name() -> frozenset[str]:
    return frozenset().union(*tests().values())


def those_of(names: list[str], folder: str) -> frozenset[str]:
    """Return the tests that are named in a folder; the name of one of its files means all that it has."""
    files = {path: found for path, found in tests().items() if path.startswith(folder)}
    whole = (found for path, found in files.items() if Path(path).stem.removesuffix(".t") in names)
    there = frozenset().union(*files.values())
    return (there & frozenset(names)).union(*whole)
