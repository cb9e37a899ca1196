"""Who may leave what for a deal: its parties, for each other, in their own name."""

from __future__ import annotations

import pytest

from molt_market.domain.documents import Document
from molt_market.domain.ids import Address, EscrowId
from molt_market.errors import WrongSigner
from molt_market.market.documents import sender_of
from molt_market.signing.letters import sign_letter
from molt_market.signing.signers import LocalSigner
from molt_market.signing.typed_data import Domain
from tests.factories import make_policy, make_terms
from tests.unit.signing.keys import AGENT, BUYER, PROVIDER, STRANGER

DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
DEAL = EscrowId("0x" + "de" * 32)


def sender(document: Document) -> Address:
    terms = make_terms(
        buyer=BUYER.address, voucher_signer=BUYER.address, provider=PROVIDER.address, agent=AGENT.address
    )
    return sender_of(document, terms, make_policy(), DOMAIN, lambda *_: False)


def letter(reader: Address, signer: LocalSigner) -> Document:
    return Document(letter=sign_letter(DEAL, reader, "AAAA", signer, DOMAIN))


def test_letter__of_one_party_for_another__is_kept() -> None:
    assert sender(letter(PROVIDER.address, BUYER)) == BUYER.address
    assert sender(letter(BUYER.address, AGENT)) == AGENT.address


def test_letter__of_a_stranger_or_for_one_or_in_anothers_name__is_refused() -> None:
    forged = letter(PROVIDER.address, STRANGER).letter
    assert forged is not None
    for bad in (
        letter(PROVIDER.address, STRANGER),
        letter(STRANGER.address, BUYER),
        Document(letter=forged.model_copy(update={"sender": BUYER.address})),
    ):
        with pytest.raises(WrongSigner):
            sender(bad)


def test_letter__that_is_changed_on_its_way__is_refused() -> None:
    sent = letter(PROVIDER.address, BUYER).letter
    assert sent is not None
    with pytest.raises(WrongSigner):
        sender(Document(letter=sent.model_copy(update={"sealed": "BBBB"})))
