"""Folders that users of jobs can pass through: pytest's own are closed to them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp


@contextmanager
def open_folder() -> Iterator[Path]:
    """Give a folder that everybody may pass through, and delete it after the block."""
    folder = Path(mkdtemp(prefix="molt-agent-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
