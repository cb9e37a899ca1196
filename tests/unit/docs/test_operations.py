"""docs/operations: one page for each verb of the contract, and what a page says is what the source says."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

import molt_market
from molt_market.chain.artefacts import artefact
from molt_market.chain.calls import EscrowCalls
from molt_market.chain.reader import EscrowReader
from tests.pages import DOCS, Page, plain
from tests.unit.docs import sources
from tests.unit.docs.test_parameters import constants

FOLDER = DOCS / "operations"
GAS = Path(__file__).resolve().parents[3] / "benchmarks" / "results" / "gas.json"
HEADINGS = [
    "What it does",
    "Who may call it",
    "What is signed",
    "Before",
    "Money",
    "State after",
    "Events",
    "Gas",
    "From Python",
    "What can go wrong",
]
ABI = artefact("MoltEscrow").abi
VERBS = sorted(
    each["name"]
    for each in ABI
    if each["type"] == "function" and each["stateMutability"] not in {"view", "pure"}
)
EVENTS = {
    each["name"]: [field["name"] for field in each["inputs"]] for each in ABI if each["type"] == "event"
}
INDEX = Page("operations/README.md")
PAGES = {verb: Page(f"operations/{verb}.md") for verb in VERBS if (FOLDER / f"{verb}.md").exists()}
OWNERS: dict[str, Any] = {
    "MoltClient": molt_market.MoltClient,
    "PaymentService": molt_market.PaymentService,
    "EscrowCalls": EscrowCalls,
    "Panel": molt_market.Panel,
}
NOT_SIGNED = {"TERMS", "POLICY"}  # hashed for their ids

each_page = pytest.mark.parametrize("verb", VERBS)
each_told = pytest.mark.parametrize("page", [INDEX, *PAGES.values()], ids=lambda page: page.path.stem)


def rows(verb: str, title: str) -> list[list[str]]:
    """Return the rows of a section's table; none if it has no table."""
    return PAGES[verb].table(title) if "\n|" in PAGES[verb].section(title) else []


def test_pages__are_the_verbs_of_the_contract() -> None:
    assert len(VERBS) == 25
    assert sorted(path.stem for path in FOLDER.glob("*.md")) == sorted([*VERBS, "README"])


def test_index__links_every_page() -> None:
    told = re.findall(r"^\| \[`(\w+)`\]\((\w+)\.md\)", INDEX.text, re.MULTILINE)
    assert all(name == file for name, file in told)
    assert sorted(name for name, _ in told) == VERBS


@each_page
def test_page__has_the_headings_in_their_order(verb: str) -> None:
    assert PAGES[verb].sections() == [f"`{verb}`", *HEADINGS]
    assert all(PAGES[verb].section(title).strip() for title in HEADINGS)


@each_page
def test_before__lists_the_refusals_of_the_source_in_its_order(verb: str) -> None:
    told = [row[1] for row in rows(verb, "Before")]
    found = sources.names(verb, "code")
    assert set(told) == set(found)
    remaining = iter(found)
    assert all(code in remaining for code in told), f"{told} is not in the order of {found}"


@each_page
def test_before__gives_both_figures_of_every_refusal(verb: str) -> None:
    for check, code, actual, limit in rows(verb, "Before"):
        assert check, code
        assert actual, code
        assert limit, code


@each_page
def test_page__names_no_code_that_there_is_not(verb: str) -> None:
    known = {*sources.enum("Code"), *sources.enum("Status"), *sources.enum("Side"), *sources.enum("Role")}
    told = re.findall(r"`([A-Z][A-Z_]+[A-Z])`", PAGES[verb].text)
    assert set(told) <= known


def test_codes__are_all_on_some_page() -> None:
    told = {row[1] for verb in VERBS for row in rows(verb, "Before")}
    of_the_constructor = {"DEPLOYMENT_OUT_OF_RANGE"}
    assert set(sources.enum("Code")) - told == {"NONE", *of_the_constructor}


