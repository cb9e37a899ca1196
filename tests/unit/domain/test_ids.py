from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from molt_market.domain.ids import (
    APPROVED,
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    DisputeId,
    EscrowId,
    Hash32,
    OfferId,
    OrderId,
    PartyId,
    Signature,
    TransactionId,
)
from molt_market.errors import InvalidValue

# The examples of EIP-55 itself.
CHECKSUMMED = [
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("kind", [OfferId, OrderId, DisputeId])
def test_new__twice__gives_two_ids(kind: type[OfferId]) -> None:
    first, second = kind.new(), kind.new()
    assert first != second
    assert len(first) == 32


def test_new__of_given_randomness__is_that() -> None:
    assert OfferId.new(bytes(range(16))) == "000102030405060708090a0b0c0d0e0f"


@pytest.mark.parametrize("text", ["", " ", "a b", "x" * 129, "-x", "a\n", "é"])
def test_id__of_another_shape__is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not an id"):
        OrderId(text)


@pytest.mark.parametrize("value", [1, None, b"offer"])
def test_id__of_no_text__is_refused(value: Any) -> None:
    with pytest.raises(InvalidValue):
        OfferId(value)


@pytest.mark.parametrize("kind", [Hash32, EscrowId, TransactionId])
def test_hash__is_kept_in_lower_case(kind: type[Hash32]) -> None:
    assert kind("0x" + "AB" * 32) == kind.of(b"\xab" * 32) == "0x" + "ab" * 32
    assert kind("0x" + "AB" * 32).raw() == b"\xab" * 32


@pytest.mark.parametrize(
    "text", ["ab" * 32, "0x" + "ab" * 31, "0x" + "ab" * 33, "0x" + "zz" * 32, "0X" + "ab" * 32]
)
def test_hash__of_another_shape__is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="64 hexadecimal digits"):
        Hash32(text)


@pytest.mark.parametrize("length", [64, 65])
def test_signature__of_64_or_65_bytes__is_taken(length: int) -> None:
    assert Signature.of(bytes(length)).raw() == bytes(length)


def test_approved__is_a_signature_of_no_bytes() -> None:
    assert Signature("0x") == Signature.of(b"") == APPROVED


@pytest.mark.parametrize("length", [1, 63, 66])
def test_signature__of_another_length__is_refused(length: int) -> None:
    with pytest.raises(InvalidValue, match="is not a signature"):
        Signature.of(bytes(length))


@pytest.mark.parametrize("address", CHECKSUMMED)
def test_address__in_any_pure_case__is_spelled_as_eip_55_does(address: str) -> None:
    digits = address[2:]
    assert Address("0x" + digits.lower()) == Address("0x" + digits.upper()) == Address(address) == address


def test_address__in_a_wrong_mixed_case__is_refused() -> None:
    with pytest.raises(InvalidValue, match="look for a typo"):
        Address(CHECKSUMMED[0].swapcase().replace("0X", "0x"))


@pytest.mark.parametrize("text", ["0x1", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "provider-1", ""])
def test_address__of_another_shape__is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not an address"):
        Address(text)


@given(st.integers(0, 2**160 - 1))
def test_address__of_a_number_and_back__is_the_same(number: int) -> None:
    assert Address.of(number).number() == number


def test_party__that_is_an_address__is_spelled_and_found() -> None:
    party = PartyId(CHECKSUMMED[0].lower())
    assert (party, party.address) == (CHECKSUMMED[0], Address(CHECKSUMMED[0]))


def test_party__that_is_a_name__has_no_address() -> None:
    assert PartyId("provider-456").address is None


@pytest.mark.parametrize("text", ["", "a b", "\x1b[0m", "ü", "x" * 129])
def test_party__of_another_shape__is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not a party"):
        PartyId(text)


def test_zeros__are_zero() -> None:
    assert ZERO_ADDRESS.number() == 0
    assert ZERO_HASH.raw() == bytes(32)


@pytest.mark.parametrize(
    "value", [OfferId("o-1"), EscrowId.of(bytes(32)), Address.of(5), PartyId("p"), OrderId("o")]
)
def test_id__pickled_or_copied__keeps_its_type(value: str) -> None:
    for twin in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
        assert (type(twin), twin) == (type(value), value)


def test_id__in_a_model__is_text_in_json_and_typed_in_python() -> None:
    adapter = TypeAdapter(EscrowId)
    found = adapter.validate_json('"0x' + "AB" * 32 + '"')
    assert (type(found), adapter.dump_json(found)) == (EscrowId, b'"0x' + b"ab" * 32 + b'"')
    assert adapter.json_schema() == {"type": "string", "pattern": "^(?:0x[0-9a-fA-F]{64})$"}
    with pytest.raises(ValidationError, match="64 hexadecimal digits"):
        adapter.validate_python("0x12")
