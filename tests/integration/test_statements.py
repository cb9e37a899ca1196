"""Statements on a real chain: their rows add up, to the unit, to what the contract has, in every ending."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from molt_market.app import account_statement, deployment_name, follow
from molt_market.cli.root import ExitCode, app
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.ids import Address
from molt_market.errors import InvalidValue, NotFollowed
from molt_market.indexer.movements import MovementKind
from molt_market.indexer.statements import COLUMNS, Statement
from molt_market.payments.keeper import Keeper
from molt_market.storage.database import Database
from molt_market.storage.facts import SqlFacts
from molt_market.testing import Devnet
from tests.databases import KINDS, database_url
from tests.integration.scene import TOKEN, Scene
from tests.integration.story import Story

LATER = 14 * 24  # hours: after every window
ALL = MovementKind


@pytest.fixture(scope="module")
def story(chain: Devnet) -> Story:
    """Told once; what a test adds to it is undone."""
    story = Story(Scene(chain))
    story.tell()
    return story


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with database_url(request.param, tmp_path) as url:
        database = Database(url)
        yield database
        database.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "market.db")
    yield database
    database.close()


def everybody(net: Devnet) -> list[Address]:
    others = (net.stranger, net.arbiter, net.fee_recipient, net.guardian)
    return [wallet.address for wallet in (*net.buyers, *net.providers, *others)]


def close_all(story: Story, net: Devnet, database: Database) -> None:
    """Let every window pass, and close what is due."""
    story.scene.run(LATER)
    follower = follow(net.client(), database)
    follower.advance()
    assert Keeper(net.payments(net.stranger), follower.due).look().failures == ()
    follower.advance()


def require_as_the_contract(net: Devnet, database: Database) -> dict[Address, Statement]:
    """Compare everybody's statement with his balance; return the statements."""
    client, found = net.client(), {}
    for account in everybody(net):
        told = found[account] = account_statement(client, database, account)
        assert sum(row.amount for row in told.rows) == client.balances(account).escrow.base_units, account
        running = 0
        for row in told.rows:
            running += row.amount
            assert row.balance == running >= 0, row
        assert (told.opening, told.closing) == (0, running)
    return found


def of_deal(statement: Statement, deal: EscrowAccount) -> dict[MovementKind, int]:
    sums: defaultdict[MovementKind, int] = defaultdict(int)
    for row in statement.rows:
        if row.deal_id == deal.id:
            sums[row.kind] += row.amount
    return sums


# ---------------------------------------------------------------- to the unit


def test_statement__adds_up_to_the_contracts_balance__in_every_ending(
    story: Story, net: Devnet, database: Database
) -> None:
    follow(net.client(), database).advance()
    require_as_the_contract(net, database)
    close_all(story, net, database)
    found = require_as_the_contract(net, database)
    kinds = {row.kind for statement in found.values() for row in statement.rows}
    assert kinds == set(MovementKind), "a kind of movement that no story has"


def test_statement__of_each_deal__is_what_its_settlement_says(
    story: Story, net: Devnet, sqlite: Database
) -> None:
    close_all(story, net, sqlite)
    found = require_as_the_contract(net, sqlite)
    for name, deal in story.deals.items():
        settled = net.payments().settlement(deal.id)
        buyers, providers = of_deal(found[deal.buyer], deal), of_deal(found[deal.provider], deal)
        fees = of_deal(found[net.fee_recipient.address], deal)[ALL.FEE_RECEIVED]
        share = of_deal(found[net.arbiter.address], deal)[ALL.ARBITER_SHARE]
        assert providers[ALL.PAYMENT] + providers[ALL.FEE] == settled.provider_payment.base_units, name
        assert buyers[ALL.REFUND] == settled.buyer_refund.base_units, name
        assert fees == -providers[ALL.FEE] == settled.platform_fee.base_units, name
        assert (buyers[ALL.PRICE_LOCKED], providers[ALL.BOND_LOCKED]) == (
            -deal.amount.base_units,
            -deal.bond.base_units,
        )
        assert providers[ALL.BOND_RETURNED] == deal.bond.base_units, name
        assert buyers[ALL.STAKE_RETURNED] == -buyers[ALL.STAKE_LOCKED], name
        of_bond = (ALL.BOND_RECEIVED, ALL.STAKE_LOST, ALL.STAKE_WON, ALL.BOND_LOST)
        assert share + sum(buyers[kind] + providers[kind] for kind in of_bond) == 0, name


