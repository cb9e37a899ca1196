"""docs/escrow.md: its parts are the files that there are, and its figures the contract's."""

from __future__ import annotations

import re

from molt_market.chain.artefacts import artefact
from tests.pages import Page
from tests.unit.docs.sources import CONTRACTS, PARTS, enum
from tests.unit.docs.test_parameters import constants

PAGE = Page("escrow.md")
NOT_PARTS = {"MoltToken"}  # the token of tests
YEAR_SECONDS = 8_760 * 3_600


def test_parts__are_the_files_that_there_are() -> None:
    told = [row[0] for row in PAGE.table("Parts")]
    folders = (CONTRACTS, CONTRACTS / "escrow", CONTRACTS / "libraries")
    files = (path for folder in folders for path in folder.glob("*.sol") if path.stem not in NOT_PARTS)
    assert sorted(told) == sorted(f"contracts/{path.relative_to(CONTRACTS).as_posix()}" for path in files)


def test_parts__build_on_those_above_them() -> None:
    """Nothing inherits from what stands further down in the table."""
    order = [row[0].rpartition("/")[2].removesuffix(".sol") for row in PAGE.table("Parts")][: len(PARTS)]
    assert set(order) == set(PARTS)
    sources = {path.stem: path.read_text("utf-8") for path in CONTRACTS.rglob("*.sol")}
    for at, name in enumerate(order):
        inherits = re.search(rf"contract {name} is ([^{{]+) \{{", sources[name])
        assert inherits is not None
        bases = {base for base in re.findall(r"\w+", inherits[1]) if base in PARTS}
        assert bases <= set(order[:at])


def test_words__of_codes_and_verbs_are_the_contracts() -> None:
    known = {*enum("Code"), *enum("Status")}
    assert set(re.findall(r"`([A-Z]+_[A-Z_]+)`", PAGE.text)) <= known
    diagram = PAGE.blocks("text")[0].text
    verbs = {each["name"] for each in artefact("MoltEscrow").abi if each["type"] == "function"}
    words = set(re.findall(r"[a-z]\w+", diagram)) - {"or", "of", "all"}
    assert words == verbs & words == {
        "open", "claim", "dispute", "resolve", "concede", "claimUnattested", "settle", "finalize", "release",
        "cancelDeal",
    }  # fmt: skip
    assert {status for status in enum("Status") if status in diagram} == set(enum("Status"))


def test_figures__are_the_contracts() -> None:
    fixed = constants()
    share = fixed["MoltEscrow.ITEM_GAS"]
    assert f"{share:,} gas" in PAGE.text
    assert f"{share * 64 // 63 + 20_000:,}" in PAGE.text
    words = " ".join(PAGE.text.split())
    assert f"{fixed['Matching.MAX_GPU_SECONDS'] // YEAR_SECONDS:,} GPUs for a year" in words
    assert f"at most {fixed['Roles.MAX_FEE_BPS']} bps" in words
