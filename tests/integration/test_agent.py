"""A provider's gateway as a process of its own: a real job with a real input, from hand-over to money."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from molt_market.attestation.usage import Heartbeat, UsageLog
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.documents import Document, DocumentKind
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.domain.jobs import (
    Access,
    HandOver,
    HandOverAnswer,
    InputFile,
    JobLimits,
    JobResult,
    JobSpec,
)
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.domain.pings import Gateway, PingAnswer
from molt_market.domain.proofs import Attestation
from molt_market.sdk.parties import Attestor, Buyer, Provider
from molt_market.signing.hashes import job_spec_hash, result_digest
from molt_market.signing.letters import sign_letter, verify_letter
from molt_market.signing.pings import verify_gateway, verify_ping_answer
from molt_market.signing.sealing import SealingKey, seal
from molt_market.signing.statements import sign_voucher
from molt_market.testing import Devnet
from tests.gateway import GatewayProcess, gateway
from tests.service import Server, server
from tests.unit.agent.places import open_folder

Found = TypeVar("Found")
TEXT = b"the quick brown fox\n"
SHOUTED = hashlib.sha256(TEXT.upper()).hexdigest()
HOUR = 3_600
NONCE = Hash32("0x" + "ab" * 32)


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as place:
        yield place


@pytest.fixture
def running(net: Devnet, folder: Path) -> Iterator[Server]:
    with server(net, f"sqlite:///{folder / 'market.db'}", folder) as started:
        yield started


@pytest.fixture
def inputs() -> Iterator[str]:
    with serving(TEXT) as url:
        yield url


@pytest.fixture
def parties(net: Devnet, running: Server) -> Iterator[Parties]:
    here: dict[str, Any] = {"rpc_url": net.url, "deployment": net.deployment}
    with (
        Buyer(running.url, net.buyer, **here) as buyer,
        Provider(running.url, net.provider, **here) as provider,
    ):
        yield Parties(net, buyer, provider)


@dataclass
class Parties:
    """A buyer and a provider, and what they do in every test."""

    net: Devnet
    buyer: Buyer
    provider: Provider

    def open(self, gpus: int = 2, spec: JobSpec | None = None, slot: int = 0) -> EscrowAccount:
        """Open a deal for so many GPUs, whose order names the job."""
        token = self.buyer.client.token
        now = self.buyer.client.now()
        self.provider.offer(
            CapacityOffer(
                provider_id=self.net.provider.address,
                agent=self.net.agent.address,
                gpu_capacity=GpuCapacity(gpu_count=8, gpu_model="H100", vram_gb=80),
                price_per_hour=token.amount("2.5"),
                available_hours=24,
                policy_id=self.net.policy_id,
                created_at=now,
                slot=slot,
            )
        )
        needs = JobRequirements(
            min_gpu_count=gpus, min_vram_gb=80, estimated_hours=1, max_price_per_hour=token.amount(3)
        )
        order = JobOrder(buyer_id=self.net.buyer.address, requirements=needs, created_at=now)
        if spec is not None:
            order = order.model_copy(update={"job_spec_hash": job_spec_hash(spec)})
        return self.buyer.open(self.buyer.match(order)[0])

    def gateway(self, deal_id: EscrowId) -> Gateway:
        [posted, *_] = soon(
            lambda: list(self.buyer.api.documents(deal_id, DocumentKind.GATEWAY)), lambda found: bool(found)
        )
        found = posted.document.gateway
        assert found is not None
        verify_gateway(found, self.net.agent.address, self.net.domain)
        return found

    def hand_over(self, escrow: EscrowAccount, spec: JobSpec, key: SealingKey) -> None:
        content = HandOver(spec=spec, reply_key=key.public).model_dump_json().encode()
        sealed = seal(content, self.gateway(escrow.id).sealing_key)
        letter = sign_letter(escrow.id, self.net.agent.address, sealed, self.net.buyer, self.net.domain)
        self.buyer.api.post_document(Document(letter=letter))

    def answers(self, escrow: EscrowAccount, key: SealingKey) -> list[HandOverAnswer]:
        found = []
        for posted in self.buyer.api.documents(escrow.id, DocumentKind.LETTER):
            letter = posted.document.letter
            if letter is not None and letter.sender == self.net.agent.address:
                verify_letter(letter, self.net.domain)
                found.append(HandOverAnswer.model_validate_json(key.open(letter.sealed)))
        return found

    def access(self, escrow: EscrowAccount, key: SealingKey) -> Access:
        [answer, *_] = soon(lambda: self.answers(escrow, key), lambda found: bool(found))
        assert answer.access is not None, answer.refusal
        return answer.access

    def result(self, escrow: EscrowAccount, key: SealingKey) -> JobResult:
        answers = soon(
            lambda: [each for each in self.answers(escrow, key) if each.result], lambda found: bool(found)
        )
        assert len(answers) == 1
        assert answers[0].result is not None
        return answers[0].result

    def receipt(self, escrow: EscrowAccount) -> Attestation:
        [posted] = soon(
            lambda: list(self.buyer.api.documents(escrow.id, DocumentKind.RECEIPT)), lambda found: bool(found)
        )
        assert posted.document.receipt is not None
        return posted.document.receipt

    def attest(self, receipt: Attestation) -> None:
        """Have two attestors sign a receipt unseen: the quorum of the devnet's policy."""
        for wallet in self.net.attestors[:2]:
            here: dict[str, Any] = {"rpc_url": self.net.url, "deployment": self.net.deployment}
            with Attestor(self.buyer.api.transport.url, wallet, **here) as attestor:
                attestor.attest(receipt)

    def status(self, escrow: EscrowAccount, wanted: DealStatus) -> EscrowAccount:
        return soon(lambda: self.buyer.escrow(escrow.id), lambda each: each.status is wanted)


