"""Signing and verifying what agent and attestors say of a deal that runs. The contract sees none of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from eth_utils import keccak

from molt_market.domain.fields import seconds
from molt_market.domain.ids import Address, EscrowId, Hash32
from molt_market.domain.pings import Gateway, PingAnswer, Rejection
from molt_market.signing import typed_data
from molt_market.signing.signers import Approvals, Signer, require_signer
from molt_market.signing.typed_data import Domain, Message


@dataclass(frozen=True, slots=True)
class AgentGateway(Message):
    """By the agent: a deal's pings and letters are answered at this address."""

    deal_id: typed_data.Bytes32
    url_hash: typed_data.Bytes32
    sealing_key: typed_data.Bytes32


@dataclass(frozen=True, slots=True)
class AnsweredPing(Message):
    """By the agent: this nonce was asked, and so long was the usage log."""

    deal_id: typed_data.Bytes32
    nonce: typed_data.Bytes32
    answered_at: typed_data.Uint40
    heartbeats: typed_data.Uint40
    head: typed_data.Bytes32


@dataclass(frozen=True, slots=True)
class RejectedReceipt(Message):
    """By an attestor: he does not sign the receipt with these figures, for this reason."""

    deal_id: typed_data.Bytes32
    gpu_seconds: typed_data.Uint40
    usage_root: typed_data.Bytes32
    code_hash: typed_data.Bytes32
    text_hash: typed_data.Bytes32


def sign_gateway(deal_id: EscrowId, url: str, sealing_key: Hash32, agent: Signer, domain: Domain) -> Gateway:
    """Say, as a deal's agent, where it is answered for."""
    message = AgentGateway(deal_id, _hash(url), sealing_key)
    signature = agent.sign(message, domain)
    return Gateway(deal_id=deal_id, url=url, sealing_key=sealing_key, signature=signature)


def verify_gateway(
    gateway: Gateway, agent: Address, domain: Domain, approvals: Approvals | None = None
) -> Address:
    """Return the agent, if the word is his.

    Raises:
        InvalidSignature: it is not his signature; WrongSigner says whose it would be.
    """
    message = AgentGateway(gateway.deal_id, _hash(gateway.url), gateway.sealing_key)
    return require_signer(message, domain, gateway.signature, agent, approvals)


def sign_ping_answer(
    deal_id: EscrowId,
    nonce: Hash32,
    agent: Signer,
    domain: Domain,
    *,
    answered_at: datetime,
    heartbeats: int,
    head: Hash32,
) -> PingAnswer:
    """Answer a ping, as a deal's agent: so long is the usage log, and it ends so."""
    message = AnsweredPing(deal_id, nonce, seconds(answered_at), heartbeats, head)
    return PingAnswer(
        deal_id=deal_id,
        nonce=nonce,
        answered_at=answered_at,
        heartbeats=heartbeats,
        head=head,
        signature=agent.sign(message, domain),
    )


def verify_ping_answer(answer: PingAnswer, agent: Address, domain: Domain) -> Address:
    """Return the agent, if the answer is his.

    Raises:
        InvalidSignature: it is not his signature; WrongSigner says whose it would be.
    """
    message = AnsweredPing(
        answer.deal_id, answer.nonce, seconds(answer.answered_at), answer.heartbeats, answer.head
    )
    return require_signer(message, domain, answer.signature, agent)


def sign_rejection(
    deal_id: EscrowId,
    attestor: Signer,
    domain: Domain,
    *,
    gpu_seconds: int,
    usage_root: Hash32,
    code: str,
    text: str,
) -> Rejection:
    """Say, as an attestor, why a receipt is not signed."""
    message = RejectedReceipt(deal_id, gpu_seconds, usage_root, _hash(code), _hash(text))
    return Rejection(
        deal_id=deal_id,
        gpu_seconds=gpu_seconds,
        usage_root=usage_root,
        code=code,
        text=text,
        signer=attestor.address,
        signature=attestor.sign(message, domain),
    )


def verify_rejection(rejection: Rejection, domain: Domain, approvals: Approvals | None = None) -> Address:
    """Return the attestor, if he signed the rejection.

    Raises:
        InvalidSignature: it is not his signature; WrongSigner says whose it would be.
    """
    message = RejectedReceipt(
        rejection.deal_id,
        rejection.gpu_seconds,
        rejection.usage_root,
        _hash(rejection.code),
        _hash(rejection.text),
    )
    return require_signer(message, domain, rejection.signature, rejection.signer, approvals)


def _hash(text: str) -> Hash32:
    return Hash32.of(keccak(text=text))
