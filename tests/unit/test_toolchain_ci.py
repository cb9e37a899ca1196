"""On CI a skipped test is a red test, unless the list of allowed ones names it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"

SAMPLES = {
    "marked": "@pytest.mark.skip(reason='later')\ndef test_it(): ...",
    "inside": "def test_it(): pytest.skip('later')",
    "expected_failure": "@pytest.mark.xfail(reason='later')\ndef test_it(): assert 1 == 2",
    "whole_module": "pytest.skip('later', allow_module_level=True)\ndef test_it(): ...",
    "missing_import": "pytest.importorskip('no_such_module')\ndef test_it(): ...",
}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    shutil.copy(CONFTEST, folder / "conftest.py")
    for name, test in SAMPLES.items():
        (folder / f"test_{name}.py").write_text(f"import pytest\n\n{test}\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def ci_output(samples: Path) -> str:
    return run_samples(samples, ci="true", allowed="# nothing\n")


@pytest.mark.parametrize("name", SAMPLES)
def test_skip__on_ci__is_a_failure(ci_output: str, name: str) -> None:
    reasons = [
        line
        for line in ci_output.splitlines()
        if line.startswith((f"FAILED test_{name}", f"ERROR test_{name}"))
    ]
    assert len(reasons) == 1, ci_output
    assert "skipped" not in ci_output.splitlines()[-1]


def test_skip__on_ci__says_what_to_do(ci_output: str) -> None:
    assert ci_output.count("tests/allowed_skips.txt does not name it") >= len(SAMPLES)


def test_skip__on_ci_and_listed__stays_a_skip(samples: Path) -> None:
    listed = "test_inside.py::test_it # waits for a device\ntest_whole_module.py # the same\n"
    assert "2 skipped" in run_samples(samples, ci="true", allowed=listed).splitlines()[-1]


def test_skip__elsewhere__stays_a_skip(samples: Path) -> None:
    last_line = run_samples(samples, ci="", allowed="").splitlines()[-1]
    assert "4 skipped, 1 xfailed" in last_line


def run_samples(folder: Path, ci: str, allowed: str) -> str:
    (folder / "allowed_skips.txt").write_text(allowed, "utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-ra",
            "-p",
            "no:cacheprovider",
            "--continue-on-collection-errors",
            ".",
        ],
        cwd=folder,
        env=os.environ | {"CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == (not ci), done.stdout
    return done.stdout
