"""Reading what others have signed from files of JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from molt_market.domain.fields import Value
from molt_market.errors import InvalidValue

Read = TypeVar("Read", bound=Value)


def read_value(path: Path, kind: type[Read]) -> Read:
    """Read a value from a file, as its `model_dump_json` writes it.

    Raises:
        InvalidValue: the file cannot be read, or holds something else; the message says which field is wrong.
    """
    try:
        return kind.model_validate_json(read_text(path))
    except ValidationError as error:
        raise InvalidValue(f"{path} is no {kind.__name__}: {problem_of(error)}") from error


def read_text(path: Path) -> str:
    """Read a text from a file. Raises InvalidValue if it cannot be read, or is none."""
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise InvalidValue(f"{path} cannot be read ({error.strerror}): correct the path") from error
    except UnicodeDecodeError as error:
        raise InvalidValue(f"{path} is no text: give a file of JSON") from error


def problem_of(error: ValidationError) -> str:
    """Say which field of a value is wrong first, and how."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    problem = first["msg"].removeprefix("Value error, ")
    return f"{where}: {problem}" if where else problem
