"""Who takes part, named by role. Keys come from the roles' names, so addresses are the same in every run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from eth_utils import keccak

from molt_market.domain.ids import Address
from molt_market.signing.signers import LocalSigner
from molt_market.signing.typed_data import Message, SigningDomain


@dataclass(frozen=True)
class Actor:
    role: str

    @cached_property
    def signer(self) -> LocalSigner:
        return LocalSigner.from_key(keccak(text=f"molt-market test key: {self.role}"))

    @property
    def address(self) -> Address:
        return self.signer.address

    @property
    def number(self) -> int:
        """The address as the contract's refusals carry it."""
        return int(self.address, 16)

    def sign(self, message: Message, domain: SigningDomain) -> bytes:
        return self.signer.sign(message, domain).raw()

    def sends(self, to: str, data: bytes) -> tuple[str, str, bytes]:
        """Return sender, receiver and data of the transaction in which this actor makes a call."""
        return self.address, to, data


DEPLOYER = Actor("deployer")
BUYER = Actor("buyer")
OTHER_BUYER = Actor("other buyer")
VOUCHER_SIGNER = Actor("voucher signer")
PROVIDER = Actor("provider")
OTHER_PROVIDER = Actor("other provider")
AGENT = Actor("agent")
OPENER = Actor("opener")
RELAYER = Actor("relayer")
STRANGER = Actor("stranger")
ARBITER = Actor("arbiter")
GUARDIAN = Actor("guardian")
FEE_SETTER = Actor("fee setter")
OWNER = Actor("owner of a wallet")
FEE_RECIPIENT = Actor("fee recipient")
ATTESTORS = tuple(sorted((Actor(f"attestor {i}") for i in range(3)), key=lambda actor: actor.number))

BY_ADDRESS = {
    actor.address: actor
    for actor in (BUYER, OTHER_BUYER, VOUCHER_SIGNER, PROVIDER, OTHER_PROVIDER, AGENT, STRANGER, *ATTESTORS)
}
