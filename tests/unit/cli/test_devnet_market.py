"""A devnet without a server's packages has no market, and says so once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from molt_market.cli import devnet_market
from molt_market.cli.console import Output


def test_market__without_its_packages__is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devnet_market, "can_serve", lambda: False)
    with devnet_market.listening(0) as listener:
        home: Any = SimpleNamespace(listener=listener, server=None)
        out = Output()
        with devnet_market.serve_market(home, out) as check, devnet_market.attest(home, out) as other:
            check()
            other()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "no market's server: it needs more packages, pip install 'molt-market[server]'\n"
