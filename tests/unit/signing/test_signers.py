import pickle

import pytest
from eth_keys.constants import SECPK1_N

from molt_market.domain.ids import APPROVED, Address, Hash32, Signature
from molt_market.errors import InvalidSignature, InvalidValue, WrongSigner
from molt_market.signing.messages import Voucher
from molt_market.signing.signers import ApprovingSigner, LocalSigner, compact, recover, require_signer, split
from molt_market.signing.typed_data import Domain, TokenDomain
from tests.unit.signing.keys import BUYER_KEY

DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
SIGNER = LocalSigner.from_key(BUYER_KEY)
MESSAGE = Voucher("0x" + "de" * 32, 7)
DIGEST = MESSAGE.digest(DOMAIN)
SIGNATURE = SIGNER.sign(MESSAGE, DOMAIN)
V, R, S = split(SIGNATURE)


def join(v: int, r: int, s: int) -> Signature:
    return Signature.of(r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v]))


def test_recover__65_bytes() -> None:
    assert recover(DIGEST, SIGNATURE) == SIGNER.address


def test_recover__64_bytes__both_parities() -> None:
    parities = set()
    for gpu_seconds in range(8):
        voucher = Voucher("0x" + "de" * 32, gpu_seconds)
        signature = SIGNER.sign(voucher, DOMAIN)
        parities.add(split(signature)[0])
        assert recover(voucher.digest(DOMAIN), compact(signature)) == SIGNER.address
        assert compact(compact(signature)) == compact(signature)
    assert parities == {27, 28}


def test_recover__other_digest__is_another_account() -> None:
    assert recover(Voucher("0x" + "de" * 32, 8).digest(DOMAIN), SIGNATURE) != SIGNER.address


@pytest.mark.parametrize(
    ("v", "r", "s"),
    [
        pytest.param(55 - V, R, SECPK1_N - S, id="the other, high form of the same signature"),
        pytest.param(V - 27, R, S, id="v of 0 or 1"),
        pytest.param(29, R, S, id="v of 29"),
        pytest.param(255, R, S, id="v of 255"),
        pytest.param(V, 0, S, id="zero r"),
        pytest.param(V, R, 0, id="zero s"),
        pytest.param(27, 0, 0, id="all zero"),
        pytest.param(V, SECPK1_N, S, id="r of the order"),
        pytest.param(V, 2**256 - 1, S, id="r beyond the field"),
        pytest.param(V, 5, S, id="no point of the curve has this r"),
    ],
)
def test_recover__what_the_contract_refuses(v: int, r: int, s: int) -> None:
    with pytest.raises(InvalidSignature):
        recover(DIGEST, join(v, r, s))


def test_recover__compact_with_high_s() -> None:
    """EIP-2098 has no room for a high s, but 255 bits of s can still be above half the order."""
    high = (SECPK1_N // 2 + 1).to_bytes(32, "big")
    with pytest.raises(InvalidSignature, match="high s"):
        recover(DIGEST, Signature.of(R.to_bytes(32, "big") + high))


@pytest.mark.parametrize("signature", ["", "0x11", "0x" + "11" * 63, "0x" + "11" * 66, SIGNATURE[2:], "0xzz"])
def test_recover__wrong_length_or_no_hex(signature: str) -> None:
    with pytest.raises(InvalidSignature, match="64 or 65 bytes"):
        recover(DIGEST, signature)


def test_recover__nothing_but_an_approval() -> None:
    with pytest.raises(InvalidSignature, match="no approval is known"):
        recover(DIGEST, APPROVED)


def test_local_signer__address() -> None:
    assert SIGNER.address == Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")


def test_local_signer__repr__hides_the_key() -> None:
    assert repr(SIGNER) == f"LocalSigner({SIGNER.address})"
    assert BUYER_KEY[2:] not in repr(SIGNER) + str(SIGNER)


@pytest.mark.parametrize(
    "key", ["", "0x12", "0x" + "00" * 32, "0x" + "ff" * 32, BUYER_KEY + "00", b"\x01" * 31]
)
def test_local_signer__of_no_key__does_not_repeat_it(key: str | bytes) -> None:
    with pytest.raises(InvalidValue, match="no private key") as caught:
        LocalSigner.from_key(key)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_errors__survive_pickling() -> None:
    with pytest.raises(InvalidSignature) as caught:
        recover(DIGEST, "0x")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_approving_signer__has_the_digest_approved_and_signs_nothing() -> None:
    digests: list[Hash32] = []
    signer = ApprovingSigner(SIGNER.address, digests.append)
    assert signer.sign(MESSAGE, DOMAIN) == APPROVED
    assert digests == [Hash32.of(DIGEST)]


def test_approving_signer__for_a_token__is_refused() -> None:
    """An escrow's approval says nothing to a token or a panel."""
    digests: list[Hash32] = []
    with pytest.raises(InvalidValue, match="takes no approvals"):
        ApprovingSigner(SIGNER.address, digests.append).sign(
            MESSAGE, TokenDomain(1, "0x" + "11" * 20, "Molt")
        )
    assert digests == []


def test_require_signer__approvals__do_not_save_a_wrong_signature() -> None:
    other = Address("0x" + "11" * 20)
    assert require_signer(MESSAGE, DOMAIN, SIGNATURE, SIGNER.address) == SIGNER.address
    with pytest.raises(WrongSigner):
        require_signer(MESSAGE, DOMAIN, SIGNATURE, other, lambda *_: True)
    assert require_signer(MESSAGE, DOMAIN, APPROVED, other, lambda *_: True) == other
