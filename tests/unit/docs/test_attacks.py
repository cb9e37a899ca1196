"""docs/attacks.md: every attack that the design lists, and those on a server, with tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.pages import Page, codes
from tests.unit.docs import named, sources

PAGE = Page("attacks.md")
COLUMNS = ["attack", "what happens", "tests"]

# The design's own list, one word group after the other; what is tried on a server is ours.
LIST = {
    "Signatures": """
        other chain; other deployment; other function; other deal; old voucher; high s; bad v; wrong
        length; empty; zero signer; revoked approval; 7702-delegated EOA; duplicate attestor; unsorted
        attestor; unknown attestor; threshold 0; attestor = party; expired exactly at the boundary;
        cancelled; self-trade; swapped sides; past split deadline
    """,
    "Match": """
        price outside; budget outside; GPUs outside; VRAM outside; model outside; feature outside; region
        outside; hours outside; commitment outside; policy outside; fee outside; unregistered policy;
        absurd policy; order opened twice; order opened again after a cancel; two offers of one slot;
        stranger as opener
    """,
    "Tokens": """
        fee on transfer; rebasing; no return value; returns false; returns true without moving; callbacks
        that re-enter every entry point; denylist of each party; denylist of the contract; paused; no
        code; 0 decimals; 18 decimals; 24 decimals; huge amounts; donation inside a callback
    """,
    "State": """
        double release; finalize twice; unknown deal; one second before each window; at each window; after
        each window; overflow of start + window; zero units; zero price; zero duration; voucher above
        claim; voucher after claim or dispute; interim receipt as claim; over-declared usage; stop in the
        first block; stop twice; walk away early; one-second claim; 99.9 % vouchers then silence; arbiter
        outside bounds; arbiter reverting; dispute without money for the stake; collusion below the
        threshold
    """,
    "Batch": "a bad item; a gas-burning item; over the cap",
    "Griefing": """
        dust deals; foreign lanes; permit front-run; phantom permit; credit to the wrong account; locking
        GPUs and stopping; reservation flood
    """,
    "Server": """
        forged offer, order or unlisting; replay; taking back what is another's; posting without money;
        double booking by a race; reservations without end; flood by one; flood in another's name; questions
        that take long; malformed and endless bodies; listening without reading; documents of a stranger, or
        without end; gas of the relayer; webhook into the operator's network; webhook that hangs; alerts of
        another; forged alert; server for another contract; server shows a false match; server hands out
        false vouchers; server claims a cancel; server leaves a step of the feed out; server killed in the
        middle
    """,
}
ON_THE_CHAIN = ("contracts/", "unit/orderbook/")
PLAYED_IN = {"Server": ("integration/", "kills/", "unit/")}

each_group = pytest.mark.parametrize("group", LIST)


def listed(group: str) -> list[str]:
    return [" ".join(words.split()) for words in LIST[group].split(";")]


def test_groups__are_those_of_the_design() -> None:
    assert PAGE.sections() == ["Attacks and bad input", *LIST]


@each_group
def test_group__lists_every_attack_of_the_design_in_its_order(group: str) -> None:
    assert [row[0] for row in PAGE.table(group)] == listed(group)


@each_group
def test_attack__says_what_happens(group: str) -> None:
    assert all(len(row) == len(COLUMNS) and row[1] for row in PAGE.table(group))


@each_group
def test_attack__is_shown_by_tests_that_exist(group: str) -> None:
    folders = PLAYED_IN.get(group, ON_THE_CHAIN)
    played = {name for path, names in named.tests().items() if path.startswith(folders) for name in names}
    for attack, _, cell in PAGE.table(group):
        names = codes(cell)
        assert names, attack
        assert set(names) <= played, f"{attack}: {sorted(set(names) - played)}"


def test_codes__are_the_contracts() -> None:
    told = {
        code for group in LIST for row in PAGE.table(group) for code in re.findall(r"`([A-Z_]+)`", row[1])
    }
    assert told <= set(sources.enum("Code"))
