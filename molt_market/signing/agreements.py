"""Signing and verifying what ends a deal: stop, cancellation, dispute, claim, concession, split, ruling.

Who sends a statement himself needs none of this: the contract knows him as the sender. A signature lets
anyone else send it until, not including, the moment `until`. The verify functions take `approvals`
(`client.is_approved`) to know what was approved on the chain instead of signed.
"""

from __future__ import annotations

from datetime import datetime

from molt_market.domain.agreements import (
    Concession,
    ProviderCancellation,
    Ruling,
    RulingVote,
    SignedStatement,
    SplitAgreement,
    StopRequest,
    UnattestedClaim,
)
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.disputes import Dispute
from molt_market.domain.fields import seconds
from molt_market.domain.ids import Address, EscrowId
from molt_market.domain.terms import Terms
from molt_market.errors import InvalidSignature, ProofMismatch, WrongSigner
from molt_market.signing import messages
from molt_market.signing.hashes import deal_id as id_of
from molt_market.signing.signers import Approvals, Signer, require_signer
from molt_market.signing.typed_data import Domain, Message, PanelDomain

# ---------------------------------------------------------------- one party's word


def sign_stop(deal_id: EscrowId, signer: Signer, domain: Domain, *, until: datetime) -> StopRequest:
    """End a deal early, as its buyer."""
    signature = signer.sign(messages.Stop(deal_id, seconds(until)), domain)
    return StopRequest(deal_id=deal_id, until=until, signer=signer.address, signature=signature)


def sign_cancellation(
    deal_id: EscrowId, signer: Signer, domain: Domain, *, until: datetime
) -> ProviderCancellation:
    """Give a deal up, as its provider: with the owner's key, the agent's does not count."""
    signature = signer.sign(messages.CancelDeal(deal_id, seconds(until)), domain)
    return ProviderCancellation(deal_id=deal_id, until=until, signer=signer.address, signature=signature)


def sign_unattested_claim(
    deal_id: EscrowId, gpu_seconds: int, signer: Signer, domain: Domain, *, until: datetime
) -> UnattestedClaim:
    """Claim without attestors, as the provider: with the owner's key, the agent's does not count."""
    message = messages.UnattestedClaim(deal_id, gpu_seconds, seconds(until))
    return UnattestedClaim(
        deal_id=deal_id,
        gpu_seconds=gpu_seconds,
        until=until,
        signer=signer.address,
        signature=signer.sign(message, domain),
    )


def sign_concession(
    deal_id: EscrowId, gpu_seconds: int, signer: Signer, domain: Domain, *, until: datetime
) -> Concession:
    """Give in: as the provider to the paid GPU-seconds, as the buyer to the claimed ones."""
    message = messages.Concede(deal_id, gpu_seconds, seconds(until))
    return Concession(
        deal_id=deal_id,
        gpu_seconds=gpu_seconds,
        until=until,
        signer=signer.address,
        signature=signer.sign(message, domain),
    )


def verify_statement(
    statement: SignedStatement, terms: Terms, domain: Domain, approvals: Approvals | None = None
) -> Address:
    """Return the party that signed, if it is the one of the deal of these terms who may.

    Raises:
        ProofMismatch: the statement is about another deal.
        InvalidSignature: it is nobody's signature of it; WrongSigner says whose it would be.
    """
    _require_deal(statement.deal_id, terms, domain)
    message, expected = _of_statement(statement, terms)
    return require_signer(message, domain, statement.signature, expected, approvals)


def _of_statement(statement: SignedStatement, terms: Terms) -> tuple[Message, Address]:
    """Return what was signed, and whose it has to be."""
    deal, until = statement.deal_id, seconds(statement.until)
    match statement:
        case StopRequest():
            return messages.Stop(deal, until), terms.buyer
        case ProviderCancellation():
            return messages.CancelDeal(deal, until), terms.provider
        case UnattestedClaim():
            return messages.UnattestedClaim(deal, statement.gpu_seconds, until), terms.provider
        case Concession():
            loser = terms.buyer if statement.signer == terms.buyer else terms.provider
            return messages.Concede(deal, statement.gpu_seconds, until), loser
        case _:
            raise TypeError(f"{type(statement).__name__} is no statement that is signed here")


# ---------------------------------------------------------------- a dispute


def sign_dispute(
    dispute: Dispute, escrow: EscrowAccount, signer: Signer, domain: Domain, *, until: datetime
) -> Dispute:
    """Return the dispute signed, as the deal's buyer, with its counter in GPU-seconds.

    Raises:
        WrongSigner: it is not the buyer. ProofMismatch: the dispute is about another deal.
    """
    _require_deal(dispute.escrow_id, escrow.terms, domain)
    if signer.address != escrow.buyer:
        raise WrongSigner(expected=escrow.buyer, actual=signer.address)
    counter = dispute.counter(escrow.terms)
    message = messages.Dispute(dispute.escrow_id, counter, dispute.evidence, seconds(until))
    return Dispute(
        escrow_id=dispute.escrow_id,
        counter_gpu_seconds=counter,
        reason=dispute.reason,
        text=dispute.text,
        evidence=dispute.evidence,
        until=until,
        signature=signer.sign(message, domain),
    )


