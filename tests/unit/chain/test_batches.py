"""Many requests at once, over HTTP: each answer goes to its own question, or none is believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from molt_market.chain.node import MOST_AT_ONCE, Node
from molt_market.errors import NodeError, NodeUnreachable
from molt_market.refusals import TooEarly
from tests.unit.chain.test_reverts import refused

Reply = Callable[[list[dict[str, Any]]], Any]


class Server:
    """Answers batches as a test says, and keeps how large they were."""

    def __init__(self) -> None:
        self.reply: Reply = echoed
        self.sizes: list[int] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.sizes.append(len(asked))
                body = json.dumps(server.reply(asked)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"


def echoed(asked: list[dict[str, Any]]) -> Any:
    return [{"jsonrpc": "2.0", "id": each["id"], "result": each["params"][0]} for each in asked]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def ask(server: Server, count: int = 3) -> list[Any]:
    return Node(server.url).requests("echo", [(number,) for number in range(count)])


def test_requests__nothing__asks_nothing(server: Server) -> None:
    assert ask(server, 0) == []
    assert server.sizes == []


def test_requests__are_answered_in_their_order__whatever_the_order_of_the_answers(server: Server) -> None:
    server.reply = lambda asked: echoed(asked)[::-1]
    assert ask(server) == [0, 1, 2]


def test_requests__too_many_for_one_batch__are_several(server: Server) -> None:
    assert ask(server, 2 * MOST_AT_ONCE + 1) == list(range(2 * MOST_AT_ONCE + 1))
    assert server.sizes == [MOST_AT_ONCE, MOST_AT_ONCE, 1]


@pytest.mark.parametrize(
    "reply",
    [
        lambda asked: echoed(asked)[1:],
        lambda asked: [*echoed(asked), echoed(asked)[0]],
        lambda asked: [*echoed(asked)[1:], echoed(asked)[1]],
        lambda asked: [each | {"id": each["id"] + 1} for each in echoed(asked)],
        lambda asked: [{"jsonrpc": "2.0", "result": 0} for _ in asked],
        lambda _: ["nonsense"] * 3,
        lambda _: "nonsense",
        lambda _: None,
        lambda asked: [{"jsonrpc": "2.0", "id": each["id"]} for each in asked],
    ],
    ids=["one less", "one twice", "one instead", "others", "no ids", "texts", "a text", "null", "no results"],
)
def test_requests__answers_that_do_not_fit__are_a_node_error(server: Server, reply: Reply) -> None:
    server.reply = reply
    with pytest.raises(NodeError):
        ask(server)


def test_requests__an_error_for_all_of_them__is_raised(server: Server) -> None:
    server.reply = lambda _: {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "too many"}}
    with pytest.raises(NodeError, match="too many"):
        ask(server)


def test_requests__one_that_is_refused__raises_the_refusal(server: Server) -> None:
    error = {"code": 3, "message": "execution reverted", "data": "0x" + refused(2).hex()}

    def reply(asked: list[dict[str, Any]]) -> Any:
        first, *others = echoed(asked)
        return [{"jsonrpc": "2.0", "id": first["id"], "error": error}, *others]

    server.reply = reply
    with pytest.raises(TooEarly):
        ask(server)


def test_requests__nobody_there__is_unreachable() -> None:
    with pytest.raises(NodeUnreachable):
        Node("http://127.0.0.1:9").requests("echo", [(1,)])
