"""The files that a job left: found, hashed and opened without following anything that leads elsewhere.

A job may have put links and pipes into its folder to make the gateway read what it could not.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from molt_market.domain.ids import EscrowId
from molt_market.domain.jobs import MOST_FILES, JobResult, OutputFile

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CHUNK = 2**20
MOST_SEEN = 10_000  # files below one path that are looked at
MOST_LETTER = 48_000  # bytes of a result that a sealed letter has place for
MOST_PATH = 200  # characters; as jobs.FilePath


class NoFile(Exception):
    """There is no such file, or it is none that the job itself has written there."""


@contextmanager
def opened(folder: Path, path: str, user: int | None) -> Iterator[BinaryIO]:
    """Open a file that a job left, for the block.

    Raises NoFile if it is no plain file, or another user's than the job's, or lies behind a link.
    """
    *between, name = PurePosixPath(path).parts
    held = [os.open(folder, FOLDER)]
    try:
        for each in between:
            held.append(_step(each, FOLDER, held[-1]))
        descriptor = _step(name, FILE, held[-1])
    finally:
        for each_held in held:
            os.close(each_held)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or (user is not None and found.st_uid != user):
        os.close(descriptor)
        raise NoFile(path)
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _step(name: str, flags: int, folder: int) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        raise NoFile(name) from error


def collect(
    deal_id: EscrowId, exit_code: int, folder: Path, wanted: tuple[str, ...], user: int | None
) -> JobResult:
    """Return a job's result: the plain files at or under `wanted`, as far as a letter has place for them.

    What cannot be named or read is left out, and so are more than 1,000 files.
    """
    paths = sorted({path for each in wanted for path in islice(_below(folder, each), MOST_SEEN)})
    outputs: list[OutputFile] = []
    size = 0
    for path in paths[:MOST_FILES]:
        with suppress(NoFile), opened(folder, path, user) as file:
            output = _described(path, file)
            size += len(output.model_dump_json()) + 1
            if size > MOST_LETTER:
                break
            outputs.append(output)
    return JobResult(deal_id=deal_id, exit_code=exit_code, outputs=tuple(outputs))


def _below(folder: Path, wanted: str) -> Iterator[str]:
    """Yield the paths at or under one, of what is there now; links are not followed."""
    top = folder / wanted
    if not top.is_dir() or top.is_symlink():
        yield wanted
        return
    for place, _, names in os.walk(top, followlinks=False):
        for name in names:
            path = Path(place, name).relative_to(folder).as_posix()
            if len(path) <= MOST_PATH and path.isprintable():
                yield path


def _described(path: str, file: BinaryIO) -> OutputFile:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return OutputFile(path=path, sha256=digest.hexdigest(), size=size)
