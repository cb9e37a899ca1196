"""The hand-over: what the buyer's letters ask for, whether it can be done, and the answers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from logging import WARNING
from urllib.parse import urlsplit

from pydantic import ValidationError

from molt_market.agent.here import Here
from molt_market.agent.runners.supervisor import STDERR, STDOUT
from molt_market.domain.documents import Document, Letter, PostedDocument
from molt_market.domain.handling import Handling, HandlingPhase
from molt_market.domain.ids import ZERO_HASH, Address, EscrowId, Hash32
from molt_market.domain.jobs import Access, HandOver, HandOverAnswer, JobKind, JobLimits, JobSpec
from molt_market.domain.proofs import Confirmation
from molt_market.errors import ChainError, MoltError, StorageUnavailable
from molt_market.indexer.records import DealRecord
from molt_market.signing.hashes import job_spec_hash
from molt_market.signing.letters import sign_letter
from molt_market.signing.sealing import seal
from molt_market.telling import tell

MOST_REASON = 2_000


class Letters:
    """Reads what was handed to a deal's agent (`molt_market.agent.mail`), and writes the answers down."""

    def __init__(self, here: Here) -> None:
        self._here = here

    def read(self, handling: Handling, record: DealRecord) -> Handling:
        """Read what is new for a deal: vouchers are kept, a job is taken over or refused.

        Raises ChainError, StorageUnavailable. What was read before stays done.
        """
        for posted in self._here.usage.mail(handling.deal_id, after=handling.documents):
            handling = self._take(handling, record, posted)
        return handling

    def access(self, handling: Handling) -> None:
        """Tell the buyer how he reaches his job, once for each time that he asked."""
        base = self._here.settings.url
        host = urlsplit(base).hostname
        access = Access(
            deal_id=handling.deal_id,
            token=handling.token or "",
            files_url=f"{base}/deals/{handling.deal_id}/files/",
            services=tuple(f"{host}:{port}" for port in handling.ports),
        )
        self._reply(handling, "access", HandOverAnswer(access=access))

    def result(self, handling: Handling) -> None:
        """Tell the buyer how his job ended, likewise."""
        self._reply(handling, "result", HandOverAnswer(result=handling.result))

    def refuse(self, handling: Handling, reason: str) -> None:
        """Tell the buyer that his job is not run after all."""
        self._reply(handling, "refused", _refusal(reason))

    # ---------------------------------------------------------------- inside

    def _take(self, handling: Handling, record: DealRecord, posted: PostedDocument) -> Handling:
        """Do what one document asks for, and note that it was read. What cannot be read is passed over."""
        about = posted.document
        read = handling.model_copy(update={"documents": posted.number})
        try:
            if about.voucher is not None:
                read = self._with_voucher(read, about.voucher)
            elif about.letter is not None and posted.sender != self._here.agent.address:
                read = self._with_letter(read, record, about.letter, posted.number)
        except (ChainError, StorageUnavailable):
            raise  # it is read again
        except (MoltError, ValidationError) as error:
            tell("document_is_unusable", level=WARNING, deal_id=handling.deal_id, reason=error)
        self._here.usage.put(read)
        return read

    def _with_voucher(self, handling: Handling, voucher: Confirmation) -> Handling:
        known = 0 if handling.voucher is None else handling.voucher.gpu_seconds
        if voucher.gpu_seconds <= known:
            return handling
        return handling.model_copy(update={"voucher": voucher})

    def _with_letter(self, handling: Handling, record: DealRecord, letter: Letter, number: int) -> Handling:
        sender = letter.sender
        asked = HandOver.model_validate_json(self._here.sealing.open(letter.sealed))
        given = {"reply_to": sender, "reply_key": asked.reply_key, "asked": number}
        if asked.spec == handling.spec:  # he asks again, for answers that he can read
            return handling.model_copy(update=given)
        with self._here.assigning:
            taken = self._taken_over(handling.model_copy(update=given | {"spec": asked.spec}), record)
            if isinstance(taken, Handling):
                self._here.usage.put(taken)
                return taken
        document = self._sealed(handling.deal_id, sender, asked.reply_key, _refusal(taken))
        self._here.leave(f"answer:{number}", document)
        return handling

    def _taken_over(self, asked: Handling, record: DealRecord) -> Handling | str:
        """Return the deal with its job and what that needs, or why the job is not run."""
        spec = asked.spec
        assert spec is not None  # noqa: S101 - the caller has just set it
        why = next(self._obstacles(asked, spec, record), None)
        if why is not None:
            return why
        others = [each for each in self._here.usage.handlings() if each.deal_id != asked.deal_id]
        user = self._free_user(others)
        if user is None and self._here.runner.users() is not None:
            return "no user is free that the job could run as: ask again later"
        ports = self._free_ports(spec.ports, others)
        if len(ports) < spec.ports:
            return f"{len(ports)} ports are free, not {spec.ports}"
        return asked.model_copy(
            update={
                "phase": HandlingPhase.PREPARING,
                "user": user,
                "ports": ports,
                "token": secrets.token_urlsafe(32),
            }
        )

    def _obstacles(self, asked: Handling, spec: JobSpec, record: DealRecord) -> Iterator[str]:
        if asked.phase is HandlingPhase.WAITING:
            yield self._here.shortage(record) or "its GPUs have just come free: hand the job over again"
        if asked.phase is not HandlingPhase.READY:
            yield f"the deal has its job, or is over: it is {asked.phase}"
        expected = self._here.expected_job_spec(record)
        if expected not in {None, ZERO_HASH, job_spec_hash(spec)}:
            yield f"the order is for job {expected}, this is {job_spec_hash(spec)}"
        unable = self._here.runner.obstacle(spec)
        if unable is not None:
            yield unable
        if {STDOUT, STDERR} & {each.path for each in spec.inputs}:
            yield f"{STDOUT} and {STDERR} are where the job's output goes: name inputs otherwise"
        most = self._here.settings.limits
        for name in JobLimits.model_fields:
            wanted, allowed = getattr(spec.limits, name), getattr(most, name)
            if wanted is not None and allowed is not None and wanted > allowed:
                yield f"{name} {wanted} is more than this provider's {allowed}"

    def _free_user(self, others: list[Handling]) -> int | None:
        """Return a user that no job has; rather one none of whose files are left."""
        users = self._here.runner.users() or ()
        busy = {each.user for each in others if each.phase is not HandlingPhase.CLOSED}
        left = {each.user for each in others if not each.removed}
        free = [each for each in users if each not in busy]
        return next((each for each in free if each not in left), next(iter(free), None))

    def _free_ports(self, wanted: int, others: list[Handling]) -> tuple[int, ...]:
        busy = {port for each in others if each.phase is not HandlingPhase.CLOSED for port in each.ports}
        return tuple([port for port in self._here.settings.ports if port not in busy][:wanted])

    def _reply(self, handling: Handling, name: str, answer: HandOverAnswer) -> None:
        name = f"{name}:{handling.asked}"
        if handling.reply_to is None or handling.reply_key is None:
            return
        if self._here.usage.left(handling.deal_id, name) is not None:
            return
        document = self._sealed(handling.deal_id, handling.reply_to, handling.reply_key, answer)
        self._here.leave(name, document)

    def _sealed(self, deal_id: EscrowId, to: Address, key: Hash32, answer: HandOverAnswer) -> Document:
        sealed = seal(answer.model_dump_json().encode(), key)
        letter = sign_letter(deal_id, to, sealed, self._here.agent, self._here.domain)
        return Document(letter=letter)


def _refusal(reason: str) -> HandOverAnswer:
    return HandOverAnswer(refusal=reason[:MOST_REASON])


def limits_of(spec: JobSpec, most: JobLimits) -> JobLimits:
    """Return the limits that hold for a job: its own, and the provider's where it names none."""
    own = {name: value for name, value in spec.limits.model_dump().items() if value is not None}
    return most.model_copy(update=own)


def is_batch(handling: Handling) -> bool:
    """Tell whether a deal's job ends by itself."""
    return handling.spec is not None and handling.spec.kind is JobKind.BATCH
