"""The log as nodes write it becomes the events of the domain."""

from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from molt_market.chain.artefacts import artefact
from molt_market.chain.events import _DECODERS, decode_logs
from molt_market.chain.interface import interface
from molt_market.domain import events
from molt_market.domain.deals import Deal, DealStatus
from molt_market.domain.ids import Address
from molt_market.errors import MoltError
from molt_market.signing.hashes import policy_id, policy_message
from tests.factories import BUYER, DEAL_ID, PROVIDER, STRANGER, make_policy, make_terms

ESCROW = Address("0x" + "e5" * 20)
POLICY = "(address,uint16,uint32,uint32,uint8,uint8,uint32,uint16,bytes32)"
TRANSACTION = "0x" + "77" * 32


def log(event: str, topics: list[tuple[str, Any]], *plain: tuple[str, Any], address: str = ESCROW) -> Any:
    names = [interface("MoltEscrow").topic(event)]
    names += ["0x" + encode([type_], [value]).hex() for type_, value in topics]
    data = encode([type_ for type_, _ in plain], [value for _, value in plain])
    return {
        "address": address.lower(),
        "topics": names,
        "data": "0x" + data.hex(),
        "transactionHash": TRANSACTION,
        "blockNumber": "0x10",
        "logIndex": "0x2",
    }


def opened(word: int) -> Any:
    terms = make_terms()
    return log(
        "DealOpened",
        [("bytes32", DEAL_ID.raw()), ("address", terms.buyer), ("address", terms.provider)],
        ("address", terms.voucher_signer),
        ("address", terms.agent),
        ("uint96", terms.price_per_gpu_hour),
        ("uint32", terms.gpu_count),
        ("uint32", terms.duration),
        ("uint32", terms.commitment),
        ("uint64", terms.slot),
        ("bytes32", terms.policy_id.raw()),
        ("bytes32", terms.order_hash.raw()),
        ("uint256", word),
    )


WIDTHS = (8, 8, 16, 16, 40, 40, 40, 40, 40, 8)  # contracts/libraries/Deals.sol


def pack(deal: Deal) -> int:
    """Pack as the contract does, written the other way round than `Deal.unpack`."""
    fields = (
        deal.status,
        deal.flags,
        deal.fee_bps,
        deal.bond_bps,
        deal.opened_at,
        deal.ends_at,
        deal.deadline,
        deal.paid,
        deal.claim,
        deal.notice_minutes,
    )
    return sum(value << sum(WIDTHS[:place]) for place, value in enumerate(fields))


deals = st.builds(Deal, st.sampled_from(DealStatus), *(st.integers(0, 2**width - 1) for width in WIDTHS[1:]))


@given(deals)
def test_deal_opened__word__is_unpacked_as_the_contract_packs(deal: Deal) -> None:
    [event] = decode_logs([opened(pack(deal))], ESCROW)
    assert isinstance(event, events.DealOpened)
    assert event.deal == deal


def test_deal_opened__carries_terms_and_where_it_was_logged() -> None:
    [event] = decode_logs([opened(1)], ESCROW)
    assert isinstance(event, events.DealOpened)
    assert (event.deal_id, event.terms) == (DEAL_ID, make_terms())
    assert (event.transaction_id, event.block, event.log_index) == (TRANSACTION, 16, 2)


def test_policy_registered__carries_the_policy_with_its_attestors() -> None:
    policy = make_policy()
    *fields, attestors_hash = policy_message(policy).as_tuple()
    entry = log(
        "PolicyRegistered",
        [("bytes32", policy_id(policy).raw())],
        (POLICY, (*fields, bytes.fromhex(attestors_hash[2:]))),
        ("address[]", policy.attestors),
    )
    [event] = decode_logs([entry], ESCROW)
    assert isinstance(event, events.PolicyRegistered)
    assert (event.policy_id, event.policy) == (policy_id(policy), policy)


def test_decode_logs__indexed_fields__stand_where_the_contract_has_them() -> None:
    entry = log("Deposited", [("address", BUYER), ("address", PROVIDER)], ("uint256", 7))
    [event] = decode_logs([entry], ESCROW)
    assert isinstance(event, events.Deposited)
    assert (event.account, event.sender, event.amount) == (BUYER, PROVIDER, 7)


def test_decode_logs__of_other_contracts_and_unknown_events__are_left_out() -> None:
    foreign = log("Deposited", [("address", BUYER), ("address", PROVIDER)], ("uint256", 7), address=STRANGER)
    unknown = {**foreign, "address": ESCROW, "topics": ["0x" + "12" * 32]}
    nameless = {**unknown, "topics": []}
    assert decode_logs([foreign, unknown, nameless], ESCROW) == ()


def test_decoders__cover_every_event_of_the_contract() -> None:
    logged = {each["name"] for each in artefact("MoltEscrow").abi if each["type"] == "event"}
    assert logged - {"EIP712DomainChanged"} == _DECODERS.keys()


def test_decode_logs__policy_out_of_bounds__is_refused() -> None:
    """The contract registers no such policy: the node made it up."""
    entry = log(
        "PolicyRegistered",
        [("bytes32", b"\x12" * 32)],
        (POLICY, (BUYER, 9_999, 1, 1, 1, 1, 1, 1, b"\0" * 32)),
        ("address[]", []),
    )
    with pytest.raises((MoltError, ValueError)):
        decode_logs([entry], ESCROW)
