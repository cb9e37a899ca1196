"""The wheel, as a user gets it: built, installed with its run-time dependencies only, and imported."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "molt_market"
KINDS = (("3.11", "8"), ("3.12", "7"), ("3.13", "8"))  # Python, and the major version of web3
LOCKS = {"8": "runtime.txt", "7": "runtime-web3-7.txt"}
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


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"python{kind[0]}-web3-{kind[1]}")
def clean_python(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, wheel: Path
) -> Path:
    """Return the Python of an environment that holds the wheel and what it asks for, and nothing else."""
    version, web3 = request.param
    base = python_of(version)
    if base is None:
        pytest.skip(f"there is no Python {version} here")
    environment = tmp_path_factory.mktemp("clean") / "venv"
    run(UV, "venv", "--python", base, environment)
    python = environment / "bin" / "python"
    install: list[str | Path] = [UV, "pip", "install", "--python", python]
    run(*install, "--require-hashes", "--requirement", ROOT / "requirements" / LOCKS[web3])
    run(*install, "--offline", "--no-deps", wheel)
    says = (
        f"import sys, web3; assert sys.version.startswith('{version}.') and web3.__version__[:2] == '{web3}.'"
    )
    run_in_clean(python, says)
    return python


def python_of(version: str) -> Path | None:
    """Return an interpreter: this one, one on the PATH, or one of pyenv's, whose shims may lead nowhere."""
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [sys.executable, shutil.which(f"python{version}")]
    found += map(str, installed.glob(f"{version}.*/bin/python{version}"))
    asks = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    for each in filter(None, found):
        done = subprocess.run([each, "-c", asks], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return Path(each)
    return None


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


def test_readme__its_example__is_typed_and_settles_a_deal(clean_python: Path, tmp_path: Path) -> None:
    """As a user's own program: typed against the wheel alone, then run on a real chain."""
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    program = tmp_path / "program.py"
    program.write_text(example, "utf-8")
    mypy: list[str | Path] = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        clean_python,
        program,
    ]
    typed = subprocess.run(mypy, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert typed.returncode == 0, typed.stdout
    done = subprocess.run([clean_python, program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "SettlementStatus.Success() 79.2 MOLT 0.8 MOLT\n"), (
        done.stderr
    )


@pytest.mark.parametrize("extra", ["server", "postgres", "agent", "matcher", "tee", "export"])
def test_extra__is_declared_with_what_it_needs(wheel: Path, extra: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        told = archive.read(metadata).decode()
    assert f"Provides-Extra: {extra}\n" in told
    assert f"extra == '{extra}'" in told


def run_in_clean(python: Path, *lines: str) -> None:
    # -I: neither this folder nor the caller's environment may stand in for the installed package.
    run(python, "-I", "-c", "\n".join(lines))


def run(*command: str | Path) -> None:
    done = subprocess.run([*command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
