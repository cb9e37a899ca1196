"""The contract at an address: its constants, its log, its views. No record of ours is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from molt_market.chain.artefacts import artefact
from molt_market.chain.events import decode_logs
from molt_market.chain.interface import interface
from molt_market.chain.node import Node, readable, unhex
from molt_market.chain.spans import LogSpans
from molt_market.chain.token import TokenContract
from molt_market.domain.amounts import Amount, Token
from molt_market.domain.events import Event
from molt_market.domain.ids import Address, TransactionId
from molt_market.domain.transactions import Call
from molt_market.errors import DeploymentMismatch, MarketError
from molt_market.signing.typed_data import Domain

ESCROW = interface("MoltEscrow")
TOKEN = interface("MoltToken")
TRANSFER = TOKEN.topic("Transfer")


class Page(NamedTuple):
    """Events of some blocks, in order, and the base units that each transaction sent to the escrow."""

    events: tuple[Event, ...]
    received: dict[TransactionId, int]


class Contract:
    """One MoltEscrow, known by a node and an address alone."""

    def __init__(self, node: Node, address: Address) -> None:
        self.node = node
        self.address = address
        self.chain_id = node.number("eth_chainId")
        self.domain = Domain(self.chain_id, address)
        escrow, code = artefact("MoltEscrow"), node.code(address)
        if not escrow.is_code(code):
            raise DeploymentMismatch(f"no MoltEscrow of this version at {address} on chain {self.chain_id}")
        self.fee_recipient = escrow.immutable_address("feeRecipient", code)
        self.token_address = escrow.immutable_address("token", code)
        token = TokenContract(node, self.chain_id, self.token_address)
        self.token = Token(token.symbol, token.decimals, self.token_address)

    def amount(self, base_units: int) -> Amount:
        return Amount(base_units, self.token)

    def view(self, function: str, *values: object, block: int) -> tuple[int | str, ...]:
        """Return a view's answer at a block, as plain numbers and hex text."""
        return self.views(function, [values], block=block)[0]

    def views(
        self, function: str, asked: Sequence[tuple[object, ...]], *, block: int
    ) -> list[tuple[int | str, ...]]:
        """Return a view's answers to each of many arguments, in few requests."""
        calls = [Call(self.address, ESCROW.encode(function, *values)) for values in asked]
        return [_plain(function, answer) for answer in self.node.calls(calls, block=block)]

    def tokens(self, block: int) -> int:
        """Return how many tokens lie in the contract at a block."""
        call = Call(self.token_address, TOKEN.encode("balanceOf", self.address))
        return int(TOKEN.decode("balanceOf", self.node.call(call, block=block))[0])

    def first_block(self, latest: int) -> int:
        """Find the block of the deployment, by its code; 0 if the node does not know the past."""
        low, high = 0, latest
        try:
            while low < high:
                middle = (low + high) // 2
                if self.node.request("eth_getCode", self.address, hex(middle)) == "0x":
                    low = middle + 1
                else:
                    high = middle
        except MarketError:
            return 0
        return low

    def logged(self, first: int, last: int, span: int) -> Iterator[Page]:
        """Page through the log of these blocks, by `span` blocks at most."""
        to_us = [TRANSFER, None, _word(self.address)]
        log = LogSpans(self.node, self.address, most=span)
        tokens = LogSpans(self.node, self.token_address, most=span)
        for start, end, logs in log.pages([], first, last):
            received: dict[TransactionId, int] = {}
            for _, _, transfers in tokens.pages(to_us, start, end):
                with readable("eth_getLogs"):
                    for transfer in transfers:
                        sent_by = TransactionId(transfer["transactionHash"])
                        received[sent_by] = received.get(sent_by, 0) + int(transfer["data"], 16)
            with readable("eth_getLogs"):
                yield Page(decode_logs(logs, self.address), received)

    def logged_by(self, transaction: TransactionId) -> tuple[Event, ...]:
        """Return what the escrow logged in a transaction, by its receipt."""
        receipt = self.node.request("eth_getTransactionReceipt", transaction)
        with readable("eth_getTransactionReceipt"):
            return decode_logs(receipt["logs"], self.address)


def _word(address: Address) -> str:
    return "0x" + unhex(address).rjust(32, b"\0").hex()


def _plain(function: str, answer: bytes | MarketError) -> tuple[int | str, ...]:
    """Decode a view's answer, and raise what stands for one."""
    if isinstance(answer, MarketError):
        raise answer
    values = ESCROW.decode(function, answer)
    struct = values[0] if len(values) == 1 and isinstance(values[0], tuple) else values
    return tuple("0x" + each.hex() if isinstance(each, bytes) else each for each in struct)
