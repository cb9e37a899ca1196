"""A devnet without a server's packages has no market, and says so once; and who runs jobs on one."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from molt_market.cli import devnet_gateway, devnet_market
from molt_market.cli.console import Output


def test_market__without_its_packages__is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devnet_market, "can_serve", lambda: False)
    monkeypatch.setattr(devnet_gateway, "can_serve", lambda: False)
    place_of = devnet_gateway.gateway_place(Output(), wanted=True, same_user=True)
    with devnet_market.listening(0) as listener, place_of as place:
        home: Any = SimpleNamespace(listener=listener, server=None, gateway=place)
        with ExitStack() as beside:
            for companion in (devnet_market.serve_market, devnet_market.attest, devnet_gateway.run_gateway):
                beside.enter_context(companion(home, Output()))()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("no market's server, no attestors and no gateway: they need more packages, ")
    assert said.err.count("\n") == 1


def test_gateway__that_is_not_wanted__has_no_place() -> None:
    with devnet_gateway.gateway_place(Output(), wanted=False, same_user=True) as place:
        assert place is None


def test_gateway__runs_jobs_as_who_started_it__only_if_he_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    with devnet_gateway.gateway_place(Output(), wanted=True, same_user=False) as place:
        assert place is None
    assert "run as you" in capsys.readouterr().err
    with devnet_gateway.gateway_place(Output(), wanted=True, same_user=True) as place:
        assert place is not None
        assert place.options[-1] == "--same-user"


def test_gateway__runs_jobs_as_others_by_root__else_as_who_started_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {}
    for user in (0, 1_000):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        options[user] = devnet_gateway.GatewayPlace(Path("folder"), 40_001).options[-2:]
    assert options == {0: ["--job-uids", "60208-60215"], 1_000: ["folder", "--same-user"]}
