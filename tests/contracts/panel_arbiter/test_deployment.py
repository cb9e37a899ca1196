"""A panel's members and threshold: checked once, then fixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.contracts.actors import Actor
from tests.contracts.factories import ZERO_ADDRESS, addresses
from tests.contracts.node import Node
from tests.contracts.panel import MEMBERS, THRESHOLD, Panel, reverts

Deploy = Callable[[Sequence[str], int], Any]
CROWD = sorted((Actor(f"juror {i}").address for i in range(17)), key=lambda address: int(address, 16))
FIVE = addresses(MEMBERS)


@pytest.fixture
def deploy_panel(node: Node, project: Any) -> Deploy:
    return lambda members, threshold: node.deploy(project.PanelArbiter, members, threshold)


def test_deployment__members_and_threshold__can_be_read(panel: Panel) -> None:
    assert list(panel.contract.members()) == FIVE
    assert panel.contract.threshold() == THRESHOLD


@pytest.mark.parametrize(("members", "threshold"), [(1, 1), (5, 1), (5, 5), (16, 16)])
def test_deployment__at_its_bounds__deploys(deploy_panel: Deploy, members: int, threshold: int) -> None:
    panel = deploy_panel(CROWD[:members], threshold)
    assert list(panel.members()) == CROWD[:members]


def test_deployment__seventeen_members__refused(deploy_panel: Deploy) -> None:
    with reverts("TooManyMembers(uint256,uint256)", 17, 16):
        deploy_panel(CROWD, 3)


@pytest.mark.parametrize(("members", "threshold"), [(5, 0), (5, 6), (0, 0), (0, 1)])
def test_deployment__threshold_outside__refused(deploy_panel: Deploy, members: int, threshold: int) -> None:
    with reverts("BadThreshold(uint256,uint256)", threshold, members):
        deploy_panel(FIVE[:members], threshold)


@pytest.mark.parametrize(
    ("members", "wrong", "previous"),
    [
        ([FIVE[1], FIVE[0]], FIVE[0], FIVE[1]),
        ([FIVE[0], FIVE[1], FIVE[1]], FIVE[1], FIVE[1]),
        ([ZERO_ADDRESS, FIVE[0]], ZERO_ADDRESS, ZERO_ADDRESS),
    ],
    ids=["unsorted", "twice", "zero"],
)
def test_deployment__members_not_ascending__refused(
    deploy_panel: Deploy, members: list[str], wrong: str, previous: str
) -> None:
    with reverts("MembersNotAscending(address,address)", wrong, previous):
        deploy_panel(members, 1)
