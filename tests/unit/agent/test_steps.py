"""What a gateway does with its deals, step by step, each time as if it had just been started again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from molt_market.agent.at_market import AtMarket
from molt_market.agent.desk import Desk
from molt_market.agent.ports import Ended, Running
from molt_market.agent.steps import Steps
from molt_market.domain.deals import DealStatus
from molt_market.domain.documents import Document
from molt_market.domain.handling import HandlingPhase
from molt_market.domain.ids import ZERO_HASH, Address, Hash32, TransactionId
from molt_market.domain.jobs import InputFile, JobLimits, JobSpec
from molt_market.errors import NodeUnreachable, ServerUnreachable
from molt_market.indexer.records import DealRecord
from molt_market.signing import hashes
from molt_market.signing.hashes import job_spec_hash, result_digest
from molt_market.signing.pings import verify_gateway
from molt_market.signing.sealing import SealingKey
from molt_market.signing.statements import sign_voucher
from molt_market.storage.database import Database
from tests.unit.agent.machine import BATCH, HOUR, LEASE, Play, deal_id, record
from tests.unit.attestation.deals import DOMAIN
from tests.unit.signing.keys import AGENT, BUYER, PROVIDER, STRANGER

CLOSING = TransactionId("0x" + "c1" * 32)


@pytest.fixture
def play(database: Database, tmp_path: Path) -> Play:
    return Play(database, tmp_path)


def test_deals__are_taken_up_while_gpus_are_free_and_never_share_one(play: Play) -> None:
    play.facts.put(record(1, gpus=2), record(2, gpus=3), record(3, gpus=2))
    play.go()
    assert {each.deal_id: each.devices for each in play.usage.handlings()} == {
        deal_id(1): (0, 1),
        deal_id(2, gpus=3): (),
        deal_id(3): (2, 3),
    }
    play.later(1, status=DealStatus.RELEASED)
    play.later(3, status=DealStatus.CLAIMED)
    play.go(times=2)
    assert play.of(1).phase is play.of(3).phase is HandlingPhase.CLOSED
    assert play.of(2, gpus=3).devices == (0, 1, 2)


def test_deal__without_free_gpus__refuses_its_job_and_is_taken_up_once_there_are(play: Play) -> None:
    play.facts.put(record(1), record(2), record(3))
    play.go()
    assert (play.of(3).phase, play.of(3).devices) == (HandlingPhase.WAITING, ())
    assert play.market.kinds(deal_id(3)) == ["gateway"]  # so that a letter can be sealed
    play.hand_over(3, BATCH)
    play.go(times=2)
    [told] = play.answers(3)
    assert told.refusal is not None
    assert told.refusal.startswith("other deals have its GPUs: the deal is for 2, 0 of 4 are free. It is")
    assert play.usage.length(deal_id(3)) == (0, ZERO_HASH)
    play.later(1, status=DealStatus.CLAIMED)
    play.go(times=3)
    assert (play.of(3).phase, play.of(3).devices) == (HandlingPhase.READY, play.of(1).devices)
    assert (play.machine.started, len(play.answers(3))) == ([], 1)  # what was refused is not run later
    play.hand_over(3, BATCH)
    play.go(times=2)
    assert play.of(3).phase is HandlingPhase.RUNNING
    assert play.answers(3)[-1].access is not None


def test_deal__whose_gpus_come_free_at_this_moment__is_not_refused(play: Play) -> None:
    play.facts.put(record(1), record(2))
    play.hand_over(1, LEASE)
    play.go(times=2)
    play.facts.put(record(3))
    play.later(1, status=DealStatus.RELEASED)
    play.hand_over(3, BATCH)
    play.desk.take_up()
    assert play.of(3).phase is HandlingPhase.WAITING
    for _ in range(2):  # before the job of the first one is stopped
        AtMarket(play.here).look()
        Steps(play.here).step(deal_id(3))
    play.go(times=2)
    assert play.of(3).phase is HandlingPhase.RUNNING
    assert [each.refusal for each in play.answers(3)] == [None]


def test_deal__for_more_gpus_than_there_are__is_told_so(play: Play) -> None:
    big = record(1, gpus=5)
    play.facts.put(big)
    play.go()
    assert play.here.shortage(big) == (
        "this gateway has 4 GPUs, the deal is for 5: stop it (`molt deal stop`)"
    )


def test_deal__that_waits_for_gpus_to_its_end__has_no_receipt(play: Play) -> None:
    play.facts.put(record(1), record(2), record(3))
    play.go()
    play.go(HOUR)
    assert play.of(3).phase is HandlingPhase.ENDED
    assert play.usage.left(deal_id(3), "receipt") is None
    assert play.usage.length(deal_id(3)) == (0, ZERO_HASH)
    play.later(3, status=DealStatus.REFUNDED)
    play.go()
    assert (play.of(3).phase, play.of(3).devices) == (HandlingPhase.CLOSED, ())


def test_deals__of_other_agents_and_providers__are_none_of_its_business(play: Play) -> None:
    foreign = Address("0x" + "f6" * 20)
    mine = record(1)
    play.facts.put(replace(mine, terms=replace(mine.terms, provider=foreign)))
    play.facts.put(replace(record(2), terms=replace(mine.terms, agent=foreign)))
    play.go()
    assert play.usage.handlings() == []


def test_owners_key__on_this_machine__serves_nothing(database: Database, tmp_path: Path) -> None:
    play = Play(database, tmp_path, PROVIDER)
    mine = record(1)
    play.facts.put(replace(mine, terms=replace(mine.terms, agent=PROVIDER.address)))
    play.go()
    assert play.usage.handlings() == []


def test_batch_job__runs_once_and_leaves_result_and_receipt(play: Play) -> None:
    play.facts.put(record(1))
    play.expected = job_spec_hash(BATCH)
    play.go(times=3)
    said = play.market.posted[deal_id(1)][0].document.gateway
    assert said is not None
    verify_gateway(said, AGENT.address, DOMAIN)
    play.hand_over(1, BATCH)
    play.go(times=3)
    [job] = play.machine.started
    assert (job.user, job.limits) == (60_000, JobLimits(memory_mb=1_000, disk_mb=1, processes=10))
    [told] = play.answers(1)
    assert told.access is not None
    assert told.access.files_url == f"http://gateway/deals/{deal_id(1)}/files/"
    assert told.access.token == play.of(1).token

    (play.machine.folder(deal_id(1)) / "out").write_text("result")
    play.machine.jobs[deal_id(1)] = Ended(0)
    play.go(times=3)
    assert play.of(1).phase is HandlingPhase.ENDED
    result = play.answers(1)[-1].result
    assert result is not None
    assert (len(play.answers(1)), result.exit_code) == (2, 0)
    left = play.usage.left(deal_id(1), "receipt")
    assert left is not None
    assert left.receipt is not None
    assert left.receipt.result_digest == result_digest(result)
    assert left.receipt.usage_root == play.usage.log(deal_id(1)).root
    assert left.receipt.gpu_seconds == 2 * 70  # noticed in the seventh step of ten seconds
    assert play.market.kinds(deal_id(1)).count("receipt") == 1


def test_heartbeats__end_with_the_job(play: Play) -> None:
    play.facts.put(record(1))
    play.hand_over(1, BATCH)
    play.go(times=2)
    play.machine.jobs[deal_id(1)] = Ended(1)
    play.go()
    length = play.usage.length(deal_id(1))
    play.go(times=3)
    assert play.usage.length(deal_id(1)) == length
    assert not play.here.heartbeats.beat(play.of(1))


def test_idle_deal__is_over_at_its_end(play: Play) -> None:
    play.facts.put(record(1))
    play.go(30, times=HOUR // 30)  # no gap is longer than three intervals
    assert play.of(1).phase is HandlingPhase.ENDED
    left = play.usage.left(deal_id(1), "receipt")
    assert left is not None
    assert left.receipt is not None
    assert (left.receipt.gpu_seconds, left.receipt.result_digest) == (2 * HOUR, ZERO_HASH)


def test_job__still_running_at_the_end__is_stopped_and_reported(play: Play) -> None:
    play.facts.put(record(1))
    play.hand_over(1, BATCH)
    play.go(times=2)
    play.later(1, ends_at=record(1).deal.opened_at + 60)  # the buyer stopped the deal
    play.go(times=6)
    assert play.machine.stopped[:1] == [deal_id(1)]
    result = play.answers(1)[-1].result
    assert result is not None
    assert result.exit_code == -9


def test_lease__has_ports_of_its_own_and_runs_to_the_end(play: Play) -> None:
    play.facts.put(record(1), record(2))
    for number in (1, 2):
        play.hand_over(number, LEASE)
        play.go(times=2)
    [one] = play.answers(1)
    assert one.access is not None
    assert one.access.services == ("gateway:20000", "gateway:20001")
    [other] = play.answers(2)
    assert other.refusal == "1 ports are free, not 2"
    play.machine.jobs[deal_id(1)] = Ended(1)  # his program died; his machine is still there
    play.go(times=2)
    assert play.of(1).phase is HandlingPhase.RUNNING


def test_deal__that_leaves_locked__stops_its_job_and_frees_everything(play: Play) -> None:
    play.facts.put(record(1), record(2))
    for number in (1, 2):
        play.hand_over(number, BATCH)
        play.go(times=2)
    assert (play.of(1).user, play.of(2).user) == (60_000, 60_001)
    play.later(1, status=DealStatus.RELEASED)
    play.go()
    assert play.machine.jobs == {deal_id(1): Ended(-9), deal_id(2): Running()}
    play.facts.put(record(3))
    play.hand_over(3, BATCH)
    play.go(times=2)
    assert (play.of(3).user, play.of(3).devices) == (60_000, play.of(1).devices)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (BATCH.model_copy(update={"limits": JobLimits(memory_mb=1_001)}), "memory_mb 1001 is more than"),
        (BATCH.model_copy(update={"environment": {"A": "b"}}), "the order is for job"),
        (
            BATCH.model_copy(
                update={"inputs": (InputFile(path="stdout.txt", url="http://x", sha256="0" * 64),)}
            ),
            "stdout.txt and stderr.txt",
        ),
        (BATCH.model_copy(update={"image": "x@sha256:" + "0" * 64}), "no such image"),
    ],
)
def test_job__that_is_not_the_orders_or_takes_too_much__is_refused(
    play: Play, spec: JobSpec, why: str
) -> None:
    play.facts.put(record(1))
    play.expected = job_spec_hash(BATCH) if spec.environment else None
    play.hand_over(1, spec)
    play.go(times=3)
    [told] = play.answers(1)
    assert told.refusal is not None
    assert why in told.refusal
    play.expected = job_spec_hash(BATCH)
    play.hand_over(1, BATCH)
    play.go(times=2)
    assert play.of(1).phase is HandlingPhase.RUNNING


def test_image__is_fetched_before_the_job_starts__and_the_deal_given_back_if_it_cannot_be(play: Play) -> None:
    image = "x@sha256:" + "0" * 64
    play.machine.images = (image,)
    play.facts.put(record(1), record(2))
    play.machine.missing = "image x is nowhere"
    play.hand_over(1, BATCH.model_copy(update={"image": image}))
    play.go(times=2)
    [told] = play.answers(1)
    assert told.refusal == "image x is nowhere"
    assert (play.of(1).phase, play.machine.started) == (HandlingPhase.READY, [])
    play.machine.missing = None
    play.hand_over(1, BATCH.model_copy(update={"image": image}))
    play.go(times=2)
    assert play.of(1).phase is HandlingPhase.RUNNING
    assert play.machine.fetched == [image, image]


def test_input__that_cannot_be_had__gives_the_deal_back_to_another_job(play: Play) -> None:
    play.facts.put(record(1))
    private = InputFile(path="a", url="http://127.0.0.1:1/x", sha256="0" * 64)
    play.hand_over(1, BATCH.model_copy(update={"inputs": (private,)}))
    play.go(times=2)
    [told] = play.answers(1)
    assert told.refusal is not None
    assert "not public" in told.refusal
    assert (play.of(1).phase, play.of(1).user) == (HandlingPhase.READY, None)
    play.hand_over(1, BATCH)
    play.go(times=2)
    assert len(play.machine.started) == 1


def test_letters__of_strangers__are_passed_over(play: Play) -> None:
    play.facts.put(record(1))
    play.hand_over(1, BATCH, sender=STRANGER)
    play.go(times=2)
    assert play.of(1).phase is HandlingPhase.READY
    assert play.answers(1) == []


def test_second_hand_over__of_the_same_job_is_answered_again__of_another_one_refused(play: Play) -> None:
    play.facts.put(record(1))
    play.hand_over(1, BATCH)
    play.go(times=2)
    play.hand_over(1, BATCH)
    play.go(times=2)
    assert len({str(each.access) for each in play.answers(1)}) == 1
    assert len(play.answers(1)) == 2
    assert len(play.machine.started) == 1
    play.hand_over(1, BATCH.model_copy(update={"command": ("false",)}))
    play.go()
    assert (play.answers(1)[-1].refusal or "").startswith("the deal has its job")


def test_vouchers__the_largest_genuine_one_is_kept(play: Play) -> None:
    play.facts.put(record(1))
    for gpu_seconds, signer in ((100, BUYER), (300, BUYER), (200, BUYER), (999, STRANGER)):
        voucher = sign_voucher(deal_id(1), gpu_seconds, signer, DOMAIN)
        play.market.post_document(Document(voucher=voucher))
    play.go()
    kept = play.of(1).voucher
    assert kept is not None
    assert kept.gpu_seconds == 300


def test_node__that_is_away__loses_no_letter(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    play.facts.put(record(1))
    play.go()
    play.hand_over(1, BATCH)

    AtMarket(play.here).fetch(deal_id(1))

    def away(_: object) -> Hash32 | None:
        raise NodeUnreachable("http://node")

    with pytest.raises(NodeUnreachable):
        Steps(replace(play.here, expected_job_spec=away)).step(deal_id(1))
    play.go(times=2)
    assert play.of(1).phase is HandlingPhase.RUNNING


def test_market__that_is_down__holds_up_no_job(play: Play) -> None:
    play.facts.put(record(1))
    play.hand_over(1, BATCH)
    play.go(times=2)
    play.market.is_down = True
    play.machine.jobs[deal_id(1)] = Ended(0)
    with pytest.raises(ServerUnreachable):
        play.go()
    assert play.of(1).phase is HandlingPhase.ENDED
    play.market.is_down = False
    play.go()
    assert play.market.kinds(deal_id(1)).count("receipt") == 1
    assert play.answers(1)[-1].result is not None


def test_market__that_is_down_when_a_deal_closes__gets_what_it_is_owed_later(play: Play) -> None:
    play.facts.put(record(1))
    play.hand_over(1, BATCH)
    play.go(times=2)
    play.market.is_down = True
    play.machine.jobs[deal_id(1)] = Ended(0)
    for change in ({}, {"status": DealStatus.RELEASED}):
        play.later(1, **change)
        with pytest.raises(ServerUnreachable):
            play.go()
    assert play.of(1).phase is HandlingPhase.CLOSED
    play.market.is_down = False
    play.go()
    assert play.market.kinds(deal_id(1)).count("receipt") == 1
    assert play.usage.unposted_deals() == []


def test_files__are_deleted_a_week_after_the_end(play: Play) -> None:
    play.facts.put(record(1))
    play.go()
    play.later(1, status=DealStatus.REFUNDED)
    play.go()
    play.desk.tidy()
    assert play.machine.removed == []
    play.clock.advance(7 * 24 * HOUR)
    Desk(play.here, lambda: None).tidy()
    assert play.machine.removed == [deal_id(1)]
    assert play.of(1).removed


def test_buyer__who_asks_again_in_the_challenge_window__has_his_result(play: Play) -> None:
    play.facts.put(record(1))
    play.hand_over(1, BATCH)
    play.go(times=2)
    play.machine.jobs[deal_id(1)] = Ended(0)
    play.go(times=2)
    play.later(1, status=DealStatus.CLAIMED, claim=1)
    play.go()
    play.key = SealingKey.generate()  # the first one is lost
    play.hand_over(1, BATCH)
    play.go()
    [access, result] = play.answers(1)
    assert access.access is not None
    assert result.result is not None
    assert result.result.exit_code == 0


def after(before: DealRecord, **terms: object) -> DealRecord:
    """Make the deal that took another one's place: opened by the transaction that closed it."""
    given = replace(before.terms, duration=2 * before.terms.duration, **terms)  # type: ignore[arg-type] # its own
    return replace(before, id=hashes.deal_id(given, DOMAIN), terms=given, opened_by=CLOSING)


