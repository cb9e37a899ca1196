"""docs/states.md on a real chain: every verb that it lists works and leads where it says; no other does."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from molt_market.domain.deals import DealStatus
from molt_market.refusals import OrderAlreadyOpened, WrongStatus
from tests.integration.scene import HOURS, Scene
from tests.integration.stage import LEADING_TO, Stage
from tests.pages import Page

# What is done in a status, and what comes of it. The hours are those that the verb names; a LOCKED deal has
# paid them by voucher before cancelDeal and finalize.
PLAYS = [
    ("LOCKED", "release", "12", "LOCKED"),
    ("LOCKED", "release", "24", "RELEASED"),
    ("LOCKED", "stop", "0", "LOCKED"),
    ("LOCKED", "claim", "23.5", "CLAIMED"),
    ("LOCKED", "claimUnattested", "23.5", "DISPUTED"),
    ("LOCKED", "cancelDeal", "0", "REFUNDED"),
    ("LOCKED", "cancelDeal", "12", "RELEASED"),
    ("LOCKED", "settle", "0", "REFUNDED"),
    ("LOCKED", "settle", "12", "RELEASED"),
    ("LOCKED", "finalize", "0", "REFUNDED"),
    ("LOCKED", "finalize", "12", "RELEASED"),
    ("CLAIMED", "release", "12", "CLAIMED"),
    ("CLAIMED", "release", "23.5", "RELEASED"),
    ("CLAIMED", "dispute", "12", "DISPUTED"),
    ("CLAIMED", "settle", "0", "REFUNDED"),
    ("CLAIMED", "settle", "12", "RELEASED"),
    ("CLAIMED", "finalize", "0", "RELEASED"),
    ("DISPUTED", "resolve", "0", "REFUNDED"),
    ("DISPUTED", "resolve", "12", "RELEASED"),
    ("DISPUTED", "concede", "0", "REFUNDED"),
    ("DISPUTED", "concede", "23.5", "RELEASED"),
    ("DISPUTED", "settle", "0", "REFUNDED"),
    ("DISPUTED", "settle", "12", "RELEASED"),
    ("DISPUTED", "finalize", "0", "RELEASED"),
    ("UNATTESTED", "finalize", "0", "REFUNDED"),
]
ON_CHAIN = {"UNATTESTED": "DISPUTED"}  # by a claim without a quorum
VERBS = sorted({verb for _, verb, _, _ in PLAYS})


@pytest.fixture
def stage(scene: Scene) -> Stage:
    return Stage(scene)


def listed() -> dict[tuple[str, str], set[str]]:
    """Return what docs/states.md says: where each verb leads in each status."""
    rows = Page("states.md").table("A deal on the chain")
    return {(status, verb): set(re.findall(r"[A-Z]{2,}", to)) for status, verb, _, to in rows}


def test_plays__are_all_that_the_page_lists() -> None:
    leads: dict[tuple[str, str], set[str]] = defaultdict(set)
    for status, verb, _, to in PLAYS:
        leads[ON_CHAIN.get(status, status), verb].add(to)
    assert {("NONE", "open"): {"LOCKED"}, **leads} == listed()


@pytest.mark.parametrize(("status", "verb", "hours", "to"), PLAYS)
def test_verb__in_a_status_that_lists_it__leads_where_it_says(
    stage: Stage, status: str, verb: str, hours: str, to: str
) -> None:
    escrow = stage.deal(status)
    if status == "LOCKED" and verb.startswith("claim"):
        stage.scene.run(HOURS)
    if status == "LOCKED" and verb in {"cancelDeal", "finalize"} and hours != "0":
        stage.send(escrow, "release", hours)
    if verb == "finalize":
        stage.scene.run_past(escrow)
    assert stage.send(escrow, verb, hours).name == to


@pytest.mark.parametrize("status", LEADING_TO)
def test_verb__in_any_other_status__is_refused(stage: Stage, status: str) -> None:
    escrow = stage.never_opened() if status == "NONE" else stage.deal(status)
    stage.scene.run(HOURS)  # so that no verb is too early
    known = {verb for each, verb in listed() if each == ON_CHAIN.get(status, status)}
    for verb in {*VERBS} - known:
        sender, call = stage.call(escrow, verb, "12")
        with pytest.raises(WrongStatus) as refused:
            stage.net.client(sender).send(call)
        assert refused.value.actual == DealStatus[ON_CHAIN.get(status, status)], verb


@pytest.mark.parametrize("status", sorted({*LEADING_TO} - {"NONE"}))
def test_open__a_second_time__is_refused_whatever_became_of_the_first(stage: Stage, status: str) -> None:
    stage.deal(status, slot=3)
    again = stage.scene.order(slot=3)
    with pytest.raises(OrderAlreadyOpened):
        stage.scene.open(order=again, offer=stage.scene.offer(slot=4))
