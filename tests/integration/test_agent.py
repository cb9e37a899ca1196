"""A provider's gateway as a process of its own: a real job with a real input, from hand-over to money."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from molt_market.app import deployment_name
from molt_market.attestation.usage import Heartbeat, UsageLog
from molt_market.domain.agreements import SplitAgreement
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.documents import Document, DocumentKind
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.handling import Handling, HandlingPhase
from molt_market.domain.ids import Address, EscrowId, Hash32, OfferId
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
from molt_market.errors import CannotOpen, WrongSigner
from molt_market.sdk.attestor import Attestor
from molt_market.sdk.buyer import Buyer
from molt_market.sdk.provider import Provider
from molt_market.signing.agreements import sign_split
from molt_market.signing.hashes import job_spec_hash, result_digest
from molt_market.signing.letters import sign_letter, verify_letter
from molt_market.signing.pings import verify_gateway, verify_ping_answer
from molt_market.signing.sealing import SealingKey, seal
from molt_market.signing.statements import sign_voucher
from molt_market.signing.wallet import Wallet
from molt_market.storage.database import Database
from molt_market.storage.usage import SqlUsage
from molt_market.testing import Devnet
from tests.containers import ENGINE, image, needs_engine
from tests.gateway import AS_ROOT, GatewayProcess, gateway
from tests.service import Server, server
from tests.unit.agent.places import open_folder

Found = TypeVar("Found")
TEXT = b"the quick brown fox\n"
SHOUTED = hashlib.sha256(TEXT.upper()).hexdigest()
SHOUT = "tr a-z A-Z < data/in.txt > out/up"
HOUR = 3_600
CONTAINERS = () if image() is None else ("--containers", ENGINE)
NO_SUCH_IMAGE = "images are fetched from nowhere" if CONTAINERS else "this gateway runs no containers"
NONCE = Hash32("0x" + "ab" * 32)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as place:
        yield place


@pytest.fixture(scope="module")
def running(chain: Devnet, folder: Path) -> Iterator[Server]:
    with server(chain, f"sqlite:///{folder / 'market.db'}", folder) as started:
        yield started


@pytest.fixture(scope="module")
def machine(chain: Devnet, running: Server, folder: Path) -> Iterator[GatewayProcess]:
    with gateway(chain, running.url, folder, ["--allow-private-inputs", *CONTAINERS]) as made:
        yield made


@pytest.fixture(scope="module")
def inputs() -> Iterator[str]:
    with serving(TEXT) as url:
        yield url


@pytest.fixture(scope="module")
def parties(chain: Devnet, running: Server, machine: GatewayProcess) -> Iterator[Parties]:
    """One market, one gateway: what a test opens is closed when it is over."""
    here: dict[str, Any] = {"rpc_url": chain.url, "deployment": chain.deployment}
    with (
        Buyer(running.url, chain.buyer, **here) as buyer,
        Provider(running.url, chain.provider, **here) as provider,
        closing(Database(machine.database)) as database,
    ):
        yield Parties(chain, buyer, provider, SqlUsage(database, deployment_name(chain.client())))


@dataclass
class Parties:
    """A buyer and a provider, and what they do in every test."""

    net: Devnet
    buyer: Buyer
    provider: Provider
    usage: SqlUsage

    def handling(self, escrow: EscrowAccount, phase: HandlingPhase) -> Handling:
        """Return how the gateway handles a deal, once it is so far."""
        [found] = soon(
            lambda: [each for each in self.usage.handlings([phase]) if each.deal_id == escrow.id], bool
        )
        return found

    def pay_all(self, escrow: EscrowAccount) -> None:
        """Leave a voucher for the whole deal."""
        voucher = sign_voucher(escrow.id, escrow.terms.gpu_seconds, self.net.buyer, self.net.domain)
        self.buyer.api.post_document(Document(voucher=voucher))

    def open(
        self,
        gpus: int = 2,
        spec: JobSpec | None = None,
        slot: int = 0,
        voucher_signer: Address | None = None,
    ) -> EscrowAccount:
        """Open a deal for so many GPUs, whose order names the job."""
        token = self.buyer.client.token
        now = self.buyer.client.now()
        # The market looks at the chain's clock once a second: it may not have seen it turned yet.
        soon(lambda: self.buyer.api.health().time, lambda time: time >= now)
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
        order = JobOrder(
            buyer_id=self.net.buyer.address,
            requirements=needs,
            created_at=now,
            voucher_signer=voucher_signer,
        )
        if spec is not None:
            order = order.model_copy(update={"job_spec_hash": job_spec_hash(spec)})
        return self.buyer.open(self.buyer.match(order)[0])

    def gateway(self, deal_id: EscrowId) -> Gateway:
        [posted, *_] = soon(lambda: list(self.buyer.api.documents(deal_id, DocumentKind.GATEWAY)), bool)
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
        """Return the agent's answers that this key opens."""
        found = []
        for posted in self.buyer.api.documents(escrow.id, DocumentKind.LETTER):
            letter = posted.document.letter
            if letter is not None and letter.sender == self.net.agent.address:
                verify_letter(letter, self.net.domain)
                with suppress(CannotOpen):
                    found.append(HandOverAnswer.model_validate_json(key.open(letter.sealed)))
        return found

    def access(self, escrow: EscrowAccount, key: SealingKey) -> Access:
        [answer, *_] = soon(lambda: self.answers(escrow, key), bool)
        assert answer.access is not None, answer
        return answer.access

    def refusal(self, escrow: EscrowAccount, key: SealingKey) -> str:
        [answer] = soon(lambda: self.answers(escrow, key), bool)
        assert answer.refusal is not None
        return answer.refusal

    def result(self, escrow: EscrowAccount, key: SealingKey) -> JobResult:
        [result] = soon(lambda: [each.result for each in self.answers(escrow, key) if each.result], bool)
        return result

    def receipt(self, escrow: EscrowAccount) -> Attestation:
        [posted] = soon(lambda: list(self.buyer.api.documents(escrow.id, DocumentKind.RECEIPT)), bool)
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


