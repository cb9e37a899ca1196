"""Sealing what is meant for one reader: libsodium's sealed box (X25519, XSalsa20-Poly1305).

A sealed box does not say who sealed it; the letter that carries it is signed for that.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from molt_market.domain.ids import Hash32
from molt_market.errors import CannotOpen, InvalidValue


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A key that opens what was sealed to its public half.

    >>> key = SealingKey.generate()
    >>> key.open(seal(b"hello", key.public))
    b'hello'
    """

    _private: PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Make a new one."""
        return cls(PrivateKey.generate())

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a key from its file, or make both, for its owner's eyes only.

        Raises InvalidValue if the file holds something else.
        """
        with suppress(FileExistsError):
            private = PrivateKey.generate()
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(bytes(private).hex())
            return cls(private)
        try:
            return cls(PrivateKey(bytes.fromhex(path.read_text("ascii").strip())))
        except (ValueError, TypeError) as error:
            raise InvalidValue(f"{path} holds no sealing key: move it away, a new one is made") from error

    @property
    def public(self) -> Hash32:
        """What others seal to: the X25519 public key."""
        return Hash32.of(bytes(self._private.public_key))

    def open(self, sealed: str) -> bytes:
        """Return what was sealed to this key.

        Raises CannotOpen if it was sealed to another one, or changed since.
        """
        try:
            return SealedBox(self._private).decrypt(b64decode(sealed, validate=True))
        except (CryptoError, ValueError) as error:
            raise CannotOpen from error


def seal(content: bytes, public: Hash32) -> str:
    """Return the content as only the owner of the public key can read it, in base64.

    Raises InvalidValue if it is no X25519 public key.
    """
    try:
        return b64encode(SealedBox(PublicKey(public.raw())).encrypt(content)).decode("ascii")
    except CryptoError as error:
        raise InvalidValue(f"{public} is no X25519 public key: ask for the reader's sealing key") from error
