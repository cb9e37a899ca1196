"""docs/attestations.md: its codes are the verifier's, its figures the defaults."""

from __future__ import annotations

import inspect
import re
from datetime import timedelta

import pytest

from molt_market.attestation import verdict
from molt_market.attestation.tee import TeeOutcome
from molt_market.attestation.verifier import BYTES_OF_GB, BYTES_OF_MIB, RejectionCode, Rules
from molt_market.attestor.pinging import MOST_OF_MEAN, WAITING, PingPlan
from molt_market.attestor.process import AGAIN_SECONDS
from molt_market.sdk import gateways
from molt_market.sdk.gateways import GatewayLimits
from tests.pages import DOCS, Page

PAGE = Page("attestations.md")
CHECKS = PAGE.table("The checks")


def test_codes__are_all_told__each_once() -> None:
    told = [row[0] for row in CHECKS]
    assert sorted(told) == sorted(RejectionCode)


def test_codes__those_of_the_contract_are_the_verdicts() -> None:
    source = inspect.getsource(verdict)
    raised = set(re.findall(r"raise (\w+)\(", source)) - {"InvalidValue"}
    assert {row[0] for row in CHECKS if row[1] == "contract"} == raised
    assert {row[1] for row in CHECKS} == {"contract", "attestor"}


def test_figures__are_the_defaults() -> None:
    rules, text = Rules(), " ".join(PAGE.text.split())
    assert f"no longer than {rules.longest_gap.seconds} seconds" in text
    assert f"may be {rules.clock_tolerance.seconds} seconds apart" in text
    assert f"less than {rules.least_percent} percent" in text
    assert f"{-(-80 * BYTES_OF_GB // BYTES_OF_MIB):,} are enough" in text
    assert f"asked again every {AGAIN_SECONDS} seconds" in text


def test_pings__are_as_the_page_says() -> None:
    plan, text = PingPlan(), " ".join(PAGE.text.split())
    assert plan.mean == timedelta(seconds=60)
    assert plan.longest_gap == 3 * plan.mean + WAITING == Rules().longest_ping_gap
    assert timedelta(seconds=5) == WAITING
    assert f"a mean of 60 seconds, cut at {MOST_OF_MEAN} means" in text
    assert "three times the mean, and five seconds" in text


def test_limits__are_as_the_page_says() -> None:
    limits, text = GatewayLimits(), " ".join(PAGE.text.split())
    assert f"A ping may take {limits.ping.seconds} seconds and {gateways.MOST_ANSWER:,} bytes" in text
    assert f"a page of the log {gateways.MOST_PAGE // 2**20} MiB" in text
    assert f"{limits.log.seconds // 60} minutes, {gateways.MOST_LOG // 2**20} MiB" in text
    assert f"{gateways.MOST_HEARTBEATS:,} heartbeats" in text
    assert f"at most {gateways.PAGE:,}" in text


@pytest.mark.parametrize("path", [row[0] for row in PAGE.table("Tests")])
def test_tests__are_there(path: str) -> None:
    assert (DOCS.parent / path).is_file()


def test_outcomes__of_trusted_hardware__are_all_told() -> None:
    assert [row[0] for row in PAGE.table("Trusted hardware")] == [each.value for each in TeeOutcome]
