"""Many settlements in few transactions: each ends as it would alone, and a refused one harms no other."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from molt_market.domain.deals import EscrowAccount
from molt_market.domain.ids import EscrowId
from molt_market.domain.settlement import SettlementResult, SettlementStatus
from molt_market.errors import DealNotFound, NotYet, ProofMismatch
from molt_market.payments.asynchronous import AsyncPaymentService
from molt_market.payments.journal import EntryState, MemoryJournal
from molt_market.payments.keeper import Keeper
from molt_market.payments.service import PaymentService
from molt_market.payments.settlement import settle_job, settle_jobs
from molt_market.refusals import AboveElapsed, TooEarly, WrongStatus
from molt_market.storage.database import Database
from molt_market.storage.journal import SqlJournal
from molt_market.testing import Devnet
from tests.integration.scene import Scene, molt

NO_DEAL = EscrowId("0x" + "77" * 32)


def opened(scene: Scene, number: int) -> list[EscrowAccount]:
    offer = scene.offer(gpu_count=4 * number)
    return [scene.open(offer=offer, slot=slot) for slot in range(number)]


# ---------------------------------------------------------------- settlements


def test_settle_jobs__go_out_in_one_transaction__each_as_it_would_alone(scene: Scene, net: Devnet) -> None:
    escrows = opened(scene, 4)
    scene.run(24)
    hours = ("24", "23.5", "12", "24")
    jobs = [
        scene.job(deal, of, confirmed=place < 3)
        for place, (deal, of) in enumerate(zip(escrows, hours, strict=True))
    ]
    sent = scene.sent(net.provider)
    answers = settle_jobs(jobs, scene.provider)
    assert scene.sent(net.provider) == sent + 1
    results = [answer for answer in answers if isinstance(answer, SettlementResult)]
    assert [type(each.status) for each in results] == [
        SettlementStatus.Success,
        SettlementStatus.PartialRefund,
        SettlementStatus.PartialRefund,
        SettlementStatus.Pending,
    ]
    assert [each.provider_payment for each in results[:3]] == [molt("237.6"), molt("232.65"), molt("118.8")]
    assert results == [settle_job(job, scene.provider) for job in jobs]
    assert scene.sent(net.provider) == sent + 1


def test_settle_jobs__some_cannot_be__tells_each__and_settles_the_others(scene: Scene, net: Devnet) -> None:
    good, other, early = opened(scene, 3)
    jobs = [
        scene.job(good, "24", confirmed=True),
        scene.job(other, "24", confirmed=True).model_copy(update={"escrow_id": NO_DEAL}),
        scene.job(other, "24").model_copy(update={"proof": scene.proof(good, "24")}),
        scene.job(early, "24"),
    ]
    answers = settle_jobs(jobs, scene.provider)
    assert isinstance(answers[0], SettlementResult)
    assert [type(each) for each in answers[1:]] == [DealNotFound, ProofMismatch, AboveElapsed]
    assert scene.client.escrow(good.id).released_at is not None


def test_settle_jobs__twice_the_same__pays_once(scene: Scene, net: Devnet) -> None:
    [escrow] = opened(scene, 1)
    scene.run(24)
    job = scene.job(escrow, "24", confirmed=True)
    first, second = settle_jobs([job, job], scene.provider)
    assert first == second
    assert isinstance(first, SettlementResult)
    assert first.provider_payment == molt("237.6")


def test_settle_jobs__none__does_nothing(scene: Scene, net: Devnet) -> None:
    assert settle_jobs([], scene.provider) == []
    reader = net.payments()
    assert (settle_jobs([], reader), reader.finalize_all([])) == ([], [])


def test_settle_jobs__refused_after_it_was_simulated__is_told_by_its_place(
    scene: Scene, net: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between simulation and block one deal is closed by somebody else: its item alone is refused."""
    escrows = opened(scene, 3)
    scene.run(24)
    jobs = [scene.job(deal, "24", confirmed=True) for deal in escrows]
    journal = MemoryJournal()
    payments = net.payments(net.provider, journal=journal)
    transactions = payments.client.transactions
    sign = transactions.sign

    def overtaken(*args: object, **kwargs: object) -> object:
        net.payments(net.buyer).redeem(escrows[1], scene.voucher(escrows[1], "24"))
        return sign(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(transactions, "sign", overtaken)
    answers = settle_jobs(jobs, payments)
    assert [type(each) for each in answers] == [SettlementResult, WrongStatus, SettlementResult]
    states = [entry.state for entry in journal.entries(EntryState)]
    assert sorted(states) == [EntryState.FINAL, EntryState.FINAL, EntryState.REVERTED]


# ---------------------------------------------------------------- what is due


def test_finalize_all__closes_what_is_due__and_says_when_the_rest_is(scene: Scene, net: Devnet) -> None:
    escrows = opened(scene, 2)
    scene.run_past(escrows[1])
    late = scene.open(offer=scene.offer(slot=9), slot=9)
    keeper = net.payments(net.stranger)
    first, second, third, none = keeper.finalize_all([*(each.id for each in escrows), late.id, NO_DEAL])
    assert first == second
    assert isinstance(third, NotYet)
    assert isinstance(none, DealNotFound)
    assert keeper.finalize_all([escrows[0].id]) == [first]


def test_keeper__any_number__each_deal_is_closed_once(scene: Scene, net: Devnet, tmp_path: Path) -> None:
    """Four keepers of two accounts, two of them over one database, all at the same moment."""
    escrows = opened(scene, 5)
    scene.run_past(escrows[-1])
    ids = [each.id for each in escrows]
    shared = Database(tmp_path / "keepers.db")
    keepers = [
        Keeper(net.payments(net.stranger, journal=SqlJournal(shared, "keepers")), lambda _: ids),
        Keeper(net.payments(net.stranger, journal=SqlJournal(shared, "keepers")), lambda _: ids),
        Keeper(net.payments(net.operator), lambda _: ids),
        Keeper(net.payments(net.agent), lambda _: ids),
    ]
    rounds = []
    threads = [
        threading.Thread(target=lambda keeper=keeper: rounds.append(keeper.look())) for keeper in keepers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sorted(each.closed) for each in rounds] == [sorted(ids)] * 4
    assert [each.failures for each in rounds] == [()] * 4
    assert {scene.client.escrow(each).status.name for each in ids} == {"REFUNDED"}
    shared.close()


def test_keeper__runs_until_it_is_stopped__whatever_fails(scene: Scene, net: Devnet) -> None:
    [escrow] = opened(scene, 1)
    scene.run_past(escrow)
    stop, asked = threading.Event(), []

    def due(_: object) -> list[EscrowId]:
        asked.append(1)
        if len(asked) == 1:
            raise TooEarly(1, 2)
        if len(asked) == 3:
            stop.set()
        return [escrow.id]

    Keeper(net.payments(net.stranger), due).run(stop, every=timedelta(milliseconds=10))
    assert scene.client.escrow(escrow.id).status.name == "REFUNDED"


# ---------------------------------------------------------------- asyncio


def test_async__has_every_verb() -> None:
    verbs = {name for name in dir(PaymentService) if not name.startswith("_")}
    assert verbs <= set(dir(AsyncPaymentService))


def test_async__many_at_once__each_as_the_other_would(scene: Scene, net: Devnet) -> None:
    offer = scene.offer(gpu_count=20)
    matches = [scene.match(offer=offer, slot=slot) for slot in range(5)]

    async def main() -> list[EscrowAccount]:
        async with AsyncPaymentService(net.payments(net.buyer)) as payments:
            return await asyncio.gather(*(payments.create_job_escrow(match, net.buyer) for match in matches))

    escrows = asyncio.run(main())
    assert [scene.client.escrow(each.id).status for each in escrows] == [each.status for each in escrows]
    assert len({each.id for each in escrows}) == 5


def test_async__settles__and_raises_the_same_errors(scene: Scene, net: Devnet) -> None:
    [escrow] = opened(scene, 1)
    scene.run(24)
    job = scene.job(escrow, "24", confirmed=True)

    async def main() -> SettlementResult:
        async with AsyncPaymentService(net.payments(net.provider)) as payments:
            with pytest.raises(DealNotFound):
                await payments.escrow(NO_DEAL)
            [result] = await payments.settle_jobs([job])
            assert await payments.settle_job(job) == result
            assert isinstance(result, SettlementResult)
            return result

    assert asyncio.run(main()).provider_payment == molt("237.6")
