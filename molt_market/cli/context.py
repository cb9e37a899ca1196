"""What a command works with: options first, then the environment, then defaults. Nothing is opened early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from molt_market.app import connect
from molt_market.chain.client import MoltClient
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.cli.console import Output
from molt_market.config import settings
from molt_market.domain.ids import Address
from molt_market.errors import InvalidValue, NodeError, NodeUnreachable
from molt_market.payments.fees import GWEI, FeePolicy
from molt_market.payments.service import PaymentService
from molt_market.signing.wallet import Wallet
from molt_market.storage.database import Database
from molt_market.storage.journal import SqlJournal, chains_in

OnClose = Callable[[Callable[[], None]], object]
"""Takes what is to be called when the command is over."""


@dataclass(frozen=True)
class OpenJournal:
    """The journal of the network's chain. `head` is its latest block; None: no node answered, and `why`."""

    journal: SqlJournal
    chain: str
    head: int | None
    why: str | None = None


@dataclass(frozen=True)
class AppContext:
    """The options that commands share. Its methods open what they name, and raise what stands in the way."""

    output: Output
    network: Network
    rpc_url: str | None
    deployment: Path | None
    database_url: str | None
    wallet: Path | None
    fees: FeePolicy
    on_close: OnClose

    @classmethod
    def of(
        cls,
        output: Output,
        *,
        network: str | None,
        rpc_url: str | None,
        deployment: Path | None,
        database: str | None,
        wallet: Path | None,
        on_close: OnClose,
    ) -> AppContext:
        """Fill up with the environment what no option says. Raises InvalidValue."""
        known = settings()
        from_environment = known.database.get_secret_value() if known.database else None
        return cls(
            output,
            Network.named(network or known.network),
            rpc_url or known.rpc_url,
            deployment,
            database or from_environment,
            wallet or known.wallet,
            FeePolicy(cap=known.max_fee_gwei * GWEI) if known.max_fee_gwei else FeePolicy(),
            on_close,
        )

    def client(self, *, with_account: bool = False) -> MoltClient:
        """Return the deployment, to read; `with_account` also to send as the wallet, if one is given."""
        account = Wallet.from_file(self.wallet) if with_account and self.wallet else None
        return MoltClient(self.network, rpc_url=self.rpc_url, deployment=self.deployment, account=account)

    def payments(self) -> PaymentService:
        """Return the payments of the wallet, written down in the database."""
        if self.wallet is None:
            raise InvalidValue("no account that pays: give --wallet, or set MOLT_WALLET")
        return connect(
            self.network,
            self.wallet,
            rpc_url=self.rpc_url,
            deployment=self.deployment,
            database=self.database(),
            fees=self.fees,
        )

    def own_address(self) -> Address | None:
        """Return the account of the key file, which is not opened; None: none is given."""
        return None if self.wallet is None else Wallet.address_in(self.wallet)

    def database(self, *, must_exist: bool = True) -> Database:
        """Open the database; a SQLite file that is not there is made only if it need not exist."""
        if self.database_url is None:
            raise InvalidValue("no database: give --database, or set MOLT_DATABASE, e.g. sqlite:///market.db")
        database = Database(self.database_url, must_exist=must_exist)
        self.on_close(database.close)
        return database

    def journal(self) -> OpenJournal:
        """Open the journal of the network's chain, also where no node answers.

        Then the chain's id alone says which it is, and of several local chains the one used last is meant.
        """
        database = self.database()
        try:
            node = Node(self._node_address())
            node.require_chain(self.network.chain_id)
            chain, head = node.chain_name(), node.number("eth_blockNumber")
        except (NodeUnreachable, NodeError) as error:
            named = [name for name in chains_in(database) if name.startswith(f"{self.network.chain_id}:")]
            chain = named[0] if named else f"{self.network.chain_id}:"
            return OpenJournal(SqlJournal(database, chain), chain, None, str(error))
        return OpenJournal(SqlJournal(database, chain), chain, head)

    def _node_address(self) -> str:
        try:
            return self.network.node_address(self.rpc_url)
        except InvalidValue as error:
            raise NodeError(str(error)) from error
