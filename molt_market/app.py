"""Where the parts are put together."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import cache, partial
from pathlib import Path

from molt_market.alerts.courier import Courier, Retries, Sources
from molt_market.alerts.watch import AlertLimits
from molt_market.alerts.webhooks import SendingLimits
from molt_market.chain.client import MoltClient
from molt_market.chain.deployments import Deployment
from molt_market.chain.log import EscrowLog
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.domain.amounts import Amount
from molt_market.domain.events import DEAL_EVENTS, DealClosed
from molt_market.domain.ids import Address, PartyId
from molt_market.errors import InvalidStateTransition, InvalidValue, NotFollowed
from molt_market.indexer.follower import Change, Follower
from molt_market.indexer.records import Fact, record_of
from molt_market.indexer.reliability import ProviderReliability
from molt_market.indexer.statements import Statement, require_span, statement_of
from molt_market.orderbook import OrderBook
from molt_market.payments.fees import FeePolicy
from molt_market.payments.gas import GasPolicy
from molt_market.payments.journal import Journal
from molt_market.payments.relayer import Relayer
from molt_market.payments.service import PaymentService
from molt_market.signing.wallet import TransactionSigner, Wallet
from molt_market.storage.alerts import SqlAlerts
from molt_market.storage.budgets import SqlBudgets
from molt_market.storage.database import Database
from molt_market.storage.facts import SqlFacts
from molt_market.storage.journal import SqlJournal
from molt_market.telling import tell
from molt_market.wire.messages import DealState

PRIOR_TOKENS = 1_000  # the weight of a newcomer's reliability


def connect(
    network: Network,
    wallet: TransactionSigner | str | Path | None = None,
    *,
    rpc_url: str | None = None,
    deployment: Deployment | Path | None = None,
    book: OrderBook | None = None,
    journal: Journal | None = None,
    database: Database | str | Path | None = None,
    fees: FeePolicy | None = None,
    confirmations: int | None = None,
) -> PaymentService:
    """Connect to a deployment, and return the payments of one account over it.

    `wallet` signs and pays for what is sent: an account, or its key file (see `Wallet.from_file` for where
    the password comes from). `database` is where payments are written down, `sqlite:///market.db` for
    example, so that they outlive the process; one given by its URL stays open as long as the process.
    Everything else as MoltClient and PaymentService say. A `book` that has no `check`, `bond_bps` or `funds`
    of its own asks this chain from now on.

    Raises:
        InvalidValue: both a journal and a database are given, or it is no database that we can use.
        StorageUnavailable: the database cannot be opened.
        WalletNotFound, WrongPassword, WalletError: the key file cannot be used.
        NodeUnreachable, WrongChain, DeploymentNotFound, DeploymentMismatch: as MoltClient says.

    >>> payments = connect(Network.LOCAL, "buyer.json")  # doctest: +SKIP
    >>> escrow = payments.create_job_escrow(match, wallet)  # doctest: +SKIP
    """
    if journal is not None and database is not None:
        raise InvalidValue("a journal and a database: give one of them, a database holds its own journal")
    account = Wallet.from_file(wallet) if isinstance(wallet, (str, Path)) else wallet
    client = MoltClient(
        network, rpc_url=rpc_url, deployment=deployment, account=account, confirmations=confirmations
    )
    if book is not None:
        let_ask(book, client)
    if database is not None:
        journal = journal_in(database, client)
    return PaymentService(client, book=book, journal=journal, fees=fees)


def journal_in(database: Database | str | Path, client: MoltClient) -> SqlJournal:
    """Return the journal that a database has of the client's chain.

    Raises:
        InvalidValue, StorageUnavailable: as Database says. NodeUnreachable, NodeError: which chain it is
            cannot be said.
    """
    opened = database if isinstance(database, Database) else Database(database)
    return SqlJournal(opened, client.chain_name())


def follow(
    client: MoltClient,
    database: Database | str | Path,
    *,
    book: OrderBook | None = None,
    reliability: ProviderReliability | None = None,
    second_rpc_url: str | None = None,
) -> Follower:
    """Return what follows the escrow's log into a database; `advance` or `run` it.

    A `book` is told how its deals go on, so that their GPUs become free, and scores providers by their
    outcomes from now on (`reliability`; default: a prior of 1,000 tokens). A second node of the same chain
    is asked beside the client's.

    Raises:
        StorageUnavailable: the database cannot be used. NodeUnreachable, WrongChain: of the second node.

    >>> follower = follow(payments.client, "market.db", book=book)  # doctest: +SKIP
    >>> keeper = Keeper(payments, follower.due)  # doctest: +SKIP
    """
    nodes = [client.node]
    if second_rpc_url is not None:
        nodes.append(Node(second_rpc_url))
        nodes[1].require_chain(client.deployment.chain_id)
    store = database if isinstance(database, Database) else Database(database)
    facts = SqlFacts(store, deployment_name(client))
    follower = Follower(
        [EscrowLog(node, client.deployment.escrow) for node in nodes],
        facts,
        domain=client.domain,
        first_block=client.deployment.block,
        confirmations=client.transactions.confirmations,
    )
    if book is not None:
        known = reliability or ProviderReliability(
            Amount(PRIOR_TOKENS * 10**client.token.decimals, client.token)
        )
        _let_score(book, known, follower)
        follower.listen(partial(_tell, book))
    return follower


def account_statement(
    client: MoltClient,
    database: Database | str | Path,
    account: Address,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Statement:
    """Return an account's statement out of what was followed into a database; `follow` it first.

    `since` is inclusive, `until` exclusive; without them the statement has everything.

    Raises:
        InvalidValue: a time has no zone, or `until` is not after `since`.
        NotFollowed: nothing was followed yet.
        StorageUnavailable, NodeUnreachable, NodeError: as they say.

    >>> account_statement(payments.client, "market.db", wallet.address).closing  # doctest: +SKIP
    1000000000000000000
    """
    require_span(since, until)
    store = database if isinstance(database, Database) else Database(database)
    facts = SqlFacts(store, deployment_name(client))
    fee_recipient = client.deployment.fee_recipient
    at, logged = facts.account_log(account, all_deals=account == fee_recipient)
    if at is None:
        raise NotFollowed
    return statement_of(
        logged, account, client.token, fee_recipient=fee_recipient, block=at.number, since=since, until=until
    )


def account_deals(client: MoltClient, account: Address) -> list[DealState]:
    """Return the deals in which an account has a part, by the chain's log alone, the oldest first.

    They are what `MarketApi.deals` tells, up to the node's latest block. Raises NodeUnreachable, NodeError.

    >>> [deal.status.name for deal in account_deals(client, wallet.address)]  # doctest: +SKIP
    ['RELEASED', 'LOCKED']
    """
    logs = [events for _, events in client.deals(client.deals_of(account)).values()]
    closed_in = {each.block for log in logs for each in log if isinstance(each, DealClosed)}
    times = client.node.block_times(closed_in)
    facts = (
        [Fact(each, times.get(each.block, 0)) for each in log if isinstance(each, DEAL_EVENTS)]
        for log in logs
    )
    return [DealState.of(record_of(each), client.token) for each in facts]


def deployment_name(client: MoltClient) -> str:
    """Return how a client's deployment is named in a database: `<chain>:<escrow>`."""
    return f"{client.chain_name()}:{client.deployment.escrow}"