def shouting(url: str, *, seconds: float = 1.5, **fields: Any) -> JobSpec:
    """Return a job that writes its input in capitals, and where it ran."""
    given: dict[str, Any] = {
        "command": (
            "sh",
            "-c",
            f"echo ran >> runs.txt; sleep {seconds}; mkdir out; tr a-z A-Z < data/in.txt > out/up",
        ),
        "inputs": (InputFile(path="data/in.txt", url=url, sha256=hashlib.sha256(TEXT).hexdigest()),),
        "outputs": ("out", "runs.txt"),
    }
    return JobSpec(**given | fields)


def heartbeats(url: str, deal_id: EscrowId, after: int = 0, limit: int = 1_000) -> list[Heartbeat]:
    answer = httpx.get(f"{url}/deals/{deal_id}/heartbeats", params={"after": after, "limit": limit})
    assert answer.status_code == 200
    return [Heartbeat.model_validate(each) for each in answer.json()["heartbeats"]]


def soon(ask: Callable[[], Found], wanted: Callable[[Found], bool]) -> Found:
    until = time.monotonic() + 30
    while not wanted(answer := ask()):
        assert time.monotonic() < until, answer
        time.sleep(0.1)
    return answer


@contextmanager
def serving(content: bytes) -> Iterator[str]:
    """Serve one file on this machine for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}/in.txt"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@pytest.fixture
def machine(net: Devnet, running: Server, folder: Path) -> Iterator[GatewayProcess]:
    with gateway(net, running.url, folder, ["--allow-private-inputs"]) as made:
        yield made


def test_batch_job__from_hand_over_to_money(
    net: Devnet, parties: Parties, machine: GatewayProcess, inputs: str
) -> None:
    spec, key = shouting(inputs), SealingKey.generate()
    escrow = parties.open(2, spec)
    assert parties.gateway(escrow.id).url == machine.url
    # It counts from when the GPUs are there, before any job comes.
    soon(lambda: heartbeats(machine.url, escrow.id), lambda found: bool(found))

    # Another job than the order's is refused, and so is one that takes too much.
    for wrong, why in (
        (spec.model_copy(update={"environment": {"A": "b"}}), "the order is for job"),
        (spec.model_copy(update={"limits": JobLimits(memory_mb=10**6)}), "memory_mb"),
    ):
        parties.hand_over(escrow, wrong, key)
        refusals = soon(
            lambda: [each.refusal for each in parties.answers(escrow, key) if each.refusal],
            lambda found: bool(found),
        )
        assert why in refusals[-1] or "the order is for job" in refusals[-1]

    mine = SealingKey.generate()
    parties.hand_over(escrow, spec, mine)
    access = soon(lambda: opened_by(parties, escrow, mine), lambda found: found is not None)
    assert access is not None
    assert access.files_url == f"{machine.url}/deals/{escrow.id}/files/"

    body = {"deal_id": escrow.id, "nonce": NONCE}
    answer = PingAnswer.model_validate_json(httpx.post(f"{machine.url}/pings", json=body).content)
    verify_ping_answer(answer, net.agent.address, net.domain)
    assert (answer.deal_id, answer.nonce) == (escrow.id, NONCE)

    result = soon(lambda: result_for(parties, escrow, mine), lambda found: found is not None)
    assert result is not None
    assert result.exit_code == 0
    assert {each.path: each.sha256 for each in result.outputs}["out/up"] == SHOUTED
    bearer = {"Authorization": f"Bearer {access.token}"}
    assert httpx.get(access.files_url + "out/up", headers=bearer).content == TEXT.upper()
    assert httpx.get(access.files_url + "out/up").status_code == 403
    assert httpx.get(access.files_url + "out/up", headers={"Authorization": "Bearer x"}).status_code == 403
    for other in ("data/in.txt", "../../private/agent.db", "out"):
        assert httpx.get(access.files_url + other, headers=bearer).status_code == 404
    unknown = httpx.post(f"{machine.url}/pings", json=body | {"deal_id": "0x" + "99" * 32})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "DealNotFound")

    receipt = parties.receipt(escrow)
    log = UsageLog(escrow.id, heartbeats(machine.url, escrow.id))
    assert (receipt.result_digest, receipt.usage_root) == (result_digest(result), log.root)
    assert log.heartbeats[answer.heartbeats - 1].digest == answer.head
    assert all(each.gpus == () for each in log.heartbeats)  # nothing is measured here
    assert any(each.processes is not None and each.processes.count for each in log.heartbeats)
    assert escrow.opened_at is not None
    covered = int((log.heartbeats[-1].at - escrow.opened_at).total_seconds())
    assert receipt.gpu_seconds == 2 * covered > 0
    [deal] = machine.deals()
    assert (deal["phase"], deal["devices"], deal["exit_code"]) == ("ended", [0, 1], 0)

    parties.attest(receipt)
    claimed = parties.status(escrow, DealStatus.CLAIMED)
    assert claimed.claimed_gpu_seconds == receipt.gpu_seconds
    soon(machine.deals, lambda deals: deals[0]["phase"] == "closed")
    assert httpx.get(access.files_url + "out/up", headers=bearer).content == TEXT.upper()
    later = parties.open(4, slot=4)  # all four devices: those of the first deal are free again
    soon(
        machine.deals,
        lambda deals: [each["devices"] for each in deals if each["deal_id"] == later.id] == [[0, 1, 2, 3]],
    )
    net.warp(2 * HOUR)
    parties.status(escrow, DealStatus.RELEASED)  # finalized by the gateway: the window is over


def opened_by(parties: Parties, escrow: EscrowAccount, key: SealingKey) -> Access | None:
    return next((each.access for each in readable(parties, escrow, key) if each.access), None)


def result_for(parties: Parties, escrow: EscrowAccount, key: SealingKey) -> JobResult | None:
    return next((each.result for each in readable(parties, escrow, key) if each.result), None)


def readable(parties: Parties, escrow: EscrowAccount, key: SealingKey) -> list[HandOverAnswer]:
    """Return the answers that this key opens; others were sealed to another one."""
    found = []
    for posted in parties.buyer.api.documents(escrow.id, DocumentKind.LETTER):
        letter = posted.document.letter
        if letter is not None and letter.sender == parties.net.agent.address:
            try:
                found.append(HandOverAnswer.model_validate_json(key.open(letter.sealed)))
            except Exception:  # noqa: BLE001 - another key's
                continue
    return found


def test_gateway__killed_while_the_job_runs__goes_on_where_it_was(
    net: Devnet, parties: Parties, machine: GatewayProcess, inputs: str
) -> None:
    spec, key = shouting(inputs, seconds=5), SealingKey.generate()
    escrow = parties.open(2, spec)
    parties.hand_over(escrow, spec, key)
    access = parties.access(escrow, key)
    seen = soon(lambda: heartbeats(machine.url, escrow.id), lambda found: len(found) >= 2)
    machine.kill()
    machine.start()
    after = heartbeats(machine.url, escrow.id)
    assert after[: len(seen)] == seen  # each was durable before it could be seen
    parties.hand_over(escrow, spec, key)  # he asks again: the job is not run twice
    result = soon(lambda: result_for(parties, escrow, key), lambda found: found is not None)
    assert result is not None
    assert result.exit_code == 0
    bearer = {"Authorization": f"Bearer {access.token}"}
    assert httpx.get(access.files_url + "runs.txt", headers=bearer).content == b"ran\n"
    log = UsageLog(escrow.id, heartbeats(machine.url, escrow.id))  # a chain, or it raises
    assert len(log.heartbeats) > len(seen)
    assert parties.receipt(escrow).usage_root == log.root


def test_idle_deal__is_paid_until_its_end__and_input_of_another_digest_is_refused(
    net: Devnet, parties: Parties, machine: GatewayProcess, inputs: str
) -> None:
    key = SealingKey.generate()
    wrong = InputFile(path="in", url=inputs, sha256="00" * 32)
    escrow = parties.open(1)
    parties.hand_over(escrow, JobSpec(command=("true",), inputs=(wrong,)), key)
    [refused] = soon(lambda: parties.answers(escrow, key), lambda found: bool(found))
    assert refused.refusal is not None
    assert "SHA-256" in refused.refusal
    # Another provider names this agent too: its machine is not his.
    soon(lambda: heartbeats(machine.url, escrow.id), lambda found: len(found) >= 3)
    voucher = sign_voucher(escrow.id, escrow.terms.gpu_seconds, net.buyer, net.domain)
    parties.buyer.api.post_document(Document(voucher=voucher))
    net.warp(HOUR)
    receipt = parties.receipt(escrow)
    assert not receipt.completed
    log = UsageLog(escrow.id, heartbeats(machine.url, escrow.id))
    assert receipt.usage_root == log.root
    assert 0 < receipt.gpu_seconds < 60  # the hour that was skipped is a gap
    parties.status(escrow, DealStatus.RELEASED)  # by the voucher, which is for all
    soon(machine.deals, lambda deals: deals[0]["phase"] == "closed")
