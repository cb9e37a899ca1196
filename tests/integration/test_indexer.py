"""The indexer on a real chain: what the log comes to is what the contract has, whatever the nodes do."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from molt_market.app import follow
from molt_market.chain.client import MoltClient
from molt_market.chain.log import EscrowLog
from molt_market.chain.node import Node
from molt_market.domain.deals import DealStatus
from molt_market.domain.fields import moment, seconds
from molt_market.domain.ids import EscrowId
from molt_market.domain.orders import OrderStatus
from molt_market.errors import NodeError, NodesDisagree, NodeUnreachable
from molt_market.indexer.follower import Follower
from molt_market.indexer.reliability import outcome_of
from molt_market.orderbook import OrderBook
from molt_market.payments.keeper import Keeper
from molt_market.storage.database import Database
from molt_market.storage.facts import SqlFacts
from molt_market.testing import Devnet
from tests.databases import KINDS, database_url
from tests.integration.liars import (
    Lie,
    LyingNode,
    behind,
    far_ahead,
    hides_ends,
    knows_no_block_receipts,
    loses_logs,
    loses_single_receipts,
    mixes_chains,
    other_terms,
)
from tests.integration.scene import Scene
from tests.integration.stage import Stage
from tests.integration.story import GIFT, Story
from tests.unit.indexer.tables import tables

LATER = 14 * 24  # hours: after every window
LIVE = (DealStatus.LOCKED, DealStatus.CLAIMED, DealStatus.DISPUTED)


@pytest.fixture(scope="module")
def story(chain: Devnet) -> Story:
    """Told once; what a test adds to it is undone."""
    story = Story(Scene(chain))
    story.tell()
    return story


@pytest.fixture
def stage(net: Devnet) -> Stage:
    """More deals; its buyer knows nothing of the nonces that other tests have used."""
    return Stage(Scene(net))


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


def is_live(net: Devnet, deal_id: EscrowId) -> bool:
    return net.client().escrow(deal_id).status in LIVE


def deployment(net: Devnet) -> str:
    return f"{net.client().chain_name()}:{net.deployment.escrow}"


def reading(
    net: Devnet, database: Database, *nodes: Node, name: str | None = None, span: int = 500
) -> Follower:
    """Follow under a name, by other nodes than the scene's own if they are given."""
    return Follower(
        [EscrowLog(node, net.deployment.escrow) for node in nodes or (net.node,)],
        SqlFacts(database, name or deployment(net)),
        domain=net.domain,
        first_block=net.deployment.block,
        span=span,
    )


def require_as_read_anew(net: Devnet, database: Database) -> None:
    """Read everything from the start, in one step, beside what was followed, and compare."""
    name = f"anew {random.random()}"
    reading(net, database, name=name, span=100_000).advance()
    assert tables(database, deployment(net)) == tables(database, name)


def reorganise(net: Devnet, depth: int) -> None:
    """Replace the last blocks by as many empty ones, and add one: a longer chain wins."""
    net.node.request("anvil_reorg", depth, [])
    net.node.request("hardhat_mine", hex(1))


# ---------------------------------------------------------------- what the log comes to


def test_facts__are_what_the_contract_has(story: Story, net: Devnet, database: Database) -> None:
    client = net.client()
    follower = follow(client, database)
    follower.advance()
    facts = SqlFacts(database, deployment(net))
    for name, deal in story.deals.items():
        escrow, record = client.escrow(deal.id), facts.deal(deal.id)
        assert record is not None, name
        assert record.terms == escrow.terms
        assert record.deal.status == escrow.status, name
        assert (record.deal.paid, record.deal.claim) == (escrow.paid_gpu_seconds, escrow.claimed_gpu_seconds)
        assert moment(record.deal.deadline) == escrow.locked_until
        assert (record.deal.excused, record.deal.attested) == (escrow.excused, escrow.attested)
        assert record.opened_by == escrow.transaction_id
        closed_at = None if record.closed_at is None else moment(record.closed_at)
        assert closed_at == escrow.released_at
        if record.is_live:
            assert record.held > 0
            continue
        assert record.closed_by == net.payments().settlement(deal.id).transactions[-1], name
        assert record.held == 0
    held = sum(record.held for deal in story.deals.values() if (record := facts.deal(deal.id)))
    everybody = [*net.buyers, *net.providers, net.stranger, net.arbiter, net.fee_recipient]
    balances = sum(client.balances(wallet.address).escrow.base_units for wallet in everybody)
    assert held + balances + GIFT == client.balance_of(net.deployment.escrow).base_units


