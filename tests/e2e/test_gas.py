"""No operation costs more gas than the committed figure says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_gas__of_each_operation__is_not_above_the_committed_figure() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gas", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
