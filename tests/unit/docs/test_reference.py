"""The reference's names are all there, in Python; docs/reference.md lists what the classes have."""

from __future__ import annotations

import dataclasses
import inspect
import re
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel

import molt_market
from molt_market.chain.artefacts import artefact
from tests.pages import Page, codes

PAGE = Page("reference.md")

# What the reference names, as Python, in its order.
FIELDS = {
    "JobOrder": "id buyer_id requirements max_budget created_at expires_at status priority",
    "JobRequirements": (
        "min_gpu_count min_vram_gb preferred_models max_price_per_hour estimated_hours required_features"
        " location"
    ),
    "CapacityOffer": (
        "id provider_id gpu_capacity price_per_hour available_hours min_commitment_hours created_at"
        " expires_at status features location"
    ),
    "GpuCapacity": "gpu_count gpu_model vram_gb compute_capability memory_bandwidth current_utilization",
    "Location": "region country",
    "OrderMatch": "order_id offer_id provider_id gpu_count price_per_hour hours total_cost score",
    "EscrowAccount": (
        "id state order_id offer_id buyer provider amount created_at locked_until released_at transaction_id"
    ),
    "JobSettlementInput": "escrow_id actual_hours proof provider_attestation buyer_confirmation",
    "SettlementResult": "status provider_payment buyer_refund platform_fee transactions",
}
METHODS = {
    "OrderBook": (
        "add_offer remove_offer submit_order cancel_order match_order best_offers active_offers"
        " pending_orders"
    ),
    "PaymentService": "create_job_escrow release_payment refund_payment handle_dispute",
    "Amount": "from_molt as_float",  # as_f64 there
    "OfferId": "new",
    "OrderId": "new",
    "Wallet": "from_file",
}
MEMBERS = {
    "Feature": "NVLINK INFINIBAND FP8 HIGH_BANDWIDTH_MEMORY DEDICATED_HOST",
    "Priority": "NORMAL",
    "OfferStatus": "ACTIVE",
    "OrderStatus": ("PENDING MATCHED ESCROWED RUNNING COMPLETED SETTLED FAILED REFUNDED DISPUTED RESOLVED"),
    "EscrowState": "CREATED LOCKED RELEASED REFUNDED DISPUTED",
}
VARIANTS = {"Success": "", "PartialRefund": "reason", "FullRefund": "reason", "Disputed": "dispute_id"}
ERRORS = {
    "OrderNotFound": "order_id",
    "OfferNotFound": "offer_id",
    "NoMatchingOffers": "",
    "InsufficientCapacity": "required available",
    "PriceExceedsBudget": "price budget",
    "EscrowError": "",
    "PaymentFailed": "",
    "InvalidStateTransition": "from_ to",  # `from` is a keyword
    "Expired": "what",
}
NO_DATA = {"self", "message", "args", "kwargs"}
OTHERS = (
    "Address Attestation Confirmation Dispute DisputeId DisputeResolution EscrowId ExecutionProof MoltClient"
    " Network TransactionId settle_job"
)
PARAMETERS = {
    "PaymentService.create_job_escrow": "self match buyer_wallet",  # match_result there
    "PaymentService.release_payment": "self escrow proof",
    "PaymentService.refund_payment": "self escrow reason",
    "PaymentService.handle_dispute": "self escrow dispute",
    "OrderBook.best_offers": "self requirements limit",
    "settle_job": "job payments",  # input there, a builtin here; who pays is ours
}


def each(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(owner, name) for owner, names in table.items() for name in names.split()]


def of(name: str) -> Any:
    """Find a public name, or a member of one, such as `OrderBook.add_offer`."""
    found: Any = molt_market
    for part in name.split("."):
        found = getattr(found, part)
    return found


def fields_of(kind: Any) -> list[str]:
    """Return what a value is made of, in its order; properties are not among it."""
    if issubclass(kind, BaseModel):
        return list(kind.model_fields)
    return [field.name for field in dataclasses.fields(kind)]


# ---------------------------------------------------------------- the reference


@pytest.mark.parametrize(
    "name", sorted({*FIELDS, *METHODS, *MEMBERS, *ERRORS, *OTHERS.split(), "SettlementStatus"})
)
def test_type__is_public(name: str) -> None:
    assert name in molt_market.__all__
    assert of(name).__name__ == name


@pytest.mark.parametrize(("owner", "name"), each(FIELDS))
def test_field__is_there(owner: str, name: str) -> None:
    assert name in fields_of(of(owner)) or isinstance(getattr(of(owner), name), property)


@pytest.mark.parametrize("owner", FIELDS)
def test_fields__come_first_and_in_the_references_order(owner: str) -> None:
    fields = fields_of(of(owner))
    asked = [name for name in FIELDS[owner].split() if name in fields]
    assert fields[: len(asked)] == asked


@pytest.mark.parametrize(("owner", "name"), each(METHODS))
def test_method__is_there(owner: str, name: str) -> None:
    assert callable(getattr(of(owner), name))


@pytest.mark.parametrize(("owner", "name"), each(MEMBERS))
def test_member__is_there(owner: str, name: str) -> None:
    kind: type[Enum] = of(owner)
    assert kind[name].name == name


