"""What is posted to be relayed: every message comes out as it went in, one at a time."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from molt_market.domain.agreements import SplitAgreement
from molt_market.domain.amounts import Amount
from molt_market.domain.disputes import Dispute
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.domain.requests import Side
from molt_market.errors import GasBudgetUsedUp, InvalidValue, TransactionPending
from molt_market.payments.gas import GasBudget
from molt_market.payments.relayer import Relayed
from molt_market.signing.agreements import (
    sign_cancellation,
    sign_concession,
    sign_ruling,
    sign_stop,
    sign_unattested_claim,
)
from molt_market.signing.relays import RelayFor, sign_relay_request
from molt_market.signing.requests import (
    sign_orders_cancellation,
    sign_withdrawal,
    sign_withdrawal_request,
)
from molt_market.signing.statements import SignedPermit, sign_voucher
from molt_market.signing.typed_data import Domain
from molt_market.wire.problems import error_of, problem_of
from molt_market.wire.relays import FIELDS, BudgetAnswer, Relay
from tests.factories import NOON
from tests.pages import Page
from tests.unit.signing.keys import BUYER, PROVIDER

DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
DEAL = EscrowId("0x" + "de" * 32)
WHEN: dict[str, Any] = {"until": NOON + timedelta(days=1)}
WORD = Hash32("0x" + "12" * 32)
BIG = 2**256 - 1
VOUCHER = sign_voucher(DEAL, 3_600, BUYER, DOMAIN)
SPLIT = SplitAgreement(deal_id=DEAL, gpu_seconds=3_600, **WHEN)
MESSAGES: list[Relayed] = [
    sign_orders_cancellation(Side.ORDERS, 3, BUYER, DOMAIN, cutoff_at=5, **WHEN),
    sign_withdrawal_request(Amount(10**28), BUYER, DOMAIN, nonce=2, **WHEN),
    sign_withdrawal(PROVIDER.address, BUYER, DOMAIN, nonce=2, **WHEN),
    SignedPermit(BUYER.address, BIG, BIG, 27, WORD, WORD),
    sign_stop(DEAL, BUYER, DOMAIN, **WHEN),
    sign_cancellation(DEAL, PROVIDER, DOMAIN, **WHEN),
    sign_unattested_claim(DEAL, 7, PROVIDER, DOMAIN, **WHEN),
    Dispute(escrow_id=DEAL, counter_hours="0.1"),
    sign_concession(DEAL, 7, BUYER, DOMAIN, **WHEN),
    sign_ruling(DEAL, 7, BUYER, DOMAIN, **WHEN),
]


def asked(message: Any) -> Any:
    return sign_relay_request(message, PROVIDER, DOMAIN, **WHEN)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda each: type(each).__name__)
def test_message__comes_out_as_it_went_in(message: Relayed) -> None:
    assert Relay.model_validate_json(Relay.of(message).model_dump_json()).message == message


@pytest.mark.parametrize("message", [VOUCHER, SPLIT])
def test_message_of_either_party__comes_with_who_is_charged(message: Any) -> None:
    again = Relay.model_validate_json(Relay.of(message, asked(message)).model_dump_json())
    assert (again.message, again.asked) == (message, asked(message))
    with pytest.raises(ValidationError, match="asked"):
        Relay.of(message)


def test_messages__are_all_that_the_relayer_takes() -> None:
    assert {type(each) for each in MESSAGES} | {type(VOUCHER), SplitAgreement} == FIELDS.keys()
    bases = get_args(Relayed)
    assert all(issubclass(kind, bases) for kind in FIELDS)


def test_permits_figures__are_text__which_no_reader_rounds() -> None:
    told = json.loads(Relay.of(MESSAGES[3]).model_dump_json())["permit"]
    assert (told["value"], told["deadline"]) == (str(BIG), str(BIG))
    for wrong in ("-1", "1.5", "9" * 79, "", "٣", 2**256, 1.5):
        with pytest.raises(ValidationError):
            Relay.model_validate({"permit": told | {"value": wrong}})


def test_relay__of_none_or_two__or_of_something_else__is_refused() -> None:
    stop, ruling = MESSAGES[4], MESSAGES[9]
    for given in ({}, {"stop": stop, "ruling": ruling}, {"stop": stop, "asked": asked(VOUCHER)}):
        with pytest.raises(ValidationError):
            Relay.model_validate(given)
    with pytest.raises(InvalidValue, match="nothing that is relayed"):
        Relay.of("a letter")  # type: ignore[arg-type]


def test_budget__and_what_is_raised_when_it_is_used_up__keep_their_figures() -> None:
    budget = GasBudget(BUYER.address, 10**20, 5, NOON)
    assert BudgetAnswer.model_validate_json(BudgetAnswer.of(budget).model_dump_json()).budget == budget
    error = GasBudgetUsedUp(BUYER.address, 10**20, 5, NOON)
    problem = problem_of(error)
    assert problem.status == 409
    again = error_of(type(problem).model_validate_json(problem.model_dump_json()))
    assert vars(again) == vars(error)
    assert problem_of(TransactionPending("0x77", 60)).status == 503


def test_page__has_the_type_that_is_signed_and_the_fields() -> None:
    told = Page("relayer.md").section("Over HTTP")
    assert RelayFor.type_string() in told
    assert all(f"`{name}`" in told for name in Relay.model_fields)
