from __future__ import annotations

import copy
import inspect
import pickle
import re
from datetime import UTC, datetime

import pytest

from molt_market import errors, refusals
from molt_market.domain.amounts import MOLT, Amount, Token
from molt_market.errors import MarketError, MoltError

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
MADE = [
    errors.TokenMismatch(MOLT, Token("USDC", 6)),
    errors.InvalidQuery("price<", 6, "expected a value, as in price<2"),
    errors.UnknownModel("H1000", ["H100", "H200"]),
    errors.OrderNotFound("order-1"),
    errors.OfferNotFound("offer-1"),
    errors.NoMatchingOffers(),
    errors.InsufficientCapacity(8, 4),
    errors.PriceExceedsBudget(Amount.from_molt(3), Amount.from_molt(2)),
    errors.InvalidStateTransition("SETTLED", "PENDING"),
    errors.Expired("offer-1"),
    errors.NotReserved(),
    errors.ReservationLapsed(NOON),
    errors.TooManyReservations(32),
    errors.TooManyDocuments(10),
    errors.TooManySubscriptions(10),
    errors.ServerUnreachable("http://127.0.0.1:1", "refused"),
    errors.ServerError("http://127.0.0.1:1", "500"),
    errors.TooManyRequests(3),
    errors.WrongSigner("0xaa", "0xbb"),
    errors.JobRefused("an input has another digest"),
    errors.AgentSilent("0xde", "a result", 60),
    errors.ResultMismatch("the result's digest", "0x01", "0x02"),
    errors.CannotOpen(),
    errors.UnsignedOffer("offer-1"),
    errors.UnsignedOrder("order-1"),
    errors.DealNotFound("0xde"),
    errors.PolicyNotFound("0x90"),
    errors.NotYet("finalize", NOON),
    errors.CallReverted("panic 0x11"),
    errors.TransactionFailed("0x77"),
    errors.TransactionDropped("0x77"),
    errors.TransactionPending("0x77", 60),
    errors.TransactionRejected("0x77", "underpriced"),
    errors.InsufficientTokens(Amount.from_molt(3), Amount.from_molt(2)),
    errors.InsufficientGas("0xaa", 21_000, 5),
    errors.GasBudgetUsedUp("0xaa", 21_000, 5, NOON),
    errors.StorageUnavailable("sqlite:///market.db", "disk I/O error"),
    errors.NotFollowed(),
    errors.NotOffered("relays"),
    errors.NodesDisagree(7, "one block", "another one"),
    errors.NodeUnreachable("http://localhost:8545"),
    errors.WrongChain(31_337, 1),
    errors.AnvilNotFound("anvil"),
    errors.DeploymentNotFound(31_337),
    errors.NoFaucet(1, "USDC"),
    errors.UnsuitableToken("0xaa", "it has 19 decimals, 18 are the most"),
    errors.WalletNotFound("buyer.json"),
    errors.WrongPassword("buyer.json"),
]
OF_THE_REFERENCE = {
    "OrderNotFound",
    "OfferNotFound",
    "NoMatchingOffers",
    "InsufficientCapacity",
    "PriceExceedsBudget",
    "EscrowError",
    "PaymentFailed",
    "InvalidStateTransition",
    "Expired",
}


def error_classes() -> dict[str, type[MoltError]]:
    found = inspect.getmembers(errors, inspect.isclass)
    return {name: each for name, each in found if issubclass(each, MoltError)}


def test_tree__of_the_docstring__names_every_class() -> None:
    tree = errors.__doc__ or ""
    drawn = set(re.findall(r"\b[A-Z][a-z]\w+", tree.split("Models check")[0]))
    assert error_classes().keys() <= drawn


def test_every_class__says_in_its_docstring_when_and_what_to_do() -> None:
    assert [name for name, each in error_classes().items() if not inspect.getdoc(each)] == []


def test_market_error__is_the_base_of_the_references_nine() -> None:
    assert {
        name for name, each in error_classes().items() if issubclass(each, MarketError)
    } >= OF_THE_REFERENCE


def test_invalid_value__is_a_value_error_and_no_market_error() -> None:
    assert issubclass(errors.InvalidValue, ValueError)
    assert not issubclass(errors.InvalidValue, MarketError)


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_error__pickled_and_copied__keeps_message_and_figures(error: MoltError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_error__says_its_figures_and_a_way_out(error: MoltError) -> None:
    """Data first, then what to do after a colon (or, for a question, a mark)."""
    assert re.search(r"[:?;,] ?.*\w", str(error))
    shown = [value for value in vars(error).values() if isinstance(value, (int, str))]
    assert all(str(value) in str(error) for value in shown)


def test_classes_with_figures__are_all_tried_above() -> None:
    with_figures = {name for name, each in error_classes().items() if "__init__" in vars(each)}
    assert with_figures == {type(error).__name__ for error in MADE} | {"Refused"}


def test_insufficient_capacity__carries_both_counts() -> None:
    error = errors.InsufficientCapacity(required=8, available=4)
    assert (error.required, error.available) == (8, 4)


def test_price_exceeds_budget__says_both_amounts() -> None:
    error = errors.PriceExceedsBudget(Amount.from_molt("2.5"), Amount.from_molt(2))
    assert (
        str(error)
        == "the cheapest fitting offer costs 2.5 MOLT, the budget is 2 MOLT: raise it or ask for less"
    )


def test_not_yet__says_the_time_in_utc() -> None:
    error = errors.NotYet("finalize", NOON)
    assert error.due_at == NOON
    assert str(error) == "finalize is possible from 2026-01-01 12:00:00 UTC on: call again then"


def test_unknown_model__without_a_near_name__points_at_the_catalogue() -> None:
    assert "gpu_models.json" in str(errors.UnknownModel("??"))


def test_refused__has_no_subclass_outside_refusals() -> None:
    outside = [each for each in error_classes().values() if issubclass(each, errors.Refused)]
    assert outside == [errors.Refused]
    assert all(issubclass(each, errors.EscrowError) for each in refusals.REFUSALS.values())
