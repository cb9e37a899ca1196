"""A gateway that dies before or after any of its writes, and is started again: each thing happens once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from molt_market.agent.ports import Ended, Running
from molt_market.domain.handling import HandlingPhase
from molt_market.storage.database import Database
from molt_market.storage.usage import SqlUsage
from tests.databases import with_tables
from tests.unit.agent.machine import BATCH, Play, deal_id, record

WRITES = ("put", "beat", "leave", "posted", "receive")


class Killed(Exception):
    """The power is gone."""


class Dying:
    """Lets the process die at the n-th write, before or after it is done; once."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.at, self.after, self.count = at, after, 0

    def wrap(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            self.count += 1
            dies = self.count == self.at
            if dies and not self.after:
                raise Killed
            done = write(*arguments)
            if dies:
                raise Killed
            return done

        return wrapped


def story(play: Play, dying: Dying) -> None:
    """Let a deal go from its opening to its receipt; whoever dies is started again."""
    play.facts.put(record(1))
    play.hand_over(1, BATCH)
    for turn in range(12):
        if turn >= 5 and play.machine.jobs.get(deal_id(1)) == Running():
            play.machine.jobs[deal_id(1)] = Ended(0)
        try:
            play.go()
        except Killed:
            assert dying.count == dying.at


def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dying: Dying) -> None:
    with (
        closing(Database(with_tables(tmp_path / f"{dying.at}-{dying.after}.db"))) as database,
        monkeypatch.context() as here,
    ):
        for name in WRITES:
            here.setattr(SqlUsage, name, dying.wrap(getattr(SqlUsage, name)))
        play = Play(database, tmp_path / f"{dying.at}-{dying.after}")
        story(play, dying)
        assert len(play.machine.started) == 1
        handling = play.of(1)
        assert (handling.phase, handling.devices) == (HandlingPhase.ENDED, (0, 1))
        assert [each.result.exit_code for each in play.answers(1) if each.result] == [0]
        assert len([each.access for each in play.answers(1) if each.access]) == 1
        receipts = [each.document.receipt for each in play.market.posted[deal_id(1)] if each.document.receipt]
        assert [each.usage_root for each in receipts] == [play.usage.log(deal_id(1)).root]
        beats = play.usage.length(deal_id(1))[0]
        assert beats >= 5  # of six turns that the job ran, at most one is lost


def test_death__at_each_write__changes_nothing_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Dying(0, after=False)
    told(tmp_path, monkeypatch, whole)
    assert whole.count > 20
    for at in range(1, whole.count + 1):
        for after in (False, True):
            told(tmp_path, monkeypatch, Dying(at, after=after))
