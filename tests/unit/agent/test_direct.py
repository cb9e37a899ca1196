"""What is handed to a gateway directly: as if it had lain at the market, once, and only by the buyer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from molt_market.agent import mail
from molt_market.agent.at_market import AtMarket
from molt_market.agent.ports import Ended
from molt_market.agent.server import create_app
from molt_market.agent.steps import Steps
from molt_market.domain.deals import DealStatus
from molt_market.domain.documents import MAX_LETTER, Document, DocumentKind, PostedDocument
from molt_market.domain.ids import ZERO_HASH
from molt_market.domain.jobs import HandOverAnswer
from molt_market.signing.letters import sign_letter
from molt_market.signing.statements import sign_receipt, sign_voucher
from molt_market.storage.database import Database
from molt_market.wire.messages import Documents
from tests.factories import NOON
from tests.unit.agent.machine import BATCH, Play, deal_id, record
from tests.unit.agent.test_server import served
from tests.unit.attestation.deals import DOMAIN
from tests.unit.signing.keys import AGENT, BUYER, PROVIDER, STRANGER

HERE = f"/deals/{deal_id(1)}/documents"


@pytest.fixture
def play(database: Database, tmp_path: Path) -> Play:
    made = Play(database, tmp_path)
    made.facts.put(record(1))
    made.desk.take_up()
    return made


@pytest.fixture
def http(play: Play) -> Iterator[httpx.Client]:
    with served(create_app(play.here)) as client:
        yield client


def post(http: httpx.Client, document: Document, path: str = HERE) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    return http.post(path, content=document.model_dump_json(exclude_none=True), headers=headers)


def left(http: httpx.Client, **params: Any) -> Documents:
    return Documents.model_validate_json(http.get(HERE, params=params).content)


def voucher(gpu_seconds: int = 100) -> Document:
    return Document(voucher=sign_voucher(deal_id(1), gpu_seconds, BUYER, DOMAIN))


def step(play: Play) -> None:
    play.clock.advance(10)
    play.here.heartbeats.beat_all()
    Steps(play.here).step(deal_id(1))


def test_job__handed_over_with_the_market_down__runs_and_is_answered_at_once(
    play: Play, http: httpx.Client
) -> None:
    play.market.is_down = True
    step(play)
    assert post(http, play.letter(1, BATCH)).status_code == 201
    step(play)
    assert len(play.machine.started) == 1
    play.machine.jobs[deal_id(1)] = Ended(0)
    step(play)
    found = left(http).documents
    assert [each.document.kind.value for each in found] == ["gateway", "letter", "letter", "receipt"]
    assert {each.sender for each in found} == {AGENT.address}
    letters = [each.document.letter for each in found if each.document.letter]
    answers = [HandOverAnswer.model_validate_json(play.key.open(each.sealed)) for each in letters]
    assert answers[0].access is not None
    assert answers[1].result is not None
    assert left(http, after=found[1].number).documents == found[2:]
    assert left(http, kind="receipt", limit=1).documents == found[3:]
    assert play.market.posted == {}

    play.market.is_down = False
    AtMarket(play.here).look()
    assert sorted(play.market.kinds(deal_id(1))) == ["gateway", "letter", "letter", "receipt"]


def test_letter__that_comes_both_ways__is_done_once(play: Play, http: httpx.Client) -> None:
    letter = play.letter(1, BATCH)
    numbers = [post(http, letter).json()["number"] for _ in range(2)]
    assert numbers[0] == numbers[1]
    play.go()
    play.market.post_document(letter)
    play.go(times=2)
    assert post(http, letter).json()["number"] == numbers[0]
    play.go()
    assert len(play.machine.started) == len(play.answers(1)) == 1


def test_voucher__is_kept__and_passed_on_to_the_market_once(play: Play, http: httpx.Client) -> None:
    for gpu_seconds in (100, 300, 200, 300):
        assert post(http, voucher(gpu_seconds)).status_code == 201
    play.go(times=2)
    kept = play.of(1).voucher
    assert kept is not None
    assert kept.gpu_seconds == 300
    assert play.market.kinds(deal_id(1)).count("voucher") == 3
    assert {each.document.kind for each in left(http).documents} == {DocumentKind.GATEWAY}


def of_a_stranger(play: Play) -> Document:
    return play.letter(1, BATCH, sender=STRANGER)


def of_the_provider(play: Play) -> Document:
    return play.letter(1, BATCH, sender=PROVIDER)


def for_another(_: Play) -> Document:
    return Document(letter=sign_letter(deal_id(1), PROVIDER.address, "AAAA", BUYER, DOMAIN))


def forged(play: Play) -> Document:
    signed = play.letter(1, BATCH).letter
    assert signed is not None
    return Document(letter=signed.model_copy(update={"sealed": "AAAA"}))


def voucher_of_a_stranger(_: Play) -> Document:
    return Document(voucher=sign_voucher(deal_id(1), 100, STRANGER, DOMAIN))


def of_another_deal(play: Play) -> Document:
    return play.letter(2, BATCH)


def receipt(_: Play) -> Document:
    return Document(
        receipt=sign_receipt(deal_id(1), 1, AGENT, DOMAIN, result_digest=ZERO_HASH, usage_root=ZERO_HASH)
    )


@pytest.mark.parametrize(
    ("document", "status", "code"),
    [
        (of_a_stranger, 403, "WrongSigner"),
        (of_the_provider, 403, "WrongSigner"),
        (for_another, 403, "WrongSigner"),
        (forged, 403, "WrongSigner"),
        (voucher_of_a_stranger, 403, "WrongSigner"),
        (of_another_deal, 409, "ProofMismatch"),
        (receipt, 422, "InvalidValue"),
        (lambda _: Document(), 422, "InvalidValue"),
    ],
)
def test_document__of_a_stranger_or_for_something_else__is_refused(
    play: Play, http: httpx.Client, document: Callable[[Play], Document], status: int, code: str
) -> None:
    answer = post(http, document(play))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert play.usage.mail(deal_id(1)) == []


def test_deal__that_is_not_here_or_over__takes_nothing(play: Play, http: httpx.Client) -> None:
    other = post(http, play.letter(9, BATCH), f"/deals/{deal_id(9)}/documents")
    assert (other.status_code, other.json()["code"]) == (404, "DealNotFound")
    assert http.get(f"/deals/{deal_id(9)}/documents").status_code == 404
    play.later(1, status=DealStatus.RELEASED)
    play.go()
    assert post(http, voucher()).json()["code"] == "DealNotFound"
    assert left(http).documents == ()  # he had left nothing, and that can still be read


def test_documents__too_large_or_too_many__are_refused(
    play: Play, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = play.letter(1, BATCH).model_dump(mode="json", exclude_none=True)
    large = letter | {"letter": letter["letter"] | {"sealed": "A" * (MAX_LETTER + 4)}}
    assert http.post(HERE, json=large).json()["code"] == "InvalidValue"
    assert http.post(HERE, json=letter | {"more": "x" * 1_000_000}).status_code == 413
    monkeypatch.setattr(mail, "MOST", {DocumentKind.LETTER: 2, DocumentKind.VOUCHER: 1})
    first = play.letter(1, BATCH)
    assert [post(http, each).status_code for each in (first, play.letter(1, BATCH))] == [201, 201]
    refused = post(http, play.letter(1, BATCH))
    assert (refused.status_code, refused.json()["code"]) == (429, "TooManyDocuments")
    assert post(http, first).status_code == 201  # it is there
    assert [post(http, voucher(each)).status_code for each in (100, 200)] == [201, 429]
    play.go(times=2)
    assert len(play.machine.started) == 1  # what the agent says himself is not counted


def test_letter__that_a_lying_market_shows_for_another_deal__is_nobodys(play: Play) -> None:
    """Who buys one deal, and has the market's help, hands over nothing for another one."""
    mine = record(2)
    play.facts.put(replace(mine, terms=replace(mine.terms, buyer=STRANGER.address)))
    play.desk.take_up()
    letter = play.letter(1, BATCH, sender=STRANGER)
    shown = PostedDocument(number=1, sender=STRANGER.address, posted_at=NOON, document=letter)
    play.market.posted[deal_id(2)] = [shown]
    play.go(times=2)
    assert play.machine.started == []
    assert all(each.document.letter is None for each in play.usage.mail(deal_id(1)))
