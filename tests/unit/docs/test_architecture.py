"""docs/architecture.md and docs/decisions: what they name is there, and the layers are those that hold."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.pages import Page

PAGE = Page("architecture.md")
ROOT = Path(__file__).resolve().parents[3]
DECISIONS = ROOT / "docs" / "decisions"


def test_files__are_there() -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)+\w+\.(?:py|sol))`", PAGE.text))
    assert len(named) > 40
    lost = [
        name for name in named if not (ROOT / name).exists() and not (ROOT / "molt_market" / name).exists()
    ]
    assert lost == []


def test_journey__has_all_steps_in_order() -> None:
    rows = PAGE.table("One order's journey")
    assert [row[0] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]


def test_layers__are_those_that_import_linter_holds() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    [layers] = [
        each["layers"] for each in settings["tool"]["importlinter"]["contracts"] if each["type"] == "layers"
    ]
    held = [set(re.findall(r"molt_market\.(\w+)", each)) for each in layers]
    drawn = [
        set(re.findall(r"\w+", line[:49]))
        for line in PAGE.section("Layers").split("```")[1].strip("\n").splitlines()
    ]
    assert drawn[:-1] == held[:-2]
    assert drawn[-1] == held[-2] | held[-1]


def test_decisions__are_listed_each_with_its_reasons() -> None:
    files = sorted(DECISIONS.glob("0*.md"))
    listed = re.findall(r"\[(\d+)\]\((\S+)\) \| (.+) \|", (DECISIONS / "README.md").read_text("utf-8"))
    assert [name for _, name, _ in listed] == [each.name for each in files]
    for (number, _, title), file in zip(listed, files, strict=True):
        text = file.read_text("utf-8")
        assert text.startswith(f"# {number}. {title}\n")
        assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
        for link in re.findall(r"\]\(([^)#]+)", text):
            assert (DECISIONS / link).exists(), link
        for path in re.findall(r"`((?:contracts|molt_market|tests)/[\w./]+)`", text):
            assert (ROOT / path).exists(), path
