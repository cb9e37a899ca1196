from typing import Any

import pytest
from eth_abi.abi import decode as decoded_by_eth_abi
from eth_abi.abi import encode as by_eth_abi
from eth_abi.exceptions import DecodingError
from eth_abi.tools._strategies import get_abi_strategy
from eth_utils.abi import get_abi_input_types, get_abi_output_types
from hypothesis import given
from hypothesis.strategies import DataObject, binary, data

from molt_market.chain.artefacts import artefact
from molt_market.chain.encoding import decoder, encoder
from tests.factories import BUYER

ABI: list[Any] = [
    each for contract in ("MoltEscrow", "MoltToken", "PanelArbiter") for each in artefact(contract).abi
]
ANSWERS = sorted({tuple(get_abi_output_types(each)) for each in ABI if each["type"] == "function"})
TYPES = sorted({tuple(get_abi_input_types(each)) for each in ABI if each["type"] == "function"})


@pytest.mark.parametrize("types", TYPES, ids=lambda types: ",".join(types)[:60] or "nothing")
@given(drawn=data())
def test_encoder__of_each_function__writes_what_eth_abi_does(
    types: tuple[str, ...], drawn: DataObject
) -> None:
    values = [drawn.draw(get_abi_strategy(each)) for each in types]
    assert encoder(types)(values) == by_eth_abi(types, values)


def test_encoder__nested__writes_what_eth_abi_does() -> None:
    types = ("(bytes[],(uint8,bytes)[])[]", "bool")
    values = [[([b"\x01" * 33, b""], [(7, b"\x02")]), ([], [])], True]
    assert encoder(types)(values) == by_eth_abi(types, values)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("uint8", 256),
        ("uint96", -1),
        ("bool", 2),
        ("bytes32", b"\x01" * 31),
        ("bytes32", "0x" + "ab" * 33),
        ("address", BUYER[:-2]),
        ("(uint8,uint8)", (1,)),
        ("(uint8,bytes)", (1, b"", 2)),
    ],
)
def test_encoder__value_that_does_not_fit__is_refused(type_: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"expected|zip"):
        encoder((type_,))((value,))


@pytest.mark.parametrize("value", [1.0, "1", None])
def test_encoder__no_whole_number__is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        encoder(("uint8",))((value,))


def test_encoder__array_of_a_fixed_length__is_not_known() -> None:
    with pytest.raises(TypeError, match="fixed length"):
        encoder(("uint8[2]",))


@pytest.mark.parametrize("types", ANSWERS, ids=lambda types: ",".join(types)[:60] or "nothing")
@given(drawn=data())
def test_decoder__of_each_answer__reads_what_eth_abi_does(types: tuple[str, ...], drawn: DataObject) -> None:
    written = by_eth_abi(types, [drawn.draw(get_abi_strategy(each)) for each in types])
    assert decoder(types)(written) == decoded_by_eth_abi(types, written)


@pytest.mark.parametrize(
    "type_", ["uint8", "uint256", "bool", "address", "bytes2", "bytes32", "(uint40,bool)"]
)
@given(words=binary(max_size=70))
def test_decoder__any_bytes__are_taken_or_refused_as_by_eth_abi(type_: str, words: bytes) -> None:
    try:
        read = decoded_by_eth_abi([type_], words)
    except DecodingError:
        with pytest.raises(DecodingError):
            decoder((type_,))(words)
    else:
        assert decoder((type_,))(words) == read


def test_decoder__dynamic__is_left_to_eth_abi() -> None:
    written = by_eth_abi(["bytes[]"], [[b"a", b""]])
    assert decoder(("bytes[]",))(written) == ((b"a", b""),)


def test_decoder__word_of_no_contract_of_ours__is_not_known() -> None:
    with pytest.raises(TypeError, match="not decoded here"):
        decoder(("int8",))
