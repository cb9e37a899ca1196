"""`molt doctor`: is all there that the other commands need, and what is to be mended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import typer
from rich.table import Table
from rich.text import Text

from molt_market.chain.deployments import Deployment, load_deployment
from molt_market.chain.faucet import gives_coin
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.chain.reverts import without_secrets
from molt_market.chain.token import TokenContract
from molt_market.chain.transactions import Transactions
from molt_market.cli.console import SOME_FAILED, Output, ago
from molt_market.cli.context import AppContext
from molt_market.cli.options import AsJson
from molt_market.cli.wallet import coins
from molt_market.config import settings
from molt_market.domain.clock import SystemClock
from molt_market.domain.fields import moment
from molt_market.domain.ids import Address
from molt_market.errors import MoltError
from molt_market.signing.wallet import Wallet
from molt_market.storage.database import look_into

OLD = timedelta(minutes=2)  # a node whose head is older may have lost its peers
DEAD = timedelta(hours=1)
AHEAD = timedelta(seconds=30)  # of this machine's clock; what is signed here lapses by the chain's
DEAR_GAS = 500_000  # about what the dearest payment takes
OF_OTHERS = 0o077  # the rights of everybody but the owner


class State(StrEnum):
    """What a check comes to."""

    OK = "OK"
    WARN = "WARN"  # it works, and somebody should look at it
    FAIL = "FAIL"  # it has to be mended
    SKIP = "SKIP"  # it cannot be looked at, or is not there


STYLES = {State.OK: "green", State.WARN: "yellow", State.FAIL: "bold red", State.SKIP: "dim"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, and how to mend it where that is needed."""

    state: State
    says: str
    mend: str = ""


def doctor(
    context: typer.Context,
    *,
    as_json: AsJson = False,
) -> None:
    """Look whether node, deployment, database and wallet are as the other commands need them.

    Changes nothing and sends nothing. Exits with 0 only if no check failed.
    """
    shared: AppContext = context.obj
    found = Examination(shared).run()
    if shared.says_json(as_json=as_json):
        shared.output.json({"checks": [_machine(name, each) for name, each in found.items()]})
    else:
        _print(shared.output, found, local=shared.network == Network.LOCAL)
    if any(each.state is State.FAIL for each in found.values()):
        raise typer.Exit(SOME_FAILED)


def _machine(name: str, found: Finding) -> dict[str, str | None]:
    return {"check": name, "state": found.state, "says": found.says, "mend": found.mend or None}


def _print(out: Output, found: dict[str, Finding], *, local: bool) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, each in found.items():
        says = f"{each.says}: {each.mend}" if each.mend else each.says
        table.add_row(Text(each.state, STYLES[each.state]), name, says)
    out.show(table)
    if local and found["node"].state is State.FAIL:
        out.line(
            "\n`molt devnet` starts a local chain with a market; `source devnet/env` has the others find it"
        )
    failed = sum(each.state is State.FAIL for each in found.values())
    out.line("\nnothing failed" if not failed else f"\n{failed} failed", "bold")


