"""A container engine for tests, if one works on this machine, and an image for it that needs no registry."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ENGINE, BUSYBOX = "podman", "/bin/busybox"
NAME = "localhost/molt-market-test"
PROGRAMS = ("sh", "env", "id", "ls", "cat", "head", "sleep", "grep", "tr", "wget", "httpd", "setsid", "kill")
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=64:64", "--memory", "64m")


@cache
def image() -> str | None:
    """Make an image of one program that needs no other file; None: no engine works, or it is not here."""
    if os.geteuid() != 0 or shutil.which(ENGINE) is None or not Path(BUSYBOX).exists():
        return None
    with TemporaryDirectory() as folder:
        archive = Path(folder, "image.tar")
        with tarfile.open(archive, "w") as tar:
            tar.add(Path(BUSYBOX).resolve(), "bin/busybox")
            for name in PROGRAMS:
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        asked("import", str(archive), f"{NAME}:latest")
    try:
        asked("run", "--rm", "--network", "none", *LIMITS, f"{NAME}:latest", "/bin/sh", "-c", "true")
    except subprocess.CalledProcessError:
        return None
    return f"{NAME}@{asked('image', 'inspect', '--format', '{{.Digest}}', f'{NAME}:latest')}"


def asked(*arguments: str) -> str:
    """Return what the engine answers."""
    done = subprocess.run([ENGINE, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


needs_engine = pytest.mark.skipif(image() is None, reason="no container engine works here")
