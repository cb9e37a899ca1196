"""What a job left, without being led elsewhere by it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from molt_market.agent import outputs
from molt_market.agent.outputs import NoFile, collect, opened
from molt_market.domain.ids import EscrowId

DEAL = EscrowId("0x" + "11" * 32)
ME = os.geteuid()


def paths(folder: Path, *wanted: str, user: int | None = ME) -> list[str]:
    return [each.path for each in collect(DEAL, 0, folder, wanted, user).outputs]


def test_collect__takes_files_at_and_under_a_path(tmp_path: Path) -> None:
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "deep" / "a").write_bytes(b"abc")
    (tmp_path / "out" / "b").write_bytes(b"")
    (tmp_path / "c").write_bytes(b"c")
    (tmp_path / "other").write_bytes(b"not asked for")
    result = collect(DEAL, 3, tmp_path, ("out", "c", "out/b", "missing"), ME)
    assert result.exit_code == 3
    assert [(each.path, each.size) for each in result.outputs] == [("c", 1), ("out/b", 0), ("out/deep/a", 3)]
    assert result.outputs[2].sha256 == hashlib.sha256(b"abc").hexdigest()


def test_collect__follows_no_link_and_reads_no_pipe(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("SECRET")
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "key").symlink_to(secret / "key")
    (folder / "out").symlink_to(secret)
    (folder / "real").mkdir()
    (folder / "real" / "up").symlink_to("..")
    (folder / "real" / "a").write_text("mine")
    os.mkfifo(folder / "real" / "pipe")
    assert paths(folder, "key", "out", "out/key", "real") == ["real/a"]
    for path in ("key", "out/key", "real/up/key", "real/pipe", "real", "nowhere"):
        with pytest.raises(NoFile), opened(folder, path, ME):
            pass


def test_collect__leaves_out_what_another_user_owns(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("of root, linked into the folder")
    assert paths(tmp_path, "a", user=ME + 1) == []
    assert paths(tmp_path, "a", user=None) == ["a"]


def test_collect__lists_no_more_than_a_letter_has_place_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "MOST_LETTER", 300)
    for name in "abcdef":
        (tmp_path / name).write_text(name)
    (tmp_path / "line\nbreak").write_text("cannot be named")
    assert paths(tmp_path, *"abcdef") == ["a", "b", "c"]