class Examination:
    """Runs the checks one after the other; one that needs what failed before it is skipped."""

    def __init__(self, shared: AppContext) -> None:
        self._shared = shared
        self._node: Node
        self._deployment: Deployment
        self._account: Address

    def run(self) -> dict[str, Finding]:
        """Return what each check found, in the order in which they ran."""
        found: dict[str, Finding] = {}
        for name, needs, check in self._checks():
            missing = [each for each in needs if found[each].state in {State.FAIL, State.SKIP}]
            if missing:
                found[name] = Finding(State.SKIP, f"needs the check of the {missing[0]}")
                continue
            try:
                found[name] = check()
            except MoltError as error:
                found[name] = Finding(State.FAIL, " ".join(str(error).split()))
        return found

    def _checks(self) -> list[tuple[str, tuple[str, ...], Callable[[], Finding]]]:
        return [
            ("node", (), self._look_at_node),
            ("chain", ("node",), self._look_at_chain),
            ("head", ("chain",), self._look_at_head),
            ("deployment", (), self._look_at_deployment),
            ("escrow", ("chain", "deployment"), self._look_at_escrow),
            ("token", ("escrow",), self._look_at_token),
            ("database", (), self._look_at_database),
            ("wallet", (), self._look_at_wallet),
            ("gas", ("chain", "wallet"), self._look_at_gas),
        ]

    # ---------------------------------------------------------------- the chain

    def _look_at_node(self) -> Finding:
        self._node = self._shared.node()
        version = str(self._node.request("web3_clientVersion"))
        return Finding(State.OK, f"{version.partition('/')[0]} answers at {without_secrets(self._node.url)}")

    def _look_at_chain(self) -> Finding:
        network = self._shared.network
        self._node.require_chain(network.chain_id)
        return Finding(State.OK, f"{network.name}, chain {network.chain_id}")

    def _look_at_head(self) -> Finding:
        number, now = self._node.number("eth_blockNumber"), SystemClock().now()
        at = moment(self._node.block_time(number))
        says = f"block {number}, {ago(at, now)} old"
        if at - now > AHEAD:
            says = f"block {number} is {ago(now, at)} ahead of this machine's clock"
            return Finding(State.WARN, says, "set the clock right, unless this is a chain for tests")
        if now - at <= OLD:
            return Finding(State.OK, says)
        if gives_coin(self._node):
            return Finding(State.OK, f"{says}; an Anvil may make a block for each transaction only")
        state = State.FAIL if now - at > DEAD else State.WARN
        return Finding(state, says, "let the node catch up, set this machine's clock, or use another node")

    # ---------------------------------------------------------------- what is deployed

    def _look_at_deployment(self) -> Finding:
        self._deployment = load_deployment(self._shared.network.chain_id, self._shared.deployment)
        return Finding(State.OK, f"the file names escrow {self._deployment.escrow}")

    def _look_at_escrow(self) -> Finding:
        self._deployment.require_code(self._node.code(self._deployment.escrow))
        return Finding(State.OK, "its code is this version's MoltEscrow, with the values of the file")

    def _look_at_token(self) -> Finding:
        token = self._deployment.token
        contract = TokenContract(self._node, self._deployment.chain_id, self._deployment.token_address)
        if contract.decimals != token.decimals:
            says = f"{contract.address} has {contract.decimals} decimals, the file says {token.decimals}"
            return Finding(State.FAIL, says, "correct the file")
        return Finding(State.OK, f"{contract.symbol} with {token.decimals} decimals at {contract.address}")

    # ---------------------------------------------------------------- what is yours

    def _look_at_database(self) -> Finding:
        url = self._shared.database_url
        if url is None:
            return Finding(State.SKIP, "none is given: --database, or MOLT_DATABASE")
        tables = look_into(url)
        if not tables.is_known:
            says = f"its tables are of a later version ({tables.present})"
            return Finding(State.FAIL, says, "update molt-market")
        if not tables.is_current:
            says = f"its tables are of version {tables.present}" if tables.present else "it has no tables yet"
            return Finding(State.WARN, says, f"the next command that uses it brings them to {tables.wanted}")
        return Finding(State.OK, f"opens, its tables are current ({tables.present})")

    def _look_at_wallet(self) -> Finding:
        path = self._shared.wallet
        if path is None:
            return Finding(State.SKIP, "none is given: --wallet, or MOLT_WALLET")
        self._account = Wallet.address_in(path)
        if path.stat().st_mode & OF_OTHERS:
            return Finding(State.WARN, f"others may read {path}", f"chmod 600 {path}")
        if settings().wallet_password is None:
            return Finding(State.OK, f"{path} is of {self._account}; no password is set, so it stays shut")
        Wallet.from_file(path)
        return Finding(State.OK, f"{path} is of {self._account}, and opens")

    def _look_at_gas(self) -> Finding:
        wei = self._node.number("eth_getBalance", self._account, "latest")
        fee = Transactions(self._node, self._shared.network.chain_id).market_fee().with_room()
        enough_for = wei // (DEAR_GAS * fee.most)
        says = f"{self._account} has {coins(wei)}"
        if not wei:
            return Finding(State.FAIL, says, "send it some, or nothing can be sent from it")
        if not enough_for:
            return Finding(State.WARN, f"{says}, less than a payment may cost now", "send it more")
        return Finding(State.OK, f"{says}, enough for {min(enough_for, 10_000)} payments or more")