def test_facts__read_block_by_block__are_those_read_at_once(
    story: Story, net: Devnet, database: Database
) -> None:
    reading(net, database, span=1).advance()
    require_as_read_anew(net, database)


def test_confirmations__are_waited_for(story: Story, net: Devnet, sqlite: Database) -> None:
    client = MoltClient(net.network, deployment=net.deployment, confirmations=5)
    at = follow(client, sqlite).advance()
    assert at is not None
    assert at.number == net.node.number("eth_blockNumber") - 5


# ---------------------------------------------------------------- reorganisations


def test_reorganised__the_facts_go_back_exactly(story: Story, net: Devnet, database: Database) -> None:
    """Deals are opened, paid and closed one block after the other; then 1 to 12 blocks are taken back."""
    reading(net, database).advance()
    follower = reading(net, database, span=1)
    for depth in range(1, 13):
        buyer = Stage(Scene(net))  # one who knows nothing of nonces that were taken back
        for number in range(2):
            deal = buyer.scene.open(offer=buyer.scene.offer(slot=100 * depth + number))
            for verb in ("release", "cancelDeal"):
                buyer.send(deal, verb, "6")
                net.node.request("hardhat_mine", hex(1))
        follower.advance()
        before = tables(database, deployment(net))
        reorganise(net, depth)
        follower.advance()
        assert tables(database, deployment(net)) != before, depth
        require_as_read_anew(net, database)


def test_reorganised__and_opened_again__is_there_once(net: Devnet, stage: Stage, database: Database) -> None:
    follower = reading(net, database)
    follower.advance()
    offer = stage.scene.offer(slot=100, created_at=moment(seconds(net.clock.now()) - 600))
    order = stage.scene.order(created_at=offer.created_at)
    deal = stage.scene.open(offer=offer, order=order)
    follower.advance()
    reorganise(net, 1)
    follower.advance()
    assert SqlFacts(database, deployment(net)).deal(deal.id) is None
    again = stage.scene.open(offer=offer, order=order)
    assert again.id == deal.id  # of the very same messages
    follower.advance()
    record = SqlFacts(database, deployment(net)).deal(deal.id)
    assert record is not None
    assert record.opened_by == again.transaction_id
    require_as_read_anew(net, database)


# ---------------------------------------------------------------- restarts


def wait_until_beyond(facts: SqlFacts, block: int) -> None:
    patience = time.monotonic() + 60
    while (at := facts.cursor()) is None or at.number <= block:
        assert time.monotonic() < patience, at
        time.sleep(0.002)


def test_killed_again_and_again__comes_to_the_same(
    story: Story, net: Devnet, database: Database, tmp_path: Path
) -> None:
    """A process that follows block by block is killed from outside, at whatever it is doing by then."""
    net.node.request("hardhat_mine", hex(250))
    file = net.deployment.save(tmp_path)
    url = database.url.render_as_string(hide_password=False)
    facts, chance, at_death = SqlFacts(database, deployment(net)), random.Random(6), [-1]
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-m", "tests.integration.follows", net.url, url, str(file)])
        wait_until_beyond(facts, at_death[-1] + chance.randint(1, 40))
        child.send_signal(signal.SIGKILL)
        child.wait()
        at = facts.cursor()
        assert at is not None
        at_death.append(at.number)
    assert at_death[-1] < net.node.number("eth_blockNumber"), "it was killed on its way"
    follow(net.client(), database).advance()
    require_as_read_anew(net, database)


# ---------------------------------------------------------------- nodes that lie


FOUND_ALONE: dict[Lie, str] = {
    far_ahead: "does not have that block",
    loses_logs: "are not those of its header",
    loses_single_receipts: "are not those of its header",
    mixes_chains: "does not follow",
    other_terms: "other terms",
    hides_ends: "logs are missing",
}
LEFT_OUT: list[Lie] = [far_ahead, behind, loses_logs, mixes_chains, other_terms]


@pytest.mark.parametrize("lie", FOUND_ALONE, ids=lambda lie: lie.__name__)
def test_lying_node__alone__is_found_out__and_nothing_wrong_is_written(
    story: Story, net: Devnet, sqlite: Database, lie: Lie
) -> None:
    with pytest.raises(NodeError, match=FOUND_ALONE[lie]):
        reading(net, sqlite, LyingNode(net.url, lie)).advance()
    assert tables(sqlite, deployment(net))["events"] == []
    reading(net, sqlite).advance()
    require_as_read_anew(net, sqlite)