def alert_courier(
    client: MoltClient,
    database: Database | str | Path,
    *,
    payers: Collection[Address] = (),
    limits: AlertLimits | None = None,
    retries: Retries | None = None,
    sending: SendingLimits | None = None,
) -> Courier:
    """Return what finds alerts in what was followed into a database, and delivers them; `look` or `run` it.

    `payers` are the accounts whose gas money is watched. Everything else as Courier says. Whoever follows
    the log has to do so beside it.

    Raises:
        StorageUnavailable: the database cannot be used. NodeUnreachable, NodeError: no node answers.

    >>> alert_courier(payments.client, "market.db").run(stop)  # doctest: +SKIP
    """
    store = database if isinstance(database, Database) else Database(database)
    deployment = deployment_name(client)
    facts = SqlFacts(store, deployment)
    sources = Sources(
        facts.live,
        facts.arbiters,
        client.now,
        lambda account: client.node.number("eth_getBalance", account, "latest"),
        tuple(payers),
    )
    alerts = SqlAlerts(store, deployment)
    return Courier(sources, alerts, limits=limits, retries=retries, sending=sending)


def alert_store(client: MoltClient, database: Database) -> SqlAlerts:
    """Return who gets the alerts of a client's deployment, as a database has it."""
    return SqlAlerts(database, deployment_name(client))


def relayer(
    client: MoltClient, database: Database | str | Path, gas: GasPolicy, *, fees: FeePolicy | None = None
) -> Relayer:
    """Return what brings to the chain what others signed, and pays the gas from the client's account.

    `gas` says how much for whom; what was paid is written into the database, and payments with it.

    Raises:
        StorageUnavailable: the database cannot be used. NodeUnreachable, NodeError: no node answers.

    >>> relay = relayer(client, "market.db", GasPolicy(wei_per_token=10**12)).relay  # doctest: +SKIP
    """
    store = database if isinstance(database, Database) else Database(database)
    budgets = SqlBudgets(store, deployment_name(client))
    journal = journal_in(store, client)
    return Relayer(client, client.calls, journal=journal, budgets=budgets, gas=gas, fees=fees)


def _let_score(book: OrderBook, reliability: ProviderReliability, follower: Follower) -> None:
    at = follower.facts.cursor()
    if at is not None:
        reliability.note(follower.facts.closed(at.time - int(reliability.horizon.total_seconds())))
        reliability.let_pass(at.time)
    book.reliability = reliability
    follower.listen(reliability.follow)


def _tell(book: OrderBook, change: Change) -> None:
    """Tell a book how its deals stand."""
    for record in change.records:
        try:
            book.follow(record.id, record.deal.status, paid=record.deal.paid > 0)
        except InvalidStateTransition as error:  # the payments were first, or a reorganisation was deep
            tell("order_does_not_follow", deal_id=record.id, reason=error)


def let_ask(book: OrderBook, client: MoltClient) -> None:
    """Let a book ask the chain what it does not know, unless it asks somebody else."""
    book.check = book.check or client.obstacle
    book.bond_bps = book.bond_bps or cache(lambda policy_id: client.stored_policy(policy_id).bond_bps)
    book.funds = book.funds or partial(_funds, client)


def _funds(client: MoltClient, buyer: PartyId) -> Amount:
    """Return what lies in the escrow for a buyer, less what he has marked to withdraw."""
    return client.balances(buyer.address).staying if buyer.address else Amount.zero(client.token)
