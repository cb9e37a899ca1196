"""An oracle that shared code with what it judges would share its mistakes."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ORACLE = Path(__file__).resolve().parents[2] / "oracle"


def test_oracle__imports_the_standard_library_and_itself_only() -> None:
    files = sorted(ORACLE.glob("**/*.py"))
    assert files
    for file in files:
        modules = imported(ast.parse(file.read_text("utf-8")))
        others = {module for module in modules if not module.startswith("tests.oracle.")}
        assert {module.split(".")[0] for module in others} <= sys.stdlib_module_names


def test_oracle__imports_nothing_by_name_at_run_time() -> None:
    for file in ORACLE.glob("**/*.py"):
        source = file.read_text("utf-8")
        assert "__import__" not in source
        assert "importlib" not in source


def imported(tree: ast.Module) -> set[str]:
    """Name the modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module or "")
    return names