def test_statement__of_a_ruled_dispute__tells_each_part(story: Story, net: Devnet, sqlite: Database) -> None:
    """Counter 4 of 24 hours, claim 23.5, ruling 12: the provider loses more than he wins."""
    follow(net.client(), sqlite).advance()
    client, deal = net.client(), story.deals["ruled"]
    assert client.escrow(deal.id).status is DealStatus.RELEASED
    provider = of_deal(account_statement(client, sqlite, deal.provider), deal)
    buyer = of_deal(account_statement(client, sqlite, deal.buyer), deal)
    arbiter = of_deal(account_statement(client, sqlite, net.arbiter.address), deal)
    assert {kind for kind, amount in provider.items() if amount} == {
        ALL.BOND_LOCKED,
        ALL.PAYMENT,
        ALL.FEE,
        ALL.BOND_RETURNED,
        ALL.BOND_LOST,
    }
    assert {kind for kind, amount in buyer.items() if amount} == {
        ALL.PRICE_LOCKED,
        ALL.REFUND,
        ALL.STAKE_LOCKED,
        ALL.STAKE_RETURNED,
        ALL.BOND_RECEIVED,
    }
    assert provider[ALL.PAYMENT] == deal.amount.base_units // 2
    assert arbiter[ALL.ARBITER_SHARE] > 0
    assert -provider[ALL.BOND_LOST] == buyer[ALL.BOND_RECEIVED] + arbiter[ALL.ARBITER_SHARE]


# ---------------------------------------------------------------- spans


def test_statement__cut_in_spans__is_the_whole_one(story: Story, net: Devnet, database: Database) -> None:
    follow(net.client(), database).advance()
    whole = account_statement(net.client(), database, net.provider.address)
    cuts = sorted({row.time for row in whole.rows})
    assert len(cuts) > 2
    for cut in cuts:
        before = account_statement(net.client(), database, net.provider.address, until=cut)
        after = account_statement(net.client(), database, net.provider.address, since=cut)
        assert before.rows + after.rows == whole.rows
        assert all(row.time < cut for row in before.rows)
        assert before.closing == after.opening
        assert after.closing == whole.closing
    day = account_statement(
        net.client(), database, net.provider.address, since=cuts[-1] + timedelta(seconds=1)
    )
    assert (day.rows, day.opening, day.closing) == ((), whole.closing, whole.closing)


def test_statement__of_a_span_that_is_none__is_refused(net: Devnet, sqlite: Database) -> None:
    now = net.clock.now()
    for since, until in ((now, now), (now.replace(tzinfo=None), None)):
        with pytest.raises(InvalidValue):
            account_statement(net.client(), sqlite, net.buyer.address, since=since, until=until)


def test_statement__of_what_was_not_followed__is_refused(net: Devnet, sqlite: Database) -> None:
    with pytest.raises(NotFollowed):
        account_statement(net.client(), sqlite, net.buyer.address)


def test_statement__reorganised__tells_what_stands(scene: Scene, net: Devnet, database: Database) -> None:
    follower = follow(net.client(), database)
    follower.advance()
    before = account_statement(net.client(), database, net.stranger.address)
    client = net.client(net.stranger)
    net.mint(net.stranger.address, TOKEN.amount(5))
    client.deposit(TOKEN.amount(5))
    follower.advance()
    assert account_statement(net.client(), database, net.stranger.address).closing == (
        before.closing + TOKEN.amount(5).base_units
    )
    net.node.request("anvil_reorg", 1, [])
    net.node.request("hardhat_mine", hex(1))
    follower.advance()
    assert account_statement(net.client(), database, net.stranger.address).rows == before.rows


