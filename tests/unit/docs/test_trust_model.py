"""docs/trust-model.md: nobody is left out, and every test that it names is there."""

from __future__ import annotations

import re

import pytest

from molt_market.chain.artefacts import artefact
from tests.pages import Page
from tests.unit.docs import named, sources
from tests.unit.docs.test_parameters import constants

PAGE = Page("trust-model.md")
ACTORS = (
    "buyer",
    "provider",
    "agent",
    "voucher signer",
    "relayer",
    "opener",
    "attestors",
    "arbiter",
    "guardian",
    "fee setter",
    "fee recipient",
    "token",
    "RPC node",
    "sequencer",
    "operator",
    "book",
    "server",
    "sends alerts",
    "webhook",
    "key is stolen",
)


@pytest.mark.parametrize("actor", ACTORS)
def test_actors__each_has_a_section(actor: str) -> None:
    assert [title for title in PAGE.sections() if title.startswith("If ") and actor in title]


def test_guarantees__come_first_and_name_invariants_and_tests() -> None:
    assert PAGE.sections()[1] == "What is guaranteed"
    promises = re.split(r"^\d+\. ", PAGE.section("What is guaranteed"), flags=re.MULTILINE)[1:]
    assert len(promises) == 12
    for promise in promises[:12]:
        assert re.search(r"I\d\d", promise), promise
        assert "`test_" in promise, promise


def test_guarantees__name_invariants_that_there_are() -> None:
    told = {int(number) for number in re.findall(r"\bI(\d\d)\b", PAGE.text)}
    assert told <= set(range(1, 41))


def test_names__of_tests_are_there() -> None:
    told = set(re.findall(r"`(test_\w+)`", PAGE.text))
    assert len(told) > 50
    assert told <= named.every_name()


def test_names__of_verbs_and_events_are_the_contracts() -> None:
    abi = artefact("MoltEscrow").abi
    known = {each.get("name") for each in abi} | {each["name"] for e in abi for each in e.get("inputs", [])}
    camel = re.findall(r"`([a-z]+(?:[A-Z]\w*)+)`", PAGE.text)
    offer = {"maxFeeBps"}
    assert set(camel) <= known | offer | {"withdrawDelay", "cancelDelay"}


def test_figures__are_the_contracts() -> None:
    fixed = constants()
    assert fixed["Roles.PAUSE"] == 72 * 3_600
    assert fixed["Roles.PAUSE_REST"] == 7 * 86_400
    assert fixed["Roles.FEE_NOTICE"] == 7 * 86_400
    assert f"{fixed['Roles.MAX_FEE_BPS']} bps" in PAGE.section("If the fee setter is malicious or silent")
    assert "72 hours, then for 7 days" in " ".join(
        PAGE.section("If the guardian is malicious or silent").split()
    )


def test_attestors__who_is_refused_is_told() -> None:
    """The page says that arbiter and voucher signer may attest."""
    body = sources.functions()["MoltEscrow", "_quorumRefusal"]
    assert re.findall(r"signer == terms\.(\w+)", body) == ["buyer", "provider", "agent"]
