"""What a gateway answers over HTTP, and how it refuses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from molt_market.agent.server import create_app
from molt_market.api.limits import Limits
from molt_market.attestation.usage import Heartbeat
from molt_market.domain.handling import HandlingPhase
from molt_market.domain.ids import ZERO_HASH, Hash32
from molt_market.domain.pings import PingAnswer
from molt_market.errors import InvalidSignature
from molt_market.signing.pings import verify_ping_answer
from molt_market.storage.database import Database
from molt_market.wire.problems import MEDIA_TYPE
from tests.unit.agent.machine import BATCH, Play, deal_id, record
from tests.unit.attestation.deals import DOMAIN
from tests.unit.signing.keys import AGENT, STRANGER

NONCE = Hash32("0x" + "ab" * 32)


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


@contextmanager
def served(app: FastAPI) -> Iterator[httpx.Client]:
    """Serve an app on this machine for the length of the block."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            yield client
        server.should_exit = True
        thread.join()


def test_ping__is_answered_with_the_logs_length_and_head(play: Play, http: httpx.Client) -> None:
    asked = {"deal_id": deal_id(1), "nonce": NONCE}
    first = PingAnswer.model_validate_json(http.post("/pings", json=asked).content)
    assert (first.heartbeats, first.head, first.answered_at) == (0, ZERO_HASH, play.clock.now())
    play.go(times=3)
    second = PingAnswer.model_validate_json(http.post("/pings", json=asked).content)
    verify_ping_answer(second, AGENT.address, DOMAIN)
    with pytest.raises(InvalidSignature):
        verify_ping_answer(second, STRANGER.address, DOMAIN)
    assert (second.nonce, second.heartbeats, second.head) == (NONCE, 3, play.usage.log(deal_id(1)).head)


def test_heartbeats__come_page_by_page(play: Play, http: httpx.Client) -> None:
    play.go(times=5)
    got: list[Heartbeat] = []
    while page := http.get(f"/deals/{deal_id(1)}/heartbeats", params={"after": len(got), "limit": 2}).json():
        if not page["heartbeats"]:
            break
        got += [Heartbeat.model_validate(each) for each in page["heartbeats"]]
    assert got == list(play.usage.log(deal_id(1)).heartbeats)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"/deals/{deal_id(9)}/heartbeats", 404, "DealNotFound"),
        (f"/deals/{deal_id(9)}/files/out", 404, "DealNotFound"),
        (f"/deals/{deal_id(1)}/files/out", 403, "NotTheTokenOfThisDeal"),
        (f"/deals/{deal_id(1)}/heartbeats?limit=1001", 422, "InvalidValue"),
        ("/deals/1/heartbeats", 422, "InvalidValue"),
        ("/nowhere", 404, "NotFound"),
    ],
)
def test_problem__says_what_is_wrong(http: httpx.Client, path: str, status: int, code: str) -> None:
    answer = http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == MEDIA_TYPE


def test_deal__that_waits_for_gpus__answers_for_none_and_takes_letters(
    play: Play, http: httpx.Client
) -> None:
    play.facts.put(record(2), record(3))
    play.desk.take_up()
    assert play.of(3).phase is HandlingPhase.WAITING
    asked = {"deal_id": deal_id(3), "nonce": "0x" + "ab" * 32}
    assert http.post("/pings", json=asked).json()["code"] == "DealNotFound"
    assert http.get(f"/deals/{deal_id(3)}/heartbeats").json()["code"] == "DealNotFound"
    given = play.letter(3, BATCH).model_dump_json(exclude_none=True)
    headers = {"Content-Type": "application/json"}
    taken = http.post(f"/deals/{deal_id(3)}/documents", content=given, headers=headers)
    assert taken.json() == {"deal_id": deal_id(3), "number": 1}


def test_file__of_a_deal_without_a_job__has_no_token_that_fits(http: httpx.Client) -> None:
    for given in (b"Bearer None", b"Bearer", b"None", b"Bearer \xff"):
        headers = {b"Authorization": given}
        assert http.get(f"/deals/{deal_id(1)}/files/out", headers=headers).status_code == 403


def test_caller__that_asks_too_much__has_to_wait(play: Play) -> None:
    with served(create_app(play.here, limits=Limits(per_second=0.1, burst=2))) as http:
        assert [http.get("/health").status_code for _ in range(3)] == [200, 200, 429]
    with served(create_app(play.here)) as http:
        assert http.post("/pings", content=b"x" * 1_000_001).status_code == 413
        assert http.get("/health").json() == {"ok": True, "deals": 1}
