"""The set-up says what it does, what went wrong, and what is missing."""

import os
import re
import subprocess
from pathlib import Path

import pytest

MAKE_SCRIPTS = Path(__file__).resolve().parents[2] / "scripts" / "make"


def test_step__success__is_one_line() -> None:
    done = run_script("step", "making tea", "sh", "-c", "echo detail")
    assert done.returncode == 0
    assert re.fullmatch(r"making tea ... done in \d+ s\n", done.stderr)
    assert done.stdout == ""


def test_step__failure__shows_the_whole_output_and_keeps_the_status() -> None:
    done = run_script("step", "making tea", "sh", "-c", "echo no water; echo no cup >&2; exit 7")
    assert done.returncode == 7
    assert "making tea ... FAILED" in done.stderr
    assert "    no water\n    no cup\n" in done.stderr


def test_check_machine__python_fits__prints_its_path() -> None:
    done = run_script("check-machine", PYTHON="python3.11 python3.12")
    assert done.returncode == 0, done.stderr
    assert os.access(done.stdout.strip(), os.X_OK)


@pytest.mark.parametrize("python", ["no-such-python", "false"])
def test_check_machine__no_python_fits__says_what_to_install(python: str) -> None:
    done = run_script("check-machine", PYTHON=python)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Needed: Python 3.11 or 3.12" in done.stderr
    assert f"tried {python}" in done.stderr
    assert "apt install" in done.stderr


def test_stage__failure__stops_and_says_where_the_output_is(tmp_path: Path) -> None:
    done = run_script("stage", "unit", "sh", "-c", "echo 3 failed; exit 1", cwd=tmp_path)
    assert done.returncode == 1
    assert "== unit: FAILED" in done.stdout
    assert "3 failed" in (tmp_path / ".cache" / "stages" / "unit.log").read_text("utf-8")


def test_stage__total__ends_with_the_number_of_tests(tmp_path: Path) -> None:
    run_script("stage", "check", "true", cwd=tmp_path)
    run_script("stage", "unit", "echo", "===== 12 passed in 0.10s =====", cwd=tmp_path)
    run_script(
        "stage", "wheel", "echo", "== 1 skipped, 5 passed, 2 warnings in 61.00s (0:01:01) ==", cwd=tmp_path
    )
    done = run_script("stage", "--total", "61", "check", "unit", "wheel", cwd=tmp_path)
    assert done.stdout.splitlines()[-1].startswith("======== 17 passed in 61.00s ")


def run_script(
    name: str, *arguments: str, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MAKE_SCRIPTS / name, *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
