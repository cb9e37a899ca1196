"""What ends a deal, signed: a statement counts for its signer, deal, figures and deployment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from molt_market.domain.agreements import SignedStatement, SplitAgreement
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.disputes import Dispute
from molt_market.domain.ids import APPROVED, Address, EscrowId, Hash32, Signature
from molt_market.domain.terms import Terms
from molt_market.errors import InvalidSignature, ProofMismatch, WrongSigner
from molt_market.signing.agreements import (
    sign_cancellation,
    sign_concession,
    sign_dispute,
    sign_ruling,
    sign_split,
    sign_stop,
    sign_unattested_claim,
    sign_vote,
    verify_dispute,
    verify_ruling,
    verify_split,
    verify_statement,
    verify_vote,
)
from molt_market.signing.hashes import deal_id
from molt_market.signing.signers import ApprovingSigner, LocalSigner, Signer
from molt_market.signing.typed_data import Domain
from tests.factories import NOON, make_escrow, make_terms
from tests.unit.signing.keys import AGENT, ATTESTORS, BUYER, PROVIDER, STRANGER

DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
OTHERS = [Domain(1, DOMAIN.escrow), Domain(31_337, "0x" + "11" * 20)]
PANEL = Address("0x" + "9a" * 20)
UNTIL = NOON + timedelta(days=1)
UNITS = 3_600

Sign = Callable[[EscrowId, Signer], SignedStatement]


def terms(**overrides: Any) -> Terms:
    parties = {
        "buyer": BUYER.address,
        "voucher_signer": BUYER.address,
        "provider": PROVIDER.address,
        "agent": AGENT.address,
    }
    return make_terms(**{**parties, **overrides})


DEAL = deal_id(terms(), DOMAIN)

STATEMENTS: dict[str, tuple[Sign, LocalSigner]] = {
    "stop": (lambda deal, signer: sign_stop(deal, signer, DOMAIN, until=UNTIL), BUYER),
    "cancellation": (lambda deal, signer: sign_cancellation(deal, signer, DOMAIN, until=UNTIL), PROVIDER),
    "claim": (
        lambda deal, signer: sign_unattested_claim(deal, UNITS, signer, DOMAIN, until=UNTIL),
        PROVIDER,
    ),
    "concession": (lambda deal, signer: sign_concession(deal, UNITS, signer, DOMAIN, until=UNTIL), PROVIDER),
}
EACH = pytest.mark.parametrize(("sign", "party"), STATEMENTS.values(), ids=STATEMENTS)


def escrow() -> EscrowAccount:
    return make_escrow(terms=terms(), id=DEAL)


# ---------------------------------------------------------------- one party's word


@EACH
def test_statement__of_its_party__is_verified(sign: Sign, party: LocalSigner) -> None:
    statement = sign(DEAL, party)
    assert (statement.signer, statement.until) == (party.address, UNTIL)
    assert verify_statement(statement, terms(), DOMAIN) == party.address


@EACH
@pytest.mark.parametrize("signer", [AGENT, STRANGER], ids=["agent", "stranger"])
def test_statement__of_another__is_refused(sign: Sign, party: LocalSigner, signer: LocalSigner) -> None:
    with pytest.raises(WrongSigner) as caught:
        verify_statement(sign(DEAL, signer), terms(), DOMAIN)
    assert (caught.value.expected, caught.value.actual) == (party.address, signer.address)


@EACH
def test_statement__that_only_says_it_is_the_partys__is_refused(sign: Sign, party: LocalSigner) -> None:
    forged = sign(DEAL, STRANGER).model_copy(update={"signer": party.address})
    with pytest.raises(WrongSigner):
        verify_statement(forged, terms(), DOMAIN)


@EACH
def test_statement__changed_afterwards__is_refused(sign: Sign, party: LocalSigner) -> None:
    changes: dict[str, Any] = {"until": UNTIL + timedelta(seconds=1)}
    if "gpu_seconds" in type(sign(DEAL, party)).model_fields:
        changes["gpu_seconds"] = UNITS + 1
    for field, value in changes.items():
        with pytest.raises(WrongSigner):
            verify_statement(sign(DEAL, party).model_copy(update={field: value}), terms(), DOMAIN)


@EACH
def test_statement__of_another_deal__is_refused(sign: Sign, party: LocalSigner) -> None:
    with pytest.raises(ProofMismatch):
        verify_statement(sign(DEAL, party), terms(gpu_count=5), DOMAIN)


@EACH
@pytest.mark.parametrize("domain", OTHERS, ids=["chain", "escrow"])
def test_statement__for_another_deployment__is_refused(
    sign: Sign, party: LocalSigner, domain: Domain
) -> None:
    there = sign(DEAL, party).model_copy(update={"deal_id": deal_id(terms(), domain)})
    with pytest.raises(WrongSigner):
        verify_statement(there, terms(), domain)


@EACH
def test_statement__survives_json(sign: Sign, party: LocalSigner) -> None:
    statement = sign(DEAL, party)
    received = type(statement).model_validate_json(statement.model_dump_json())
    assert received == statement
    assert verify_statement(received, terms(), DOMAIN) == party.address


def test_statements__are_not_taken_for_each_other() -> None:
    """Stop and cancellation have the same fields: their types keep them apart."""
    stop, cancel = (STATEMENTS[name][0](DEAL, PROVIDER) for name in ("stop", "cancellation"))
    assert stop.signature != cancel.signature
    with pytest.raises(WrongSigner):
        verify_statement(cancel.model_copy(update={"signature": stop.signature}), terms(), DOMAIN)


def test_concession__is_either_partys() -> None:
    conceded = sign_concession(DEAL, UNITS, BUYER, DOMAIN, until=UNTIL)
    assert verify_statement(conceded, terms(), DOMAIN) == BUYER.address


# ---------------------------------------------------------------- a dispute


def test_dispute__signed__has_its_counter_in_gpu_seconds() -> None:
    given = Dispute(escrow_id=DEAL, counter_hours="1.5", text="slow")
    signed = sign_dispute(given, escrow(), BUYER, DOMAIN, until=UNTIL)
    assert (signed.counter_hours, signed.counter_gpu_seconds) == (None, 4 * 5_400)
    assert (signed.text, signed.until) == ("slow", UNTIL)
    assert verify_dispute(signed, terms(), DOMAIN) == BUYER.address


def test_dispute__by_another__is_refused() -> None:
    given = Dispute(escrow_id=DEAL, counter_hours=1)
    with pytest.raises(WrongSigner):
        sign_dispute(given, escrow(), PROVIDER, DOMAIN, until=UNTIL)


def test_dispute__of_another_deal__is_refused() -> None:
    given = Dispute(escrow_id=EscrowId("0x" + "12" * 32), counter_hours=1)
    with pytest.raises(ProofMismatch):
        sign_dispute(given, escrow(), BUYER, DOMAIN, until=UNTIL)


def test_dispute__unsigned_or_changed__is_refused() -> None:
    given = Dispute(escrow_id=DEAL, counter_hours=1)
    with pytest.raises(InvalidSignature, match="not signed"):
        verify_dispute(given, terms(), DOMAIN)
    signed = sign_dispute(given, escrow(), BUYER, DOMAIN, until=UNTIL)
    with pytest.raises(WrongSigner):
        verify_dispute(signed.model_copy(update={"counter_gpu_seconds": 0}), terms(), DOMAIN)


# ---------------------------------------------------------------- a split


def split(*signers: LocalSigner) -> SplitAgreement:
    agreement = SplitAgreement(deal_id=DEAL, gpu_seconds=UNITS, until=UNTIL)
    for signer in signers:
        agreement = sign_split(agreement, signer, terms(), DOMAIN)
    return agreement


@pytest.mark.parametrize("signers", [(), (BUYER,), (PROVIDER,), (BUYER, PROVIDER)], ids=len)
def test_split__says_who_has_signed(signers: tuple[LocalSigner, ...]) -> None:
    assert verify_split(split(*signers), terms(), DOMAIN) == tuple(each.address for each in signers)


def test_split__in_any_order__is_the_same() -> None:
    assert split(BUYER, PROVIDER) == split(PROVIDER, BUYER)


@pytest.mark.parametrize("signer", [AGENT, STRANGER], ids=["agent", "stranger"])
def test_split__by_no_party__is_refused(signer: LocalSigner) -> None:
    with pytest.raises(WrongSigner):
        split(signer)


@pytest.mark.parametrize(
    "change",
    [{"gpu_seconds": UNITS + 1}, {"until": UNTIL + timedelta(seconds=1)}],
    ids=["figure", "until"],
)
def test_split__changed_before_the_other_signs__is_noticed(change: dict[str, Any]) -> None:
    with pytest.raises(WrongSigner):
        verify_split(split(BUYER).model_copy(update=change), terms(), DOMAIN)


def test_split__with_the_signatures_swapped__is_refused() -> None:
    both = split(BUYER, PROVIDER)
    swapped = both.model_copy(
        update={"buyer_signature": both.provider_signature, "provider_signature": both.buyer_signature}
    )
    with pytest.raises(WrongSigner):
        verify_split(swapped, terms(), DOMAIN)


def test_split__of_another_deal__is_refused() -> None:
    with pytest.raises(ProofMismatch):
        verify_split(split(BUYER), terms(gpu_count=5), DOMAIN)
    with pytest.raises(ProofMismatch):
        sign_split(split(), BUYER, terms(gpu_count=5), DOMAIN)


# ---------------------------------------------------------------- a ruling


def test_ruling__is_the_members() -> None:
    vote = sign_vote(DEAL, UNITS, ATTESTORS[0], PANEL, DOMAIN, until=UNTIL)
    assert (vote.panel, vote.escrow, vote.signer) == (PANEL, DOMAIN.escrow, ATTESTORS[0].address)
    assert verify_vote(vote, DOMAIN) == ATTESTORS[0].address


@pytest.mark.parametrize(
    "change",
    [
        {"gpu_seconds": UNITS + 1},
        {"until": UNTIL + timedelta(seconds=1)},
        {"panel": Address("0x" + "9b" * 20)},
        {"deal_id": EscrowId("0x" + "12" * 32)},
        {"signer": STRANGER.address},
    ],
    ids=lambda change: next(iter(change)),
)
def test_ruling__changed__is_refused_and_another(change: dict[str, Any]) -> None:
    vote = sign_vote(DEAL, UNITS, ATTESTORS[0], PANEL, DOMAIN, until=UNTIL)
    with pytest.raises(WrongSigner):
        verify_vote(vote.model_copy(update=change), DOMAIN)
    assert vote.same_ruling_as(vote.model_copy(update=change)) == ("signer" in change)


def test_ruling__for_another_escrow__is_refused() -> None:
    vote = sign_vote(DEAL, UNITS, ATTESTORS[0], PANEL, DOMAIN, until=UNTIL)
    with pytest.raises(ProofMismatch):
        verify_vote(vote, OTHERS[1])
    with pytest.raises(WrongSigner):
        verify_vote(vote, OTHERS[0])


def test_signature__that_is_none__is_refused() -> None:
    nobodys = Signature("0x" + "00" * 64 + "1b")
    stop = sign_stop(DEAL, BUYER, DOMAIN, until=UNTIL).model_copy(update={"signature": nobodys})
    with pytest.raises(InvalidSignature):
        verify_statement(stop, terms(), DOMAIN)


# ---------------------------------------------------------------- the arbiter's ruling


def test_ruling__tells_who_signed_it() -> None:
    ruling = sign_ruling(DEAL, UNITS, STRANGER, DOMAIN, until=UNTIL)
    assert (ruling.signer, ruling.gpu_seconds, ruling.until) == (STRANGER.address, UNITS, UNTIL)
    assert verify_ruling(ruling, terms(), DOMAIN) == STRANGER.address


@pytest.mark.parametrize(
    "change",
    [{"gpu_seconds": UNITS + 1}, {"until": UNTIL + timedelta(seconds=1)}, {"signer": BUYER.address}],
    ids=["figure", "until", "signer"],
)
def test_ruling__changed_afterwards__is_refused(change: dict[str, Any]) -> None:
    ruling = sign_ruling(DEAL, UNITS, STRANGER, DOMAIN, until=UNTIL)
    with pytest.raises(WrongSigner):
        verify_ruling(ruling.model_copy(update=change), terms(), DOMAIN)


def test_ruling__on_another_deal_or_escrow__is_refused() -> None:
    ruling = sign_ruling(DEAL, UNITS, STRANGER, DOMAIN, until=UNTIL)
    for given, where in [(terms(slot=9), DOMAIN), (terms(), OTHERS[0]), (terms(), OTHERS[1])]:
        with pytest.raises(ProofMismatch):
            verify_ruling(ruling, given, where)


def test_vote_of_a_panel__is_no_ruling() -> None:
    """Both sign the same message, for different contracts."""
    vote = sign_vote(DEAL, UNITS, STRANGER, PANEL, DOMAIN, until=UNTIL)
    ruling = sign_ruling(DEAL, UNITS, STRANGER, DOMAIN, until=UNTIL)
    with pytest.raises(WrongSigner):
        verify_ruling(ruling.model_copy(update={"signature": vote.signature}), terms(), DOMAIN)


# ---------------------------------------------------------------- approved instead of signed


@EACH
def test_statement__approved__counts_while_it_is(sign: Sign, party: LocalSigner) -> None:
    approved: set[tuple[Address, Hash32]] = set()
    signer = ApprovingSigner(party.address, lambda digest: approved.add((party.address, digest)))
    statement = sign(DEAL, signer)
    assert (statement.signature, len(approved)) == (APPROVED, 1)
    known = lambda account, digest: (account, digest) in approved  # noqa: E731 - a chain of one line
    assert verify_statement(statement, terms(), DOMAIN, known) == party.address
    approved.clear()
    with pytest.raises(InvalidSignature, match="no approval"):
        verify_statement(statement, terms(), DOMAIN, known)
    with pytest.raises(InvalidSignature, match="no approval"):
        verify_statement(statement, terms(), DOMAIN)
