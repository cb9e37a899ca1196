"""deploy/: units and image start commands that there are, as users without rights, as the page says."""

from __future__ import annotations

import json
import re
import shlex
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

from molt_market.cli.root import ExitCode
from molt_market.config import Settings
from tests.unit.docs.told_commands import require_known

FOLDER = Path(__file__).resolve().parents[3] / "deploy"
UNITS = {path.stem: path for path in sorted((FOLDER / "systemd").iterdir())}
TEXT = (FOLDER / "README.md").read_text("utf-8")

each_unit = pytest.mark.parametrize("name", UNITS)


def unit(name: str) -> Any:
    parser = ConfigParser(interpolation=None, delimiters=("=",), strict=True)
    parser.optionxform = str  # type: ignore[method-assign,assignment] # systemd's names have capitals
    parser.read_string(UNITS[name].read_text("utf-8"))
    return parser


def test_units__are_those_of_the_page() -> None:
    assert re.findall(r"^\| `(molt-\w+)` \|", TEXT, re.MULTILINE) == [
        "molt-serve",
        "molt-keeper",
        "molt-alerts",
        "molt-attestor",
        "molt-agent",
    ]
    assert UNITS.keys() == set(re.findall(r"^\| `(molt-\w+)` \|", TEXT, re.MULTILINE))


@each_unit
def test_unit__starts_a_command_with_options_that_there_are(name: str) -> None:
    program, *words = shlex.split(unit(name)["Service"]["ExecStart"])
    assert program == "/opt/molt-market/bin/molt"
    require_known(words)
    assert name.removeprefix("molt-") in words


@each_unit
def test_unit__reads_its_own_environment__and_starts_again_unless_it_is_told_wrong(name: str) -> None:
    service = unit(name)["Service"]
    assert service["EnvironmentFile"] == f"/etc/molt-market/{name.removeprefix('molt-')}.env"
    assert (service["Restart"], service["RestartPreventExitStatus"]) == (
        "on-failure",
        str(ExitCode.BAD_INPUT.value),
    )
    assert unit(name)["Install"]["WantedBy"] == "multi-user.target"


@each_unit
def test_unit__gives_up_its_rights__but_for_the_gateway__whose_jobs_live_on(name: str) -> None:
    service = unit(name)["Service"]
    if name == "molt-agent":
        assert service["KillMode"] == "process"
        assert "User" not in service
    else:
        assert "KillMode" not in service
        assert (service["User"], service["NoNewPrivileges"], service["ProtectSystem"]) == (
            "molt",
            "yes",
            "strict",
        )


def test_page__names_variables_that_there_are() -> None:
    names = set(re.findall(r"MOLT_([A-Z_]+)", TEXT))
    assert names <= {name.upper() for name in Settings.model_fields}
    assigned = set(re.findall(r"\$\{([A-Z]+)\}", UNITS["molt-agent"].read_text("utf-8")))
    assert assigned <= set(re.findall(r"`([A-Z]+)`", TEXT))


def test_image__runs_the_server_as_a_user_without_rights() -> None:
    lines = (FOLDER / "Containerfile").read_text("utf-8").splitlines()
    told = dict(line.split(" ", 1) for line in lines if re.match(r"[A-Z]+ ", line))
    assert told["USER"] == "10001:10001"
    assert json.loads(told["ENTRYPOINT"]) == ["/opt/molt-market/bin/molt"]
    require_known(json.loads(told["CMD"]))
    copied = [line.split()[1] for line in lines if re.match(r"COPY (?!--from)", line)]
    ignored = (FOLDER / "containerignore").read_text("utf-8").splitlines()
    root = FOLDER.parent
    for each in ["pyproject.toml", "README.md", "molt_market", "requirements/dev.txt"]:
        assert (root / each).exists()
        assert f"!{each}" in ignored
    assert {"molt_market", "requirements/dev.txt"} <= set(copied)
