"""What an attestor has seen outlives him, and he signs one receipt of a deal, whoever asks meanwhile."""

from __future__ import annotations

import threading
from dataclasses import replace

from molt_market.attestation.ports import PingCount, Verdict
from molt_market.attestation.verifier import DeviceUse
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.storage.attestor import SqlAttestor
from molt_market.storage.database import Database
from tests.factories import ATTESTORS, NOON
from tests.unit.attestation.evidence import END, SECOND, good_log, good_pings, ping, receipt_of

LOG = good_log()
DEAL = LOG.deal_id
OTHER = EscrowId("0x" + "01" * 32)


def store_in(database: Database, attestor: int = 0, deployment: str = "1:0xabc") -> SqlAttestor:
    return SqlAttestor(database, deployment, ATTESTORS[attestor])


def verdict(number: int = 0, code: str | None = None) -> Verdict:
    return Verdict(receipt_of(LOG, 100 + number), Hash32(f"0x{number:064x}"), code, "said", NOON)


def use(uuid: str = "GPU-a0", deal_id: EscrowId = DEAL) -> DeviceUse:
    return DeviceUse(deal_id, uuid, NOON, NOON + END * SECOND)


def test_pings__come_back_as_they_were__in_order(database: Database) -> None:
    made = [*good_pings(LOG), ping(LOG, END, answered=False)]
    store = store_in(database)
    for each in reversed(made):
        store.add_ping(each, None if each.answer else "no answer in 5 seconds")
    assert list(store_in(database).pings(DEAL)) == made
    assert store.pings(OTHER) == []
    assert store.ping_counts() == {DEAL: PingCount(len(made) - 1, 1, "no answer in 5 seconds")}


def test_everything__is_of_one_attestor_and_one_deployment(database: Database) -> None:
    store = store_in(database)
    store.add_ping(good_pings(LOG)[0])
    assert store.decide(verdict(), [use()])
    for other in (store_in(database, 1), store_in(database, 0, "2:0xabc")):
        assert (other.pings(DEAL), other.verdicts(DEAL), other.in_use(["GPU-a0"])) == ([], [], [])
        assert (other.ping_counts(), other.judged_deals()) == ({}, [])
        assert other.decide(verdict(), [])


def test_decide__once__then_posted(database: Database) -> None:
    store = store_in(database)
    assert store.decide(verdict(), [use(), use("GPU-a1")])
    assert not store.decide(verdict(), [])
    [kept] = store_in(database).verdicts(DEAL)
    assert kept == verdict()
    store.mark_posted(kept)
    assert store.verdicts(DEAL) == [replace(kept, posted=True)]
    assert set(store.in_use(["GPU-a0", "GPU-a1", "GPU-b0"])) == {use(), use("GPU-a1")}
    assert store.judged_deals() == [DEAL]


def test_decide__rejections__as_many_as_there_are__but_one_is_signed(database: Database) -> None:
    store = store_in(database)
    assert store.decide(verdict(1, "Gap"), [])
    assert store.decide(verdict(2, "AboveLog"), [])
    assert store.decide(verdict(3), [])
    assert not store.decide(verdict(4), [use("GPU-b0")])
    assert store.in_use(["GPU-b0"]) == []
    assert [each.code for each in store.verdicts(DEAL)] == ["Gap", "AboveLog", None]


def test_decide__many_at_once__one_is_signed(database: Database) -> None:
    store, said = store_in(database), []

    def decide(number: int) -> None:
        said.append(store.decide(verdict(number), []))

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(said) == [False] * 7 + [True]
    assert len(store.verdicts(DEAL)) == 1
