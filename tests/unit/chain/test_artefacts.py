"""What the wheel knows of the contracts, held against code as a chain would have it."""

import pytest

from molt_market.chain.artefacts import WORD_BYTES, Artefact, artefact
from molt_market.domain.ids import Address

TOKEN = Address("0x" + "ab" * 20)


def deployed(contract: Artefact, **values: int) -> bytes:
    """Return the code as it is deployed: the immutables' values put in at all their places."""
    code = bytearray(contract.runtime_code)
    for name, places in contract.immutables.items():
        for start in places:
            code[start : start + WORD_BYTES] = values.get(name, 0).to_bytes(WORD_BYTES, "big")
    return bytes(code)


@pytest.fixture
def escrow() -> Artefact:
    return artefact("MoltEscrow")


def test_is_code__with_any_values__is_ours(escrow: Artefact) -> None:
    assert escrow.is_code(deployed(escrow, token=TOKEN.number(), withdrawDelay=900))
    assert escrow.is_code(deployed(escrow, token=1))


def test_immutable__is_read_from_the_code(escrow: Artefact) -> None:
    code = deployed(escrow, token=TOKEN.number(), withdrawDelay=900)
    assert Address.of(escrow.immutable("token", code)) == TOKEN
    assert escrow.immutable("withdrawDelay", code) == 900


def test_is_code__one_byte_changed__is_not(escrow: Artefact) -> None:
    immutable = {
        start + offset
        for places in escrow.immutables.values()
        for start in places
        for offset in range(WORD_BYTES)
    }
    code = deployed(escrow)
    for place in range(0, len(code), 97):
        if place not in immutable:
            changed = code[:place] + bytes([code[place] ^ 1]) + code[place + 1 :]
            assert not escrow.is_code(changed), place


def test_is_code__one_copy_of_a_value_changed__is_not(escrow: Artefact) -> None:
    """A token that is another one in one place only would be a trap."""
    code = bytearray(deployed(escrow, token=TOKEN.number()))
    code[escrow.immutables["token"][1] + WORD_BYTES - 1] ^= 1
    assert not escrow.is_code(bytes(code))


@pytest.mark.parametrize("length", [0, 100, -1])
def test_is_code__of_another_length__is_not(escrow: Artefact, length: int) -> None:
    assert not escrow.is_code(deployed(escrow)[:length])
