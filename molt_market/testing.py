"""A real local chain for tests and demonstrations: Anvil with our contracts, funded wallets, a clock to turn.

>>> with devnet() as net:  # doctest: +SKIP
...     payments = net.payments(net.buyer)
...     escrow = payments.create_job_escrow(match, net.buyer)
...     net.warp(24 * 3600)
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import IO

from eth_account import Account

from molt_market.app import let_ask
from molt_market.chain.client import MoltClient
from molt_market.chain.deploy import deploy
from molt_market.chain.deployments import Deployment
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.chain.panel import deploy_panel
from molt_market.chain.plans import TokenSpec
from molt_market.chain.views import ChainClock
from molt_market.config import settings
from molt_market.domain.amounts import Amount
from molt_market.domain.clock import Clock
from molt_market.domain.ids import Address, Hash32
from molt_market.domain.policies import Policy
from molt_market.errors import AnvilNotFound, InvalidValue, NodeUnreachable
from molt_market.orderbook import OrderBook
from molt_market.payments.journal import Journal
from molt_market.payments.service import PaymentService
from molt_market.signing.hashes import policy_id
from molt_market.signing.typed_data import Domain
from molt_market.signing.wallet import Wallet

# Anvil's own, known to everybody: never send anything of value to its accounts.
MNEMONIC = "test test test test test test test test test test test junk"
ACCOUNTS = 23
HARDFORK = "prague"
PURSE = 100_000  # whole tokens that each buyer and provider gets
LISTENING = re.compile(r"Listening on 127\.0\.0\.1:(\d+)")


class ManualClock:
    """A clock that stands until it is turned.

    >>> clock = ManualClock(datetime.fromisoformat("2026-01-01T12:00:00Z"))
    >>> clock.advance(60)
    >>> clock.now().minute
    1
    """

    def __init__(self, now: datetime) -> None:
        if now.tzinfo is None:
            raise InvalidValue(f"{now} has no time zone: give it one, e.g. datetime.now(UTC)")
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: int) -> None:
        """Turn the clock on."""
        self._now += timedelta(seconds=seconds)


@contextmanager
def anvil(
    *, port: int = 0, block_time: int | None = None, apart: bool = False, chain_id: int = 31_337
) -> Iterator[str]:
    """Run an Anvil for the length of the block, and give its address. Only this machine can reach it.

    Args:
        port: where it listens (default: a free one).
        block_time: seconds between blocks (default: a block for each transaction, at once).
        apart: a Ctrl-C at the terminal does not reach it, so that it is there until the block is left.
        chain_id: which chain it says it is.

    Raises:
        AnvilNotFound: it is not installed. NodeUnreachable: it does not start, for example for a port in use.
    """
    command = [_anvil_program(), "--host", "127.0.0.1", "--port", str(port), "--hardfork", HARDFORK]
    command += ["--chain-id", str(chain_id)]
    command += ["--accounts", str(ACCOUNTS), "--mnemonic", MNEMONIC]
    if block_time is not None:
        command += ["--block-time", str(block_time)]
    with subprocess.Popen(  # noqa: S603 - no shell, and the arguments are ours
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0 if apart else None,
    ) as process:
        try:
            yield _address_when_listening(process, port)
        finally:
            process.terminate()


def _anvil_program() -> str:
    configured = settings().anvil
    program = shutil.which(configured)
    if program is None:
        raise AnvilNotFound(configured)
    return program


def _address_when_listening(process: subprocess.Popen[str], port: int) -> str:
    said = []
    for line in process.stdout or ():
        said.append(line)
        if found := LISTENING.search(line):
            # It goes on talking: somebody has to listen, or it stops when the pipe is full.
            threading.Thread(target=_drain, args=(process.stdout,), daemon=True).start()
            return f"http://127.0.0.1:{found[1]}"
    raise NodeUnreachable(f"http://127.0.0.1:{port}") from ChildProcessError("".join(said))


def _drain(stdout: IO[str]) -> None:
    with suppress(ValueError):  # it may be closed while we wait for the next line
        deque(stdout, 0)


@cache
def dev_wallet(index: int) -> Wallet:
    """Return an account of Anvil's public mnemonic."""
    Account.enable_unaudited_hdwallet_features()
    return Wallet(Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}"))


def _wallets(first: int, count: int) -> tuple[Wallet, ...]:
    return tuple(dev_wallet(index) for index in range(first, first + count))


