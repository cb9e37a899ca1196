"""Types, hashes and signers against the contract's libraries."""

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from eth_keys.constants import SECPK1_N
from web3 import Web3
from web3.contract import Contract

from molt_market.domain.ids import ZERO_ADDRESS, Signature
from molt_market.errors import InvalidSignature
from molt_market.signing.hashes import attestors_hash
from molt_market.signing.messages import Permit, Side, Voucher
from molt_market.signing.signers import compact, recover
from molt_market.signing.typed_data import Domain
from tests.parity.samples import MESSAGES, address, call_many, sample
from tests.unit.signing.keys import BUYER

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"
DOMAIN = Domain(31_337, "0x" + "11" * 20)
COUNT = 40
SIGNED_HERE = [kind for kind in MESSAGES if kind is not Permit]  # the token's own
TAKES_A_STRUCT = {"Offer", "Order", "Terms", "Policy"}


def declared_types() -> dict[str, str]:
    """Read the constants of Hashes.sol: name of the type -> type string, in the file's order."""
    source = (CONTRACTS / "libraries" / "Hashes.sol").read_text("utf-8")
    found = re.findall(r'(\w+)_TYPEHASH\s*=\s*keccak256\(\s*"([^"]+)"', source)
    assert all(text.startswith(name.replace("_", " ").title().replace(" ", "") + "(") for name, text in found)
    return {text.split("(")[0]: text for _, text in found}


def test_type_strings__are_those_of_the_source() -> None:
    assert {kind.__name__: kind.type_string() for kind in SIGNED_HERE} == declared_types()


def test_type_hashes__are_those_of_the_chain(hashes: Contract) -> None:
    by_name = {kind.__name__: kind.type_hash() for kind in SIGNED_HERE}
    assert hashes.functions.typeHashes().call() == [by_name[name] for name in declared_types()]


@pytest.mark.parametrize("kind", SIGNED_HERE, ids=lambda kind: kind.__name__)
def test_struct_hashes(chain: Web3, hashes: Contract, kind: type[Voucher]) -> None:
    rng = random.Random(kind.__name__)
    messages = [sample(kind, rng) for _ in range(COUNT)]
    if kind.__name__ == "CancelOrders":  # the chain takes an enum, not any number
        messages = [replace(m, side=rng.choice(list(Side))) for m in messages]  # type: ignore[type-var]
    function = hashes.functions[kind.__name__[0].lower() + kind.__name__[1:]]
    given = [m.as_tuple() for m in messages]
    calls = [function(values) if kind.__name__ in TAKES_A_STRUCT else function(*values) for values in given]
    assert call_many(chain, calls) == [message.hash_struct() for message in messages]


def test_attestors_hash(chain: Web3, hashes: Contract) -> None:
    rng = random.Random(3)
    sets = [sorted((address(rng) for _ in range(size)), key=lambda each: each.number()) for size in range(17)]
    found = call_many(chain, [hashes.functions.attestors(members) for members in sets])
    assert found == [attestors_hash(members).raw() for members in sets]


def test_recover__takes_and_refuses_the_same(chain: Web3, hashes: Contract) -> None:
    """Good signatures in both forms, and every way to spoil one."""
    rng = random.Random(5)
    cases = [(digest, spoilt) for digest in map(_digest, range(30)) for spoilt in _signatures(digest, rng)]
    found = call_many(chain, [hashes.functions.recover(digest, signature) for digest, signature in cases])
    assert [_recovered(digest, signature) for digest, signature in cases] == found
    assert ZERO_ADDRESS in found
    assert BUYER.address in found


def _digest(number: int) -> bytes:
    return Voucher("0x" + "de" * 32, number).digest(DOMAIN)


def _recovered(digest: bytes, signature: bytes) -> str:
    try:
        return recover(digest, "0x" + signature.hex())
    except InvalidSignature:
        return ZERO_ADDRESS


def _signatures(digest: bytes, rng: random.Random) -> list[bytes]:
    good = BUYER._account.unsafe_sign_hash(digest).signature  # type: ignore[arg-type]
    r, s, v = good[:32], int.from_bytes(good[32:64], "big"), good[64]
    high = (SECPK1_N - s).to_bytes(32, "big")
    flipped = bytearray(good)
    flipped[rng.randrange(64)] ^= 1 << rng.randrange(8)
    return [
        bytes(good),
        Signature(compact("0x" + good.hex())).raw(),
        r + high + bytes([55 - v]),
        r + high,
        good[:64] + bytes([v - 27]),
        good[:64] + bytes([rng.randrange(256)]),
        bytes(32) + good[32:],
        r + bytes(32) + bytes([v]),
        SECPK1_N.to_bytes(32, "big") + good[32:],
        r + SECPK1_N.to_bytes(32, "big") + bytes([v]),
        bytes(flipped),
        rng.randbytes(65),
        rng.randbytes(64),
        rng.randbytes(32) + (rng.getrandbits(255) >> 1).to_bytes(32, "big") + bytes([rng.choice([27, 28])]),
        b"",
        bytes(65),
        bytes(64),
        good[:63],
        good + b"\x00",
    ]
