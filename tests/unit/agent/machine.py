"""A gateway whose market, chain and machine are played, over a real database."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from molt_market.agent.at_market import AtMarket
from molt_market.agent.desk import Desk
from molt_market.agent.devices import NamelessDevices
from molt_market.agent.heartbeats import Heartbeats
from molt_market.agent.here import GatewaySettings, Here
from molt_market.agent.inputs import InputRefused
from molt_market.agent.ports import Ended, Job, JobState, NotStarted, Running
from molt_market.agent.steps import Steps
from molt_market.attestation.usage import ProcessReading
from molt_market.domain.deals import Deal, DealStatus
from molt_market.domain.documents import Document, DocumentKind, PostedDocument
from molt_market.domain.fields import seconds
from molt_market.domain.handling import Handling
from molt_market.domain.ids import EscrowId, Hash32, TransactionId
from molt_market.domain.jobs import HandOver, HandOverAnswer, JobLimits, JobSpec
from molt_market.domain.terms import Terms
from molt_market.errors import CannotOpen, ServerUnreachable
from molt_market.indexer.records import DealRecord
from molt_market.signing import hashes
from molt_market.signing.letters import sign_letter
from molt_market.signing.sealing import SealingKey, seal
from molt_market.signing.signers import Signer
from molt_market.storage.database import Database
from molt_market.storage.usage import SqlUsage
from molt_market.testing import ManualClock
from tests.factories import NOON
from tests.unit.attestation.deals import DOMAIN, terms
from tests.unit.signing.keys import AGENT, BUYER, PROVIDER

GPUS = 4
HOUR = 3_600
BATCH = JobSpec(command=("true",), outputs=("out",))
LEASE = JobSpec(kind="lease", command=("sleep", "9999"), ports=2)


def deal_id(number: int, gpus: int = 2) -> EscrowId:
    return hashes.deal_id(_terms(number, gpus), DOMAIN)


def _terms(number: int, gpus: int) -> Terms:
    return replace(terms(), gpu_count=gpus, duration=HOUR, slot=number)


def record(number: int, *, gpus: int = 2, status: DealStatus = DealStatus.LOCKED) -> DealRecord:
    """Make a deal of an hour, opened at noon."""
    opened, ends = seconds(NOON), seconds(NOON) + HOUR
    word = Deal(status, 0, 100, 1_000, opened, ends, ends + 24 * HOUR, 0, 0, 15)
    return DealRecord(deal_id(number, gpus), _terms(number, gpus), word, TransactionId("0x" + "77" * 32))


@dataclass
class Market:
    """Documents of deals, as they lie at a server that may be down."""

    posted: dict[EscrowId, list[PostedDocument]] = field(default_factory=dict)
    is_down: bool = False

    def post_document(self, document: Document) -> int:
        self._require_up()
        lies = self.posted.setdefault(document.deal_id, [])
        known = next((each.number for each in lies if each.document == document), None)
        if known is None:
            lies.append(
                PostedDocument(number=len(lies) + 1, sender=AGENT.address, posted_at=NOON, document=document)
            )
        return known or len(lies)

    def documents(
        self, of: EscrowId, kind: DocumentKind | None = None, after: int = 0
    ) -> Iterator[PostedDocument]:
        self._require_up()
        for each in list(self.posted.get(of, ())):
            if each.number > after and kind in {None, each.document.kind}:
                yield each

    def kinds(self, of: EscrowId) -> list[str]:
        return [each.document.kind.value for each in self.posted.get(of, ())]

    def _require_up(self) -> None:
        if self.is_down:
            raise ServerUnreachable("http://market", "it is down")


@dataclass
class Facts:
    """The deals as the chain has them."""

    records: dict[EscrowId, DealRecord] = field(default_factory=dict)

    def deal(self, of: EscrowId) -> DealRecord | None:
        return self.records.get(of)

    def live(self) -> list[DealRecord]:
        return [each for each in self.records.values() if each.is_live]

    def put(self, *records: DealRecord) -> None:
        self.records |= {each.id: each for each in records}


@dataclass
class Machine:
    """Jobs that end when a test says so; what was started is counted."""

    home: Path
    jobs: dict[EscrowId, JobState] = field(default_factory=dict)
    started: list[Job] = field(default_factory=list)
    stopped: list[EscrowId] = field(default_factory=list)
    removed: list[EscrowId] = field(default_factory=list)
    images: tuple[str, ...] = ()
    fetched: list[str] = field(default_factory=list)
    missing: str | None = None

    def users(self) -> Collection[int] | None:
        return range(60_000, 60_002)

    def obstacle(self, spec: JobSpec) -> str | None:
        return None if spec.image in {None, *self.images} else "no such image"

    def fetch_image(self, image: str) -> None:
        self.fetched.append(image)
        if self.missing is not None:
            raise InputRefused(self.missing)

    def make_folder(self, of: EscrowId) -> Path:
        self.folder(of).mkdir(parents=True, exist_ok=True)
        return self.folder(of)

    def folder(self, of: EscrowId) -> Path:
        return self.home / of

    def start(self, job: Job) -> None:
        self.started.append(job)
        self.jobs[job.deal_id] = Running()

    def look(self, of: EscrowId, user: int | None) -> JobState:
        return self.jobs.get(of, NotStarted())

    def processes(self, of: EscrowId, user: int | None) -> ProcessReading:
        return ProcessReading(count=1, cpu_ms=10, memory_mb=1)

    def stop(self, of: EscrowId, user: int | None) -> None:
        self.stopped.append(of)
        if isinstance(self.jobs.get(of), Running):
            self.jobs[of] = Ended(-9)

    def keep(self, of: EscrowId) -> None:
        """There are no users here."""

    def remove(self, of: EscrowId) -> None:
        self.removed.append(of)


class Play:
    """A gateway and what it sees; `go` lets it take one step of everything, by the wall clock of nobody."""

    def __init__(self, database: Database, home: Path, agent: Signer = AGENT) -> None:
        self.clock = ManualClock(NOON)
        self.market, self.facts, self.machine = Market(), Facts(), Machine(home)
        self.usage = SqlUsage(database, "31337:0xe5c")
        self.expected: Hash32 | None = None
        devices = NamelessDevices(GPUS)
        self.here = Here(
            settings=GatewaySettings(
                url="http://gateway",
                providers=frozenset({PROVIDER.address}),
                limits=JobLimits(memory_mb=1_000, disk_mb=1, processes=10),
                ports=range(20_000, 20_003),
            ),
            agent=agent,
            sealing=SealingKey.generate(),
            domain=DOMAIN,
            approvals=lambda *_: False,
            clock=self.clock,
            api=self.market,  # type: ignore[arg-type] # what a gateway needs of it
            facts=self.facts,
            usage=self.usage,
            runner=self.machine,
            devices=devices,
            heartbeats=Heartbeats(self.usage, self.machine, devices, self.clock),
            expected_job_spec=lambda _: self.expected,
        )
        self.desk = Desk(self.here, lambda: None)
        self.key = SealingKey.generate()

    def go(self, seconds_on: int = 10, times: int = 1) -> None:
        """Let time pass, heartbeat by heartbeat, and every deal go on; each time as after a restart."""
        for _ in range(times):
            self.clock.advance(seconds_on)
            self.desk.take_up()
            self.here.heartbeats.beat_all()
            for _ in range(2):  # what comes by the market is done in the same turn
                for handling in self.usage.handlings():
                    Steps(self.here).step(handling.deal_id)
                AtMarket(self.here).look()

    def hand_over(self, number: int, spec: JobSpec, *, sender: Signer = BUYER) -> None:
        """Leave a letter with a job at the market."""
        self.market.post_document(self.letter(number, spec, sender=sender))

    def letter(self, number: int, spec: JobSpec, *, sender: Signer = BUYER) -> Document:
        content = HandOver(spec=spec, reply_key=self.key.public).model_dump_json().encode()
        sealed = seal(content, self.here.sealing.public)
        letter = sign_letter(deal_id(number), AGENT.address, sealed, sender, DOMAIN)
        return Document(letter=letter)

    def answers(self, number: int) -> list[HandOverAnswer]:
        return self.answers_of(deal_id(number))

    def answers_of(self, of: EscrowId) -> list[HandOverAnswer]:
        found = []
        for posted in self.market.posted.get(of, ()):
            letter = posted.document.letter
            if letter is not None and letter.sender == AGENT.address:
                try:
                    found.append(HandOverAnswer.model_validate_json(self.key.open(letter.sealed)))
                except CannotOpen:
                    continue
        return found

    def of(self, number: int, gpus: int = 2) -> Handling:
        found = self.usage.handling(deal_id(number, gpus))
        assert found is not None
        return found

    def later(self, number: int, **word: int | DealStatus) -> None:
        """Change the chain's word of a deal."""
        before = self.facts.records[deal_id(number)]
        self.facts.put(replace(before, deal=replace(before.deal, **word)))  # type: ignore[arg-type] # its fields
