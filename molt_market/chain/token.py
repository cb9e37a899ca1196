"""The token of a deployment: whose it is, and whether it takes permits."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from molt_market.chain.interface import interface
from molt_market.chain.node import Node
from molt_market.domain.ids import Address
from molt_market.domain.transactions import Call
from molt_market.errors import CallReverted, NodeError
from molt_market.signing.typed_data import TokenDomain

TOKEN = interface("MoltToken")


class TokenContract:
    """An ERC-20, perhaps with ERC-2612 permits. Amounts are base units."""

    def __init__(self, node: Node, chain_id: int, address: Address) -> None:
        self._node = node
        self._chain_id = chain_id
        self.address = address

    def balance_of(self, account: Address, block: str = "latest") -> int:
        return self._number("balanceOf", account, block=block)

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