@pytest.mark.parametrize("lie", LEFT_OUT, ids=lambda lie: lie.__name__)
@pytest.mark.parametrize("first", [True, False])
def test_lying_node__beside_a_true_one__is_left_out(
    story: Story, net: Devnet, sqlite: Database, lie: Lie, *, first: bool
) -> None:
    liar = LyingNode(net.url, lie)
    at = reading(net, sqlite, *([liar, net.node] if first else [net.node, liar])).advance()
    assert at is not None
    assert at.number == net.node.number("eth_blockNumber")
    require_as_read_anew(net, sqlite)


def test_lie_that_fits_together__beside_a_true_node__is_a_disagreement(
    story: Story, net: Devnet, sqlite: Database
) -> None:
    with pytest.raises(NodesDisagree):
        reading(net, sqlite, LyingNode(net.url, hides_ends), net.node).advance()
    assert tables(sqlite, deployment(net))["events"] == []


def test_node__that_knows_no_block_receipts__tells_the_same(
    story: Story, net: Devnet, sqlite: Database
) -> None:
    reading(net, sqlite, LyingNode(net.url, knows_no_block_receipts)).advance()
    require_as_read_anew(net, sqlite)


def test_second_node__is_asked_where_the_first_is_gone(story: Story, net: Devnet, sqlite: Database) -> None:
    gone = Node("http://127.0.0.1:9")
    with pytest.raises(NodeUnreachable):
        reading(net, sqlite, gone, gone).advance()
    follower = follow(net.client(), sqlite, second_rpc_url=net.url)
    follower.advance()
    reading(net, sqlite, gone, net.node).advance()
    require_as_read_anew(net, sqlite)


# ---------------------------------------------------------------- what it is for


def test_keeper__closes_what_the_facts_say_is_due(story: Story, net: Devnet, database: Database) -> None:
    client = net.client()
    follower = follow(client, database)
    follower.advance()
    keeper = Keeper(net.payments(net.stranger), follower.due)
    live = {deal.id for deal in story.deals.values() if is_live(net, deal.id)}
    due = {id_ for id_ in live if client.escrow(id_).locked_until <= client.now()}
    assert set(follower.due(client.now())) == due
    assert set(keeper.look().closed) == due
    story.scene.run(LATER)
    follower.advance()
    done = keeper.look()
    assert (set(done.closed), done.failures) == (live - due, ())
    follower.advance()
    assert follower.due(client.now()) == []
    assert not any(is_live(net, id_) for id_ in live)
    require_as_read_anew(net, database)


def test_book__frees_the_gpus_of_deals_that_others_ended(scene: Scene, net: Devnet, sqlite: Database) -> None:
    """The provider gives a deal up by himself; the market's book learns it from the log."""
    book = OrderBook(net.clock)
    payments = net.payments(net.buyer, book=book)
    follower = follow(net.client(), sqlite, book=book)
    offer = scene.offer()
    book.add_offer(offer)
    first = book.match_order(scene.order(min_gpu_count=8))[0]
    deal = payments.create_job_escrow(first, net.buyer)
    follower.advance()
    assert book.best_offers(scene.order(min_gpu_count=4).requirements, 1) == []
    client = net.client(net.provider)
    client.send(client.calls.cancel_deal(deal.terms))
    follower.advance()
    assert book.order(first.order.id).status is OrderStatus.REFUNDED
    assert book.best_offers(scene.order(min_gpu_count=8).requirements, 1) == [offer]


def test_book__scores_providers_by_their_outcomes(
    story: Story, net: Devnet, stage: Stage, sqlite: Database
) -> None:
    """Also one that is made after a restart, of what was followed before."""
    book, again = OrderBook(net.clock), OrderBook(net.clock)
    follower = follow(net.client(), sqlite, book=book)
    follower.advance()
    follow(net.client(), sqlite, book=again)
    known = book.reliability
    assert known is not None
    assert again.reliability is not None
    provider = net.provider.address
    assert known(provider) == again.reliability(provider)
    records = list(SqlFacts(sqlite, deployment(net)).closed(0))
    outcomes = [outcome for record in records if (outcome := outcome_of(record))]
    assert len(outcomes) == sum(
        net.client().escrow(deal.id).status not in LIVE for deal in story.deals.values()
    )
    assert known(provider) not in {None, 500_000}
    assert known(net.providers[3].address) is None
    offer = stage.scene.offer(slot=200)
    book.add_offer(offer)
    part = next(p for p in book.match_order(stage.scene.order())[0].reasons if p.name == "reliability")
    assert "by past outcomes" in part.text
    deal = stage.scene.open(offer=offer)
    stage.send(deal, "cancelDeal", "0")
    before = known(provider)
    follower.advance()
    after = known(provider)
    assert before is not None
    assert after is not None
    assert after < before
