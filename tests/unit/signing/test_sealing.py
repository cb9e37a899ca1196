from __future__ import annotations

import stat
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from nacl.public import PrivateKey, SealedBox

from molt_market.domain.ids import ZERO_HASH
from molt_market.errors import CannotOpen, InvalidValue
from molt_market.signing.sealing import SealingKey, seal

KEY = SealingKey.generate()


def test_seal__is_opened_by_its_reader_alone() -> None:
    sealed = seal(b"hello", KEY.public)
    assert KEY.open(sealed) == b"hello"
    assert sealed != seal(b"hello", KEY.public)  # nobody sees that two are the same
    with pytest.raises(CannotOpen):
        SealingKey.generate().open(sealed)


@pytest.mark.parametrize("at", [0, 31, 32, 47, -1])
def test_open__refuses_what_was_changed(at: int) -> None:
    raw = bytearray(b64decode(seal(b"hello", KEY.public)))
    raw[at] ^= 1
    with pytest.raises(CannotOpen):
        KEY.open(b64encode(bytes(raw)).decode())


@pytest.mark.parametrize("sealed", ["", "AA==", "no base64!", "é"])
def test_open__refuses_what_is_no_sealed_text(sealed: str) -> None:
    with pytest.raises(CannotOpen):
        KEY.open(sealed)


def test_seal__is_libsodiums_sealed_box(tmp_path: Path) -> None:
    path = tmp_path / "sealing.key"
    key = SealingKey.from_file(path)
    private = PrivateKey(bytes.fromhex(path.read_text()))
    assert SealedBox(private).decrypt(b64decode(seal(b"hello", key.public))) == b"hello"


def test_from_file__makes_a_key_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "sealing.key"
    made = SealingKey.from_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SealingKey.from_file(path).public == made.public
    assert path.read_text() not in repr(made)


@pytest.mark.parametrize("text", ["", "12", "zz" * 32, "11" * 33])
def test_from_file__leaves_a_file_that_holds_something_else(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sealing.key"
    path.write_text(text)
    with pytest.raises(InvalidValue, match="no sealing key"):
        SealingKey.from_file(path)
    assert path.read_text() == text


def test_seal__refuses_a_key_that_everybody_opens() -> None:
    with pytest.raises(InvalidValue, match="no X25519 public key"):
        seal(b"hello", ZERO_HASH)
