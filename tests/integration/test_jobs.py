"""A deal's job from its buyer's side: by the command line with a real gateway, and with agents that lie."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from molt_market.attestation.usage import GpuReading
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.disputes import Dispute
from molt_market.domain.documents import Document, DocumentKind
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.domain.jobs import (
    Access,
    HandOver,
    HandOverAnswer,
    InputFile,
    JobResult,
    JobSpec,
    OutputFile,
)
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.domain.pings import Ping
from molt_market.domain.proofs import Attestation
from molt_market.errors import AgentSilent, JobRefused, ResultMismatch, ServerUnreachable
from molt_market.sdk.attestor import Attestor
from molt_market.sdk.buyer import Buyer
from molt_market.sdk.provider import Provider
from molt_market.sdk.watch import WatchPolicy
from molt_market.signing.hashes import result_digest
from molt_market.signing.letters import sign_letter
from molt_market.signing.pings import sign_gateway
from molt_market.signing.sealing import SealingKey, seal
from molt_market.signing.statements import sign_receipt
from molt_market.testing import Devnet
from tests.gateway import gateway
from tests.integration.agents import Machine, agent, readings
from tests.integration.commands import PASSWORD, asked, key_file, molt, refused
from tests.integration.test_agent import serving
from tests.service import server
from tests.unit.agent.places import open_folder

TEXT = b"the quick brown fox\n"
SHOUT = "sleep 3; tr a-z A-Z < data/in.txt > up.txt"
HOUR = 3_600
KEY, AGENTS = SealingKey.generate(), SealingKey.generate()
ROOT = Hash32("0x" + "70" * 32)


@pytest.fixture
def place(net: Devnet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that jobs may pass through, and the environment of a buyer who works there."""
    with open_folder() as folder:
        environment = {
            "MOLT_RPC_URL": net.url,
            "MOLT_DEPLOYMENTS": str(folder),
            "MOLT_WALLET": str(key_file(net.buyer, folder / "buyer.json")),
            "MOLT_WALLET_PASSWORD": PASSWORD,
            "COLUMNS": "100",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("MOLT_DATABASE", raising=False)
        yield folder


@pytest.fixture
def parties(net: Devnet, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parties]:
    here: dict[str, Any] = {"rpc_url": net.url, "deployment": net.deployment}
    with ExitStack() as stack:
        running = stack.enter_context(server(net, f"sqlite:///{place / 'market.db'}", place))
        monkeypatch.setenv("MOLT_SERVER", running.url)
        buyer = stack.enter_context(Buyer(running.url, net.buyer, **here))
        provider = stack.enter_context(Provider(running.url, net.provider, **here))
        yield Parties(net, buyer, provider)


class Parties:
    """A buyer, a provider, and an agent whose key the test has: he says what the test wants."""

    def __init__(self, net: Devnet, buyer: Buyer, provider: Provider) -> None:
        self.net, self.buyer, self.provider = net, buyer, provider

    def offer(self) -> None:
        self.provider.offer(
            CapacityOffer(
                provider_id=self.net.provider.address,
                agent=self.net.agent.address,
                gpu_capacity=GpuCapacity(gpu_count=8, gpu_model="H100", vram_gb=80),
                price_per_hour=self.provider.client.token.amount("2.5"),
                available_hours=24,
                policy_id=self.net.policy_id,
                created_at=self.provider.client.now(),
            )
        )

    def open(self, gpus: int = 4) -> EscrowAccount:
        self.offer()
        limit = self.buyer.client.token.amount(3)
        needs = JobRequirements(
            min_gpu_count=gpus, min_vram_gb=80, estimated_hours=1, max_price_per_hour=limit
        )
        now = self.buyer.client.now()
        order = JobOrder(buyer_id=self.net.buyer.address, requirements=needs, created_at=now)
        return self.buyer.open(self.buyer.match(order)[0])

    def say(self, escrow: EscrowAccount, answer: HandOverAnswer) -> None:
        """Leave a letter of the agent's for the buyer."""
        sealed = seal(answer.model_dump_json().encode(), KEY.public)
        buyer, net = escrow.terms.buyer, self.net
        letter = sign_letter(escrow.id, buyer, sealed, net.agent, net.domain)
        self.buyer.api.post_document(Document(letter=letter))

    @contextmanager
    def answering(self, escrow: EscrowAccount, answer: HandOverAnswer) -> Iterator[None]:
        """Have the agent answer the next letter, for the length of the block."""
        letters = partial(self.buyer.api.documents, escrow.id, DocumentKind.LETTER)
        before, until = len(list(letters())), time.monotonic() + 20

        def say() -> None:
            while len(list(letters())) == before:
                assert time.monotonic() < until
                time.sleep(0.1)
            self.say(escrow, answer)

        with ThreadPoolExecutor(1) as pool:
            said = pool.submit(say)
            yield
            said.result()

    def announce(self, escrow: EscrowAccount, url: str) -> None:
        found = sign_gateway(escrow.id, url, AGENTS.public, self.net.agent, self.net.domain)
        self.buyer.api.post_document(Document(gateway=found))

    def post_receipt(self, escrow: EscrowAccount, digest: Hash32) -> None:
        receipt = sign_receipt(
            escrow.id, 4, self.net.agent, self.net.domain, result_digest=digest, usage_root=ROOT
        )
        self.buyer.api.post_document(Document(receipt=receipt))

    def attest(self, receipt: Attestation) -> None:
        """Have two attestors sign a receipt: the quorum of the devnet's policy."""
        here: dict[str, Any] = {"rpc_url": self.net.url, "deployment": self.net.deployment}
        for wallet in self.net.attestors[:2]:
            with Attestor(self.buyer.api.transport.url, wallet, **here) as attestor:
                attestor.attest(receipt)

    def until(self, deal_id: EscrowId, wanted: DealStatus) -> EscrowAccount:
        end = time.monotonic() + 30
        while (escrow := self.buyer.escrow(deal_id)).status is not wanted:
            assert time.monotonic() < end, escrow.status
            time.sleep(0.1)
        return escrow


# ---------------------------------------------------------------- with a real gateway


def test_job__by_the_command_line__from_the_order_to_the_arbiter(parties: Parties, place: Path) -> None:
    with (
        gateway(parties.net, parties.buyer.api.transport.url, place, ["--allow-private-inputs"]),
        serving(TEXT) as url,
    ):
        spec = JobSpec(
            command=("sh", "-c", SHOUT),
            inputs=(InputFile(path="data/in.txt", url=url, sha256=hashlib.sha256(TEXT).hexdigest()),),
            outputs=("up.txt",),
        )
        (place / "job.json").write_text(spec.model_dump_json())
        parties.offer()
        wants = ["--gpus", "2", "--vram", "80", "--hours", "1", "--max-price", "3"]
        opened = asked("order", "open", *wants, "--job", place / "job.json", "--yes")
        deal = EscrowId(opened["deal_id"])

        access = asked("job", "hand-over", deal, place / "job.json")
        assert access["deal_id"] == deal
        watch = partial(molt, "--database", place / "watch.db", "job", "watch", deal, "--allow-private")
        look = json.loads(watch("--once", "--every", "5", "--json"))
        assert (look["answered"], look["released"], look["held_back"]) == (True, True, None)
        assert 0 < look["gpu_seconds"] <= 2 * HOUR
        assert "nothing more is released: the last heartbeat shows 0 GPUs of 2" in watch(
            "--once", "--gpus", "2"
        )

        result = asked("job", "result", deal, "--to", place / "results", "--allow-private")
        assert (place / "results" / "up.txt").read_bytes() == TEXT.upper()
        assert [each["sha256"] for each in result["outputs"]] == [hashlib.sha256(TEXT.upper()).hexdigest()]
        [voucher] = parties.provider.vouchers(parties.buyer.escrow(deal))
        assert voucher.gpu_seconds == look["gpu_seconds"]

        [posted] = parties.buyer.api.documents(deal, DocumentKind.RECEIPT)
        assert posted.document.receipt is not None
        parties.attest(posted.document.receipt)
        claimed = parties.until(deal, DealStatus.CLAIMED).claimed_gpu_seconds

        laid = ["--text", "it was \x1b[31mslow", "--heartbeat", "1", "--allow-private"]
        digest = asked("--database", place / "watch.db", "dispute", "evidence", deal, *laid)["evidence"]
        molt("dispute", "open", deal, "--gpu-seconds", "1", "--evidence", digest)
        shown = asked("arbiter", "show", deal)
        assert (shown["counter_gpu_seconds"], shown["claimed_gpu_seconds"]) == (1, claimed)
        assert (shown["evidence"], shown["arbiter"]) == (digest, parties.net.arbiter.address)
        assert shown["default"] == "the claim stands: attestors have signed it"
        [evidence] = shown["laid"]
        assert (evidence["by"], evidence["named"]) == ("buyer", True)
        assert (evidence["heartbeats"], evidence["heartbeats_in_log"]) == (1, 1)
        assert (evidence["pings"], evidence["pings_answered"], evidence["pings_unanswered"]) == (2, 2, 0)
        text = molt("dispute", "show", deal)
        assert "1 heartbeat, 1 of them proven to be in the claimed usage log" in text
        assert "\x1b" not in text


def test_hand_over__to_a_full_gateway__is_refused__and_runs_once_gpus_are_free(
    parties: Parties, place: Path
) -> None:
    spec = JobSpec(command=("sh", "-c", "echo done > done.txt"), outputs=("done.txt",))
    (place / "job.json").write_text(spec.model_dump_json())
    with gateway(parties.net, parties.buyer.api.transport.url, place) as machine:  # of 4 GPUs, 8 are offered
        first, second = parties.open(4), parties.open(2)
        hand_over = ("job", "hand-over", second.id, place / "job.json")
        for _ in range(2):
            said = refused(*hand_over)
            assert (
                "the agent does not run the job: other deals have its GPUs: the deal is for 2, 0 of 4" in said
            )
            assert "hand the job over again later, or stop it (`molt deal stop`)" in said
        assert {each["deal_id"]: each["phase"] for each in machine.deals()} == {
            first.id: "ready",
            second.id: "waiting",
        }
        molt("deal", "release", first.id)  # all of it: the gateway redeems it, and frees the GPUs
        parties.provider.redeem(first.id)
        parties.until(first.id, DealStatus.RELEASED)
        until = time.monotonic() + 30
        while {each["phase"] for each in machine.deals()} != {"closed", "ready"}:
            assert time.monotonic() < until, machine.deals()
        assert asked(*hand_over)["deal_id"] == second.id
        assert asked("job", "result", second.id)["exit_code"] == 0
        assert parties.buyer.hand_over(second, spec, _key(place), wait=30).deal_id == second.id


def _key(place: Path) -> SealingKey:
    return SealingKey.from_file(place / "buyer.sealing")


# ---------------------------------------------------------------- with agents that lie


def test_hand_over__waits_for_the_agent__and_says_why_not(parties: Parties) -> None:
    escrow, spec = parties.open(), JobSpec(command=("true",))
    with pytest.raises(AgentSilent, match="where he is reached"):
        parties.buyer.hand_over(escrow, spec, KEY, wait=0)
    parties.announce(escrow, "http://127.0.0.1:9")
    with pytest.raises(AgentSilent, match="an access"):
        parties.buyer.hand_over(escrow, spec, KEY, wait=0)
    [letter] = [each.document.letter for each in parties.buyer.api.documents(escrow.id, DocumentKind.LETTER)]
    assert letter is not None
    given = HandOver.model_validate_json(AGENTS.open(letter.sealed))
    assert (given.spec, given.reply_key) == (spec, KEY.public)

    refusal = HandOverAnswer(refusal="too \x1b[31mlarge")
    with parties.answering(escrow, refusal), pytest.raises(JobRefused, match=r"too  \[31mlarge"):
        parties.buyer.hand_over(escrow, spec, KEY, wait=20)
    with pytest.raises(AgentSilent, match="an access"):  # that one was for the letter before
        parties.buyer.hand_over(escrow, spec, KEY, wait=0)
    with pytest.raises(JobRefused, match=r"too  \[31mlarge"):
        parties.buyer.job_result(escrow, KEY, wait=0)
    access = Access(deal_id=escrow.id, token="t", files_url="http://127.0.0.1:9/")
    parties.say(escrow, HandOverAnswer(access=access))
    assert parties.buyer.hand_over(escrow, spec, KEY, wait=0) == access  # the newest answer counts
    with pytest.raises(AgentSilent, match="an access"):
        parties.buyer.hand_over(escrow, spec, SealingKey.generate(), wait=0)  # sealed to another key


def test_fetch__whatever_differs_from_what_is_signed__is_refused_and_not_kept(
    parties: Parties, tmp_path: Path
) -> None:
    escrow = parties.open()
    good = OutputFile(path="in.txt", sha256=hashlib.sha256(TEXT).hexdigest(), size=len(TEXT))
    with serving(TEXT) as url:
        files_url = url.removesuffix("in.txt")
        parties.say(escrow, HandOverAnswer(access=Access(deal_id=escrow.id, token="t", files_url=files_url)))
        fetch = partial(parties.buyer.fetch, escrow, KEY, tmp_path / "out", 0)

        written = JobResult(deal_id=escrow.id, exit_code=0, outputs=(good,))
        parties.say(escrow, HandOverAnswer(result=written))
        with pytest.raises(AgentSilent, match="a receipt"):
            fetch(private=True)
        parties.post_receipt(escrow, result_digest(written))
        with pytest.raises(ServerUnreachable, match="not public"):
            fetch()
        assert [path.read_bytes() for path in fetch(private=True)] == [TEXT]

        for wrong, says in (
            ({"sha256": "00" * 32}, "SHA-256 of in.txt"),
            ({"size": 3}, "the size of in.txt"),
            ({"exit_code": 1}, "the result's digest"),
        ):
            (tmp_path / "out" / "in.txt").unlink(missing_ok=True)
            output = good.model_copy(update={k: v for k, v in wrong.items() if k != "exit_code"})
            lied = written.model_copy(update={"outputs": (output,), "exit_code": wrong.get("exit_code", 0)})
            other = parties_of_another_deal(parties, lied, files_url, sign="exit_code" not in wrong)
            with pytest.raises(ResultMismatch, match=says):
                parties.buyer.fetch(other, KEY, tmp_path / "out", 0, private=True)
            assert list((tmp_path / "out").glob("*")) == []


def parties_of_another_deal(
    parties: Parties, written: JobResult, files_url: str, *, sign: bool
) -> EscrowAccount:
    """Open one more deal whose agent writes of this result, and signs for it or for another one."""
    escrow = parties.open(1)
    written = written.model_copy(update={"deal_id": escrow.id})
    parties.say(escrow, HandOverAnswer(access=Access(deal_id=escrow.id, token="t", files_url=files_url)))
    parties.say(escrow, HandOverAnswer(result=written))
    parties.post_receipt(escrow, result_digest(written) if sign else ROOT)
    return escrow


class Looks:
    """A buyer who watches one deal, a second of the chain's time between two looks."""

    def __init__(self, parties: Parties, machine: Machine, policy: WatchPolicy) -> None:
        self.net, self.machine = parties.net, machine
        self.watch = parties.buyer.watch(machine.escrow, policy, wait=5, private=True)

    def after(self, seconds: int) -> Any:
        self.net.warp(seconds)
        self.machine.beat()
        return self.watch.look()


def test_watch__releases_what_was_answered_and_no_more(parties: Parties) -> None:
    escrow = parties.open()
    machine = Machine(parties.net, escrow, readings("a"))
    with agent(parties.net, [machine]) as answering:
        answering.announce(parties.buyer.api, escrow.id)
        looks = Looks(parties, machine, WatchPolicy(timedelta(seconds=20), cap=4 * 200))
        first, second = looks.after(20), looks.after(50)
        assert first.answered
        assert second.gpu_seconds - first.gpu_seconds in range(4 * 49, 4 * 60)
        assert second.voucher is not None
        assert second.voucher.gpu_seconds == second.gpu_seconds
        late = looks.after(80)  # more than three intervals: nobody knows what was in between
        assert (late.answered, late.voucher, late.gpu_seconds) == (True, None, second.gpu_seconds)
        assert looks.after(50).gpu_seconds - second.gpu_seconds in range(4 * 49, 4 * 60)
        assert looks.after(50).voucher is not None
        capped = looks.after(50)
        assert capped.gpu_seconds == 4 * 200
        assert looks.after(50).voucher is None
    silent = looks.after(10)  # the gateway is gone
    assert (silent.answered, silent.voucher, silent.gpu_seconds) == (False, None, 4 * 200)
    kept: Sequence[Ping] = looks.watch.store.pings(escrow.id)
    assert [ping.answer is not None for ping in kept] == [True] * 7 + [False]
    best = parties.provider.vouchers(parties.buyer.escrow(escrow.id))[-1]
    assert best.gpu_seconds == 4 * 200


def idle(percent: int) -> tuple[GpuReading, ...]:
    return tuple(each.model_copy(update={"utilization_percent": percent}) for each in readings("a"))


def test_watch__holds_back_when_the_log_is_bad(parties: Parties) -> None:
    escrow = parties.open()
    machine = Machine(parties.net, escrow, readings("a"))
    with agent(parties.net, [machine]) as answering:
        answering.announce(parties.buyer.api, escrow.id)
        policy = WatchPolicy(
            timedelta(seconds=60), gpus=4, least_utilization=50, patience=timedelta(seconds=100)
        )
        looks = Looks(parties, machine, policy)
        machine.gpus = idle(90)
        busy = looks.after(30)
        assert busy.voucher is not None
        machine.gpus = idle(10)
        assert looks.after(60).voucher is not None  # for a while that is all right
        lazy = looks.after(101)
        assert lazy.voucher is None
        assert "less than 50%" in (lazy.held_back or "")
        machine.gpus = idle(60)
        again = looks.after(30)
        assert again.voucher is not None
        machine.gpus = idle(60)[:3]
        assert "3 GPUs of 4" in (looks.after(30).held_back or "")
        machine.gpus = idle(60)
        machine.rewrite()
        rewritten = looks.after(30)
        assert rewritten.voucher is None
        assert "does not continue" in (rewritten.held_back or "")
        assert rewritten.gpu_seconds == again.gpu_seconds


def test_watch__ends_with_the_deal(parties: Parties) -> None:
    escrow = parties.open()
    machine = Machine(parties.net, escrow, readings("a"))
    with agent(parties.net, [machine]) as answering:
        answering.announce(parties.buyer.api, escrow.id)
        looks = Looks(parties, machine, WatchPolicy(timedelta(seconds=60)))
        assert not looks.after(30).is_over
        assert looks.after(HOUR).is_over
        parties.provider.payments.cancel(parties.buyer.escrow(escrow.id))
        over = looks.after(1)
        assert (over.is_over, over.voucher, over.answered) == (True, None, False)


def test_evidence__is_the_partys_own_and_stays_as_it_was_named(parties: Parties) -> None:
    """What is laid later, or by somebody else, is not what the dispute names."""
    escrow = parties.open()
    parties.net.warp(HOUR + 1)
    receipt = sign_receipt(escrow.id, 4 * HOUR, parties.net.agent, parties.net.domain, usage_root=ROOT)
    parties.provider.post_receipt(receipt)
    parties.attest(receipt)
    parties.provider.claim(receipt)
    named = asked("dispute", "evidence", escrow.id, "--text", "half of it")["evidence"]
    claimed = parties.buyer.escrow(escrow.id)
    dispute = Dispute(escrow_id=escrow.id, counter_gpu_seconds=2 * HOUR, evidence=Hash32(named))
    parties.buyer.payments.handle_dispute(claimed, dispute)
    later = asked("dispute", "evidence", escrow.id, "--text", "a quarter of it")["evidence"]
    laid = {each["evidence"]: each["named"] for each in asked("arbiter", "show", escrow.id)["laid"]}
    assert laid == {named: True, later: False}