def test_batch_job__from_hand_over_to_money(
    chain: Devnet, parties: Parties, machine: GatewayProcess, inputs: str
) -> None:
    # so long that a heartbeat, one a second, meets it however busy the machine is
    spec, key = shouting(inputs, seconds=5), SealingKey.generate()
    escrow = parties.open(2, spec)
    assert parties.gateway(escrow.id).url == machine.url
    # It counts from when the GPUs are there, before any job comes.
    soon(lambda: heartbeats(machine.url, escrow.id), bool)
    other = spec.model_copy(update={"environment": {"A": "b"}})
    parties.hand_over(escrow, other, wrong_key := SealingKey.generate())
    assert "the order is for job" in parties.refusal(escrow, wrong_key)

    parties.hand_over(escrow, spec, key)
    access = parties.access(escrow, key)
    assert access.files_url == f"{machine.url}/deals/{escrow.id}/files/"
    body = {"deal_id": escrow.id, "nonce": NONCE}
    answer = PingAnswer.model_validate_json(httpx.post(f"{machine.url}/pings", json=body).content)
    verify_ping_answer(answer, chain.agent.address, chain.domain)
    assert (answer.deal_id, answer.nonce) == (escrow.id, NONCE)

    result = parties.result(escrow, key)
    assert result.exit_code == 0
    assert {each.path: each.sha256 for each in result.outputs}["out/up"] == SHOUTED
    bearer = {"Authorization": f"Bearer {access.token}"}
    assert httpx.get(access.files_url + "out/up", headers=bearer).content == TEXT.upper()
    assert httpx.get(access.files_url + "out/up").status_code == 403
    assert httpx.get(access.files_url + "out/up", headers={"Authorization": "Bearer x"}).status_code == 403
    for unlisted in ("data/in.txt", "../../private/agent.db", "out"):
        assert httpx.get(access.files_url + unlisted, headers=bearer).status_code == 404
    unknown = httpx.post(f"{machine.url}/pings", json=body | {"deal_id": "0x" + "99" * 32})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "DealNotFound")

    receipt = parties.receipt(escrow)
    log = UsageLog(escrow.id, heartbeats(machine.url, escrow.id))
    assert (receipt.result_digest, receipt.usage_root) == (result_digest(result), log.root)
    assert log.heartbeats[answer.heartbeats - 1].digest == answer.head
    assert heartbeats(machine.url, escrow.id, after=1, limit=2) == list(log.heartbeats[1:3])
    assert all(each.gpus == () for each in log.heartbeats)  # nothing is measured here
    assert any(each.processes is not None and each.processes.count for each in log.heartbeats)
    assert escrow.opened_at is not None
    covered = int((log.heartbeats[-1].at - escrow.opened_at).total_seconds())
    assert receipt.gpu_seconds == 2 * covered > 0
    assert parties.handling(escrow, HandlingPhase.ENDED).devices == (0, 1)
    [told] = machine.deals()
    assert (told["phase"], told["devices"], told["exit_code"]) == ("ended", [0, 1], 0)
    assert told["heartbeats"] == len(log.heartbeats)

    parties.attest(receipt)
    claimed = parties.status(escrow, DealStatus.CLAIMED)
    assert claimed.claimed_gpu_seconds == receipt.gpu_seconds
    parties.handling(escrow, HandlingPhase.CLOSED)
    assert httpx.get(access.files_url + "out/up", headers=bearer).content == TEXT.upper()
    later = parties.open(4)  # on all four devices: those of the first deal are free again
    assert parties.handling(later, HandlingPhase.READY).devices == (0, 1, 2, 3)
    parties.pay_all(later)
    soon(lambda: heartbeats(machine.url, later.id), lambda found: len(found) >= 3)
    chain.warp(2 * HOUR)
    parties.status(escrow, DealStatus.RELEASED)  # finalized by the gateway: the window is over

    # Nobody gave the other one a job: it was there until its end, but for the time that was skipped.
    idle = parties.receipt(later)
    assert not idle.completed
    assert 0 < idle.gpu_seconds < 4 * 60
    parties.status(later, DealStatus.RELEASED)  # by the voucher, which is for all of it
    parties.handling(later, HandlingPhase.CLOSED)


