"""A proxy of a node that answers in the shape of another kind of chain: its fields beside Ethereum's own."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import AbstractContextManager
from typing import Any

from tests.integration.faults import Fault, FaultyProxy, running

L1_FEE = 123_456_789_012_345  # wei of each transaction, for its data on the chain below
SYSTEM_TRANSACTION, NO_ROOT = "0x" + "7e" * 32, "0x" + "00" * 32

Fields = dict[str, Any]
# https://docs.optimism.io/app-developers/transactions/fees, https://docs.arbitrum.io/build-decentralized-apps/arbitrum-vs-ethereum
SHAPES: dict[str, dict[str, Fields]] = {
    "op-stack": {
        "eth_getTransactionReceipt": {
            "l1Fee": hex(L1_FEE),
            "l1GasPrice": "0x3b9aca00",
            "l1GasUsed": "0x640",
            "l1BaseFeeScalar": "0x8dd",
            "l1BlobBaseFee": "0x1",
            "l1BlobBaseFeeScalar": "0x101c12",
        },
        "eth_getBlockByNumber": {
            "withdrawalsRoot": NO_ROOT,
            "parentBeaconBlockRoot": NO_ROOT,
        },
    },
    "arbitrum": {
        "eth_getTransactionReceipt": {
            "gasUsedForL1": "0x2a",
            "l1BlockNumber": "0x15a3f1c",
            "timeboosted": False,
        },
        "eth_getBlockByNumber": {
            "l1BlockNumber": "0x15a3f1c",
            "sendCount": "0x1",
            "sendRoot": NO_ROOT,
        },
    },
}


class ShapedProxy(FaultyProxy):
    """Passes everything on, and adds what the answers of such a chain have beside."""

    def __init__(self, target: str, shape: str) -> None:
        super().__init__(target, seed=0, rate=0)
        self.shape = shape
        self.shaped = 0

    def fault(self, method: str) -> Fault | None:
        return None

    def answer(self, _: Fault | None, body: bytes) -> bytes | None:
        asked, told = json.loads(body), json.loads(self.ask(body))
        if not isinstance(asked, list):
            return json.dumps(self._answer(asked["method"], told)).encode()
        methods = {each["id"]: each["method"] for each in asked}
        return json.dumps([self._answer(methods[each["id"]], each) for each in told]).encode()

    def _answer(self, method: str, told: Fields) -> Fields:
        if method == "eth_maxPriorityFeePerGas" and self.shape == "arbitrum":
            return told | {"result": "0x0"}  # the sequencer takes whoever comes first
        more = SHAPES[self.shape].get(method)
        if more is None or told.get("result") is None:
            return told
        self.shaped += 1
        result = told["result"] | more
        if self.shape == "op-stack" and method == "eth_getBlockByNumber" and result["number"] != "0x0":
            result["transactions"] = [SYSTEM_TRANSACTION, *result["transactions"]]
        return told | {"result": result}


class ShortProxy(FaultyProxy):
    """Gives out the log of few blocks at a time, as public nodes do; `asked` counts such requests."""

    def __init__(self, target: str, most: int) -> None:
        super().__init__(target, seed=0, rate=0)
        self.most = most
        self.asked: Counter[str] = Counter()

    def fault(self, method: str) -> Fault | None:
        self.asked[method] += 1
        return None

    def answer(self, _: Fault | None, body: bytes) -> bytes | None:
        asked = json.loads(body)
        if isinstance(asked, list) or asked["method"] != "eth_getLogs":
            return self.ask(body)
        wanted = asked["params"][0]
        last = wanted["toBlock"]
        head = last if last.startswith("0x") else self._head()
        if int(head, 16) - int(wanted["fromBlock"], 16) < self.most:
            return self.ask(body)
        self.asked["refused"] += 1
        error = {"code": -32602, "message": f"eth_getLogs is limited to a {self.most} blocks range"}
        return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error}).encode()

    def _head(self) -> str:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}
        return str(json.loads(self.ask(json.dumps(asked).encode()))["result"])


def shaped(target: str, shape: str) -> AbstractContextManager[ShapedProxy]:
    """Run one for the length of the block."""
    return running(ShapedProxy(target, shape))


def short(target: str, most: int) -> AbstractContextManager[ShortProxy]:
    """Run one that gives out the log of so many blocks at once, likewise."""
    return running(ShortProxy(target, most))
