"""Commands as pages and units write them, looked up in the program's own tree."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import typer

from molt_market.cli.later import Later
from molt_market.cli.root import app

ROOT: Any = typer.main.get_command(app)


def in_page(text: str) -> Iterator[list[str]]:
    """Yield the words of each `molt ...` of a page: in code, in one line or a block."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    rest = re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`]+)`", rest)
    for each in [*lines, *spans]:
        if re.match(r"molt\s", each):
            yield shlex.split(each)[1:]


def require_known(words: list[str]) -> None:
    """Raise AssertionError unless the program has this command, with these options."""
    command, given = ROOT, iter(words)
    told = " ".join(words)
    for word in given:
        if word.startswith("-"):
            option = _option(command, word, told)
            if not option.is_flag and not option.count and "=" not in word:
                assert next(given, None) is not None, f"{told}: {word} needs a value"
        elif hasattr(command, "commands"):
            assert word in command.commands, f"{told}: there is no {word}"
            listed = command.commands[word]
            command = listed.load() if isinstance(listed, Later) else listed
    assert not hasattr(command, "commands"), f"{told}: is a group of commands"


def _option(command: Any, word: str, told: str) -> Any:
    name = word.partition("=")[0]
    found = [each for each in command.params if name in {*each.opts, *each.secondary_opts}]
    assert found, f"{told}: there is no {name}"
    return found[0]
