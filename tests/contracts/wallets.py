"""Accounts that are code: a contract, or an owner's address that has been delegated to one (EIP-7702)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from molt_market.domain.ids import Address
from tests.contracts.actors import OWNER, Actor
from tests.contracts.node import Node

SIGNS_ALL, SIGNS_NOTHING, REVERTS = range(3)  # moods of ContractWallet


@dataclass(frozen=True)
class Wallet(Actor):
    """A ContractWallet: it has no key, and calls what its owner has it call."""

    contract: Any

    @property
    def address(self) -> Address:
        return Address(str(self.contract.address))

    def sends(self, to: str, data: bytes) -> tuple[str, str, bytes]:
        return OWNER.address, self.address, bytes(self.contract.execute.encode_input(to, data))


def deploy_wallet(node: Node, project: Any) -> Wallet:
    return Wallet("wallet", node.deploy(project.ContractWallet, OWNER.address))
