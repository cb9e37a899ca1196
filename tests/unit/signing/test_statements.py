from typing import Any

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.gpus import Feature, Location
from molt_market.domain.ids import ZERO_ADDRESS, EscrowId, Hash32, PartyId, Signature
from molt_market.domain.terms import Terms
from molt_market.errors import (
    InvalidSignature,
    InvalidValue,
    ProofMismatch,
    UnsignedOffer,
    UnsignedOrder,
    WrongSigner,
)
from molt_market.signing.hashes import deal_id, offer_hash
from molt_market.signing.messages import Permit
from molt_market.signing.signers import recover
from molt_market.signing.statements import (
    sign_offer,
    sign_order,
    sign_permit,
    sign_receipt,
    sign_voucher,
    verify_offer,
    verify_order,
    verify_receipt,
    verify_voucher,
)
from molt_market.signing.typed_data import Domain, TokenDomain
from tests.factories import POLICY_ID, make_offer, make_order, make_terms
from tests.unit.signing.keys import AGENT, BUYER, PROVIDER, STRANGER

ESCROW = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
DOMAIN = Domain(31_337, ESCROW)
OTHER_CHAIN = Domain(1, ESCROW)
OTHER_ESCROW = Domain(31_337, "0x" + "11" * 20)
DEAL_ID = EscrowId("0x" + "de" * 32)


def terms() -> Terms:
    return make_terms(voucher_signer=BUYER.address)


# -------------------------------------------------------------------------------------------- offers


def test_sign_offer__names_the_signer_as_provider() -> None:
    signed = sign_offer(make_offer(provider_id="provider-456"), PROVIDER, DOMAIN)
    assert signed.provider_id.address == PROVIDER.address
    assert verify_offer(signed, DOMAIN) == PROVIDER.address


def test_sign_offer__of_another_account__is_refused() -> None:
    with pytest.raises(WrongSigner) as caught:
        sign_offer(make_offer(provider_id=PROVIDER.address), STRANGER, DOMAIN)
    assert (caught.value.expected, caught.value.actual) == (PROVIDER.address, STRANGER.address)


def test_sign_offer__does_not_change_the_offer_given() -> None:
    offer = make_offer(provider_id=PROVIDER.address)
    sign_offer(offer, PROVIDER, DOMAIN)
    assert offer.signature is None


def test_sign_offer__survives_json() -> None:
    signed = sign_offer(make_offer(provider_id=PROVIDER.address), PROVIDER, DOMAIN)
    received = type(signed).model_validate_json(signed.model_dump_json())
    assert received == signed
    assert verify_offer(received, DOMAIN) == PROVIDER.address


def test_verify_offer__unsigned() -> None:
    with pytest.raises(UnsignedOffer) as caught:
        verify_offer(make_offer(), DOMAIN)
    assert caught.value.offer_id == "offer-1"


@pytest.mark.parametrize("domain", [OTHER_CHAIN, OTHER_ESCROW], ids=["chain", "escrow"])
def test_verify_offer__signed_for_elsewhere(domain: Domain) -> None:
    signed = sign_offer(make_offer(provider_id=PROVIDER.address), PROVIDER, domain)
    with pytest.raises(WrongSigner) as caught:
        verify_offer(signed, DOMAIN)
    assert caught.value.expected == PROVIDER.address


@pytest.mark.parametrize(
    "change",
    [
        {"price_per_hour": Amount(1)},
        {"available_hours": 25},
        {"slot": 1},
        {"max_fee_bps": 0},
        {"features": (Feature.FP8,)},
        {"location": Location(country="DE")},
        {"provider_id": PartyId(STRANGER.address)},
        {"agent": STRANGER.address},
    ],
    ids=lambda change: next(iter(change)),
)
def test_verify_offer__changed_after_signing(change: dict[str, Any]) -> None:
    signed = sign_offer(make_offer(provider_id=PROVIDER.address), PROVIDER, DOMAIN)
    with pytest.raises(WrongSigner):
        verify_offer(signed.model_copy(update=change), DOMAIN)


def test_verify_offer__malformed_signature() -> None:
    signed = make_offer(provider_id=PROVIDER.address, signature=Signature.of(bytes(65)))
    with pytest.raises(InvalidSignature):
        verify_offer(signed, DOMAIN)


# -------------------------------------------------------------------------------------------- orders


def test_sign_order__for_an_offer__binds_it() -> None:
    offer = sign_offer(make_offer(provider_id=PROVIDER.address), PROVIDER, DOMAIN)
    signed = sign_order(make_order(buyer_id="buyer-123", policy_id=None), BUYER, DOMAIN, offer)
    assert signed.offer_hash == offer_hash(offer, DOMAIN)
    assert signed.policy_id == POLICY_ID
    assert signed.buyer_id.address == verify_order(signed, DOMAIN) == BUYER.address


def test_sign_order__for_an_offer__keeps_a_policy_that_it_names() -> None:
    """A buyer never signs another policy than he chose; the book and the contract see the difference."""
    own = Hash32("0x" + "77" * 32)
    order = make_order(buyer_id=BUYER.address, policy_id=own)
    assert sign_order(order, BUYER, DOMAIN, make_offer()).policy_id == own


