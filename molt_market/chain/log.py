"""The escrow's log, block by block, as one node tells it. What the node says has to fit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

from eth_utils import keccak

from molt_market.chain.events import decode_logs
from molt_market.chain.node import Node, readable, unhex
from molt_market.chain.reverts import RpcError, of_answer
from molt_market.chain.words import stored_deals
from molt_market.domain.deals import Deal
from molt_market.domain.events import Block
from molt_market.domain.ids import Address, EscrowId, Hash32

BLOOM_BITS = 2_048


class EscrowLog:
    """Reads one escrow's log from a node, but not by `eth_getLogs`: nodes lose entries of that index.

    The bloom filter in a block's header tells whether the escrow may have logged anything. If so, all of the
    block's receipts are read, and their logs have to make exactly that filter. On a chain whose filters are
    full that is about every third block. A node that does not know `eth_getBlockReceipts` is asked for the
    receipt of each transaction instead.
    """

    def __init__(self, node: Node, escrow: Address) -> None:
        self.node = node
        self._escrow = escrow
        self._bits = bloom_bits(unhex(escrow))
        self._knows_block_receipts = True

    def head(self) -> int:
        """Return the number of the newest block."""
        return self.node.number("eth_blockNumber")

    def hash_at(self, number: int) -> Hash32 | None:
        """Return the hash of a block; None if the node has no such block."""
        found = self.node.request("eth_getBlockByNumber", hex(number), False)
        with readable("eth_getBlockByNumber"):
            return None if found is None else Hash32(found["hash"])

    def blocks(self, numbers: range) -> list[Block]:
        """Return these blocks.

        Raises:
            NodeError: a block is missing, or what the node says of it does not fit together. It may be that
                the chain was reorganised meanwhile.
        """
        headers = self.node.requests("eth_getBlockByNumber", [(hex(number), False) for number in numbers])
        with readable("eth_getBlockByNumber"):
            suspects = {each["hash"]: each for each in headers if self._may_log(each)}
        logs = self._logs(suspects)
        with readable("eth_getBlockByNumber"):
            return [_block(*each, logs, self._escrow) for each in zip(numbers, headers, strict=True)]

    def deals(self, deal_ids: Sequence[EscrowId], block: int) -> list[Deal]:
        """Return what the contract had stored of these deals at the end of a block."""
        return stored_deals(self.node, self._escrow, deal_ids, block)

    # ---------------------------------------------------------------- inside

    def _may_log(self, header: Mapping[str, Any]) -> bool:
        return int(header["logsBloom"], 16) & self._bits == self._bits

    def _logs(self, headers: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
        """Return all logs of the blocks with these hashes, whoever's, by the blocks' receipts."""
        answers = self._receipts(headers)
        with readable("the receipts of blocks"):
            found = {
                hash_: [entry for receipt in receipts for entry in receipt["logs"]]
                for hash_, receipts in zip(headers, answers, strict=True)
            }
            for hash_, entries in found.items():
                if _bloom(entries) != int(headers[hash_]["logsBloom"], 16):
                    raise ValueError(f"the {len(entries)} logs of block {hash_} are not those of its header")
                if any(entry["blockHash"] != hash_ for entry in entries):
                    raise ValueError(f"logs of another block than {hash_}")
        return found

    def _receipts(self, headers: Mapping[str, Mapping[str, Any]]) -> list[Any]:
        """Return the receipts of each of these blocks."""
        if self._knows_block_receipts:
            answers = self.node.attempts("eth_getBlockReceipts", [(each,) for each in headers])
            refused = next((each for each in answers if isinstance(each, RpcError)), None)
            if refused is None:
                return answers
            if not refused.is_unknown_method:
                raise of_answer(refused) from refused
            self._knows_block_receipts = False
        with readable("eth_getBlockByNumber"):
            inside = [list(each["transactions"]) for each in headers.values()]
        asked = [(each,) for block in inside for each in block]
        receipts = iter(self.node.requests("eth_getTransactionReceipt", asked))
        return [list(islice(receipts, len(block))) for block in inside]


def bloom_bits(value: bytes) -> int:
    """Return the bits that a value sets in the bloom filter of its block's header.

    Source: Ethereum Yellow Paper, section 4.4.1: of the keccak hash the first three pairs of bytes, each
    modulo 2,048, name a bit; bit 0 is the lowest of the filter.
    """
    digest = keccak(value)
    bits = 0
    for place in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[place : place + 2], "big") % BLOOM_BITS)
    return bits


@lru_cache(maxsize=65_536)
def _bits_of(text: str) -> int:
    return bloom_bits(unhex(text))


def _bloom(entries: Sequence[Mapping[str, Any]]) -> int:
    """Return the bloom filter of logs: of each, its address and its topics are in it."""
    bits = 0
    for entry in entries:
        for each in (entry["address"], *entry["topics"]):
            bits |= _bits_of(each)
    return bits


def _block(
    number: int, header: Mapping[str, Any], logs: Mapping[str, list[Mapping[str, Any]]], escrow: Address
) -> Block:
    if int(header["number"], 16) != number:
        raise ValueError(f"block {header['number']} instead of {number:#x}")
    return Block(
        number=number,
        hash=Hash32(header["hash"]),
        parent=Hash32(header["parentHash"]),
        time=int(header["timestamp"], 16),
        events=decode_logs(logs.get(header["hash"], ()), escrow),
    )
