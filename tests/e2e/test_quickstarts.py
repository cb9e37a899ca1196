"""docs/quickstart-*.md: all that they tell to type is typed, on a devnet that is started as they say.

The devnet is started once for all of them, and the ports are others, so that nothing on this machine is in
the way.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pages import Page

DEVNET = "molt devnet --same-user"
ALL_PAID = "Success: 79.2 MOLT to the provider, 0.8 MOLT fee"
SAYS = {"buyer": "RELEASED: closed", "provider": ALL_PAID, "operator": ALL_PAID}
ENDS = {"buyer": " 1000\n", "provider": " MOLT\n", "operator": "0 new, 0 delivered, 0 failed\n"}
PAGES = tuple(ENDS)
PORTS = ("8545", "8080", "8090", "8099")
MOST_LINES = 75


@dataclass(frozen=True)
class Desk:
    """A folder with terminals in it. `shell` blocks go into one of their own each, all others into one."""

    folder: Path
    ports: Mapping[str, int]
    environment: Mapping[str, str]

    @contextmanager
    def goes_on(self, command: str) -> Iterator[subprocess.Popen[str]]:
        """Start what runs until Ctrl-C, and end it so."""
        with subprocess.Popen(
            ["bash", "-c", self.elsewhere(command)],
            cwd=self.folder,
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:  # after a failure too: a devnet that is killed leaves its chain behind
                os.killpg(process.pid, signal.SIGINT)
                code = process.wait(timeout=30)
            assert code in {0, 128 + signal.SIGINT}, command

    def type(self, script: str) -> str:
        """Type commands one after the other, all of which have to end well; return what they show."""
        done = subprocess.run(
            ["bash", "-c", f"set -euo pipefail\n{self.elsewhere(script)}"],
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def elsewhere(self, text: str) -> str:
        """Return a text with our ports."""
        for port, other in self.ports.items():
            text = text.replace(port, str(other))
        return text


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk with a devnet that runs in one of its terminals."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MOLT_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    made = Desk(tmp_path_factory.mktemp("desk"), ports, environment)
    with made.goes_on(f"{DEVNET} --port 8545 --server-port 8080") as process:
        wait_for_a_word(process)
        yield made


@pytest.mark.parametrize("name", PAGES)
def test_quickstart__is_short(name: str) -> None:
    assert len(page(name).text.splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", PAGES)
def test_quickstart__works_as_it_stands(name: str, desk: Desk) -> None:
    first, *others = [block.text.strip() for block in page(name).blocks("shell")]
    assert first == DEVNET
    with ExitStack() as open_:
        for process in [open_.enter_context(desk.goes_on(each)) for each in others]:
            wait_for_a_word(process)
        said = desk.type("\n".join(typed(name)))
    assert SAYS[name] in said
    assert said.endswith(ENDS[name]), said


def page(name: str) -> Page:
    return Page(f"quickstart-{name}.md")


def typed(name: str) -> list[str]:
    """Return what is typed into the one terminal; Python into an interpreter there."""
    found = []
    for block in page(name).blocks():
        assert block.language in {"shell", "sh", "python"}, block
        if block.language != "shell":
            found.append(block.text if block.language == "sh" else f"python - <<'END'\n{block.text}END")
    return found


def wait_for_a_word(process: subprocess.Popen[str]) -> None:
    """Wait until a program says something: all of ours do once they are ready."""
    assert process.stdout is not None
    assert process.stdout.readline(), process.args
    threading.Thread(target=process.stdout.read, daemon=True).start()


def free_ports(number: int) -> list[int]:
    """Return ports that nobody listens on, each once."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
