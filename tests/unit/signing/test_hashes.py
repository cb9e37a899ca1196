from datetime import timedelta

import pytest
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st

from molt_market.domain.amounts import Amount
from molt_market.domain.gpus import Feature, Location
from molt_market.domain.ids import ZERO_ADDRESS, ZERO_HASH, Hash32
from molt_market.errors import InvalidValue
from molt_market.signing.hashes import (
    attestors_hash,
    deal_id,
    json_hash,
    model_hash,
    offer_hash,
    offer_message,
    order_hash,
    order_message,
    policy_id,
    policy_message,
    terms_message,
    terms_of,
)
from molt_market.signing.typed_data import Domain
from tests.factories import (
    AGENT,
    ATTESTORS,
    BUYER,
    NOON,
    POLICY_ID,
    PROVIDER,
    STRANGER,
    VOUCHER_SIGNER,
    make_offer,
    make_order,
    make_policy,
    make_terms,
)

DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
NOON_SECONDS = int(NOON.timestamp())
H100 = Hash32.of(keccak(text="H100"))


def test_offer_message__has_every_field_of_the_offer() -> None:
    offer = make_offer(
        gpu_count=16,
        features=(Feature.FP8, Feature.NVLINK),
        location=Location(region="us-east-1", country="us"),
        min_commitment_hours=2,
        max_fee_bps=250,
        slot=7,
        metadata_hash="0x" + "44" * 32,
        expires_at=NOON + timedelta(hours=1),
    )
    assert offer_message(offer).as_tuple() == (
        PROVIDER,
        AGENT,
        10 * 10**18,
        16,
        80,
        0b00101,
        "0x5553",
        "0x75732d656173742d31" + "00" * 23,
        H100,
        24,
        2,
        NOON_SECONDS,
        NOON_SECONDS + 3_600,
        250,
        7,
        POLICY_ID,
        "0x" + "44" * 32,
    )


def test_offer_message__defaults() -> None:
    """The provider is his own agent; a place that is not stated is zero."""
    message = offer_message(make_offer(agent=None))
    assert message.agent == PROVIDER
    assert (message.country, message.region) == ("0x0000", ZERO_HASH)


def test_offer_message__region_of_31_bytes_is_left_aligned() -> None:
    region = offer_message(make_offer(location=Location(region="r" * 31))).region
    assert region == "0x" + "72" * 31 + "00"


def test_offer_message__of_a_provider_without_account__is_refused() -> None:
    with pytest.raises(InvalidValue, match="provider 'provider-456' is not an account"):
        offer_message(make_offer(provider_id="provider-456"))


def test_offer_message__without_policy__is_refused() -> None:
    with pytest.raises(InvalidValue, match="offer offer-1 names no policy"):
        offer_message(make_offer(policy_id=None))


def test_order_message__has_every_field_of_the_order() -> None:
    order = make_order(
        max_budget=Amount.from_molt(300),
        required_features=(Feature.DEDICATED_HOST,),
        required_models=("NVIDIA H100 80GB",),
        location=Location(country="de"),
        slot=9,
        offer_hash="0x" + "55" * 32,
        opener=STRANGER,
        job_spec_hash="0x" + "66" * 32,
    )
    assert order_message(order).as_tuple() == (
        BUYER,
        VOUCHER_SIGNER,
        15 * 10**18,
        300 * 10**18,
        4,
        40,
        0b10000,
        "0x4445",
        ZERO_HASH,
        H100,
        8,
        NOON_SECONDS,
        NOON_SECONDS + 3_600,
        9,
        POLICY_ID,
        "0x" + "55" * 32,
        STRANGER,
        "0x" + "66" * 32,
    )


