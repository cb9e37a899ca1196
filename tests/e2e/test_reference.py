"""docs/reference.md: its examples run, one after the other, and print what the page says."""

from __future__ import annotations

import contextlib
import io
from itertools import pairwise
from pathlib import Path

import pytest

from molt_market.testing import devnet
from tests.pages import Block, Page

PAGE = Page("reference.md")


def examples() -> list[tuple[Block, str]]:
    """Return each Python block with what it prints: the text block that follows it, if one does."""
    blocks = [*PAGE.blocks(), Block("", "", 0)]
    return [
        (block, after.text if after.language == "text" else "")
        for block, after in pairwise(blocks)
        if block.language == "python"
    ]


def test_reference__examples__print_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # for the key file
    found = examples()
    assert len(found) > 8
    with devnet() as market:
        for block, expected in found:
            if block.text.startswith("from molt_market import *"):  # a program of its own
                names: dict[str, object] = {"market": market}
            assert (block.line, printed(block, names)) == (block.line, expected)


def test_reference__every_code_block_is_run_or_is_shown_output() -> None:
    kinds = [block.language for block in PAGE.blocks()]
    assert set(kinds) == {"python", "text", ""}
    assert kinds.count("") == 1  # the picture of the states
    assert kinds.count("text") == len([1 for _, expected in examples() if expected])


def printed(block: Block, names: dict[str, object]) -> str:
    """Run an example, and return what it printed; a traceback shows the page's own lines."""
    source = compile("\n" * (block.line - 1) + block.text, str(PAGE.path), "exec")
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(source, names)
    return output.getvalue()
