"""A node that answers badly, or not at all."""

from typing import Any

import pytest
import requests

from molt_market.chain.node import Node
from molt_market.domain.ids import Address, Hash32
from molt_market.domain.transactions import Call
from molt_market.errors import NodeError, NodeUnreachable, WrongChain
from molt_market.refusals import TooEarly
from tests.unit.chain.test_reverts import refused

ESCROW = Address("0x" + "e5" * 20)
CALL = Call(ESCROW, b"\x12\x34")


class Answers:
    """Stands in for web3's provider: answers by method, and keeps what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, list[Any]]] = []

    def make_request(self, method: str, params: list[Any]) -> Any:
        self.asked.append((method, params))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


def node(**answers: Any) -> Node:
    made = Node("http://127.0.0.1:8545")
    made._provider = Answers(**answers)  # type: ignore[assignment]
    return made


def test_request__result__is_returned() -> None:
    assert node(eth_chainId={"result": "0x7a69"}).number("eth_chainId") == 31_337


def test_call__with_storage__says_what_the_contract_is_taken_to_hold() -> None:
    word = Hash32("0x" + "01" * 32)
    asked = node(eth_call={"result": "0x07"})
    assert asked.call(CALL, block="pending", storage={word: word}) == b"\x07"
    assert asked.call(CALL) == b"\x07"
    provider: Any = asked._provider
    fields = {"data": "0x1234", "to": ESCROW}
    assert provider.asked == [
        ("eth_call", [fields, "pending", {ESCROW: {"stateDiff": {word: word}}}]),
        ("eth_call", [fields, "latest"]),
    ]


def test_request__null__is_a_result() -> None:
    assert node(eth_getTransactionReceipt={"result": None}).request("eth_getTransactionReceipt") is None


@pytest.mark.parametrize(
    "error", [requests.ConnectionError("refused"), requests.ReadTimeout("slow"), requests.ConnectTimeout()]
)
def test_request__nobody_answers__is_unreachable_with_its_cause(error: Exception) -> None:
    with pytest.raises(NodeUnreachable) as unreachable:
        node(eth_chainId=error).number("eth_chainId")
    assert (unreachable.value.url, unreachable.value.__cause__) == ("http://127.0.0.1:8545", error)


@pytest.mark.parametrize(
    "answer",
    [requests.HTTPError("500 busy"), ValueError("no JSON"), {"jsonrpc": "2.0"}, "nonsense", None],
)
def test_request__no_answer_that_can_be_read__is_a_node_error(answer: Any) -> None:
    with pytest.raises(NodeError):
        node(eth_chainId=answer).number("eth_chainId")


@pytest.mark.parametrize("result", [None, "", "0x", "abc?", {}, []])
def test_number__no_number__is_a_node_error(result: Any) -> None:
    with pytest.raises(NodeError):
        node(eth_chainId={"result": result}).number("eth_chainId")


def test_call__refused__raises_the_refusal_with_its_cause() -> None:
    error = {"code": 3, "message": "execution reverted", "data": "0x" + refused(2).hex()}
    with pytest.raises(TooEarly) as early:
        node(eth_call={"error": error}).call(CALL)
    assert early.value.__cause__ is not None


def test_call__names_sender_and_block() -> None:
    asked = node(eth_call={"result": "0x1234"})
    assert asked.call(CALL, sender=ESCROW, block=16) == b"\x12\x34"
    fields = {"to": ESCROW, "data": "0x1234", "from": ESCROW}
    assert asked._provider.asked == [("eth_call", [fields, "0x10"])]  # type: ignore[attr-defined]


def test_require_chain__another__names_both() -> None:
    with pytest.raises(WrongChain) as wrong:
        node(eth_chainId={"result": "0x1"}).require_chain(31_337)
    assert (wrong.value.expected, wrong.value.actual) == (31_337, 1)


def test_block_time__no_pending_block__takes_the_latest() -> None:
    class Shy(Answers):
        def make_request(self, method: str, params: list[Any]) -> Any:
            super().make_request(method, params)
            return {"result": None if params[0] == "pending" else {"timestamp": "0x10"}}

    shy = node()
    shy._provider = Shy(eth_getBlockByNumber=None)  # type: ignore[assignment]
    assert shy.block_time() == 16


def test_block_time__unknown_block__is_a_node_error() -> None:
    with pytest.raises(NodeError):
        node(eth_getBlockByNumber={"result": None}).block_time(5)