@each_page
def test_events__are_those_of_the_source_with_their_fields(verb: str) -> None:
    told = {name: re.findall(r"\w+", fields) for name, fields, _ in rows(verb, "Events")}
    assert told == {name: EVENTS[name] for name in sources.names(verb, "event")}


@each_page
def test_signed__is_the_type_that_the_source_hashes(verb: str) -> None:
    types = set(sources.names(verb, "type")) - NOT_SIGNED
    told = {re.sub(r"\n\s*", "", block) for block in _blocks(PAGES[verb].section("What is signed"))}
    told = {each for each in told if not each.startswith("Permit(")}  # the token's
    assert told == {sources.type_strings()[name] for name in types}


def _blocks(text: str) -> list[str]:
    return re.findall(r"^```text\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)


def test_signed__all_types_are_known() -> None:
    hashed = {name for verb in VERBS for name in sources.names(verb, "type")}
    assert hashed == set(sources.type_strings())


# ---------------------------------------------------------------- gas and Python


def measured() -> set[str]:
    return {row["name"] for row in json.loads(GAS.read_text("utf-8"))}


@each_page
def test_gas__names_rows_that_are_measured(verb: str) -> None:
    told = [plain(line.removeprefix("- ")) for line in _listed(PAGES[verb].section("Gas"))]
    assert set(told) <= measured()
    assert told or "Not measured" in PAGES[verb].section("Gas")


def test_gas__every_row_is_on_a_page() -> None:
    told = {plain(line.removeprefix("- ")) for verb in VERBS for line in _listed(PAGES[verb].section("Gas"))}
    assert measured() == told


@pytest.mark.parametrize("what", ["opens", "vouchers", "claims", "finalizes"])
def test_multicall__each_further_item__costs_the_same(what: str) -> None:
    """To one part in a hundred, as the page says: calldata differs by its zeros."""
    figures = {row["name"]: row["value"] for row in json.loads(GAS.read_text("utf-8"))}
    totals = {n: n * figures[f"{what}, {n} in one multicall, each"] for n in (10, 50, 100)}
    early, late = (totals[50] - totals[10]) / 40, (totals[100] - totals[50]) / 50
    assert abs(late - early) < early / 100
    assert "to one part in a hundred" in PAGES["multicall"].section("Gas")


def _listed(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("- `")]


def spoken(page: Page) -> list[str]:
    """Return the pieces of code that a page says about Python."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", page.section("From Python"))]


def calls(page: Page) -> list[ast.Call]:
    """Return the calls among them."""
    parsed = [ast.parse(code, mode="eval").body for code in spoken(page) if "(" in code]
    return [each for each in parsed if isinstance(each, ast.Call)]


def of(function: ast.expr) -> Any:
    """Find `sign_stop`, or `PaymentService.stop`."""
    owner, _, name = ast.unparse(function).rpartition(".")
    return getattr(OWNERS[owner] if owner else molt_market, name)


@each_told
def test_python__calls_are_there_with_these_arguments(page: Page) -> None:
    assert calls(page)
    for call in calls(page):
        told = [ast.unparse(each) for each in call.args]
        named = [str(each.arg) for each in call.keywords]
        function = inspect.signature(of(call.func))
        taken = [name for name in function.parameters if name != "self"]
        assert told == taken[: len(told)], ast.unparse(call)
        own = ["self"] if "self" in function.parameters else []
        function.bind(*own, *told, **dict.fromkeys(named))


@each_told
def test_python__functions_are_named_with_their_arguments(page: Page) -> None:
    """Nothing hides from the test above by standing without brackets."""
    bare = [code for code in spoken(page) if re.fullmatch(r"\w+\.\w+|[a-z]\w+", code)]
    assert [code for code in bare if code.partition(".")[0] in OWNERS or code in molt_market.__all__] == []


def test_python__every_command_is_on_some_page() -> None:
    told = {ast.unparse(call.func) for page in (INDEX, *PAGES.values()) for call in calls(page)}
    not_of_a_verb = {
        "EscrowCalls.mint",  # the faucet's
        "MoltClient.send_unchecked",  # for tests
        "PaymentService.advance",  # what settle_job is made of
        "PaymentService.advance_all",  # what settle_jobs is made of
        "PaymentService.present",  # what every verb begins with
        "PaymentService.present_all",  # what every verb for many deals begins with
        "PaymentService.reconcile",  # the journal's: docs/payments.md
    }
    there = {
        f"{owner}.{name}"
        for owner in OWNERS
        for name, _ in inspect.getmembers(OWNERS[owner], inspect.isfunction)
        if not name.startswith("_") and not hasattr(EscrowReader, name)
    }
    assert there - told == not_of_a_verb
    of_no_verb = {
        "sign_receipt",
        "sign_relay_request",
    }  # an agent's for attestors; a market's: docs/relayer.md
    assert told >= {name for name in molt_market.__all__ if name.startswith("sign_")} - of_no_verb


# ---------------------------------------------------------------- figures and form


def figures(verb: str, title: str) -> list[int]:
    """Return the whole numbers of a section, thousands separated by commas."""
    text = PAGES[verb].section(title)
    return [int(number.replace(",", "")) for number in re.findall(r"\d{1,3}(?:,\d{3})+|\d+", text)]


def test_policy__bounds_are_the_contracts() -> None:
    bounds = {number for name, number in constants().items() if name.startswith("Policies.")}
    assert len(bounds) > 5
    assert bounds <= set(figures("registerPolicy", "Before"))


def test_roles__times_and_cap_are_the_contracts() -> None:
    fixed = constants()
    assert fixed["Roles.PAUSE"] in figures("pause", "State after")
    assert fixed["Roles.PAUSE_REST"] in figures("pause", "State after")
    assert fixed["Roles.FEE_NOTICE"] in figures("scheduleFee", "State after")
    assert fixed["Roles.MAX_FEE_BPS"] in figures("scheduleFee", "Before")


def test_multicall__share_and_reserve_are_the_contracts() -> None:
    fixed = constants()
    share, most = fixed["MoltEscrow.ITEM_GAS"], fixed["MoltEscrow.MAX_CALLS"]
    assert "uint256 needed = ITEM_GAS * 64 / 63 + 20_000;" in sources.functions()["MoltEscrow", "_item"]
    assert {share, share * 64 // 63 + 20_000, most} <= set(figures("multicall", "Before"))
    assert {share, share * 64 // 63 + 20_000, share * most} <= set(figures("multicall", "What can go wrong"))


@each_told
def test_lines__are_no_longer_than_the_other_pages(page: Page) -> None:
    long = [line for line in page.text.splitlines() if len(line) > 120 and not line.startswith(("|", "#"))]
    assert long == []


# ---------------------------------------------------------------- the reading of the source


def test_sources__libraries_called_on_values_refuse_nothing() -> None:
    """`deal.isIn(...)` and the like are not followed, so nothing may be refused or emitted there."""
    silent = {"Deals", "Lanes", "Money", "Signatures", "Hashes"}
    bodies = [body for (owner, _), body in sources.functions().items() if owner in silent]
    assert len(bodies) > 50
    assert not any("Code." in body or "emit " in body for body in bodies)


def test_sources__refusals_come_in_the_order_of_the_source() -> None:
    codes = sources.names("cancel", "code")
    assert codes == ["TOO_LATE", "BAD_SIGNATURE", "CANCEL_PENDING"]
    assert sources.names("release", "event") == ["DealClosed", "DealPaid"]


def test_sources__statuses_in_the_enums_order() -> None:
    assert sources.enum("Status") == ("NONE", "LOCKED", "CLAIMED", "DISPUTED", "RELEASED", "REFUNDED")
