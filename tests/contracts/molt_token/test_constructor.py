"""constructor: a token has the name, symbol and decimals that it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize("decimals", [0, 6, 18, 255])
def test_constructor__stores_what_it_was_given(mock: Callable[..., Any], decimals: int) -> None:
    token = mock("MoltToken", "Test dollar", "TUSD", decimals)
    assert (token.name(), token.symbol(), token.decimals()) == ("Test dollar", "TUSD", decimals)
    assert token.totalSupply() == 0


def test_constructor__permits_are_signed_for_its_name(mock: Callable[..., Any]) -> None:
    token = mock("MoltToken", "Test dollar", "TUSD", 6)
    domain = token.eip712Domain()
    assert (domain.name, domain.version, domain.verifyingContract) == ("Test dollar", "1", token.address)
