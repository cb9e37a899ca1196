"""What buyers hand to a gateway's agent: checked, and written down once, whichever way it comes."""

from __future__ import annotations

from molt_market.agent.here import Here
from molt_market.domain.documents import Document, DocumentKind
from molt_market.domain.ids import Address
from molt_market.domain.terms import Terms
from molt_market.errors import InvalidValue, ProofMismatch, WrongSigner
from molt_market.indexer.records import DealRecord
from molt_market.signing.letters import verify_letter
from molt_market.signing.statements import verify_voucher

MOST = {DocumentKind.LETTER: 100, DocumentKind.VOUCHER: 10_000}  # of one sender in one deal


class Mail:
    """Takes letters and vouchers in; `molt_market.agent.letters` does what they ask for."""

    def __init__(self, here: Here) -> None:
        self._here = here

    def receive(self, document: Document, record: DealRecord) -> int:
        """Keep what a buyer has left for the agent; return its number here. To do it again changes nothing.

        Raises:
            WrongSigner, InvalidSignature, ProofMismatch: it is not his, or not for this agent or deal.
            InvalidValue: it is neither a letter nor a voucher. TooManyDocuments: he has left too many.
        """
        if document.deal_id != record.id:  # the market's word that it is of this deal is not enough
            raise ProofMismatch(f"the document is about deal {document.deal_id}, not {record.id}")
        sender = self._sender(document, record.terms)
        return self._here.usage.receive(document, sender, self._here.now(), MOST[document.kind])

    def hand_in(self, document: Document, record: DealRecord) -> int:
        """Do the same with what came directly; a voucher is passed on, for the provider to see it too.

        Raises as `receive` does.
        """
        number = self.receive(document, record)
        if document.voucher is not None:
            self._here.leave(f"voucher:{number}", document)
        return number

    def _sender(self, document: Document, terms: Terms) -> Address:
        """Return whose it is: by the rules of `molt_market.market.documents`, for what an agent reads."""
        if document.voucher is not None:
            return verify_voucher(document.voucher, terms, self._here.domain, self._here.approvals)
        letter = document.letter
        if letter is None:
            raise InvalidValue(f"a gateway takes letters and vouchers: leave a {document.kind} at the market")
        if letter.reader != self._here.agent.address:
            raise WrongSigner(expected=self._here.agent.address, actual=letter.reader)
        buyers = (terms.buyer, terms.voucher_signer)
        if letter.sender not in buyers:  # before the signature: a stranger's costs no question to the chain
            raise WrongSigner(expected=" or ".join(dict.fromkeys(buyers)), actual=letter.sender)
        return verify_letter(letter, self._here.domain, self._here.approvals)
