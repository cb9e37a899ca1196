"""`make demo` as a person runs it, and the audit that decides its exit status."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.demo.audit import Agreed, Ledger

ROOT = Path(__file__).resolve().parents[2]
CODES = (
    "BAD_SIGNATURE",
    "CAPACITY_EXCEEDED",
    "ORDER_ALREADY_OPENED",
    "TOO_EARLY",
    "OFFER_CANCELLED",
    "NOT_ABOVE_PAID",
    "RULING_OUT_OF_RANGE",
)


@pytest.fixture(scope="module")
def said() -> str:
    """What the demo says, run as a process of its own."""
    command = [sys.executable, "-m", "scripts.demo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_demo__in_the_end__accounts_for_every_unit(said: str) -> None:
    assert "every base unit where it belongs" in said


@pytest.mark.parametrize("code", CODES)
def test_demo__each_refusal__is_mined_with_its_code(said: str, code: str) -> None:
    (line,) = [line for line in said.splitlines() if line.endswith(code)]
    assert "with status 0" in line


def test_demo__every_deal__is_closed(said: str) -> None:
    ended = said.split("How the deals ended")[1].split("Withdrawals", maxsplit=1)[0].splitlines()[2:]
    statuses = [line.split()[-1] for line in ended if line.strip()]
    assert statuses.count("RELEASED") == 16
    assert statuses.count("REFUNDED") == 3


def test_demo__runs_a_real_job__attested_and_paid_by_the_second(said: str) -> None:
    told = said.split("From match to machine")[1].split("How the deals ended", maxsplit=1)[0]
    assert "three attestors run, each a process" in told
    assert re.search(r"largest\.txt +\d+ +[0-9a-f]{64}", told)
    [(units, attestors)] = re.findall(
        r"took (\d+) of 7200 GPU-seconds: .* the answers to (\d) attestors", told
    )
    assert 0 < int(units) < 7_200
    assert int(attestors) >= 2
    assert "paid by the second" in told


# ---------------------------------------------------------------- the ledger

DEAL = Agreed("buyer", "provider", 3_600, allocated=3_600, deliverable=3_600, tolerated=0, bond_bps=1_000)
BEFORE = {"buyer": 10_000, "provider": 0, "platform": 0}


@pytest.fixture
def ledger() -> Ledger:
    """One GPU-hour at 3,600 base units, paid by the buyer."""
    ledger = Ledger(fee_bps=100, fee_account="platform")
    ledger.paid(DEAL, 3_600)
    return ledger


def test_unaccounted__all_as_agreed__is_empty(ledger: Ledger) -> None:
    assert ledger.unaccounted(BEFORE, {"buyer": 6_400, "provider": 3_564, "platform": 36}) == {}


def test_unaccounted__one_unit_with_the_wrong_account__names_both(ledger: Ledger) -> None:
    after = {"buyer": 6_400, "provider": 3_565, "platform": 35}
    assert ledger.unaccounted(BEFORE, after) == {"provider": 1, "platform": -1}


def test_unaccounted__one_unit_gone__names_the_account_and_the_sum(ledger: Ledger) -> None:
    after = {"buyer": 6_399, "provider": 3_564, "platform": 36}
    assert ledger.unaccounted(BEFORE, after) == {"buyer": -1, "all accounts together": -1}


def test_earned__within_the_tolerance__is_the_whole_bond() -> None:
    assert replace(DEAL, tolerated=60).earned(3_540) == 360
    assert replace(DEAL, tolerated=60).earned(3_539) == 353


def test_disputed__ruling_half_way__splits_the_stakes_after_the_share() -> None:
    """The claim is all, the counter nothing: both stake 360, the arbiter takes 72, each party half of 648."""
    ledger = Ledger(fee_bps=0, fee_account="platform")
    ledger.disputed(DEAL, 0, 3_600, 1_800, "arbiter", 1_000, attested=True)
    assert ledger.changes["arbiter"] == 72
    assert ledger.changes["provider"] == 1_800 - 360 + 324
    assert ledger.changes["buyer"] == -1_800 - 360 + 324