def test_gateway__killed_while_the_job_runs__goes_on_where_it_was(
    parties: Parties, machine: GatewayProcess, inputs: str
) -> None:
    spec, key = shouting(inputs, seconds=6), SealingKey.generate()
    escrow = parties.open(2, spec)
    parties.hand_over(escrow, spec, key)
    access = parties.access(escrow, key)
    seen = soon(lambda: heartbeats(machine.url, escrow.id), lambda found: len(found) >= 2)
    machine.kill()
    machine.start()
    after = heartbeats(machine.url, escrow.id)
    assert after[: len(seen)] == seen  # each was durable before anybody could see it
    again = SealingKey.generate()
    parties.hand_over(escrow, spec, again)  # he is answered again, and the job is not run twice
    assert parties.access(escrow, again) == access
    assert parties.result(escrow, again).exit_code == 0
    bearer = {"Authorization": f"Bearer {access.token}"}
    assert httpx.get(access.files_url + "runs.txt", headers=bearer).content == b"ran\n"
    log = UsageLog(escrow.id, heartbeats(machine.url, escrow.id))  # a chain, or it raises
    assert len(log.heartbeats) > len(seen)
    assert parties.receipt(escrow).usage_root == log.root
    parties.attest(parties.receipt(escrow))
    parties.handling(escrow, HandlingPhase.CLOSED)


def test_hand_over__that_cannot_be_run__is_refused_with_the_reason(parties: Parties, inputs: str) -> None:
    escrow = parties.open(1)
    wrong = InputFile(path="in", url=inputs, sha256="00" * 32)
    for spec, why in (
        (JobSpec(command=("true",), inputs=(wrong,)), "SHA-256"),
        (JobSpec(command=("true",), limits=JobLimits(memory_mb=10**6)), "memory_mb 1000000 is more than"),
        (JobSpec(command=("true",), kind="lease", ports=1), "0 ports are free"),
        (
            JobSpec(command=("true",), image=f"x@sha256:{'00' * 32}"),
            "from nowhere" if CONTAINERS else "no containers",
        ),
    ):
        key = SealingKey.generate()
        parties.hand_over(escrow, spec, key)
        assert why in parties.refusal(escrow, key)
    key = SealingKey.generate()
    parties.hand_over(escrow, JobSpec(command=("no-such-program",)), key)
    assert parties.result(escrow, key).exit_code == 127


def test_payer__lets_a_user_without_money_run_the_job_and_release_it(
    chain: Devnet, parties: Parties, running: Server, inputs: str, tmp_path: Path
) -> None:
    """The payer's key opens, stops and disputes; the user's runs the job and pays, and can do no more."""
    user, spec, key = Wallet.from_private_key(b"\x07" * 32), shouting(inputs), SealingKey.generate()
    escrow = parties.open(2, spec, voucher_signer=user.address)
    here: dict[str, Any] = {"rpc_url": chain.url, "deployment": chain.deployment}
    with Buyer(running.url, user, **here) as his:
        [found] = soon(lambda: list(his.deals()), bool)
        assert found.deal_id == escrow.id
        his.hand_over(escrow, spec, key)
        [path, *_] = his.fetch(escrow, key, tmp_path, private=True)
        assert path.read_bytes() == TEXT.upper()
        with pytest.raises(WrongSigner):
            his.payments.stop(escrow)
        with pytest.raises(WrongSigner):
            parties.buyer.release(escrow)
        his.release(escrow)
        closed = parties.status(escrow, DealStatus.RELEASED)
        assert closed.paid_gpu_seconds == escrow.terms.gpu_seconds
        assert his.client.balances(user.address).total.base_units == 0
        assert his.client.node.number("eth_getBalance", user.address, "latest") == 0
    parties.handling(escrow, HandlingPhase.CLOSED)


