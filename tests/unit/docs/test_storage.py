"""docs/storage.md: its words and bits are those of the compiler, of Deals.sol and of the released code."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import solcx
from eth_utils.crypto import keccak

from molt_market.chain.artefacts import artefact
from scripts.export_abi import COMPILER, ROOT, SETTINGS
from tests.pages import Page
from tests.unit.docs.sources import CONTRACTS, enum, plain

PAGE = Page("storage.md")
SOURCE = "contracts/MoltEscrow.sol"
OPENZEPPELIN = ROOT / "node_modules" / "@openzeppelin" / "contracts" / "utils"
STRUCTS = ("Account", "Group", "Policy", "Config", "Holder")
WORD_BITS = 256


@cache
def layout() -> dict[str, Any]:
    """Return the storage layout as the compiler gives it."""
    compiled = solcx.compile_standard(
        {
            "language": "Solidity",
            "settings": SETTINGS | {"outputSelection": {SOURCE: {"MoltEscrow": ["storageLayout"]}}},
            "sources": {SOURCE: {"content": (ROOT / SOURCE).read_text("utf-8")}},
        },
        base_path=ROOT,
        solc_binary=COMPILER,
    )
    found: dict[str, Any] = compiled["contracts"][SOURCE]["MoltEscrow"]["storageLayout"]
    return found


def label(type_: str) -> str:
    return str(layout()["types"][type_]["label"])


def test_variables__are_the_compilers() -> None:
    told = [(int(slot), name, type_) for slot, name, type_, _, _ in PAGE.table("Variables")]
    found = [(int(each["slot"]), each["label"], label(each["type"])) for each in layout()["storage"]]
    assert told == found
    assert all(each["offset"] == 0 for each in layout()["storage"])


def test_variables__stand_where_the_page_says() -> None:
    files = {path.stem: path for path in [*CONTRACTS.rglob("*.sol"), *OPENZEPPELIN.rglob("EIP712.sol")]}
    for _, name, _, where, _ in PAGE.table("Variables"):
        assert re.search(rf"\b{name};", files[where].read_text("utf-8")), f"{name} is not in {where}"


@pytest.mark.parametrize("struct", STRUCTS)
def test_struct__has_the_compilers_bits(struct: str) -> None:
    told = [(int(word), bits, name, type_) for word, bits, name, type_, _ in PAGE.table(struct)]
    assert told == list(_members(struct))


def test_structs__are_all_that_the_contract_stores() -> None:
    stored = [each["label"] for each in layout()["types"].values() if "members" in each]
    assert sorted(stored) == sorted(f"struct {name}" for name in STRUCTS)


def _members(struct: str) -> Iterator[tuple[int, str, str, str]]:
    types = layout()["types"]
    [members] = [each["members"] for each in types.values() if each["label"] == f"struct {struct}"]
    for each in members:
        first = 8 * each["offset"]
        last = first + 8 * int(types[each["type"]]["numberOfBytes"]) - 1
        yield int(each["slot"]), f"{first}-{last}", each["label"], label(each["type"])


@pytest.mark.parametrize("title", [*STRUCTS, "Deal"])
def test_words__unused_bits_are_told(title: str) -> None:
    ends: dict[str, int] = defaultdict(int)
    for word, bits, *_ in PAGE.table(title):
        first, last = map(int, bits.split("-"))
        assert first == ends[word], "a gap between fields"
        ends[word] = last + 1
    rest = {f"{end}-255" for end in ends.values() if end < WORD_BITS}
    assert set(re.findall(r"[Bb]its (\d+-255)(?= .*not used)", PAGE.section(title))) == rest


# ---------------------------------------------------------------- the deal's word


def test_deal__has_the_bits_of_the_library() -> None:
    source = (CONTRACTS / "libraries" / "Deals.sol").read_text("utf-8")
    starts = [0, *(int(number) for number in re.findall(r"constant \w*_?AT = (\d+);", source))]
    fields = _fields("Deal")
    assert len(starts) == len(fields) == 10
    told = [(bits, name, type_) for _, bits, name, type_, _ in PAGE.table("Deal")]
    found = [
        (f"{start}-{start + _width(type_) - 1}", name, type_)
        for start, (type_, name) in zip(starts, fields, strict=True)
    ]
    assert told == found


def test_deal__flags_and_statuses_are_the_contracts() -> None:
    source = (CONTRACTS / "libraries" / "Deals.sol").read_text("utf-8")
    flags = re.findall(r"uint8 internal constant (\w+) = (\d+);", source)
    rows = {row[2]: row[4] for row in PAGE.table("Deal")}
    assert rows["flags"] == ", ".join(f"{number} {name.lower()}" for name, number in sorted(flags, key=_bit))
    assert rows["status"] == ", ".join(f"{number} {name}" for number, name in enumerate(enum("Status")))


def test_deal__is_one_word() -> None:
    [deals] = [each["type"] for each in layout()["storage"] if each["label"] == "_deals"]
    word = layout()["types"][layout()["types"][deals]["value"]]
    assert (word["label"], word["numberOfBytes"]) == ("DealWord", "32")


def _bit(flag: tuple[str, str]) -> int:
    return int(flag[1])


def _fields(struct: str) -> list[tuple[str, str]]:
    source = plain((CONTRACTS / "interfaces" / "IMoltEscrow.sol").read_text("utf-8"))
    body = re.search(rf"struct {struct} \{{([^}}]*)\}}", source)
    assert body is not None
    return re.findall(r"(\w+) (\w+);", body[1])


def _width(type_: str) -> int:
    return 8 if type_ == "Status" else int(type_.removeprefix("uint"))


# ---------------------------------------------------------------- transient storage and immutables


def test_transient__is_the_guards_slot() -> None:
    [(slot, namespace)] = PAGE.table("Transient storage")
    inner = int.from_bytes(keccak(text=namespace), "big") - 1
    outer = int.from_bytes(keccak(inner.to_bytes(32, "big")), "big") & ~0xFF
    assert int(slot, 16) == outer
    assert slot in (OPENZEPPELIN / "ReentrancyGuardTransient.sol").read_text("utf-8")


def test_transient__there_is_no_other() -> None:
    for path in CONTRACTS.rglob("*.sol"):
        if path.parent.name != "mocks":
            assert not re.search(r"\btransient\b|\bt(load|store)\(", plain(path.read_text("utf-8"))), (
                path.name
            )


def test_immutables__are_those_of_the_released_code() -> None:
    told = {name: (type_, where) for name, type_, where, _ in PAGE.table("Immutables")}
    assert set(told) == set(artefact("MoltEscrow").immutables)
    files = {path.stem: path for path in [*CONTRACTS.rglob("*.sol"), *OPENZEPPELIN.rglob("EIP712.sol")]}
    for name, (type_, where) in told.items():
        declared = re.search(rf"(\w+) \w+ immutable {name};", files[where].read_text("utf-8"))
        assert declared is not None, f"{name} is not in {where}"
        assert declared[1] == type_
