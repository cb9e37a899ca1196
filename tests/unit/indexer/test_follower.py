"""Following a chain: whatever nodes and reorganisations do, it is as if read once, from the start."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from molt_market.domain import events
from molt_market.domain.deals import Deal, DealStatus
from molt_market.domain.fields import moment
from molt_market.domain.ids import EscrowId
from molt_market.errors import ChainError, MarketError, NodeError, NodesDisagree
from molt_market.indexer.follower import STATE_KEPT, Change, Follower
from molt_market.storage.database import Database
from molt_market.storage.facts import SqlFacts
from tests.databases import KINDS, database_url, with_tables
from tests.unit.indexer.fakes import DOMAIN, GENESIS, Chain, FakeNode
from tests.unit.indexer.tables import tables

FOLLOWED = "followed"
NUMBERS = count()


def follower(
    database: Database, *nodes: FakeNode, name: str = FOLLOWED, confirmations: int = 0, span: int = 5
) -> Follower:
    return Follower(nodes, SqlFacts(database, name), domain=DOMAIN, confirmations=confirmations, span=span)


def require_as_replayed(database: Database, chain: Chain, last: int) -> None:
    """Follow the chain up to a block once more, from the start and in one step, and compare."""
    again = f"again {next(NUMBERS)}"
    follower(database, FakeNode(chain, behind=chain.head - last), name=again, span=10_000).advance()
    assert tables(database, FOLLOWED) == tables(database, again)


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with database_url(request.param, tmp_path) as url:
        database = Database(url)
        yield database
        database.close()


@pytest.fixture
def chain() -> Chain:
    chain = Chain(seed=7)
    for number in range(30):
        chain.mine(number % 4)
    return chain


# ---------------------------------------------------------------- going on


def test_advance__reads_all_that_is_confirmed(database: Database, chain: Chain) -> None:
    at = follower(database, FakeNode(chain), confirmations=4).advance()
    assert at is not None
    assert (at.number, at.hash) == (chain.head - 4, chain.blocks[-5].hash)
    require_as_replayed(database, chain, chain.head - 4)
    assert len(tables(database, FOLLOWED)["deals"]) > 10


def test_advance__again__changes_nothing(database: Database, chain: Chain) -> None:
    following = follower(database, FakeNode(chain))
    following.advance()
    before = tables(database, FOLLOWED)
    following.advance()
    follower(database, FakeNode(chain), span=1).advance()  # another one, as after a restart
    assert tables(database, FOLLOWED) == before


def test_advance__with_fewer_blocks_than_confirmations__waits(database: Database) -> None:
    assert follower(database, FakeNode(Chain()), confirmations=1).advance() is None


def test_deal__is_told_as_it_stands(database: Database, chain: Chain) -> None:
    following = follower(database, FakeNode(chain))
    following.advance()
    facts = SqlFacts(database, FOLLOWED)
    for deal_id, word in chain.words[-1].items():
        record = facts.deal(deal_id)
        assert record is not None
        assert (record.deal, record.terms) == (word, chain.terms[deal_id])
        assert bool(record.held) == record.is_live == (word.status is DealStatus.LOCKED)
        assert (record.closed_at is None) == record.is_live
    assert facts.deal(EscrowId("0x" + "00" * 32)) is None


def test_due__are_those_whose_deadline_is_over__the_earliest_first(database: Database, chain: Chain) -> None:
    following = follower(database, FakeNode(chain))
    following.advance()
    live = {id_: word for id_, word in chain.words[-1].items() if word.status is DealStatus.LOCKED}
    in_order = sorted(live, key=lambda id_: (live[id_].deadline, id_))
    middle = live[in_order[len(live) // 2]].deadline
    assert following.due(moment(middle)) == [id_ for id_ in in_order if live[id_].deadline <= middle]
    assert following.due(moment(min(word.deadline for word in live.values()) - 1)) == []
    assert following.due(moment(GENESIS + 10**8)) == in_order


def test_closed__are_those_since_a_time(database: Database, chain: Chain) -> None:
    follower(database, FakeNode(chain)).advance()
    facts = SqlFacts(database, FOLLOWED)
    closings = {
        event.deal_id: block.time
        for block in chain.blocks
        for event in block.events
        if isinstance(event, events.DealClosed)
    }
    since = sorted(closings.values())[len(closings) // 2]
    assert {record.id: record.closed_at for record in facts.closed(since)} == {
        id_: time for id_, time in closings.items() if time >= since
    }


def test_listeners__hear_each_step_once_it_is_written(database: Database, chain: Chain) -> None:
    heard: list[Change] = []
    following = follower(database, FakeNode(chain))

    def listen(change: Change) -> None:
        assert change.at == following.facts.cursor()
        heard.append(change)

    following.listen(listen)
    following.advance()
    assert [change.at.number for change in heard if change.at] == [4, 9, 14, 19, 24, 29, 30]
    last = {record.id: record.deal for change in heard for record in change.records}
    assert last == chain.words[-1]


# ---------------------------------------------------------------- going back


@pytest.mark.parametrize("depth", [1, 2, 5, 12, 29, 30])
def test_reorganised__is_as_if_the_other_blocks_had_never_been(
    database: Database, chain: Chain, depth: int
) -> None:
    heard: dict[EscrowId, Deal] = {}

    def listen(change: Change) -> None:
        heard.update({record.id: record.deal for record in change.records})
        for deal_id in change.gone:
            del heard[deal_id]

    following = follower(database, FakeNode(chain))
    following.listen(listen)
    following.advance()
    chain.reorganise(depth, depth + 1, 2)
    following.advance()
    require_as_replayed(database, chain, chain.head)
    assert heard == chain.words[-1]


def test_reorganised__within_the_confirmations__is_never_noticed(database: Database, chain: Chain) -> None:
    following = follower(database, FakeNode(chain), confirmations=6)
    following.advance()
    heard: list[Change] = []
    following.listen(heard.append)
    chain.reorganise(6, 7, 2)
    following.advance()
    assert all(not change.gone and change.at and change.at.number > 24 for change in heard)
    require_as_replayed(database, chain, chain.head - 6)


def test_reorganised__beyond_all_checkpoints__is_read_from_the_start(
    database: Database, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molt_market.storage.facts.CHECKPOINTS", 2)
    following = follower(database, FakeNode(chain))
    following.advance()
    assert [each.number for each in following.facts.checkpoints()] == [30, 29]
    chain.reorganise(20, 25, 1)
    following.advance()
    require_as_replayed(database, chain, chain.head)


def test_reorganised__to_a_chain_as_long__is_noticed_without_a_new_block(
    database: Database, chain: Chain
) -> None:
    following = follower(database, FakeNode(chain))
    following.advance()
    chain.reorganise(2, 2, 2)
    following.advance()
    require_as_replayed(database, chain, chain.head)


def test_shorter_chain__waits_until_it_is_longer(database: Database, chain: Chain) -> None:
    following = follower(database, FakeNode(chain))
    following.advance()
    before = tables(database, FOLLOWED)
    chain.reorganise(5, 2, 1)
    following.advance()
    assert tables(database, FOLLOWED) == before
    chain.reorganise(1, 8, 1)
    following.advance()
    require_as_replayed(database, chain, chain.head)


# ---------------------------------------------------------------- nodes that fail or lie


def test_lying_head__writes_nothing_that_is_not_there(database: Database, chain: Chain) -> None:
    following = follower(database, FakeNode(chain, ahead=1_000), span=10)
    with pytest.raises(NodeError, match="does not have that block"):
        following.advance()
    assert following.facts.cursor() is None
    following = follower(database, FakeNode(chain, ahead=1_000), FakeNode(chain), span=10)
    following.advance()
    require_as_replayed(database, chain, chain.head)


def opened_paid_closed() -> Chain:
    """Return a chain in whose blocks 1, 2 and 3 that happens to one deal."""
    wanted = [events.DealOpened, events.DealPaid, events.DealClosed]
    for seed in range(1_000):
        chain = Chain(seed=seed)
        for _ in wanted:
            chain.mine(1)
        if [type(block.events[0]) for block in chain.blocks[1:]] == wanted:
            return chain
    raise AssertionError("no such chain")


def test_lost_logs_of_a_deal__are_found_by_its_stored_word(database: Database) -> None:
    chain = opened_paid_closed()
    liar = FakeNode(chain, behind=1, hides=True)
    with pytest.raises(NodeError, match="logs are missing"):
        follower(database, liar).advance()
    with pytest.raises(NodesDisagree):
        follower(database, liar, FakeNode(chain, behind=1)).advance()
    assert tables(database, FOLLOWED)["events"] == []
    liar.hides = False
    follower(database, liar).advance()
    require_as_replayed(database, chain, chain.head - 1)


def test_lost_opening__is_found_when_the_deal_goes_on__and_mended_by_starting_anew(
    database: Database,
) -> None:
    chain = opened_paid_closed()
    follower(database, FakeNode(chain, behind=2, hides=True)).advance()
    following = follower(database, FakeNode(chain))
    for _ in range(2):
        with pytest.raises(NodeError, match="start anew"):
            following.advance()
    following.start_anew()
    assert following.facts.cursor() is None
    following.advance()
    require_as_replayed(database, chain, chain.head)


def test_one_of_two_nodes__down_lagging_or_mixed_up__is_left_out(database: Database, chain: Chain) -> None:
    for wrong in (
        FakeNode(chain, down=True),
        FakeNode(chain, behind=20),
        FakeNode(chain, mixes=True),
        FakeNode(chain, ahead=50),
    ):
        chain.mine(2)
        follower(database, wrong, FakeNode(chain)).advance()
        chain.mine(2)
        follower(database, FakeNode(chain), wrong).advance()
        require_as_replayed(database, chain, chain.head)


def test_nodes_on_two_forks__disagree(database: Database, chain: Chain) -> None:
    follower(database, FakeNode(chain)).advance()
    before = tables(database, FOLLOWED)
    other = Chain(seed=8)
    for _ in range(40):
        other.mine(1)
    chain.mine(1)
    with pytest.raises(NodesDisagree):
        follower(database, FakeNode(chain), FakeNode(other)).advance()
    assert tables(database, FOLLOWED) == before


def test_both_nodes_down__raises_what_the_first_did(database: Database, chain: Chain) -> None:
    with pytest.raises(ChainError, match="down"):
        follower(database, FakeNode(chain, down=True), FakeNode(chain, down=True)).advance()


def test_other_terms_than_the_id_says__are_refused(database: Database) -> None:
    chain = Chain(seed=1)
    chain.mine(1)
    [opening] = chain.blocks[1].events
    assert isinstance(opening, events.DealOpened)
    cheaper = replace(opening, terms=replace(opening.terms, price_per_gpu_hour=1))
    chain.blocks[1] = replace(chain.blocks[1], events=(cheaper,))
    with pytest.raises(NodeError, match="other terms"):
        follower(database, FakeNode(chain)).advance()
    assert tables(database, FOLLOWED)["deals"] == []


def test_word_that_the_log_does_not_explain__is_refused(database: Database, chain: Chain) -> None:
    for deal_id, word in chain.words[-1].items():
        chain.words[-1][deal_id] = replace(word, deadline=word.deadline + 1)
    with pytest.raises(NodeError, match="logs are missing"):
        follower(database, FakeNode(chain), span=1_000).advance()
    assert tables(database, FOLLOWED)["events"] == []


def test_old_state_that_a_node_lacks__is_not_asked_for(database: Database, chain: Chain) -> None:
    for _ in range(300):
        chain.mine(1)
    follower(database, FakeNode(chain, keeps=STATE_KEPT), span=50).advance()
    require_as_replayed(database, chain, chain.head)


def test_logs_lost_while_the_state_was_too_old__are_found_once_it_is_not(database: Database) -> None:
    """The deal is closed in old blocks, and the closing hidden: what is live is compared at the end."""
    chain = opened_paid_closed()
    for _ in range(STATE_KEPT + 5):
        chain.mine(0)
    node = FakeNode(chain, keeps=STATE_KEPT, hides=True)
    following = follower(database, node, span=4)
    with pytest.raises(NodeError, match="logs are missing"):
        following.advance()
    node.hides = False
    following.start_anew()
    following.advance()
    require_as_replayed(database, chain, chain.head)


def test_run__goes_on_after_errors__until_it_is_stopped(database: Database, chain: Chain) -> None:
    node, stop = FakeNode(chain, down=True), Event()
    following = follower(database, node)
    written = Event()
    following.listen(lambda _: written.set())
    running = Thread(target=following.run, args=(stop,), kwargs={"every": timedelta(milliseconds=10)})
    running.start()
    node.down = False
    assert written.wait(10)
    stop.set()
    running.join(10)
    assert not running.is_alive()


# ---------------------------------------------------------------- several followers, crashes, all at random


def test_many_followers__write_each_step_once(database: Database, chain: Chain) -> None:
    failures: list[MarketError] = []

    def follow() -> None:
        try:
            follower(database, FakeNode(chain), span=1).advance()
        except MarketError as error:
            failures.append(error)

    threads = [Thread(target=follow) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    require_as_replayed(database, chain, chain.head)


class Crash(Exception):
    """The process dies."""


class Market(RuleBasedStateMachine):
    """A chain that goes on and back, and two followers of one database, with nodes that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database(with_tables(Path(self.folder.name) / "market.db"))
        self.chain = Chain()

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.chain = Chain(seed=seed)

    @rule(blocks=st.integers(1, 8), happenings=st.integers(0, 4))
    def mine(self, blocks: int, happenings: int) -> None:
        for _ in range(blocks):
            self.chain.mine(happenings)

    @rule(depth=st.integers(1, 15), longer=st.integers(0, 3), happenings=st.integers(0, 3))
    def reorganise(self, depth: int, longer: int, happenings: int) -> None:
        self.chain.reorganise(depth, depth + longer, happenings)

    @rule(
        ahead=st.integers(0, 30),
        behind=st.integers(0, 10),
        down=st.booleans(),
        mixes=st.booleans(),
        second=st.booleans(),
        span=st.integers(1, 9),
    )
    def follow(self, *, ahead: int, behind: int, down: bool, mixes: bool, second: bool, span: int) -> None:
        """One node is wrong in some way; what is read all the same is right."""
        nodes = [FakeNode(self.chain, ahead=ahead, behind=behind, down=down, mixes=mixes)]
        if second:
            nodes.append(FakeNode(self.chain))
        try:
            follower(self.database, *nodes, span=span).advance()
        except ChainError:
            assert not second

    @rule(after=st.integers(0, 3))
    def crash(self, after: int) -> None:
        """A process dies in the middle of writing a step."""
        left = [after]

        class Mortal(SqlFacts):
            def _move(self, *args: object) -> None:
                if not left[0]:
                    raise Crash
                left[0] -= 1
                super()._move(*args)  # type: ignore[arg-type]

        dying = Follower([FakeNode(self.chain)], Mortal(self.database, FOLLOWED), domain=DOMAIN, span=2)
        with suppress(Crash):
            dying.advance()

    @rule()
    def follow_honestly(self) -> None:
        follower(self.database, FakeNode(self.chain), span=50).advance()
        at = SqlFacts(self.database, FOLLOWED).cursor()
        assert at is not None
        if at.number == self.chain.head:  # else the chain is shorter now: there is nothing to follow yet
            require_as_replayed(self.database, self.chain, self.chain.head)

    def teardown(self) -> None:
        self.mine(100, 0)
        self.follow_honestly()
        self.database.close()
        self.folder.cleanup()


Market.TestCase.settings = settings(
    max_examples=settings.default.max_examples // 4 if settings.default else 25,
    stateful_step_count=20,
    suppress_health_check=list(HealthCheck),
)
TestMarket = Market.TestCase
