"""Who may leave what about a deal: each kind is its signer's, and nobody else's."""

from __future__ import annotations

import pytest

from molt_market.domain.disputes import Dispute
from molt_market.domain.documents import Document
from molt_market.domain.ids import Address, EscrowId, Hash32
from molt_market.errors import InvalidValue, WrongSigner
from molt_market.market.documents import sender_of
from molt_market.signing.evidence import sign_evidence
from molt_market.signing.hashes import deal_id
from molt_market.signing.letters import sign_letter
from molt_market.signing.pings import sign_gateway, sign_rejection
from molt_market.signing.signers import Approvals, LocalSigner
from molt_market.signing.statements import sign_receipt, sign_voucher
from tests.unit.attestation.deals import DOMAIN, ROOT, policy, terms
from tests.unit.signing.keys import AGENT, ATTESTORS, BUYER, PROVIDER, STRANGER

POLICY, TERMS = policy(), terms()
DEAL: EscrowId = deal_id(TERMS, DOMAIN)


def nobody_approved(account: str, digest: Hash32) -> bool:
    return False


APPROVALS: Approvals = nobody_approved


def by(kind: str, signer: LocalSigner) -> Document:
    match kind:
        case "voucher":
            return Document(voucher=sign_voucher(DEAL, 60, signer, DOMAIN))
        case "receipt":
            return Document(receipt=sign_receipt(DEAL, 60, signer, DOMAIN))
        case "letter":
            return Document(letter=sign_letter(DEAL, BUYER.address, "AAAA", signer, DOMAIN))
        case "evidence":
            return Document(evidence=sign_evidence(DEAL, "{}", signer, DOMAIN))
        case "gateway":
            return Document(gateway=sign_gateway(DEAL, "https://gpus.example", ROOT, signer, DOMAIN))
    return Document(
        rejection=sign_rejection(DEAL, signer, DOMAIN, gpu_seconds=1, usage_root=ROOT, code="Gap", text="")
    )


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        ("voucher", [BUYER]),
        ("receipt", [AGENT, *ATTESTORS]),
        ("letter", [BUYER, PROVIDER, AGENT]),
        ("gateway", [AGENT]),
        ("rejection", ATTESTORS),
        ("evidence", [BUYER, PROVIDER, AGENT]),
    ],
)
def test_document__is_left_by_who_may(kind: str, allowed: list[LocalSigner]) -> None:
    for signer in {BUYER, PROVIDER, AGENT, *ATTESTORS, STRANGER}:
        document = by(kind, signer)
        if signer in allowed:
            assert sender_of(document, TERMS, POLICY, DOMAIN, APPROVALS) == signer.address
        else:
            with pytest.raises(WrongSigner):
                sender_of(document, TERMS, POLICY, DOMAIN, APPROVALS)


def test_document__is_one_thing_about_one_deal() -> None:
    assert by("gateway", AGENT).deal_id == DEAL
    assert Document(dispute=Dispute(escrow_id=DEAL, counter_gpu_seconds=0)).deal_id == DEAL
    both = by("gateway", AGENT).model_copy(update={"receipt": by("receipt", AGENT).receipt})
    for document in (Document(), both):
        with pytest.raises(InvalidValue, match="exactly one"):
            _ = document.kind
        with pytest.raises(InvalidValue, match="exactly one"):
            _ = document.deal_id


def letter(reader: Address, signer: LocalSigner) -> Document:
    return Document(letter=sign_letter(DEAL, reader, "AAAA", signer, DOMAIN))


def test_letter__of_a_stranger_or_for_one_or_in_anothers_name__is_refused() -> None:
    forged = letter(PROVIDER.address, STRANGER).letter
    assert forged is not None
    for bad in (
        letter(PROVIDER.address, STRANGER),
        letter(STRANGER.address, BUYER),
        Document(letter=forged.model_copy(update={"sender": BUYER.address})),
    ):
        with pytest.raises(WrongSigner):
            sender_of(bad, TERMS, POLICY, DOMAIN, APPROVALS)


def test_letter__that_is_changed_on_its_way__is_refused() -> None:
    sent = letter(PROVIDER.address, BUYER).letter
    assert sent is not None
    changed = Document(letter=sent.model_copy(update={"sealed": "BBBB"}))
    with pytest.raises(WrongSigner):
        sender_of(changed, TERMS, POLICY, DOMAIN, APPROVALS)
