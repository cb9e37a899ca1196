"""The wheel, as a user gets it: built, installed with its run-time dependencies only, and imported."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "molt_market"
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    # The build backend is in this environment already: nothing is fetched.
    run(
        UV,
        "build",
        "--wheel",
        "--offline",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "--out-dir",
        folder,
    )
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """Return the Python of an environment that holds the wheel and what it asks for, and nothing else."""
    environment = tmp_path_factory.mktemp("clean") / "venv"
    run(UV, "venv", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    install: list[str | Path] = [UV, "pip", "install", "--python", python]
    run(*install, "--require-hashes", "--requirement", ROOT / "requirements" / "runtime.txt")
    run(*install, "--offline", "--no-deps", wheel)
    return python


def test_wheel__contains_every_file_of_the_package(wheel: Path) -> None:
    expected = {
        file.relative_to(ROOT).as_posix()
        for file in PACKAGE.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert "molt_market/py.typed" in expected
    assert expected <= set(zipfile.ZipFile(wheel).namelist())


def test_wheel__contains_the_exported_contracts(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        artefact = json.loads(archive.read("molt_market/chain/abi/MoltEscrow.json"))
    assert artefact["contractName"] == "MoltEscrow"
    assert artefact["abi"]
    assert artefact["bytecode"].startswith("0x6")


def test_installed__requirements_are_satisfied(clean_python: Path) -> None:
    run(UV, "pip", "check", "--python", clean_python)


def test_import__is_lazy(clean_python: Path) -> None:
    """Importing the package must stay quick: web3 alone takes two seconds."""
    run_in_clean(
        clean_python,
        "import sys, molt_market",
        "heavy = {'web3', 'eth_account', 'numba', 'sqlalchemy', 'typer', 'rich'} & set(sys.modules)",
        "assert not heavy, f'import molt_market also imports {heavy}'",
    )


def test_public_names__are_importable_with_runtime_dependencies_only(clean_python: Path) -> None:
    run_in_clean(
        clean_python,
        "import molt_market",
        "assert molt_market.__all__",
        "for name in molt_market.__all__: getattr(molt_market, name)",
    )


def test_command__is_installed(clean_python: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [clean_python.with_name("molt"), "--database", tmp_path / "none.db", "payments"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: there is no database at {tmp_path / 'none.db'}: check the path\n"


def run_in_clean(python: Path, *lines: str) -> None:
    # -I: neither this folder nor the caller's environment may stand in for the installed package.
    run(python, "-I", "-c", "\n".join(lines))


def run(*command: str | Path) -> None:
    done = subprocess.run([*command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
