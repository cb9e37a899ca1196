"""Who signs, and whose signature it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol, Self

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_keys import keys
from eth_keys.constants import SECPK1_N
from eth_keys.exceptions import BadSignature, ValidationError

from molt_market.domain.ids import APPROVED, Address, Hash32, Signature
from molt_market.errors import InvalidSignature, InvalidValue, WrongSigner
from molt_market.signing.typed_data import Domain, Message, SigningDomain


class Signer(Protocol):
    """An account that can sign. It sees the whole message, so that a device can show what it signs."""

    @property
    def address(self) -> Address: ...

    def sign(self, message: Message, domain: SigningDomain) -> Signature: ...


class LocalSigner:
    """A signer whose key lies in this process.

    >>> LocalSigner.from_key("0x" + "01" * 32)
    LocalSigner(0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1)
    """

    __slots__ = ("_account", "_key", "address")

    def __init__(self, account: LocalAccount) -> None:
        self._account = account
        self._key = keys.PrivateKey(account.key)  # the account makes it anew for each signature
        self.address = Address(account.address)

    @classmethod
    def from_key(cls, private_key: str | bytes) -> Self:
        """Make a signer from a private key. Raises InvalidValue, which does not repeat the key."""
        try:
            return cls(Account.from_key(private_key))
        except (TypeError, ValueError, ValidationError):
            raise InvalidValue(
                "this is no private key: give 32 bytes, or 0x and 64 hexadecimal digits"
            ) from None

    def sign(self, message: Message, domain: SigningDomain) -> Signature:
        signed = self._key.sign_msg_hash(message.digest(domain))
        return Signature.of(signed.to_bytes()[:64] + bytes([27 + signed.v]))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address})"


Approvals = Callable[[Address, Hash32], bool]
"""Says whether an account has approved a digest on the chain: `client.is_approved`."""


class ApprovingSigner:
    """A signer for an account that makes no signatures, such as a contract: it approves digests instead.

    `approve` is called with each digest that has to be approved on the chain, and then the empty signature
    counts: `client.approve_digest`, if the client's account is this one, or whatever collects the digests
    for the contract to approve. Attestors, panels and permits need real signatures.

    >>> digests: list[Hash32] = []
    >>> ApprovingSigner(Address("0x" + "ab" * 20), digests.append).address[:8]
    '0xABaBaB'
    """

    __slots__ = ("_approve", "address")

    def __init__(self, address: Address, approve: Callable[[Hash32], object]) -> None:
        self.address = address
        self._approve = approve

    def sign(self, message: Message, domain: SigningDomain) -> Signature:
        """Have the message approved. Raises InvalidValue for one that is not for an escrow."""
        if not isinstance(domain, Domain):
            raise InvalidValue(f"{domain.name} takes no approvals: sign with a key")
        self._approve(Hash32.of(message.digest(domain)))
        return APPROVED


def require_signer(
    message: Message,
    domain: SigningDomain,
    signature: Signature,
    expected: Address,
    approvals: Approvals | None = None,
) -> Address:
    """Return `expected`, if it signed the message, or has approved it as far as `approvals` can tell.

    Raises:
        InvalidSignature: the signature is nobody's; WrongSigner says whose it would be.
    """
    digest = message.digest(domain)
    if signature == APPROVED and approvals is not None and approvals(expected, Hash32.of(digest)):
        return expected
    actual = recover(digest, signature)
    if actual != expected:
        raise WrongSigner(expected=expected, actual=actual)
    return actual


@lru_cache(maxsize=4096)  # an offer's is asked for with each match of it
def recover(digest: bytes, signature: str) -> Address:
    """Return the account that signed `digest`.

    Takes and refuses exactly what the contract does: 64 (EIP-2098) or 65 bytes, v of 27 or 28, low s.

    Raises:
        InvalidSignature: the signature is malformed, or no account made it.
    """
    v, r, s = split(signature)
    try:
        public_key = keys.Signature(vrs=(v - 27, r, s)).recover_public_key_from_msg_hash(digest)
    except (BadSignature, ValidationError, ValueError) as error:
        raise InvalidSignature("no account made this signature: sign again") from error
    return Address(public_key.to_address())


def compact(signature: str) -> Signature:
    """Write a signature in the 64 bytes of EIP-2098, as `claim` takes those of attestors.

    Raises:
        InvalidSignature: the signature is malformed.
    """
    v, r, s = split(signature)
    return Signature.of(r.to_bytes(32, "big") + ((v - 27) << 255 | s).to_bytes(32, "big"))


def split(signature: str) -> tuple[int, int, int]:
    """Return v (27 or 28), r and s.

    Raises:
        InvalidSignature: its length or v is wrong, or s is high (every signature has such a second form).
    """
    v, r, s = _parts(signature)
    if s > SECPK1_N // 2:
        raise InvalidSignature(
            "the signature has a high s, which the contract refuses: write it with the low one"
        )
    return v, r, s


def _parts(signature: str) -> tuple[int, int, int]:
    try:
        raw = Signature(signature).raw()
    except InvalidValue as error:
        raise InvalidSignature(
            f"a signature has 64 or 65 bytes in hexadecimal with 0x, not {signature!r}"
        ) from error
    if not raw:
        raise InvalidSignature("nothing is signed, and no approval is known on the chain: sign or approve it")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big")
    if len(raw) == 64:  # EIP-2098: the highest bit of s says which v
        return 27 + (s >> 255), r, s & (2**255 - 1)
    if raw[64] not in {27, 28}:
        raise InvalidSignature(f"the signature ends in v = {raw[64]}: it has to be 27 or 28")
    return raw[64], r, s