def test_sign_order__bound_to_another_offer__is_refused() -> None:
    order = make_order(buyer_id=BUYER.address, offer_hash="0x" + "55" * 32)
    with pytest.raises(InvalidValue, match="bound to another offer"):
        sign_order(order, BUYER, DOMAIN, make_offer())


def test_sign_order__for_the_same_offer_again() -> None:
    once = sign_order(make_order(buyer_id=BUYER.address), BUYER, DOMAIN, make_offer())
    assert sign_order(once, BUYER, DOMAIN, make_offer()) == once


def test_sign_order__for_any_offer__needs_an_opener() -> None:
    order = make_order(buyer_id=BUYER.address)
    with pytest.raises(InvalidValue, match="names no opener"):
        sign_order(order, BUYER, DOMAIN)
    for opener in (STRANGER.address, ZERO_ADDRESS):
        resting = sign_order(order.model_copy(update={"opener": opener}), BUYER, DOMAIN)
        assert verify_order(resting, DOMAIN) == BUYER.address


def test_sign_order__several_models__need_an_offer() -> None:
    order = make_order(buyer_id=BUYER.address, opener=STRANGER.address, required_models=("H100", "H200"))
    with pytest.raises(InvalidValue, match="allows 2 models"):
        sign_order(order, BUYER, DOMAIN)
    assert verify_order(sign_order(order, BUYER, DOMAIN, make_offer()), DOMAIN) == BUYER.address


def test_sign_order__of_another_account__is_refused() -> None:
    with pytest.raises(WrongSigner):
        sign_order(make_order(buyer_id=BUYER.address), STRANGER, DOMAIN, make_offer())


def test_verify_order__unsigned() -> None:
    with pytest.raises(UnsignedOrder) as caught:
        verify_order(make_order(), DOMAIN)
    assert caught.value.order_id == "order-1"


def test_verify_order__budget_raised_after_signing() -> None:
    signed = sign_order(make_order(buyer_id=BUYER.address), BUYER, DOMAIN, make_offer())
    with pytest.raises(WrongSigner):
        verify_order(signed.model_copy(update={"max_budget": Amount.from_molt(10_000)}), DOMAIN)


# ----------------------------------------------------------------------------- vouchers and receipts


def test_sign_voucher() -> None:
    voucher = sign_voucher(deal_id(terms(), DOMAIN), 3_600, BUYER, DOMAIN)
    assert (voucher.gpu_seconds, voucher.signer) == (3_600, BUYER.address)
    assert verify_voucher(voucher, terms(), DOMAIN) == BUYER.address


def test_verify_voucher__of_another_deal() -> None:
    with pytest.raises(ProofMismatch, match=DEAL_ID):
        verify_voucher(sign_voucher(DEAL_ID, 3_600, BUYER, DOMAIN), terms(), DOMAIN)


def test_verify_voucher__by_a_stranger__whatever_it_claims() -> None:
    voucher = sign_voucher(deal_id(terms(), DOMAIN), 3_600, STRANGER, DOMAIN)
    for claimed in (STRANGER.address, BUYER.address):
        with pytest.raises(WrongSigner) as caught:
            verify_voucher(voucher.model_copy(update={"signer": claimed}), terms(), DOMAIN)
        assert (caught.value.expected, caught.value.actual) == (BUYER.address, STRANGER.address)


def test_verify_voucher__raised_after_signing() -> None:
    voucher = sign_voucher(deal_id(terms(), DOMAIN), 3_600, BUYER, DOMAIN)
    with pytest.raises(WrongSigner):
        verify_voucher(voucher.model_copy(update={"gpu_seconds": 3_601}), terms(), DOMAIN)


def test_sign_voucher__above_what_the_contract_counts__is_refused() -> None:
    with pytest.raises(InvalidValue, match="uint40"):
        sign_voucher(DEAL_ID, 2**40, BUYER, DOMAIN)


def test_sign_receipt() -> None:
    receipt = sign_receipt(DEAL_ID, 7, AGENT, DOMAIN, result_digest=Hash32("0x" + "77" * 32))
    assert receipt.completed
    assert verify_receipt(receipt, DOMAIN) == receipt.signer == AGENT.address


@pytest.mark.parametrize(
    "change",
    [
        {"gpu_seconds": 8},
        {"result_digest": Hash32("0x" + "77" * 32)},
        {"usage_root": Hash32("0x" + "77" * 32)},
        {"deal_id": EscrowId("0x" + "77" * 32)},
        {"signer": STRANGER.address},
    ],
    ids=lambda change: next(iter(change)),
)
def test_verify_receipt__changed_after_signing(change: dict[str, Any]) -> None:
    receipt = sign_receipt(DEAL_ID, 7, AGENT, DOMAIN)
    with pytest.raises(WrongSigner):
        verify_receipt(receipt.model_copy(update=change), DOMAIN)


# ------------------------------------------------------------------------------------------- permits


def test_sign_permit__is_for_the_tokens_domain() -> None:
    token = TokenDomain(31_337, "0x" + "22" * 20, "Molt")
    permit = sign_permit(BUYER, token, spender=DOMAIN.escrow, value=5, nonce=2, deadline=99)
    digest = Permit(BUYER.address, DOMAIN.escrow, 5, 2, 99).digest(token)
    signature = Signature.of(permit.r.raw() + permit.s.raw() + bytes([permit.v]))
    assert recover(digest, signature) == permit.owner == BUYER.address
    assert (permit.value, permit.deadline) == (5, 99)