def verify_dispute(
    dispute: Dispute, terms: Terms, domain: Domain, approvals: Approvals | None = None
) -> Address:
    """Return the buyer, if he signed this dispute of the deal of these terms.

    Raises:
        ProofMismatch: it is about another deal.
        InvalidSignature: it has none, or it is not his; WrongSigner says whose it would be.
    """
    _require_deal(dispute.escrow_id, terms, domain)
    if dispute.signature is None or dispute.until is None:
        raise InvalidSignature("the dispute is not signed: its buyer has to sign it (sign_dispute)")
    counter = dispute.counter(terms)
    message = messages.Dispute(dispute.escrow_id, counter, dispute.evidence, seconds(dispute.until))
    return require_signer(message, domain, dispute.signature, terms.buyer, approvals)


# ---------------------------------------------------------------- both parties' word


def sign_split(agreement: SplitAgreement, signer: Signer, terms: Terms, domain: Domain) -> SplitAgreement:
    """Return the agreement with one more signature, the buyer's or the provider's, whichever `signer` is.

    Raises:
        WrongSigner: it is neither. ProofMismatch: the agreement is about another deal.
    """
    _require_deal(agreement.deal_id, terms, domain)
    side = {terms.buyer: "buyer_signature", terms.provider: "provider_signature"}.get(signer.address)
    if side is None:
        raise WrongSigner(expected=f"{terms.buyer} or {terms.provider}", actual=signer.address)
    signature = signer.sign(_split_message(agreement), domain)
    return agreement.model_copy(update={side: signature})


def verify_split(
    agreement: SplitAgreement, terms: Terms, domain: Domain, approvals: Approvals | None = None
) -> tuple[Address, ...]:
    """Return the parties that have signed: none, one or both. Look at it before you countersign.

    Raises:
        ProofMismatch: the agreement is about another deal.
        InvalidSignature: a signature is not that party's; WrongSigner says whose it would be.
    """
    _require_deal(agreement.deal_id, terms, domain)
    signatures = ((terms.buyer, agreement.buyer_signature), (terms.provider, agreement.provider_signature))
    message = _split_message(agreement)
    return tuple(
        require_signer(message, domain, signature, party, approvals)
        for party, signature in signatures
        if signature
    )


def _split_message(agreement: SplitAgreement) -> messages.Split:
    return messages.Split(agreement.deal_id, agreement.gpu_seconds, seconds(agreement.until))


# ---------------------------------------------------------------- the arbiter's, or a panel's


def sign_ruling(
    deal_id: EscrowId, gpu_seconds: int, arbiter: Signer, domain: Domain, *, until: datetime
) -> Ruling:
    """Rule on a dispute, as the policy's arbiter: `gpu_seconds` in all are paid. A panel rules by votes."""
    message = messages.Ruling(domain.escrow, deal_id, gpu_seconds, seconds(until))
    return Ruling(
        deal_id=deal_id,
        gpu_seconds=gpu_seconds,
        until=until,
        signer=arbiter.address,
        signature=arbiter.sign(message, domain),
    )


def verify_ruling(
    ruling: Ruling, terms: Terms, domain: Domain, approvals: Approvals | None = None
) -> Address:
    """Return who signed the ruling. Whether he is the arbiter of the deal of these terms, its policy knows.

    Raises:
        ProofMismatch: it is about another deal.
        InvalidSignature: it is not his signature; WrongSigner says whose it would be.
    """
    _require_deal(ruling.deal_id, terms, domain)
    message = messages.Ruling(domain.escrow, ruling.deal_id, ruling.gpu_seconds, seconds(ruling.until))
    return require_signer(message, domain, ruling.signature, ruling.signer, approvals)


def sign_vote(
    deal_id: EscrowId, gpu_seconds: int, member: Signer, panel: Address, domain: Domain, *, until: datetime
) -> RulingVote:
    """Rule on a dispute as a member of the panel whose contract is at `panel`.

    `domain` is the escrow's. The ruling counts once the panel's threshold of members has signed the same.
    """
    message = messages.Ruling(domain.escrow, deal_id, gpu_seconds, seconds(until))
    return RulingVote(
        panel=panel,
        escrow=domain.escrow,
        deal_id=deal_id,
        gpu_seconds=gpu_seconds,
        until=until,
        signer=member.address,
        signature=member.sign(message, PanelDomain(domain.chain_id, panel)),
    )


def verify_vote(vote: RulingVote, domain: Domain) -> Address:
    """Return the member that signed. Whether he is one, the panel's contract knows.

    Raises:
        ProofMismatch: the vote is for another escrow.
        InvalidSignature: it is not his signature; WrongSigner says whose it would be.
    """
    if vote.escrow != domain.escrow:
        raise ProofMismatch(f"the ruling is for escrow {vote.escrow}, not {domain.escrow}: rule for this one")
    message = messages.Ruling(vote.escrow, vote.deal_id, vote.gpu_seconds, seconds(vote.until))
    return require_signer(message, PanelDomain(domain.chain_id, vote.panel), vote.signature, vote.signer)


# ---------------------------------------------------------------- inside


def _require_deal(deal: EscrowId, terms: Terms, domain: Domain) -> None:
    here = id_of(terms, domain)
    if deal != here:
        raise ProofMismatch(f"this is about deal {deal}, not {here}: use the deal's own")
