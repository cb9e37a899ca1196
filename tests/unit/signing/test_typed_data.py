import pytest
from eth_account.messages import _hash_eip191_message, encode_typed_data

from molt_market.domain.ids import Address
from molt_market.errors import InvalidValue
from molt_market.signing.messages import CancelOrders, Offer, Permit, Receipt, Side, Stop, Voucher
from molt_market.signing.typed_data import Domain, TokenDomain

ESCROW = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
DOMAIN = Domain(31_337, ESCROW)
DEAL = "0x" + "de" * 32


def test_type_string__is_soliditys() -> None:
    assert Receipt.type_string() == (
        "Receipt(bytes32 dealId,uint40 gpuSeconds,bytes32 resultDigest,bytes32 usageRoot)"
    )


def test_digest__is_eth_accounts() -> None:
    """eth-account has its own EIP-712 encoder."""
    receipt = Receipt(DEAL, 2**40 - 1, "0x" + "01" * 32, "0x" + "00" * 32)
    assert receipt.digest(DOMAIN) == _hash_eip191_message(
        encode_typed_data(full_message=receipt.as_typed_data(DOMAIN))
    )


def test_digest__differs_by_type_even_with_equal_fields() -> None:
    assert Stop(DEAL, 7).digest(DOMAIN) != Voucher(DEAL, 7).digest(DOMAIN)


@pytest.mark.parametrize(
    "other",
    [
        Domain(1, ESCROW),
        Domain(31_337, "0x" + "11" * 20),
        TokenDomain(31_337, ESCROW, "Molt"),
        TokenDomain(31_337, ESCROW, "MoltEscrow", "2"),
    ],
    ids=["chain", "contract", "name", "version"],
)
def test_digest__differs_by_each_part_of_the_domain(other: Domain) -> None:
    voucher = Voucher(DEAL, 1)
    assert voucher.hash_struct() == Voucher(DEAL, 1).hash_struct()
    assert voucher.digest(other) != voucher.digest(DOMAIN)


def test_as_typed_data__writes_integers_as_text() -> None:
    permit = Permit(ESCROW, ESCROW, 2**256 - 1, 0, 5)
    data = permit.as_typed_data(TokenDomain(1, ESCROW, "Molt"))
    assert data["message"]["value"] == str(2**256 - 1)
    assert data["domain"] == {"name": "Molt", "version": "1", "chainId": 1, "verifyingContract": ESCROW}


def test_as_tuple__is_in_the_order_of_the_struct() -> None:
    assert CancelOrders(ESCROW, Side.ORDERS, 3, 4, 5).as_tuple() == (ESCROW, 1, 3, 4, 5)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (Voucher(DEAL, 2**40), "Voucher.gpuSeconds"),
        (Voucher(DEAL, -1), "Voucher.gpuSeconds"),
        (Voucher(DEAL, 1.0), "Voucher.gpuSeconds"),  # type: ignore[arg-type]
        (Voucher(DEAL[:-2], 1), "Voucher.dealId"),
        (Voucher(DEAL[2:] + "00", 1), "Voucher.dealId"),
        (Voucher(DEAL[:-2] + "  ", 1), "Voucher.dealId"),
        (Voucher(DEAL[:-2] + "zz", 1), "Voucher.dealId"),
        (Voucher(b"\x01" * 32, 1), "Voucher.dealId"),  # type: ignore[arg-type]
        (CancelOrders("0x00", Side.OFFERS, 0, 0, 0), "CancelOrders.account"),  # type: ignore[arg-type]
    ],
)
def test_digest__of_a_value_that_does_not_fit__is_refused(message: Voucher, field: str) -> None:
    with pytest.raises(InvalidValue, match=field):
        message.digest(DOMAIN)


@pytest.mark.parametrize("chain_id", [0, -1, True, 2**256, "1"])
def test_domain__of_an_impossible_chain__is_refused(chain_id: int) -> None:
    with pytest.raises(InvalidValue, match="chain id"):
        Domain(chain_id, ESCROW)


def test_domain__of_no_address__is_refused() -> None:
    with pytest.raises(InvalidValue, match="address"):
        Domain(1, "escrow.eth")


def test_messages__are_values() -> None:
    assert Voucher(DEAL, 1) == Voucher(DEAL, 1)
    assert hash(Voucher(DEAL, 1)) == hash(Voucher(DEAL, 1))
    with pytest.raises(AttributeError):
        Voucher(DEAL, 1).gpu_seconds = 2  # type: ignore[misc]
    assert len(Offer.type_hash()) == 32