def test_order_message__defaults() -> None:
    """Zero means any; the buyer signs his own vouchers; the budget is what the limit price comes to."""
    message = order_message(make_order(voucher_signer=None))
    assert message.voucher_signer == BUYER
    assert message.max_budget == 15 * 4 * 8 * 10**18
    assert (message.country, message.region, message.model) == ("0x0000", ZERO_HASH, ZERO_HASH)
    assert (message.offer_hash, message.opener) == (ZERO_HASH, ZERO_ADDRESS)


def test_order_message__preferred_models_bind_nothing() -> None:
    assert order_message(make_order(preferred_models=("H100",))).model == ZERO_HASH


def test_order_message__several_models__need_an_offer() -> None:
    models = ("H100", "H200")
    with pytest.raises(InvalidValue, match="allows 2 models"):
        order_message(make_order(required_models=models))
    assert order_message(make_order(required_models=models, offer_hash="0x" + "55" * 32)).model == ZERO_HASH


def test_order_message__without_policy_or_account__is_refused() -> None:
    with pytest.raises(InvalidValue, match="order order-1 names no policy"):
        order_message(make_order(policy_id=None))
    with pytest.raises(InvalidValue, match="buyer 'buyer-123' is not an account"):
        order_message(make_order(buyer_id="buyer-123"))


def test_model_hash__is_of_the_canonical_name() -> None:
    assert model_hash("nvidia h100 80gb") == model_hash("H100") == H100


def test_hashes__ignore_what_is_not_signed() -> None:
    """Neither the book's id and status nor the signature itself is part of what is signed."""
    offer, order = make_offer(), make_order()
    other_offer = offer.model_copy(update={"id": "offer-2", "signature": "0x" + "11" * 65})
    other_order = order.model_copy(update={"id": "order-2", "priority": "high"})
    assert offer_hash(offer, DOMAIN) == offer_hash(other_offer, DOMAIN)
    assert order_hash(order, DOMAIN) == order_hash(other_order, DOMAIN)


def test_terms_of__takes_each_field_from_the_side_that_signed_it() -> None:
    offer, order = make_offer(min_commitment_hours=3, slot=5), make_order(slot=9)
    assert terms_of(offer, order, DOMAIN) == make_terms(
        commitment=3 * 3_600, slot=5, order_hash=order_hash(order, DOMAIN)
    )


def test_terms_message__has_the_fields_of_the_terms() -> None:
    terms = make_terms()
    assert terms_message(terms).as_tuple() == tuple(getattr(terms, name) for name in terms.__slots__)


def test_deal_id__belongs_to_one_escrow() -> None:
    elsewhere = Domain(1, DOMAIN.escrow)
    assert deal_id(make_terms(), DOMAIN) == deal_id(make_terms(), DOMAIN)
    assert deal_id(make_terms(), DOMAIN) != deal_id(make_terms(), elsewhere)


def test_policy_message__windows_and_attestors() -> None:
    message = policy_message(make_policy(challenge_seconds=3_600, notice_minutes=5))
    assert (message.challenge, message.notice_minutes, message.threshold) == (3_600, 5, 2)
    assert message.attestors_hash == attestors_hash(ATTESTORS)


def test_policy_id__differs_by_its_attestors() -> None:
    assert policy_id(make_policy()) != policy_id(make_policy(attestors=ATTESTORS[:2]))


def test_attestors_hash__does_not_depend_on_order() -> None:
    assert attestors_hash(ATTESTORS) == attestors_hash(reversed(ATTESTORS))


def test_attestors_hash__of_none() -> None:
    assert attestors_hash(()) == Hash32.of(keccak((32).to_bytes(32, "big") + bytes(32)))


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), min_size=2))
def test_json_hash__does_not_depend_on_the_order_of_keys(value: dict[str, int | str]) -> None:
    assert json_hash(value) == json_hash(dict(reversed(value.items())))


def test_json_hash__is_of_canonical_text() -> None:
    assert json_hash({"b": "é", "a": [1, None]}) == Hash32.of(keccak(b'{"a":[1,null],"b":"\\u00e9"}'))
