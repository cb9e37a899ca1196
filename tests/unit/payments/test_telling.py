"""Every event of a payment is logged with its key, its deal, its nonce and its hash, and counted."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from molt_market import metrics
from molt_market.domain.ids import EscrowId
from molt_market.errors import TransactionDropped, TransactionRejected
from molt_market.payments import carrier
from molt_market.telling import Said
from tests.unit.payments.fakes import WALLET
from tests.unit.payments.test_outbox import Desk

DEAL = EscrowId("0x" + "de" * 32)
KEY = f"release:{DEAL}:7"


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Desk:
    monkeypatch.setattr(carrier, "RECEIPT_DELAY", timedelta(0))
    caplog.set_level(logging.DEBUG, "molt_market")
    return Desk(patience=timedelta(microseconds=1))


def told(caplog: pytest.LogCaptureFixture) -> list[Said]:
    found = [record.msg for record in caplog.records if isinstance(record.msg, Said)]
    for said in found:
        if said.event not in {"node_fails", "reconciled"}:
            assert (said.fields["key"], said.fields["deal_id"]) == (KEY, DEAL), said.event
            assert said.fields["nonce"] is not None
            assert str(said.fields["hash"]).startswith("0x"), said.event
    return found


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [said.event for said in told(caplog)]


def counted(event: str) -> float:
    value = metrics.PROCESS.get_sample_value("molt_payment_events_total", {"event": event})
    return value or 0


def test_send__is_told_step_by_step(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    before = counted("final")
    desk.outbox.send(KEY, desk.prepare)
    assert events(caplog) == ["signed", "sent", "mined", "final"]
    assert counted("final") == before + 1
    [final] = [said for said in told(caplog) if said.event == "final"]
    assert final.fields["block"] == desk.chain.block
    assert str(final).startswith(f"final key={KEY} deal_id={DEAL} sender={WALLET.address} nonce=0 hash=0x")


def test_replaced__is_told_with_the_new_hash(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.pending(KEY)
    replaced = [said for said in told(caplog) if said.event == "replaced"]
    assert replaced
    assert replaced[-1].fields["hash"] == desk.dispatch(KEY).latest.id


def test_reverted__is_told_with_the_reason(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.chain.succeeds = False
    with pytest.raises(Exception, match="failed"):
        desk.outbox.send(KEY, desk.prepare)
    last = told(caplog)[-1]
    assert (last.event, caplog.records[-1].levelname) == ("reverted", "WARNING")
    assert last.fields["reason"]


def test_dropped__is_told(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.pending(KEY)
    desk.chain.pool.clear()
    desk.chain.used = 1
    with pytest.raises(TransactionDropped):
        desk.outbox.carrier.until_final(desk.dispatch(KEY).id)
    assert events(caplog)[-1] == "dropped"


def test_refused_by_the_node__is_told_and_dropped(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.chain.failing["broadcast"] = TransactionRejected("0xaa", "too large")
    with pytest.raises(TransactionRejected):
        desk.outbox.send(KEY, desk.prepare)
    assert events(caplog) == ["signed", "rejected", "dropped"]


def test_reorganised__is_told(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.outbox.send(KEY, desk.prepare)
    desk.chain.reorganise()
    desk.outbox.send(KEY, desk.prepare)
    assert [event for event in events(caplog) if event != "replaced"] == [
        *("signed", "sent", "mined", "final"),
        *("reorganised", "sent", "mined", "final"),
    ]


@pytest.mark.parametrize(
    ("value", "written"), [("a b", "'a b'"), ("", "''"), ("a\nb", "'a\\nb'"), (7, "7"), ("0xab", "0xab")]
)
def test_said__is_one_line(value: object, written: str) -> None:
    assert str(Said("sent", {"x": value, "left_out": None})) == f"sent x={written}"
