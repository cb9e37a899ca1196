"""Every mutant of the escrow's core: the contract with one small fault, made from solc's syntax trees.

A mutant is one stretch of source and what stands there instead. Its id comes from the function, the line's
text and the change, not from its position: an edit elsewhere neither renames it nor moves it into or out of
the sample.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import solcx

from scripts import export_abi

ROOT = Path(__file__).resolve().parents[2]
LIST = ROOT / "tests" / "mutation" / "mutants.json"
FILES = (
    "contracts/MoltEscrow.sol",
    *(f"contracts/escrow/{name}.sol" for name in ("Accounts", "Checks", "Openings", "Roles")),
    *(
        f"contracts/libraries/{name}.sol"
        for name in ("Deals", "Hashes", "Lanes", "Matching", "Money", "Policies", "Signatures")
    ),
)
OPERATORS = {
    "<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",), "!=": ("==",),
    "+": ("-",), "-": ("+",), "*": ("/",), "/": ("*",), "%": ("*",), "<<": (">>",), ">>": ("<<",),
    "&": ("|",), "|": ("&",), "&&": ("||",), "||": ("&&",), "+=": ("-=",), "-=": ("+=",),
}  # fmt: skip
PARTIES = {"buyer": "provider", "provider": "buyer", "agent": "voucherSigner", "voucherSigner": "agent"}
SEED = "molt"

Node = dict[str, Any]
Change = tuple[int, int, str]  # from, to, what stands there instead


@dataclass(frozen=True)
class Mutant:
    id: str
    file: str
    line: int
    function: str
    original: str  # the line, or the lines, without indentation
    mutated: str
    start: int  # in bytes
    end: int
    text: str  # what stands between them instead

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]


def all_mutants() -> list[Mutant]:
    trees = read_trees()
    return [mutant for file in FILES for mutant in mutants_of(file, trees[file])]


def read_trees() -> dict[str, Node]:
    standard_input = {
        "language": "Solidity",
        "settings": export_abi.SETTINGS | {"outputSelection": {"*": {"": ["ast"]}}},
        "sources": {name: {"content": (ROOT / name).read_text("utf-8")} for name in FILES},
    }
    output = solcx.compile_standard(standard_input, base_path=ROOT, solc_binary=export_abi.COMPILER)
    return {name: source["ast"] for name, source in output["sources"].items()}


def mutants_of(file: str, tree: Node) -> Iterator[Mutant]:
    source = (ROOT / file).read_bytes()
    seen: dict[str, int] = {}
    done: set[Change] = set()
    for function, node in walk(tree, ""):
        for change in changes(node, source):
            if change in done:
                continue
            done.add(change)
            start, end, text = change
            first = source.rfind(b"\n", 0, start) + 1
            last = source.find(b"\n", end)
            original = flat(source[first:last])
            mutated = flat(source[first:start] + text.encode() + source[end:last])
            what = f"{file}|{function}|{original}|{mutated}"
            seen[what] = seen.get(what, 0) + 1
            name = digest(f"{what}|{seen[what]}")[:8]
            line = source.count(b"\n", 0, start) + 1
            yield Mutant(name, file, line, function, original, mutated, start, end, text)


def walk(node: Any, function: str) -> Iterator[tuple[str, Node]]:
    """Every node, with the name of the function it stands in."""
    if isinstance(node, list):
        for part in node:
            yield from walk(part, function)
    elif isinstance(node, dict):
        if node.get("nodeType") == "FunctionDefinition":
            function = node["name"] or node["kind"]
        if node.get("nodeType") == "YulLiteral":
            node = node | {"nodeType": "Literal"}
        if "nodeType" in node:
            yield function, node
        for part in node.values():
            yield from walk(part, function)


def changes(node: Node, source: bytes) -> Iterator[Change]:
    rule = RULES.get(node["nodeType"])
    if rule is not None:
        yield from rule(node, source)


def operators(node: Node, source: bytes) -> Iterator[Change]:
    left = node.get("leftExpression") or node["leftHandSide"]
    right = node.get("rightExpression") or node["rightHandSide"]
    between = (span(left)[1], span(right)[0])
    sign = node["operator"]
    at = source.index(sign.encode(), *between)
    for other in OPERATORS.get(sign, ()):
        yield at, at + len(sign), other


def assignments(node: Node, source: bytes) -> Iterator[Change]:
    if node["operator"] in OPERATORS:
        yield from operators(node, source)


def negations(node: Node, source: bytes) -> Iterator[Change]:
    if node["operator"] in ("!", "~"):
        start = span(node)[0]
        yield start, start + 1, ""


def literals(node: Node, source: bytes) -> Iterator[Change]:
    """A number one more and one less; true for false."""
    start, end = span(node)
    text = source[start:end].decode()
    if node["kind"] == "bool":
        yield start, end, "false" if text == "true" else "true"
    elif node["kind"] == "number" and b"(Code.NONE, 0, 0)" not in source[start - 14 : end + 4]:
        number, *unit = text.split()
        value = int(number.replace("_", ""), 0)
        for other in {value + 1, max(value - 1, 0)} - {value}:
            yield start, end, " ".join([str(other), *unit])


def removed(node: Node, source: bytes) -> Iterator[Change]:
    """A statement that does nothing: a write, a credit, a check that reverts, an event."""
    start, end = span(node)
    yield start, source.index(b";", end - 1) + 1, "{}"


def conditions(node: Node, _source: bytes) -> Iterator[Change]:
    yield *span(node["condition"]), "false"


def branches(node: Node, source: bytes) -> Iterator[Change]:
    yes, no = span(node["trueExpression"]), span(node["falseExpression"])
    swapped = source[slice(*no)] + source[yes[1] : no[0]] + source[slice(*yes)]
    yield yes[0], no[1], swapped.decode()


def calls(node: Node, source: bytes) -> Iterator[Change]:
    """Two neighbouring arguments of one type change places."""
    for one, other in pairwise(node["arguments"]):
        kinds = [argument["typeDescriptions"].get("typeIdentifier") for argument in (one, other)]
        a, b = span(one), span(other)
        if kinds[0] == kinds[1] and source[slice(*a)] != source[slice(*b)]:
            yield a[0], b[1], (source[slice(*b)] + source[a[1] : b[0]] + source[slice(*a)]).decode()


def parties(node: Node, _source: bytes) -> Iterator[Change]:
    """Another party of the deal than the one that is meant."""
    other = PARTIES.get(node["memberName"])
    if other is not None and "Terms" in node["expression"]["typeDescriptions"]["typeString"]:
        end = span(node)[1]
        yield end - len(node["memberName"]), end, other


RULES = {
    "BinaryOperation": operators,
    "Assignment": assignments,
    "UnaryOperation": negations,
    "Literal": literals,
    "ExpressionStatement": removed,
    "EmitStatement": removed,
    "IfStatement": conditions,
    "Conditional": branches,
    "FunctionCall": calls,
    "MemberAccess": parties,
}


def span(node: Node) -> tuple[int, int]:
    start, length, _ = map(int, node["src"].split(":"))
    return start, start + length


def flat(text: bytes) -> str:
    return " ".join(text.decode().split())


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def ranked(mutants: list[Mutant], file: str) -> list[Mutant]:
    """The file's mutants in the seed's order: a sample is the first of these that compile."""
    return sorted((m for m in mutants if m.file == file), key=lambda m: digest(SEED + m.id))


def quotas(mutants: list[Mutant], size: int) -> dict[str, int]:
    """How many of each file: in proportion to its mutants, and three at the least."""
    counts = {file: sum(m.file == file for m in mutants) for file in FILES}
    return {file: max(3, round(size * count / len(mutants))) for file, count in counts.items()}


def render(mutants: list[Mutant]) -> str:
    shown = ("id", "file", "line", "original", "mutated")
    rows = [json.dumps({name: asdict(m)[name] for name in shown}) for m in mutants]
    return "[\n" + ",\n".join(rows) + "\n]\n"
