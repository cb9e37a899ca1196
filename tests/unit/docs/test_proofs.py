"""docs/proofs.md tells of every file of proofs, and each file has a proof that must fail."""

from __future__ import annotations

import re

from tests.pages import Page
from tests.unit.docs.named import TESTS

PAGE = Page("proofs.md")
TEXTS = {path.stem: path.read_text("utf-8") for path in (TESTS / "proofs").glob("*.sol")}
FILES = {name: text for name, text in TEXTS.items() if "\nabstract contract " not in text}


def test_files__are_all_told() -> None:
    assert {row[0].strip("`") for row in PAGE.table("What is proven")} == set(FILES)


def test_files__each_have_something_to_prove_and_something_to_refute() -> None:
    for name, text in FILES.items():
        assert re.search(r"function check_\w+\(", text), name
        assert re.search(r"function fails_\w+\(", text), name


def test_verbs__proven_ones_are_those_told() -> None:
    proven = set(re.findall(r"function check_transitions_(\w+)\(", FILES["Verbs"]))
    told = {row[0].strip("`"): row[1] for row in PAGE.table("What is proven")}["Verbs"]
    assert set(re.findall(r"`(\w+)`", told)) == proven
    agreed = set(re.findall(r"function check_agreement_(\w+)\(", FILES["Agreement"]))
    told = {row[0].strip("`"): row[1] for row in PAGE.table("What is proven")}["Agreement"]
    assert set(re.findall(r"`(\w+)`", told)) == agreed
