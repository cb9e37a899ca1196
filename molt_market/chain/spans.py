"""`eth_getLogs`, asked in spans of blocks that the node takes: many refuse long ones, in their own words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from molt_market.chain.node import Node
from molt_market.chain.reverts import RpcError, of_answer
from molt_market.domain.ids import Address

Topics = Sequence[str | Sequence[str] | None]
TOO_MUCH = re.compile(r"range|block|result|logs|size|more than|timeout|timed out", re.IGNORECASE)


class LogSpans:
    """One contract's log at a node. What spans it takes is learned from its refusals, and kept.

    Args:
        most: blocks in one request, to begin with (default: as many as there are).
    """

    def __init__(self, node: Node, address: Address, *, most: int | None = None) -> None:
        self._node = node
        self._address = address
        self._most = most

    def whole(self, topics: Topics, first: int) -> list[Any] | None:
        """Return all logs from a block on, in one request; None: the node does not give out so many."""
        if self._most is None:
            try:
                return self._asked(topics, first, "latest")
            except RpcError as error:
                _require_too_much(error)
            self._most = max(self._node.number("eth_blockNumber") - first, 1)
        return None

    def logs(self, topics: Topics, first: int, last: int | None = None) -> list[Any]:
        """Return the logs from one block to another, or to the newest, in as many requests as it takes.

        Raises NodeError if the node does not even give out one block; NodeUnreachable.
        """
        if last is None:
            found = self.whole(topics, first)
            if found is not None:
                return found
            last = self._node.number("eth_blockNumber")
        return [each for _, _, found in self.pages(topics, first, last) for each in found]

    def pages(self, topics: Topics, first: int, last: int) -> Iterator[tuple[int, int, list[Any]]]:
        """Yield first and last of some blocks, and their logs, one part after the other; raises as `logs`."""
        while first <= last:
            until = last if self._most is None else min(first + self._most - 1, last)
            try:
                found = self._asked(topics, first, hex(until))
            except RpcError as error:
                _require_too_much(error)
                if until == first:
                    raise of_answer(error) from error
                self._most = (until - first + 1) // 2
            else:
                yield first, until, found
                first = until + 1

    def _asked(self, topics: Topics, first: int, last: str) -> list[Any]:
        wanted: Mapping[str, Any] = {
            "address": self._address,
            "fromBlock": hex(first),
            "toBlock": last,
            "topics": topics,
        }
        return list(self._node.ask("eth_getLogs", wanted) or ())


def _require_too_much(error: RpcError) -> None:
    """Raise what a node's refusal is about, unless that is the length of a span."""
    if not TOO_MUCH.search(error.message):
        raise of_answer(error) from error
