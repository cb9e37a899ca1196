"""One deployment for all tests; each starts from it, on a snapshot, and ends with an audit to the unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contracts.actors import BUYER, PROVIDER
from tests.contracts.endings import FullMarket
from tests.contracts.factories import UNIT
from tests.contracts.node import Node
from tests.tokens import pytest_ignore_collect  # noqa: F401 - a hook


@pytest.fixture(scope="session")
def node(chain: Any) -> Node:
    return Node(chain.provider)


@pytest.fixture(scope="session", autouse=True)
def _compiled(project: Any) -> None:
    """Compile everything anew: ape does not see that a contract has changed when only its libraries have."""
    project.load_contracts(use_cache=False)


@pytest.fixture(scope="session")
def deployment(node: Node, project: Any) -> FullMarket:
    market = FullMarket.deploy(node, project)
    market.stock(BUYER, 10_000 * UNIT)
    market.stock(PROVIDER, 1_000 * UNIT)
    return market


@pytest.fixture
def market(deployment: FullMarket) -> Iterator[FullMarket]:
    """A market in which the buyer has 10,000 MOLT, the provider 1,000, and both are in the escrow."""
    market = deployment.copy()
    yield market
    market.audit()


@pytest.fixture
def deploy(node: Node, project: Any) -> Iterator[Callable[..., FullMarket]]:
    """Deploy further markets, for other tokens and fees."""
    markets: list[FullMarket] = []

    def deploy_market(**settings: Any) -> FullMarket:
        markets.append(FullMarket.deploy(node, project, **settings))
        return markets[-1]

    yield deploy_market
    for market in markets:
        market.audit()


@pytest.fixture
def mock(node: Node, project: Any) -> Callable[..., Any]:
    """Deploy a contract by its name: `mock("FeeToken")`."""

    def deploy_mock(name: str, *arguments: Any) -> Any:
        return node.deploy(getattr(project, name), *arguments)

    return deploy_mock
