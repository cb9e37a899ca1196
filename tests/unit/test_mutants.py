"""The list of mutants is that of today's contracts; what the sample showed is explained in docs/mutation.md.

The mutants themselves are tried by `make test-mutation` (four) and `make deep` (the sample).
"""

import json

from scripts.make.mutate import ENOUGH, RESULTS, SURVIVED, noticed, programs
from tests.mutation.mutator import LIST, ROOT, all_mutants, render
from tests.pages import Page

PAGE = Page("mutation.md")


def test_list__is_what_the_contracts_give() -> None:
    made = render(all_mutants())
    assert LIST.read_text("utf-8") == made, (
        "the contracts changed: run `make mutants` and commit the new list"
    )


def test_mutants__each_change_something_and_have_a_name_of_their_own() -> None:
    mutants = all_mutants()
    assert len({mutant.id for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        source = (ROOT / mutant.file).read_bytes()
        assert mutant.apply(source) != source


def test_results__enough_are_noticed() -> None:
    tried = programs(results())
    assert len(tried) >= 63  # the whole sample
    assert len(noticed(tried)) >= ENOUGH * len(tried)


def test_results__each_survivor_is_explained() -> None:
    survivors = {name for name, result in results().items() if result == SURVIVED}
    assert {name for name in survivors if f"`{name}`" not in PAGE.text} == set()


def results() -> dict[str, str]:
    found: dict[str, str] = json.loads(RESULTS.read_text("utf-8"))
    return found
