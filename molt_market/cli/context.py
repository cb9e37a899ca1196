"""What a command works with: options first, then the environment, then defaults. Nothing is opened early.

Nor imported: a command that asks neither a chain nor a database does not wait for their packages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from molt_market.chain.networks import Network
from molt_market.cli.console import Output
from molt_market.config import settings
from molt_market.errors import ChainError, InvalidValue, MoltError, NodeError, NodeUnreachable, Refused
from molt_market.payments.fees import GWEI, FeePolicy
from molt_market.refusals import in_units

if TYPE_CHECKING:
    from molt_market.chain.client import MoltClient
    from molt_market.chain.node import Node
    from molt_market.domain.ids import Address
    from molt_market.payments.service import PaymentService
    from molt_market.sdk.api import MarketApi
    from molt_market.sdk.attestor import Attestor
    from molt_market.sdk.buyer import Buyer
    from molt_market.sdk.provider import Provider
    from molt_market.sdk.watch import PingStore
    from molt_market.signing.wallet import Wallet
    from molt_market.storage.database import Database
    from molt_market.storage.journal import SqlJournal

Party = TypeVar("Party", "Buyer", "Provider", "Attestor")

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
    server: str | None
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
        server: str | None,
        on_close: OnClose,
    ) -> AppContext:
        """Fill up with the environment what no option says. Raises InvalidValue."""
        known = settings()
        chain = Network.named(network or known.network)
        if known.confirmations is not None:
            chain = replace(chain, confirmations=known.confirmations)
        from_environment = known.database.get_secret_value() if known.database else None
        return cls(
            output,
            chain,
            rpc_url or known.rpc_url,
            deployment,
            database or from_environment,
            wallet or known.wallet,
            server or known.server,
            FeePolicy(cap=known.max_fee_gwei * GWEI) if known.max_fee_gwei else FeePolicy(),
            on_close,
        )

    def says_json(self, *, as_json: bool) -> bool:
        """Tell whether the answer is for a program: `--json` stands before the command, or after it."""
        return as_json or self.output.as_json

    def said(self, error: MoltError) -> str:
        """Say an error as people read it: the sums of a refusal in whole tokens, if it is known which."""
        if not isinstance(error, Refused):
            return str(error)
        from molt_market.chain.deployments import load_deployment

        try:
            token = load_deployment(self.network.chain_id, self.deployment).money
        except ChainError:
            return str(error)
        return in_units(error, token.written)

    def client(self, account: Wallet | None = None) -> MoltClient:
        """Return the deployment: to read, or to send as an account."""
        from molt_market.chain.client import MoltClient

        return MoltClient(self.network, rpc_url=self.rpc_url, deployment=self.deployment, account=account)

    def key_file(self) -> Path:
        """Return the path of the key file."""
        if self.wallet is None:
            raise InvalidValue("no account: give --wallet, the path of your key file, or set MOLT_WALLET")
        return self.wallet

    def payments(self, *, unwritten: bool = False, database: Database | None = None) -> PaymentService:
        """Return the payments of the wallet, written down in `database`, or else in that of the options.

        With `unwritten` a database may be missing. Each verb asks the chain before it sends, so that no step
        is made twice without one; only what is stuck cannot be replaced by a later process.
        """
        from molt_market.app import connect

        path = self.key_file()
        if database is None and not (unwritten and self.database_url is None):
            database = self.database()
        return connect(
            self.network,
            path,
            rpc_url=self.rpc_url,
            deployment=self.deployment,
            database=database,
            fees=self.fees,
        )

    def server_address(self) -> str:
        """Return the address of the market's server. Raises InvalidValue if none is given."""
        if self.server is None:
            raise InvalidValue("no market: give --server, or set MOLT_SERVER, e.g. http://127.0.0.1:8080")
        return self.server

    def api(self) -> MarketApi:
        """Return the routes of the market's server; what they say is its word."""
        from molt_market.sdk.api import MarketApi

        api = MarketApi(self.server_address())
        self.on_close(api.close)
        return api

    def party(self, kind: type[Party], *, make: bool = False) -> Party:
        """Open the key file, and return its account as a party at the market.

        Its payments are written down if a database is given; `make` it, if there is none.

        Raises MarketMismatch, ServerUnreachable.
        """
        from molt_market.app import journal_in

        address, path = self.server_address(), self.key_file()
        journal = None if self.database_url is None else journal_in(self.database(make=make), self.client())
        party = kind(
            address,
            path,
            network=self.network,
            rpc_url=self.rpc_url,
            deployment=self.deployment,
            journal=journal,
            fees=self.fees,
        )
        self.on_close(party.close)
        return party

    def pings(self, client: MoltClient, account: Address) -> PingStore | None:
        """Return where an account's pings are kept: in the database; None: none is given."""
        from molt_market.app import deployment_name
        from molt_market.storage.attestor import SqlAttestor

        if self.database_url is None:
            return None
        return SqlAttestor(self.database(make=True), deployment_name(client), account)

    def own_address(self) -> Address | None:
        """Return the account of the key file, which is not opened; None: none is given."""
        from molt_market.signing.wallet import Wallet

        return None if self.wallet is None else Wallet.address_in(self.wallet)

    def account_of_wallet(self) -> Address:
        """Return the account of the key file, which is not opened. Raises InvalidValue if none is given."""
        from molt_market.signing.wallet import Wallet

        return Wallet.address_in(self.key_file())

    def database(self, *, make: bool = False) -> Database:
        """Open the database; `make` it, if there is none."""
        from molt_market.storage.database import Database

        if self.database_url is None:
            raise InvalidValue("no database: give --database, or set MOLT_DATABASE, e.g. sqlite:///market.db")
        database = Database(self.database_url, must_exist=not make)
        self.on_close(database.close)
        return database

    def journal(self) -> OpenJournal:
        """Open the journal of the network's chain, also where no node answers.

        Then the chain's id alone says which it is, and of several local chains the one used last is meant.
        """
        from molt_market.storage.journal import SqlJournal, chains_in

        database = self.database()
        try:
            node = self.node()
            node.require_chain(self.network.chain_id)
            chain, head = node.chain_name(), node.number("eth_blockNumber")
        except (NodeUnreachable, NodeError) as error:
            named = [name for name in chains_in(database) if name.startswith(f"{self.network.chain_id}:")]
            chain = named[0] if named else f"{self.network.chain_id}:"
            return OpenJournal(SqlJournal(database, chain), chain, None, str(error))
        return OpenJournal(SqlJournal(database, chain), chain, head)

    def node(self) -> Node:
        """Return the node, which is not asked anything yet. Raises NodeError if no address is known."""
        from molt_market.chain.node import Node

        try:
            return Node(self.network.node_address(self.rpc_url))
        except InvalidValue as error:
            raise NodeError(str(error)) from error
