"""What holds for every test, in the product's environment (pytest 9) and in ape's (pytest 8).

HYPOTHESIS_PROFILE chooses how hard Hypothesis searches: `dev` (a new seed each time), `ci` (always the same
examples, so that a red run can be repeated), `deep` (`make deep`).

A run in the background starts with Ctrl-C ignored, and would hand that down to every process that a test
starts and ends by a signal: signals are as in a terminal here.

On CI nothing is skipped silently: a test that is skipped or expected to fail counts as failed unless
`tests/allowed_skips.txt` names it.
"""

import hashlib
import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ON_CI = bool(os.environ.get("CI"))
ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")

# numba compiles anew what is in a file that has changed, but not what calls it from another one.
KERNELS = sorted(Path(__file__).parents[1].glob("molt_market/orderbook/compiled/**/*.py"))
DIGEST = hashlib.sha256(b"".join(each.read_bytes() for each in KERNELS)).hexdigest()[:16]
os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[1] / ".cache" / "numba" / DIGEST)

# Many containers set it, and then each process that a test starts would compile again all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# No deadlines: how long one example takes says more about a busy machine than about the code.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "deep", deadline=None, max_examples=2_000, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if ON_CI else "dev"))

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip that nobody allowed into a failure."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for a module that skips as a whole."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not (ON_CI and report.skipped) or report.nodeid in _allowed_skips():
        return
    expected_failure = getattr(report, "wasxfail", None)
    if expected_failure is not None:
        del report.wasxfail
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else expected_failure
    report.outcome = "failed"
    report.longrepr = f"skipped on CI, and tests/allowed_skips.txt does not name it: {reason}"


def _allowed_skips() -> set[str]:
    lines = ALLOWED_SKIPS.read_text("utf-8").splitlines()
    return {line.split("#")[0].strip() for line in lines} - {""}
