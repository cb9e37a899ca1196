"""A deal's job from its buyer's side: handed over sealed, its result fetched and checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from molt_market.chain.client import MoltClient
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.documents import Document, DocumentKind
from molt_market.domain.ids import ZERO_HASH
from molt_market.domain.jobs import Access, HandOver, HandOverAnswer, JobResult, JobSpec
from molt_market.domain.pings import Gateway
from molt_market.domain.proofs import Attestation
from molt_market.errors import AgentSilent, CannotOpen, InvalidSignature, JobRefused, ResultMismatch
from molt_market.sdk.direct import Mailbox
from molt_market.sdk.outputs import fetch_outputs
from molt_market.signing.hashes import result_digest
from molt_market.signing.letters import sign_letter, verify_letter
from molt_market.signing.pings import verify_gateway
from molt_market.signing.sealing import SealingKey, seal
from molt_market.signing.signers import Signer
from molt_market.signing.statements import verify_receipt

LOOK_SECONDS = 0.5
WAIT_SECONDS = 60.0

Found = TypeVar("Found")


class DealJob:
    """The job of one deal, over the letters that its parties leave for each other.

    Args:
        mailbox: carries the letters, and reads none: the market's server, or DirectMail of the gateway.
        client: the chain.
        wallet: the buyer's or his voucher signer's.
        key: what the agent's answers are sealed to. Keep it, to read them again later.

    >>> job = buyer.job(escrow, SealingKey.from_file(Path("buyer.sealing")))  # doctest: +SKIP
    >>> access = job.hand_over(JobSpec(command=("python", "train.py"), outputs=("model",)))  # doctest: +SKIP
    >>> job.fetch(Path("results"))  # doctest: +SKIP
    """

    def __init__(
        self, mailbox: Mailbox, client: MoltClient, wallet: Signer, escrow: EscrowAccount, key: SealingKey
    ) -> None:
        self.escrow = escrow
        self._mailbox = mailbox
        self._client = client
        self._wallet = wallet
        self._key = key

    def gateway(self, wait: float = WAIT_SECONDS) -> Gateway:
        """Return where the deal is answered for, by the agent's own word; the newest counts.

        Raises AgentSilent if he has said nothing after `wait` seconds.
        """
        return self._awaited(self._gateway, wait, "where he is reached")

    def hand_over(self, spec: JobSpec, wait: float = WAIT_SECONDS) -> Access:
        """Seal a job to the agent, leave it for him, and return the access once the job is ready.

        To call it again, with the same job, is harmless; what was refused before does not count then.

        Raises:
            JobRefused: the agent does not run it, or not now: the reason says what to do.
            AgentSilent: nothing came after `wait` seconds.
        """
        given = HandOver(spec=spec, reply_key=self._key.public)
        sealed = seal(given.model_dump_json().encode(), self.gateway(wait).sealing_key)
        agent = self.escrow.terms.agent
        letter = sign_letter(self.escrow.id, agent, sealed, self._wallet, self._client.domain)
        number = self._mailbox.post_document(Document(letter=letter))
        return self._awaited(lambda: self._access(number), wait, "an access")

    def access(self, wait: float = WAIT_SECONDS) -> Access:
        """Return how the job is reached. Raises JobRefused, AgentSilent."""
        return self._awaited(self._access, wait, "an access")

    def result(self, wait: float = WAIT_SECONDS) -> JobResult:
        """Return how the job ended, as the agent has written; `receipt` is what he has signed.

        Raises JobRefused, AgentSilent.
        """
        return self._awaited(self._result, wait, "a result")

    def receipt(self, wait: float = WAIT_SECONDS) -> Attestation:
        """Return the agent's receipt for the job's result.

        Raises:
            ResultMismatch: he has signed for another result than he has written of.
            JobRefused, AgentSilent: as `result` does.
        """
        digest = result_digest(self.result(wait))
        receipt = self._awaited(self._receipt, wait, "a receipt")
        if receipt.result_digest != digest:
            raise ResultMismatch("the result's digest", receipt.result_digest, digest)
        return receipt

    def fetch(self, folder: Path, wait: float = WAIT_SECONDS, *, private: bool = False) -> list[Path]:
        """Fetch the job's files into a folder; each is checked against what the agent has signed for.

        `private`: also from an address that is not public.

        Raises:
            ResultMismatch: a file, or the whole result, is another one.
            JobRefused, AgentSilent, ServerUnreachable, ServerError: there is nothing to be had.
        """
        self.receipt(wait)
        return fetch_outputs(self.access(wait), self.result(wait).outputs, folder, private=private)

    # ---------------------------------------------------------------- what lies in the mailbox

    def _gateway(self) -> Gateway | None:
        for posted in reversed(list(self._mailbox.documents(self.escrow.id, DocumentKind.GATEWAY))):
            gateway = posted.document.gateway
            if gateway is not None and self._is_agents(gateway):
                return gateway
        return None

    def _is_agents(self, gateway: Gateway) -> bool:
        agent, client = self.escrow.terms.agent, self._client
        try:
            verify_gateway(gateway, agent, client.domain, client.is_approved)
        except InvalidSignature:
            return False
        return gateway.deal_id == self.escrow.id

    def _access(self, letter: int = 0) -> Access | None:
        found = (each.access for each in self._accepted(letter) if each.access is not None)
        return next((each for each in found if each.deal_id == self.escrow.id), None)

    def _result(self) -> JobResult | None:
        found = (each.result for each in self._accepted() if each.result is not None)
        return next((each for each in found if each.deal_id == self.escrow.id), None)

    def _accepted(self, letter: int = 0) -> list[HandOverAnswer]:
        """Return the agent's answers, the newest first.

        Raises JobRefused if that one is a refusal, and came after the document with the number `letter`.
        """
        answers = list(self._answers())
        if answers:
            number, newest = answers[0]
            if newest.refusal is not None and number > letter:
                raise JobRefused(newest.refusal)
        return [answer for _, answer in answers]

    def _receipt(self) -> Attestation | None:
        agent = self.escrow.terms.agent
        for posted in self._mailbox.documents(self.escrow.id, DocumentKind.RECEIPT):
            receipt = posted.document.receipt
            if receipt is not None and receipt.signer == agent and receipt.result_digest != ZERO_HASH:
                verify_receipt(receipt, self._client.domain, self._client.is_approved)
                return receipt
        return None

    def _answers(self) -> Iterator[tuple[int, HandOverAnswer]]:
        """Yield the agent's answers that are for us, the newest first, each with its number in the mailbox.

        What does not open is not ours.
        """
        agent, me = self.escrow.terms.agent, self._wallet.address
        for posted in reversed(list(self._mailbox.documents(self.escrow.id, DocumentKind.LETTER))):
            letter = posted.document.letter
            if letter is None or (letter.sender, letter.reader) != (agent, me):
                continue
            try:
                verify_letter(letter, self._client.domain, self._client.is_approved)
                answer = HandOverAnswer.model_validate_json(self._key.open(letter.sealed))
            except (InvalidSignature, CannotOpen, ValidationError):
                continue
            yield posted.number, answer

    def _awaited(self, look: Callable[[], Found | None], wait: float, what: str) -> Found:
        until = time.monotonic() + wait
        while (found := look()) is None:
            if time.monotonic() >= until:
                raise AgentSilent(self.escrow.id, what, wait)
            time.sleep(LOOK_SECONDS)
        return found