@dataclass(frozen=True)
class Devnet:
    """A local chain with the contracts on it. All wallets have native coin; buyers and providers have tokens.

    `policy` and `panel_policy` are registered: two of the three attestors make a claim, the challenge window
    is an hour. The first one's arbiter is an account, the other's a panel: two of its three members rule.
    """

    url: str
    network: Network
    deployment: Deployment
    node: Node
    clock: Clock
    panel: Address
    policy: Policy
    panel_policy: Policy
    operator: Wallet = field(default_factory=lambda: dev_wallet(0))
    fee_recipient: Wallet = field(default_factory=lambda: dev_wallet(1))
    arbiter: Wallet = field(default_factory=lambda: dev_wallet(2))
    attestors: tuple[Wallet, ...] = field(default_factory=lambda: _wallets(3, 3))
    buyers: tuple[Wallet, ...] = field(default_factory=lambda: _wallets(6, 3))
    providers: tuple[Wallet, ...] = field(default_factory=lambda: _wallets(9, 4))
    agents: tuple[Wallet, ...] = field(default_factory=lambda: _wallets(13, 4))
    stranger: Wallet = field(default_factory=lambda: dev_wallet(17))
    panel_members: tuple[Wallet, ...] = field(default_factory=lambda: _wallets(18, 3))
    guardian: Wallet = field(default_factory=lambda: dev_wallet(21))
    fee_setter: Wallet = field(default_factory=lambda: dev_wallet(22))

    @property
    def buyer(self) -> Wallet:
        return self.buyers[0]

    @property
    def provider(self) -> Wallet:
        return self.providers[0]

    @property
    def agent(self) -> Wallet:
        return self.agents[0]

    @property
    def domain(self) -> Domain:
        """What offers, orders, vouchers and receipts are signed for."""
        return Domain(self.deployment.chain_id, self.deployment.escrow)

    @property
    def policy_id(self) -> Hash32:
        return policy_id(self.policy)

    @property
    def panel_policy_id(self) -> Hash32:
        return policy_id(self.panel_policy)

    def client(self, account: Wallet | None = None) -> MoltClient:
        """Return the deployment as an account sees it."""
        return MoltClient(self.network, deployment=self.deployment, account=account, timeout_seconds=30)

    def payments(
        self, account: Wallet | None = None, *, book: OrderBook | None = None, journal: Journal | None = None
    ) -> PaymentService:
        """Return the payments of an account."""
        return PaymentService(self.client(account), book=book, journal=journal)

    def book(self) -> OrderBook:
        """Return an order book on the chain's clock that hands out only what the chain would open."""
        book = OrderBook(self.clock)
        let_ask(book, self.client())
        return book

    def mint(self, to: Address, amount: Amount) -> None:
        """Give an account tokens from the faucet."""
        client = self.client(self.operator)
        client.send(client.calls.mint(to, amount.base_units))

    def warp(self, seconds: int) -> None:
        """Turn the chain's clock on, and mine a block there."""
        self.node.request("evm_increaseTime", seconds)
        self.node.request("evm_mine")

    @contextmanager
    def isolated(self) -> Iterator[None]:
        """Undo on leaving all that happens on the chain in the block."""
        snapshot = self.node.request("evm_snapshot")
        try:
            yield
        finally:
            self.node.request("evm_revert", snapshot)


@contextmanager
def devnet(
    *,
    port: int = 0,
    block_time: int | None = None,
    apart: bool = False,
    fee_bps: int = 100,
    withdraw_delay_seconds: int = 900,
    cancel_delay_seconds: int = 900,
    token: TokenSpec | None = None,
) -> Iterator[Devnet]:
    """Run a local chain with the contracts deployed and the roles funded, for the length of the block.

    Raises:
        AnvilNotFound, NodeUnreachable: as `anvil` says.
    """
    with anvil(port=port, apart=apart) as url:
        network = Network("local", Network.LOCAL.chain_id, url)
        deployment = deploy(
            network,
            dev_wallet(0),
            token=token,
            fee_recipient=dev_wallet(1).address,
            guardian=dev_wallet(21).address,
            fee_setter=dev_wallet(22).address,
            fee_bps=fee_bps,
            withdraw_delay_seconds=withdraw_delay_seconds,
            cancel_delay_seconds=cancel_delay_seconds,
        )
        node = Node(url)
        members = [wallet.address for wallet in _wallets(18, 3)]
        panel = deploy_panel(network, dev_wallet(0), members, 2)
        policies = _policy(dev_wallet(2).address), _policy(panel)
        net = Devnet(url, network, deployment, node, ChainClock(node), panel, *policies)
        _fund(net)
        if block_time is not None:  # only now: setting up takes a dozen blocks
            node.request("evm_setIntervalMining", block_time)
        yield net


def _policy(arbiter: Address) -> Policy:
    return Policy(
        arbiter=arbiter,
        challenge_seconds=3_600,
        threshold=2,
        attestors=tuple(wallet.address for wallet in _wallets(3, 3)),
    )


def _fund(net: Devnet) -> None:
    """Register the policies, give buyers and providers tokens, let the providers deposit for their bonds."""
    client = net.client(net.operator)
    for policy in (net.policy, net.panel_policy):
        client.register_policy(policy)
    purse = client.token.amount(PURSE)
    for wallet in (*net.buyers, *net.providers):
        client.send(client.calls.mint(wallet.address, purse.base_units))
    for provider in net.providers:
        net.client(provider).deposit(client.token.amount(PURSE // 10))
