"""The mailbox at a gateway, from its buyer's side: what it says is read within limits, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from molt_market.domain.documents import Document, PostedDocument
from molt_market.domain.ids import Hash32
from molt_market.errors import DealNotFound, InvalidValue, ServerError, ServerUnreachable, WrongSigner
from molt_market.sdk import direct, gateways
from molt_market.sdk.direct import DirectMail
from molt_market.signing.pings import sign_gateway
from molt_market.wire import messages
from molt_market.wire.messages import Documents
from molt_market.wire.problems import problem_of
from tests.factories import NOON
from tests.unit.attestation.deals import DOMAIN
from tests.unit.sdk.test_gateways import LOG, answering
from tests.unit.signing.keys import AGENT

KEY = Hash32("0x" + "0c" * 32)


def said(*numbers: int, deal: Any = LOG.deal_id) -> str:
    gateway = sign_gateway(deal, "http://127.0.0.1:9", KEY, AGENT, DOMAIN)
    posted = [
        PostedDocument(number=each, sender=AGENT.address, posted_at=NOON, document=Document(gateway=gateway))
        for each in numbers
    ]
    return Documents(documents=tuple(posted)).model_dump_json()


def saying(text: str, status: int = 200) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text.encode())

    return answer


def test_documents__come_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "PAGE", 2)
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        saying(said(*{"0": (1, 4), "4": (6,)}[handler.path.split("after=")[1].split("&")[0]]))(handler)

    with answering(answer) as url:
        found = list(DirectMail(url + "/", private=True).documents(LOG.deal_id))
    assert [each.number for each in found] == [1, 4, 6]
    assert asked[0] == f"/deals/{LOG.deal_id}/documents?after=0&limit=2"


@pytest.mark.parametrize(
    "text",
    [
        said(2, 1),
        said(1, 1),
        said(1, deal=Hash32("0x" + "99" * 32)),
        json.dumps({"documents": [{"number": 1}]}),
        "no JSON",
    ],
)
def test_documents__that_cannot_be_right__are_not_read(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "pause", lambda _: None)
    with answering(saying(text)) as url, pytest.raises(ServerUnreachable):
        list(DirectMail(url, private=True).documents(LOG.deal_id))


def test_documents__without_end__are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "pause", lambda _: None)
    monkeypatch.setattr(messages, "PAGE", 1)
    monkeypatch.setattr(gateways, "MOST_DOCUMENTS", 3)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        saying(said(int(handler.path.split("after=")[1].split("&")[0]) + 1))(handler)

    with answering(answer) as url, pytest.raises(ServerUnreachable, match="more than 3 documents"):
        list(DirectMail(url, private=True).documents(LOG.deal_id))


def test_gateway__that_declines__is_told_as_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    document = Document(gateway=sign_gateway(LOG.deal_id, "http://x", KEY, AGENT, DOMAIN))

    def mail(url: str) -> DirectMail:
        return DirectMail(url, private=True)

    unknown = problem_of(DealNotFound(LOG.deal_id)).model_dump_json()
    with answering(saying(unknown, 404)) as url:
        assert list(mail(url).documents(LOG.deal_id)) == []  # it does not have the deal yet
        with pytest.raises(DealNotFound):
            mail(url).post_document(document)
    refused = problem_of(WrongSigner("a", "b")).model_dump_json()
    with answering(saying(refused, 403)) as url, pytest.raises(WrongSigner):
        mail(url).post_document(document)
    with answering(saying("<html>", 502)) as url, pytest.raises(ServerError, match="502"):
        mail(url).post_document(document)


def test_address__that_is_not_public_or_none__is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "pause", lambda _: None)
    asked: list[str] = []
    with (
        answering(lambda handler: asked.append(handler.path)) as url,
        pytest.raises(ServerUnreachable, match="not public"),
    ):
        list(DirectMail(url).documents(LOG.deal_id))
    assert asked == []
    with pytest.raises(InvalidValue, match="no address of a gateway"):
        DirectMail("gpus.example")
