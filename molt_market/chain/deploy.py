"""Deploying the packaged contracts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from molt_market.chain.artefacts import artefact
from molt_market.chain.deployments import Deployment, hash_of
from molt_market.chain.interface import interface
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.chain.token import TokenContract
from molt_market.chain.transactions import Transactions
from molt_market.domain.amounts import Token
from molt_market.domain.ids import Address
from molt_market.domain.transactions import Call, TransactionReceipt
from molt_market.errors import InvalidValue
from molt_market.signing.wallet import TransactionSigner

QUARTER_HOUR = 900


@dataclass(frozen=True, slots=True)
class TokenSpec:
    """A new MoltToken: a faucet that anyone may mint from, for local and test networks only."""

    name: str = "MOLT"
    symbol: str = "MOLT"
    decimals: int = 18


def deploy(
    network: Network,
    wallet: TransactionSigner,
    *,
    rpc_url: str | None = None,
    token: Address | TokenSpec | None = None,
    fee_recipient: Address | None = None,
    guardian: Address | None = None,
    fee_setter: Address | None = None,
    fee_bps: int = 0,
    withdraw_delay_seconds: int = QUARTER_HOUR,
    cancel_delay_seconds: int = QUARTER_HOUR,
) -> Deployment:
    """Deploy a MoltEscrow, and a token unless one is given; return what to record with `Deployment.save`.

    Args:
        wallet: pays for it, and has no right over it afterwards but the roles that it keeps.
        token: an ERC-20 that is there, or the token to make (default: MOLT).
        fee_recipient: gets the platform's fee for ever (default: the wallet).
        guardian: may pause openings for 72 hours (default: the wallet; ZERO_ADDRESS: nobody, for ever).
        fee_setter: may announce another fee, 7 days ahead (defaults and ZERO_ADDRESS: as for the guardian).
        fee_bps: the fee on what providers are paid, in basis points.

    Raises:
        DeploymentOutOfRange: a value breaks a bound of the contract.
        InvalidValue: a token for tests on the main network, or no node to ask.
        NodeUnreachable, WrongChain, InsufficientGas: nothing was deployed.
    """
    if network.chain_id == Network.MAINNET.chain_id and not isinstance(token, str):
        raise InvalidValue("anyone may mint a MoltToken, it is worth nothing: give the token to settle in")
    node = Node(network.node_address(rpc_url))
    node.require_chain(network.chain_id)
    transactions = Transactions(node, network.chain_id, confirmations=network.confirmations)
    receiver = fee_recipient or wallet.address
    money = token if isinstance(token, str) else _deploy_token(transactions, wallet, token or TokenSpec())
    roles = (receiver, guardian or wallet.address, fee_setter or wallet.address)
    settings = (fee_bps, withdraw_delay_seconds, cancel_delay_seconds)
    receipt = _create(transactions, wallet, "MoltEscrow", money, *roles, *settings)
    escrow = _created(receipt)
    contract = TokenContract(node, network.chain_id, money)
    return Deployment(
        chain_id=network.chain_id,
        escrow=escrow,
        token=Token(contract.symbol, contract.decimals, money),
        fee_recipient=receiver,
        withdraw_delay_seconds=withdraw_delay_seconds,
        cancel_delay_seconds=cancel_delay_seconds,
        block=receipt.block,
        code_hash=hash_of(node.code(escrow)),
    )


def _deploy_token(transactions: Transactions, wallet: TransactionSigner, spec: TokenSpec) -> Address:
    receipt = _create(transactions, wallet, "MoltToken", spec.name, spec.symbol, spec.decimals)
    return _created(receipt)


def _create(
    transactions: Transactions, wallet: TransactionSigner, contract: str, *values: Any
) -> TransactionReceipt:
    code = artefact(contract).creation_code + interface(contract).encode_constructor(*values)
    return transactions.send(Call(None, code), wallet)


def _created(receipt: TransactionReceipt) -> Address:
    if receipt.created is None:
        raise InvalidValue(f"transaction {receipt.transaction_id} created no contract")
    return receipt.created
