import pytest

from molt_market.chain.interface import interface
from molt_market.errors import NodeError
from tests.factories import BUYER

TOKEN = interface("MoltToken")


def test_encode__is_selector_and_words() -> None:
    data = TOKEN.encode("balanceOf", BUYER)
    assert data.hex() == "70a08231" + "00" * 12 + BUYER[2:].lower()


def test_encode__bytes__are_taken_raw_and_as_hex_text() -> None:
    """Messages write bytes as hex text, and are encoded as they are."""
    escrow = interface("MoltEscrow")
    assert escrow.encode("policyOf", "0x" + "ab" * 32) == escrow.encode("policyOf", b"\xab" * 32)


def test_decode__answer__is_its_values() -> None:
    assert TOKEN.decode("balanceOf", (7).to_bytes(32, "big")) == (7,)


@pytest.mark.parametrize("data", [b"", b"\x01" * 31])
def test_decode__no_answer_of_it__is_a_node_error(data: bytes) -> None:
    with pytest.raises(NodeError, match="balanceOf"):
        TOKEN.decode("balanceOf", data)


def test_decode_error__of_another_contract__is_none() -> None:
    assert TOKEN.decode_error(b"\x12\x34\x56\x78") is None
    assert TOKEN.decode_error(b"") is None
