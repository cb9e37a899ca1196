"""`molt agent run`: what is refused before anything is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from molt_market.cli.agent import span
from molt_market.cli.root import ExitCode
from molt_market.errors import InvalidValue
from tests.integration.commands import run

NEEDED = ("--provider", "0x" + "c2" * 20, "--url", "http://x")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ((), "who do jobs run as?"),
        (("--same-user", "--job-uids", "60000-60999"), "who do jobs run as?"),
        (("--job-uids", "60999-60000"), "no span"),
        (("--same-user", "--url", "ftp://x"), "no address that others can ask"),
        (("--same-user", "--job-ports", "80"), "no span"),
    ],
)
def test_run__says_what_is_wrong(tmp_path: Path, options: tuple[str, ...], why: str) -> None:
    result = run("agent", "run", "--folder", tmp_path / "agent", *NEEDED, *options)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert why in " ".join(result.stderr.split())
    assert not (tmp_path / "agent").exists()


def test_show__needs_a_gateway_that_was_run(tmp_path: Path) -> None:
    result = run("agent", "show", "--folder", tmp_path)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "there is no database" in " ".join(result.stderr.split())
    assert "or give --database as the gateway was given it" in " ".join(result.stderr.split())


def test_span__has_both_ends() -> None:
    assert list(span("--job-uids", "60000-60002")) == [60_000, 60_001, 60_002]
    with pytest.raises(InvalidValue):
        span("--job-uids", "1-2-3")
