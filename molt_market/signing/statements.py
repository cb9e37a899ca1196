"""Signing and verifying what the market exchanges: offers, orders, vouchers, receipts, permits.

The verify functions take `approvals` (`client.is_approved`) to know what was approved on the chain instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from molt_market.domain.ids import ZERO_HASH, Address, EscrowId, Hash32, PartyId
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.domain.proofs import Attestation, Confirmation
from molt_market.domain.terms import Terms
from molt_market.errors import InvalidValue, ProofMismatch, UnsignedOffer, UnsignedOrder, WrongSigner
from molt_market.signing.hashes import deal_id as id_of
from molt_market.signing.hashes import offer_hash, offer_message, order_message
from molt_market.signing.messages import Permit, Receipt, Voucher
from molt_market.signing.signers import Approvals, Signer, require_signer, split
from molt_market.signing.typed_data import Domain, TokenDomain


def sign_offer(offer: CapacityOffer, signer: Signer, domain: Domain) -> CapacityOffer:
    """Return the offer signed. A provider's name that is no address gives way to the signer's address.

    Raises:
        WrongSigner: the offer is another account's.
        InvalidValue: the offer names no policy.
    """
    own = offer.model_copy(update={"provider_id": _claimed(offer.provider_id, signer)})
    return own.model_copy(update={"signature": signer.sign(offer_message(own), domain)})


def verify_offer(offer: CapacityOffer, domain: Domain, approvals: Approvals | None = None) -> Address:
    """Return the provider, if he signed the offer for this escrow.

    Raises:
        UnsignedOffer: it has no signature.
        InvalidSignature: it is not the provider's of this offer; WrongSigner says whose it would be.
    """
    if offer.signature is None:
        raise UnsignedOffer(offer.id)
    message = offer_message(offer)
    return require_signer(message, domain, offer.signature, message.provider, approvals)


def sign_order(
    order: JobOrder, signer: Signer, domain: Domain, offer: CapacityOffer | None = None
) -> JobOrder:
    """Return the order signed: for `offer` alone if it is given, else for any that fits.

    An order for one offer takes over that offer's policy unless it names one. An order for any offer has to
    name who may open it: ZERO_ADDRESS lets anyone who sees the signature choose the offer. A signed order is
    filled whole: for one offer, what was said of filling it in parts falls away.

    Raises:
        WrongSigner: the order is another account's.
        InvalidValue: it is bound to another offer, or lacks a policy, an opener, or one model; or it may be
            filled in parts and is not for one offer.
    """
    own = order.model_copy(update={"buyer_id": _claimed(order.buyer_id, signer)})
    if offer is not None:
        own = _bound(own, offer, domain)
    elif own.comes_in_parts:
        raise InvalidValue(f"order {own.id} may be filled in parts: sign each part (OrderBook.fill) instead")
    elif own.offer_hash is None and own.opener is None:
        raise InvalidValue(
            f"order {own.id} takes any offer and names no opener: set opener, or sign it for one offer"
        )
    return own.model_copy(update={"signature": signer.sign(order_message(own), domain)})


def _bound(order: JobOrder, offer: CapacityOffer, domain: Domain) -> JobOrder:
    hash_ = offer_hash(offer, domain)
    if order.offer_hash not in {None, hash_}:
        raise InvalidValue(f"order {order.id} is bound to another offer than {offer.id}: unset offer_hash")
    bound = {"offer_hash": hash_, "policy_id": order.policy_id or offer.policy_id}
    return order.model_copy(update={**bound, "min_quantity": None, "split": False})


def verify_order(order: JobOrder, domain: Domain, approvals: Approvals | None = None) -> Address:
    """Return the buyer, if he signed the order for this escrow.

    Raises:
        UnsignedOrder: it has no signature.
        InvalidSignature: it is not the buyer's of this order; WrongSigner says whose it would be.
    """
    if order.signature is None:
        raise UnsignedOrder(order.id)
    message = order_message(order)
    return require_signer(message, domain, order.signature, message.buyer, approvals)


def sign_voucher(deal_id: EscrowId, gpu_seconds: int, signer: Signer, domain: Domain) -> Confirmation:
    """Release the first `gpu_seconds` of a deal, all earlier releases included, to its provider."""
    signature = signer.sign(Voucher(deal_id, gpu_seconds), domain)
    return Confirmation(deal_id=deal_id, gpu_seconds=gpu_seconds, signer=signer.address, signature=signature)


def verify_voucher(
    voucher: Confirmation, terms: Terms, domain: Domain, approvals: Approvals | None = None
) -> Address:
    """Return the deal's voucher signer, if he signed this voucher for the deal of these terms.

    Raises:
        ProofMismatch: it is of another deal.
        InvalidSignature: it is not his signature; WrongSigner says whose it would be.
    """
    deal = id_of(terms, domain)
    if voucher.deal_id != deal:
        raise ProofMismatch(
            f"the voucher is about deal {voucher.deal_id}, not {deal}: ask for one of this deal"
        )
    message = Voucher(deal, voucher.gpu_seconds)
    return require_signer(message, domain, voucher.signature, terms.voucher_signer, approvals)


def sign_receipt(
    deal_id: EscrowId,
    gpu_seconds: int,
    signer: Signer,
    domain: Domain,
    *,
    result_digest: Hash32 = ZERO_HASH,
    usage_root: Hash32 = ZERO_HASH,
) -> Attestation:
    """State, as agent or attestor, that `gpu_seconds` of a deal were available.

    A `result_digest` other than zero says that the job is completed.
    """
    signature = signer.sign(Receipt(deal_id, gpu_seconds, result_digest, usage_root), domain)
    return Attestation(
        deal_id=deal_id,
        gpu_seconds=gpu_seconds,
        result_digest=result_digest,
        usage_root=usage_root,
        signer=signer.address,
        signature=signature,
    )


def receipt_message(attestation: Attestation) -> Receipt:
    """Return what an attestation's signer signed."""
    return Receipt(
        attestation.deal_id, attestation.gpu_seconds, attestation.result_digest, attestation.usage_root
    )


def verify_receipt(attestation: Attestation, domain: Domain, approvals: Approvals | None = None) -> Address:
    """Return the attestation's signer, if he signed it. Whether he may is for `attestation.verdict` to say.

    Raises:
        InvalidSignature: it is not his signature; WrongSigner says whose it would be.
    """
    message = receipt_message(attestation)
    return require_signer(message, domain, attestation.signature, attestation.signer, approvals)


@dataclass(frozen=True, slots=True)
class SignedPermit:
    """An ERC-2612 permit, as `depositWithPermit` takes it."""

    owner: Address
    value: int
    deadline: int
    v: int
    r: Hash32
    s: Hash32


def sign_permit(
    signer: Signer, domain: TokenDomain, *, spender: Address, value: int, nonce: int, deadline: int
) -> SignedPermit:
    """Allow `spender` to take `value` base units of the signer's tokens until the Unix second `deadline`.

    `nonce` is the token's `nonces(owner)`.
    """
    signature = signer.sign(Permit(signer.address, spender, value, nonce, deadline), domain)
    v, r, s = split(signature)
    words = (Hash32.of(number.to_bytes(32, "big")) for number in (r, s))
    return SignedPermit(signer.address, value, deadline, v, *words)


def _claimed(party: PartyId, signer: Signer) -> PartyId:
    if party.address not in {None, signer.address}:
        raise WrongSigner(expected=party, actual=signer.address)
    return PartyId(signer.address)
