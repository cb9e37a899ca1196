"""Money is whole numbers: the modules that touch it know no floats, but for values that are only shown."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "molt_market"
FOLDERS = ("domain", "orderbook", "payments")
MODULES = [path for folder in FOLDERS for path in sorted((PACKAGE / folder).glob("**/*.py"))]
FOR_DISPLAY = {
    ("domain/amounts.py", "as_float"),
    ("domain/matches.py", "score"),
}


def floats_in(tree: ast.AST, module: str) -> Iterator[str]:
    """Find the name `float`, decimal literals and true divisions outside the functions for display."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef) and (module, node.name) in FOR_DISPLAY:
            continue
        if isinstance(node, ast.Name) and node.id == "float":
            yield f"{module}:{node.lineno}: the name float"
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield f"{module}:{node.lineno}: the literal {node.value}"
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Div):
            yield f"{module}:{node.lineno}: a division with /"
        yield from floats_in(node, module)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module__has_no_float(path: Path) -> None:
    assert list(floats_in(ast.parse(path.read_text("utf-8")), str(path.relative_to(PACKAGE)))) == []


def test_functions_for_display__exist() -> None:
    for module, function in FOR_DISPLAY:
        assert f"def {function}(self) -> float:" in (PACKAGE / module).read_text("utf-8")


@pytest.mark.parametrize("code", ["x = float(y)", "x = 1.5", "x = y / 2", "x /= 2", "def f(x: float): ..."])
def test_search__finds_every_form(code: str) -> None:
    assert len(list(floats_in(ast.parse(code), "domain/x.py"))) == 1
