"""What the contract's source says of each verb: its refusals, its events and what is signed, in their order.

The source is read, not compiled: a call is followed wherever it names a function of the contract, of what
it inherits, or of one of its libraries. Functions called on a value (`deal.isIn`) refuse and emit nothing,
which a test holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CONTRACTS = Path(__file__).resolve().parents[3] / "contracts"
PARTS = ("MoltEscrow", "Openings", "Accounts", "Roles", "Checks")  # of the one contract
TOKEN = re.compile(
    r"Code\.(?P<code>\w+)|emit (?P<event>\w+)|(?P<type>\w+)_TYPEHASH|(?:(?P<of>\w+)\.)?(?P<call>\w+)\("
)


@dataclass(frozen=True)
class Step:
    """One thing that a verb does, in the order of the source: kind is code, event or type."""

    kind: str
    name: str


@cache
def functions() -> dict[tuple[str, str], str]:
    """Return the body of every function of the contract and its libraries, by owner and name."""
    found: dict[tuple[str, str], str] = {}
    folders = (CONTRACTS, CONTRACTS / "escrow", CONTRACTS / "libraries")
    for path in (file for folder in folders for file in folder.glob("*.sol")):
        if path.stem in {"MoltToken", "PanelArbiter"}:
            continue
        for name, body in _bodies(plain(path.read_text("utf-8"))):
            assert (path.stem, name) not in found, f"two functions {path.stem}.{name}: tell them apart"
            found[path.stem, name] = body
    return found


def plain(source: str) -> str:
    """Take the comments out."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", source, flags=re.DOTALL)


def _bodies(source: str) -> Iterator[tuple[str, str]]:
    for match in re.finditer(r"\bfunction (\w+)\(", source):
        start = re.compile(r"[{;]").search(source, match.end())
        assert start is not None
        if start[0] == "{":
            yield match[1], source[start.start() : _closing(source, start.start())]


def _closing(source: str, start: int) -> int:
    depth = 0
    for at in range(start, len(source)):
        depth += {"{": 1, "}": -1}.get(source[at], 0)
        if depth == 0:
            return at
    raise ValueError("a brace is not closed")


@cache
def steps(verb: str) -> tuple[Step, ...]:
    """Return all that a verb can refuse, emit and hash, in the order of the source."""
    owner = next(part for part in PARTS if (part, verb) in functions())
    return tuple(_walk(owner, verb))


def _walk(owner: str, name: str) -> Iterator[Step]:
    for token in TOKEN.finditer(functions()[owner, name]):
        for kind in ("code", "event", "type"):
            if token[kind] and token[kind] != "NONE":
                yield Step(kind, token[kind])
        if token["call"]:
            called = _called(owner, token["of"], token["call"])
            if called:
                yield from _walk(*called)


def _called(owner: str, of: str | None, name: str) -> tuple[str, str] | None:
    """Return the function that a call means, if it is one of ours."""
    places = (of,) if of else (owner, *PARTS) if owner in PARTS else (owner,)
    return next(((place, name) for place in places if (place, name) in functions()), None)


def names(verb: str, kind: str) -> list[str]:
    """Return the names of one kind of a verb's steps: code, event or type."""
    return [step.name for step in steps(verb) if step.kind == kind]


@cache
def type_strings() -> dict[str, str]:
    """Return the EIP-712 type strings by the name of their constant."""
    source = (CONTRACTS / "libraries" / "Hashes.sol").read_text("utf-8")
    return dict(re.findall(r'bytes32 internal constant (\w+)_TYPEHASH =\s*keccak256\(\s*"([^"]+)"', source))


@cache
def enum(name: str) -> tuple[str, ...]:
    """Return the members of an enum of the interface."""
    source = plain((CONTRACTS / "interfaces" / "IMoltEscrow.sol").read_text("utf-8"))
    body = re.search(rf"enum {name} \{{([^}}]*)\}}", source)
    assert body is not None
    return tuple(re.findall(r"\w+", body[1]))
