"""`make demo` as a person runs it, and the audit that decides its exit status."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.demo.audit import Ledger

ROOT = Path(__file__).resolve().parents[2]


def test_demo__run_as_a_process__accounts_for_every_unit() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.demo"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "with status 0" in done.stdout
    assert "BAD_SIGNATURE" in done.stdout
    assert "every base unit where it belongs" in done.stdout


@pytest.fixture
def ledger() -> Ledger:
    """One GPU-hour at 3,600 base units, paid by the buyer."""
    ledger = Ledger(fee_bps=100, fee_account="platform")
    ledger.paid("buyer", "provider", 3_600, 3_600)
    return ledger


BEFORE = {"buyer": 10_000, "provider": 0, "platform": 0}


def test_unaccounted__all_as_agreed__is_empty(ledger: Ledger) -> None:
    assert ledger.unaccounted(BEFORE, {"buyer": 6_400, "provider": 3_564, "platform": 36}) == {}


def test_unaccounted__one_unit_with_the_wrong_account__names_both(ledger: Ledger) -> None:
    after = {"buyer": 6_400, "provider": 3_565, "platform": 35}
    assert ledger.unaccounted(BEFORE, after) == {"provider": 1, "platform": -1}


def test_unaccounted__one_unit_gone__names_the_account_and_the_sum(ledger: Ledger) -> None:
    after = {"buyer": 6_399, "provider": 3_564, "platform": 36}
    assert ledger.unaccounted(BEFORE, after) == {"buyer": -1, "all accounts together": -1}
