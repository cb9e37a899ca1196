"""Nodes that lie about a real chain: their answers are changed on the way from the node that is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from molt_market.chain.interface import interface
from molt_market.chain.log import bloom_bits
from molt_market.chain.node import Node, unhex
from molt_market.chain.reverts import RpcError

Lie = Callable[[Node, str, Any], Any]
"""Changes what the true node answered to a method."""

ESCROW = interface("MoltEscrow")


class LyingNode(Node):
    """Asks the true node, and tells something else."""

    def __init__(self, url: str, lie: Lie) -> None:
        super().__init__(url)
        self._true = Node(url)
        self._lie = lie

    def _result(self, method: str, response: Any) -> Any:
        return self._lie(self._true, method, super()._result(method, response))


def far_ahead(_: Node, method: str, answer: Any) -> Any:
    return hex(int(answer, 16) + 1_000) if method == "eth_blockNumber" else answer


def behind(_: Node, method: str, answer: Any) -> Any:
    return hex(int(answer, 16) - 30) if method == "eth_blockNumber" else answer


def loses_logs(_: Node, method: str, answer: Any) -> Any:
    """Tell the receipts of every third block without their logs."""
    if method != "eth_getBlockReceipts":
        return answer
    return [each | ({} if int(each["blockNumber"], 16) % 3 else {"logs": []}) for each in answer]


def knows_no_block_receipts(_: Node, method: str, answer: Any) -> Any:
    """Do less than it could, as Hardhat's node and many public ones do. Nothing of it is a lie."""
    if method == "eth_getBlockReceipts":
        raise RpcError(method, {"code": -32601, "message": "the method does not exist"})
    return answer


def loses_single_receipts(true: Node, method: str, answer: Any) -> Any:
    """Do the same, and tell each receipt without its logs."""
    known = knows_no_block_receipts(true, method, answer)
    return known | {"logs": []} if method == "eth_getTransactionReceipt" else known


def mixes_chains(_: Node, method: str, answer: Any) -> Any:
    """Tell one block as if it followed another one than it does."""
    if method == "eth_getBlockByNumber" and answer and answer["number"] == hex(20):
        return answer | {"parentHash": "0x" + "ab" * 32}
    return answer


def other_terms(_: Node, method: str, answer: Any) -> Any:
    """Tell openings with another voucher signer, whose address is the first word of their data."""
    if method != "eth_getBlockReceipts":
        return answer
    return _with_logs(answer, lambda entry: _renamed(entry) if _is(entry, "DealOpened") else entry)


def hides_ends(true: Node, method: str, answer: Any) -> Any:
    """Leave out how deals were closed, and forge the headers so that nothing is missing by them."""
    if method == "eth_getBlockReceipts":
        return _with_logs(answer, lambda entry: None if _is(entry, "DealClosed") else entry)
    if method == "eth_getBlockByNumber" and answer:
        receipts = true.request("eth_getBlockReceipts", answer["hash"])
        return answer | {"logsBloom": _bloom(hides_ends(true, "eth_getBlockReceipts", receipts))}
    return answer


def _with_logs(receipts: Any, change: Callable[[Any], Any]) -> Any:
    return [
        receipt | {"logs": [entry for entry in map(change, receipt["logs"]) if entry]} for receipt in receipts
    ]


def _is(entry: Any, event: str) -> bool:
    return bool(entry["topics"][0] == ESCROW.topic(event))


def _renamed(entry: Any) -> Any:
    return entry | {"data": "0x" + "11".rjust(64, "0") + entry["data"][66:]}


def _bloom(receipts: Any) -> str:
    bits = 0
    for entry in (entry for receipt in receipts for entry in receipt["logs"]):
        for each in (entry["address"], *entry["topics"]):
            bits |= bloom_bits(unhex(each))
    return f"0x{bits:0512x}"
