"""The token of a deployment: whose it is, and whether it takes permits."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any

from molt_market.chain.artefacts import artefact
from molt_market.chain.interface import interface
from molt_market.chain.node import Node, readable
from molt_market.chain.plans import MAX_TOKEN_DECIMALS
from molt_market.domain.ids import ZERO_ADDRESS, Address
from molt_market.domain.transactions import Call
from molt_market.errors import CallReverted, InvalidValue, MarketError, NodeError, UnsuitableToken
from molt_market.signing.typed_data import TokenDomain

TOKEN = interface("MoltToken")
TRIAL = interface("TransferTrial")
LEAST_HELD = 20_000  # base units: of half of it a fee of one basis point shows
RECENT_BLOCKS = 1_000


class TokenContract:
    """An ERC-20, perhaps with ERC-2612 permits. Amounts are base units."""

    def __init__(self, node: Node, chain_id: int, address: Address) -> None:
        self._node = node
        self._chain_id = chain_id
        self.address = address

    def balance_of(self, account: Address, block: str = "latest") -> int:
        return self.balance(self._node.call(self.balance_call(account), block=block))

    def balance_call(self, account: Address) -> Call:
        """Return what asks for an account's balance, for who asks for more at once."""
        return Call(self.address, TOKEN.encode("balanceOf", account))

    @staticmethod
    def balance(answer: bytes) -> int:
        """Return the balance in an answer to that."""
        return int(TOKEN.decode("balanceOf", answer)[0])

    def allowance(self, owner: Address, spender: Address, block: str = "latest") -> int:
        return self._number("allowance", owner, spender, block=block)

    def permit_nonce(self, owner: Address) -> int:
        """Return the nonce of the owner's next permit, after those that are sent and not yet mined."""
        return self._number("nonces", owner, block="pending")

    @property
    def symbol(self) -> str:
        return self._text("symbol")

    @property
    def decimals(self) -> int:
        return self._number("decimals")

    @cached_property
    def permit_domain(self) -> TokenDomain | None:
        """What permits of this token are signed for; None if it takes none that we can sign.

        The token says its own domain separator: a name and version that do not give it are not used.
        """
        try:
            separator = self._ask("DOMAIN_SEPARATOR")[0]
            domain = TokenDomain(self._chain_id, self.address, self._text("name"), self._version())
        except (CallReverted, NodeError):
            return None
        return domain if domain.separator == separator else None

    def _version(self) -> str:
        """Return the version in the domain of permits: what the token tells (ERC-5267), else "1"."""
        try:
            return str(self._ask("eip712Domain")[2])
        except (CallReverted, NodeError):
            return "1"

    def _number(self, function: str, *values: object, block: str = "latest") -> int:
        return int(self._ask(function, *values, block=block)[0])

    def _text(self, function: str) -> str:
        return str(self._ask(function)[0])

    def _ask(self, function: str, *values: object, block: str = "latest") -> tuple[Any, ...]:
        call = Call(self.address, TOKEN.encode(function, *values))
        return TOKEN.decode(function, self._node.call(call, block=block))


def require_suitable(
    node: Node, chain_id: int, token: Address, *, to: Address, holders: Collection[Address] = ()
) -> None:
    """Raise UnsuitableToken unless an escrow can settle in a token. Nothing is sent, nobody's money moves.

    It has to say its symbol and at most 18 decimals, and all of a transfer has to arrive: that is tried in an
    `eth_call` as if TransferTrial lay at the address of an account that has tokens. A balance that its issuer
    changes later cannot be found so.

    Args:
        to: who receives in the trial: where the escrow will be.
        holders: accounts that may have tokens; those of recent transfers are looked at too.

    Raises:
        UnsuitableToken: as said; InvalidValue: nobody is known who has enough of it.
        NodeUnreachable, NodeError: the node does not answer, or cannot take code in an `eth_call`.
    """
    if not node.code(token):
        raise UnsuitableToken(token, "there is no contract: correct the address")
    contract = TokenContract(node, chain_id, token)
    try:
        decimals, symbol = contract.decimals, contract.symbol
    except (CallReverted, NodeError) as error:
        raise UnsuitableToken(token, f"it does not say its symbol and decimals ({error})") from error
    if decimals > MAX_TOKEN_DECIMALS:
        raise UnsuitableToken(token, f"it has {decimals} decimals, {MAX_TOKEN_DECIMALS} are the most")
    if not symbol.strip():
        raise UnsuitableToken(token, "its symbol is empty")
    holder, held = _holder(node, contract, to, holders)
    _require_whole_transfers(node, token, holder, to, held // 2)


def _require_whole_transfers(node: Node, token: Address, holder: Address, to: Address, amount: int) -> None:
    call = Call(holder, TRIAL.encode("tryTransfers", token, to, amount))
    try:
        answer = node.call(call, sender=holder, codes={holder: artefact("TransferTrial").runtime_code})
    except CallReverted as error:
        raise UnsuitableToken(token, f"it lets {holder} transfer no {amount} base units ({error})") from error
    left, arrived, left_by_allowance, arrived_by_allowance = TRIAL.decode("tryTransfers", answer)
    for way, out, into in (
        ("transfer", left, arrived),
        ("transferFrom", left_by_allowance, arrived_by_allowance),
    ):
        if out != amount or into != amount:
            raise UnsuitableToken(
                token,
                f"of {amount} base units in a simulated {way}, {out} left and {into} arrived: it takes a fee,"
                " or changes balances by itself",
            )


def _holder(
    node: Node, token: TokenContract, to: Address, holders: Collection[Address]
) -> tuple[Address, int]:
    """Return an account that has enough tokens to try a transfer of half of them, and how many."""
    tried = set()
    for holder in (*holders, *_recent_receivers(node, token.address)):
        if holder in tried or holder in {to, ZERO_ADDRESS}:
            continue
        tried.add(holder)
        held = token.balance_of(holder)
        if held >= LEAST_HELD:
            return holder, held
    raise InvalidValue(
        f"of {len(tried)} accounts nobody has {LEAST_HELD:,} base units of the token at {token.address}: name"
        " an account that has, to simulate a transfer with (nothing of it moves)"
    )


def _recent_receivers(node: Node, token: Address) -> Iterator[Address]:
    """Yield who received tokens of late, the last one first."""
    head = node.number("eth_blockNumber")
    wanted = {
        "address": token,
        "topics": [TOKEN.topic("Transfer")],
        "fromBlock": hex(max(head - RECENT_BLOCKS, 0)),
        "toBlock": hex(head),
    }
    try:
        logs = node.request("eth_getLogs", wanted)
    except MarketError:  # more than it gives out at once
        return
    with readable("eth_getLogs"):
        yield from (Address("0x" + log["topics"][2][-40:]) for log in reversed(logs[-100:]))