def test_account_log__has_no_event_of_others(story: Story, net: Devnet, database: Database) -> None:
    follow(net.client(), database).advance()
    facts = SqlFacts(database, deployment_name(net.client()))
    _, logged = facts.account_log(net.stranger.address)
    assert {type(entry.event).__name__ for entry in logged} == {"Deposited", "Withdrawn"}
    assert facts.account_log(net.guardian.address)[1] == []


# ---------------------------------------------------------------- the command


@pytest.fixture
def folder(net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the deployment's file, and the environment of somebody who uses it."""
    (tmp_path / f"{net.deployment.chain_id}.json").write_text(net.deployment.model_dump_json())
    monkeypatch.setenv("MOLT_RPC_URL", net.url)
    monkeypatch.setenv("MOLT_DEPLOYMENTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def molt(database: Database, *arguments: str) -> Result:
    url = database.url.render_as_string(hide_password=False)
    return CliRunner().invoke(app, ["--database", url, "statement", *arguments])


@pytest.mark.usefixtures("folder")
def test_command__prints_csv_that_adds_up(story: Story, net: Devnet, database: Database) -> None:
    account = net.provider.address
    done = molt(database, account)
    assert done.exit_code == ExitCode.DONE, done.output
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert tuple(rows[0]) == COLUMNS
    balance = net.client().balances(account).escrow
    assert sum(int(row["base_units"]) for row in rows) == balance.base_units
    assert sum(Decimal(row["amount"]) for row in rows) == balance.to_decimal()
    assert Decimal(rows[-1]["balance"]) == balance.to_decimal()
    assert {row["token"] for row in rows} == {TOKEN.symbol}
    assert f"{len(rows)} rows up to block {net.node.number('eth_blockNumber')}: from 0" in done.stderr


def test_command__of_a_span__into_a_file(story: Story, net: Devnet, sqlite: Database, folder: Path) -> None:
    (folder / "provider.json").write_text(json.dumps({"address": net.provider.address.lower()}))
    whole = read(molt(sqlite, net.provider.address, "--json"))
    since, until = whole["rows"][3]["time"], whole["rows"][-1]["time"]
    found = molt(
        sqlite, net.provider.address, "--since", since, "--until", until, "--json", "--out", "a.json"
    )
    assert (found.exit_code, found.stdout) == (ExitCode.DONE, "")
    part = json.loads((folder / "a.json").read_text())
    assert part["rows"] == [row for row in whole["rows"] if since <= row["time"] < until]
    units = sum(int(row["base_units"]) for row in part["rows"])
    assert int(part["opening_base_units"]) + units == int(part["closing_base_units"])
    assert (part["since"], part["until"]) == (since, until)


def read(done: Result) -> dict[str, Any]:
    assert done.exit_code == ExitCode.DONE, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "wrong", [["0x12"], ["--since", "yesterday"], [], ["--since", "2026-02-01", "--until", "2026-01-01"]]
)
def test_command__with_what_is_wrong_in_itself__is_refused(
    net: Devnet, sqlite: Database, wrong: list[str]
) -> None:
    arguments = wrong if not wrong or wrong[0].startswith("0x") else [net.buyer.address, *wrong]
    done = molt(sqlite, *arguments)
    assert (done.exit_code, done.stdout) == (ExitCode.BAD_INPUT, "")


@pytest.mark.usefixtures("folder")
def test_command__into_a_place_that_is_none__is_refused(net: Devnet, sqlite: Database) -> None:
    done = molt(sqlite, net.buyer.address, "--out", "nowhere/a.csv")
    assert done.exit_code == ExitCode.BAD_INPUT
    assert "cannot be written" in done.stderr
