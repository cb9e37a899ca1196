"""Accounts that are code: a contract, or an owner's address that has been delegated to one (EIP-7702)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_utils import keccak

from molt_market.domain.ids import Address
from tests.contracts.actors import DEPLOYER, OWNER, Actor
from tests.contracts.node import Node

SIGNS_ALL, SIGNS_NOTHING, REVERTS = range(3)  # moods of ContractWallet


@dataclass(frozen=True)
class Coded(Actor):
    """An account with the code of a ContractWallet: it calls what the code's owner has it call."""

    contract: Any  # where that code was deployed

    def sends(self, to: str, data: bytes) -> tuple[str, str, bytes]:
        return OWNER.address, self.address, bytes(self.contract.execute.encode_input(to, data))

    def set_mood(self, node: Node, mood: int) -> None:
        node.send(DEPLOYER.address, self.address, bytes(self.contract.setMood.encode_input(mood)))


@dataclass(frozen=True)
class Wallet(Coded):
    """The contract itself: it has no key."""

    @property
    def address(self) -> Address:
        return Address(str(self.contract.address))


def deploy_wallet(node: Node, project: Any) -> Wallet:
    return Wallet("wallet", node.deploy(project.ContractWallet, OWNER.address))


def delegate(node: Node, actor: Actor, contract: Any) -> Coded:
    """Give an owner's address the code of a contract: by his authorization, in a set-code transaction."""
    account, sender = key_of(actor), key_of(DEPLOYER)
    nonce = node.nonce(actor.address)
    authorization = {"chainId": node.chain_id, "address": str(contract.address), "nonce": nonce}
    node.request("hardhat_setBalance", sender.address, hex(10**18))
    price = 2 * node.base_fee
    transaction = {
        "type": 4,
        "chainId": node.chain_id,
        "nonce": node.nonce(sender.address),
        "to": actor.address,
        "value": 0,
        "data": b"",
        "gas": 200_000,
        "maxFeePerGas": price,
        "maxPriorityFeePerGas": 0,
        "authorizationList": [account.sign_authorization(authorization)],
    }
    signed = sender.sign_transaction(transaction).raw_transaction
    node.request("eth_sendRawTransactionSync", "0x" + signed.hex())
    assert node.code(actor.address) == "0xef0100" + str(contract.address)[2:].lower()
    return Coded(actor.role, contract)


def key_of(actor: Actor) -> Any:
    return Account.from_key(keccak(text=f"molt-market test key: {actor.role}"))
