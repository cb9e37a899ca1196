"""Money for tests: tokens that anyone may mint, and on a chain of one's own native coin for gas."""

from __future__ import annotations

from molt_market.chain.client import MoltClient
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.domain.amounts import Amount
from molt_market.domain.ids import Address
from molt_market.domain.transactions import TransactionReceipt
from molt_market.errors import MarketError, NodeError, NodeUnreachable, NoFaucet, TokenMismatch, WalletError

WEI = 10**18  # of one native coin
PURSE = 10 * WEI  # what an account on a local chain has at least, after it was funded


def fund(client: MoltClient, amount: Amount) -> TransactionReceipt:
    """Mint tokens to the client's account; where the node is one for tests, give it coin for gas first.

    Raises:
        NoFaucet: the token is none that anyone may mint; nothing was sent, no coin was given.
        WalletError: the client has no account. InsufficientGas: it cannot pay for the minting.
        TokenMismatch: the amount is of another token.
    """
    account = client.account
    if account is None:
        raise WalletError("this client only reads: give it an account (a Wallet) to fund")
    token = client.token
    if amount.token != token:
        raise TokenMismatch(amount.token, token)
    call = client.calls.mint(account.address, amount.base_units)
    missing = NoFaucet(client.network.chain_id, token.symbol)
    if client.network.chain_id == Network.MAINNET.chain_id:
        raise missing
    try:
        client.transactions.simulate(call, account.address)
    except (NodeUnreachable, NodeError):
        raise
    except MarketError as error:
        raise missing from error
    if gives_coin(client.node):
        give_coin(client.node, account.address)
    return client.send(call)


def gives_coin(node: Node) -> bool:
    """Tell whether a node is an Anvil or Hardhat of one's own, that can be told what an account has."""
    try:
        version = str(node.request("web3_clientVersion"))
    except NodeError:
        return False
    return (
        version.lower().startswith(("anvil", "hardhat"))
        and node.number("eth_chainId") == Network.LOCAL.chain_id
    )


def give_coin(node: Node, account: Address, *, least: int = PURSE) -> None:
    """Raise an account on such a node to `least` wei, if it has less."""
    if node.number("eth_getBalance", account, "latest") < least:
        node.request("hardhat_setBalance", account, hex(least))
