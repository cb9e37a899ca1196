"""One chain per file; what a test does on it is undone after the test."""

from collections.abc import Iterator

import pytest

from molt_market.testing import Devnet, devnet
from tests.integration.scene import SPEC, Scene


@pytest.fixture(scope="module")
def chain() -> Iterator[Devnet]:
    with devnet(token=SPEC) as net:
        yield net


@pytest.fixture
def net(chain: Devnet) -> Iterator[Devnet]:
    with chain.isolated():
        yield chain


@pytest.fixture
def scene(net: Devnet) -> Scene:
    return Scene(net)