def closed(before: DealRecord) -> DealRecord:
    word = replace(before.deal, status=DealStatus.RELEASED)
    return replace(before, deal=word, closed_by=CLOSING, closed_at=before.deal.opened_at + 600)


def test_lease__goes_on_in_the_deal_that_took_the_place_of_its_own(play: Play) -> None:
    first = record(1)
    play.facts.put(first)
    play.hand_over(1, LEASE)
    play.go(times=3)
    before = play.of(1)
    second = after(first)
    play.facts.put(closed(first), second)
    play.go(times=3)
    assert play.machine.stopped == []
    assert play.of(1).phase is HandlingPhase.CLOSED
    handling = play.usage.handling(second.id)
    assert handling is not None
    assert (handling.phase, handling.job_id) == (HandlingPhase.RUNNING, first.id)
    assert (handling.devices, handling.user, handling.ports) == (before.devices, before.user, before.ports)
    log = play.usage.log(second.id)
    assert len(log.heartbeats) >= 2
    assert all(each.processes is not None for each in log.heartbeats)
    [told] = [each.access for each in play.answers_of(second.id)]
    assert told is not None
    assert (told.deal_id, told.services) == (second.id, ("gateway:20000", "gateway:20001"))
    play.clock.advance(8 * 24 * HOUR)
    play.desk.tidy()
    assert play.machine.removed == []  # the files are the running job's
    play.facts.put(replace(second, deal=replace(second.deal, status=DealStatus.RELEASED)))
    play.go()
    assert play.machine.stopped == [first.id]


@pytest.mark.parametrize("other", [{"buyer": AGENT.address}, {"slot": 9}, {"gpu_count": 1}])
def test_lease__of_another_buyer_or_on_other_gpus__ends_with_its_deal(
    play: Play, other: dict[str, object]
) -> None:
    first = record(1)
    play.facts.put(first)
    play.hand_over(1, LEASE)
    play.go(times=2)
    second = after(first, **other)
    play.facts.put(closed(first), second)
    play.go(times=3)
    assert play.machine.stopped == [first.id]
    handling = play.usage.handling(second.id)
    assert handling is not None
    assert (handling.phase, handling.spec) == (HandlingPhase.READY, None)


def test_job__of_another_order__is_not_run_in_its_place(play: Play) -> None:
    first = record(1)
    play.facts.put(first)
    play.hand_over(1, LEASE)
    play.go(times=2)
    play.expected = job_spec_hash(BATCH)  # what the next deal's order names
    play.facts.put(closed(first), after(first))
    play.go(times=3)
    assert play.machine.stopped == [first.id]