@pytest.mark.parametrize(("name", "holds"), VARIANTS.items())
def test_settlement_status__has_the_variant(name: str, holds: str) -> None:
    variant = of(f"SettlementStatus.{name}")
    assert issubclass(variant, of("SettlementStatus"))
    assert fields_of(variant) == holds.split()


@pytest.mark.parametrize(("name", "carries"), ERRORS.items())
def test_error__is_a_market_error_and_carries_its_data(name: str, carries: str) -> None:
    error = of(name)
    assert issubclass(error, of("MarketError"))
    taken = [each for each in inspect.signature(error.__init__).parameters if each not in NO_DATA]
    assert taken == carries.split()


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_function__takes_what_the_reference_gives_it(name: str, parameters: str) -> None:
    taken = list(inspect.signature(of(name)).parameters)
    assert taken[: len(parameters.split())] == parameters.split()


def test_network__has_a_main_one_and_clients_are_made_of_networks() -> None:
    assert of("Network.MAINNET").chain_id == 1
    assert next(iter(inspect.signature(of("MoltClient")).parameters)) == "network"
    assert next(iter(inspect.signature(of("PaymentService")).parameters)) == "client"


# ---------------------------------------------------------------- the page

TYPES = [
    title.strip("`")
    for title in PAGE.sections()
    if re.fullmatch(r"`[A-Z]\w+`", title) and title not in {"`Feature`", "`SettlementStatus`"}
]


def rows(title: str) -> list[list[str]]:
    return [[cell.removeprefix("ours: ").strip("`") for cell in row] for row in PAGE.table(title)]


def test_page__has_a_section_for_every_type_with_fields() -> None:
    assert {*FIELDS, "Dispute", "DisputeResolution", "EscrowConfig", "RoleHolder"} == {*TYPES}


@pytest.mark.parametrize("name", TYPES)
def test_page__lists_the_fields_of_the_class(name: str) -> None:
    told = [row[0] for row in rows(f"`{name}`")]
    properties = [field for field in told if isinstance(getattr(of(name), field, None), property)]
    assert [field for field in told if field not in properties] == fields_of(of(name))


@pytest.mark.parametrize("name", [name for name in TYPES if len(PAGE.table(f"`{name}`")[0]) == 4])
def test_page__says_which_fields_are_required(name: str) -> None:
    required = {field for field, info in of(name).model_fields.items() if info.is_required()}
    assert {row[0] for row in rows(f"`{name}`") if row[2] == "required"} == required


@pytest.mark.parametrize("name", [*FIELDS])
def test_page__marks_what_is_ours(name: str) -> None:
    told = [row[0] for row in PAGE.table(f"`{name}`")]
    asked = [field for field in told if not field.startswith("ours: ")]
    assert asked == FIELDS[name].split()


@pytest.mark.parametrize(
    ("title", "owner"),
    [("OrderBook", "OrderBook"), ("Payment service", "PaymentService"), ("MoltClient", "MoltClient")],
)
def test_page__lists_all_public_methods(title: str, owner: str) -> None:
    told = {
        code.partition("(")[0]
        for row in PAGE.table(title)
        for code in codes(row[0])
        if not code.startswith(owner)
    }
    public = {name for name, _ in inspect.getmembers(of(owner), callable) if not name.startswith("_")}
    assert told <= public
    assert public - told <= {
        "advance",
        "advance_all",
        "present",
        "present_all",
    }  # what settle_job and settle_jobs are made of


def test_page__tells_of_every_verb_whose_signature_it_takes() -> None:
    abi = [each for each in artefact("MoltEscrow").abi if each["type"] == "function"]
    verbs = {each["name"] for each in abi if each["stateMutability"] not in {"view", "pure"}}
    told = [row[0] for row in PAGE.table("By signature")]
    *_, of_the_sender = PAGE.section("By signature").partition("These are their sender's own: ")
    own = codes(of_the_sender.partition("\n\n")[0])
    assert sorted([*told, *own]) == sorted(verbs)
    takes_bytes = {each["name"] for each in abi if any(i["type"] == "bytes" for i in each["inputs"])}
    assert takes_bytes <= {*told}


@pytest.mark.parametrize("row", PAGE.table("By signature"), ids=lambda row: row[0])
def test_page__names_what_is_signed_and_what_brings_it(row: list[str]) -> None:
    owners = {"": "", "client": "MoltClient.", "payments": "PaymentService."}
    named = [re.match(r"(?:(\w+)\.)?(\w{3,})", code) for cell in row[2:] for code in codes(cell)]
    found = [of(owners[name[1] or ""] + name[2]) for name in named if name]
    assert found
    assert all(map(callable, found))


def test_page__lists_members_variants_and_errors() -> None:
    assert PAGE.section("`Feature`").strip(".\n ").split(", ") == MEMBERS["Feature"].split()
    variants = {row[0]: row[1] for row in rows("`SettlementStatus`")}
    assert variants == {**VARIANTS, "Pending": "claimable_at"}
    told = {row[0]: " ".join(codes(row[1])).strip() for row in PAGE.table("Errors")}
    assert {name: data for name, data in told.items() if data or not ERRORS[name]} == ERRORS