def test_job__goes_on_in_the_next_deal__and_runs_once(
    chain: Devnet, parties: Parties, machine: GatewayProcess, inputs: str
) -> None:
    spec, key = shouting(inputs, seconds=6), SealingKey.generate()
    first = parties.open(2, spec)
    parties.hand_over(first, spec, key)
    parties.access(first, key)
    soon(lambda: heartbeats(machine.url, first.id), lambda found: len(found) >= 2)
    present = next(each for each in parties.provider.offers() if each.slot == first.terms.slot)
    offer = parties.provider.offer(present.model_copy(update={"id": OfferId.new(), "available_hours": 12}))
    agreement = SplitAgreement(deal_id=first.id, gpu_seconds=4, until=chain.clock.now() + timedelta(hours=1))
    agreement = sign_split(agreement, chain.provider, first.terms, chain.domain)
    second = parties.buyer.extend(first, agreement, parties.buyer.next_match(first, offer, 2))
    assert parties.buyer.escrow(first.id).status is DealStatus.RELEASED
    access = parties.access(second, key)
    result = parties.result(second, key)
    assert (result.exit_code, {each.path: each.sha256 for each in result.outputs}["out/up"]) == (0, SHOUTED)
    bearer = {"Authorization": f"Bearer {access.token}"}
    assert httpx.get(access.files_url + "runs.txt", headers=bearer).content == b"ran\n"
    log = UsageLog(second.id, heartbeats(machine.url, second.id))
    assert all(each.processes is not None for each in log.heartbeats[:-1])
    assert parties.receipt(second).usage_root == log.root
    parties.attest(parties.receipt(second))
    parties.handling(second, HandlingPhase.CLOSED)


@needs_engine
def test_job__in_a_container__has_its_input_and_leaves_a_checked_result(
    parties: Parties, machine: GatewayProcess, inputs: str
) -> None:
    spec, key = shouting(inputs, image=image()), SealingKey.generate()
    escrow = parties.open(2, spec)
    parties.hand_over(escrow, spec, key)
    parties.access(escrow, key)
    soon(lambda: heartbeats(machine.url, escrow.id), bool)
    result = parties.result(escrow, key)
    assert (result.exit_code, {each.path: each.sha256 for each in result.outputs}["out/up"]) == (0, SHOUTED)
    log = UsageLog(escrow.id, heartbeats(machine.url, escrow.id))
    assert any(each.processes is not None and each.processes.count for each in log.heartbeats)
    receipt = parties.receipt(escrow)
    assert (receipt.result_digest, receipt.usage_root) == (result_digest(result), log.root)
    parties.attest(receipt)
    parties.handling(escrow, HandlingPhase.CLOSED)


@pytest.mark.skipif(not AS_ROOT, reason="only root can give jobs users of their own")
def test_job__of_a_stranger__reads_nothing_of_the_gateway(
    parties: Parties, machine: GatewayProcess, folder: Path
) -> None:
    assert machine.process is not None
    private = machine.folder / "private"
    targets = [machine.database, private / "sealing.key", folder / "agent.json"]
    assert all(path.is_file() for path in targets)
    running = f"/proc/{machine.process.pid}"
    tries = [f"cat {path}" for path in (*targets, f"{running}/environ", f"{running}/mem")]
    tries += [
        f"ls {running}/fd",
        f"ls {private}",
        f"touch {machine.folder}/mine",
        f"kill {machine.process.pid}",
    ]
    script = "; ".join(f"({each}) && echo DONE" for each in tries) + "; id -u"
    escrow, key = parties.open(1), SealingKey.generate()
    parties.hand_over(
        escrow, JobSpec(command=("sh", "-c", script), outputs=("stdout.txt", "stderr.txt")), key
    )
    access = parties.access(escrow, key)
    assert parties.result(escrow, key).exit_code == 0
    bearer = {"Authorization": f"Bearer {access.token}"}
    said = httpx.get(access.files_url + "stdout.txt", headers=bearer).text
    assert 60_100 <= int(said) < 60_200  # and nothing else was printed: nothing came to anything
    refused = httpx.get(access.files_url + "stderr.txt", headers=bearer).text
    assert len(refused.splitlines()) >= len(tries)
