"""A market whose calls are made by the token, in the middle of somebody else's deposit or withdrawal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from molt_market.domain.ids import Address
from tests.contracts.actors import DEPLOYER, STRANGER, Actor
from tests.contracts.endings import FullMarket
from tests.contracts.hall import WITHDRAW_DELAY
from tests.contracts.node import Receipt
from tests.contracts.refusals import reverted


@dataclass(frozen=True)
class TokenActor(Actor):
    """The token itself, as the sender of what it calls."""

    where: str

    @property
    def address(self) -> Address:
        return Address(self.where)


class ReenteredMarket(FullMarket):
    """Within `inside`, every call comes from the token, in the middle of the verb named."""

    outer: str | None = None

    @contextmanager
    def inside(self, outer: str) -> Iterator[None]:
        """Have every call made inside a "deposit" or a "withdraw" of the stranger's."""
        self.stock(STRANGER, 10)
        self.fund(STRANGER, 10)
        self.node.mine(self.request_withdraw(STRANGER, 10).time + WITHDRAW_DELAY)
        self.outer = outer
        yield
        self.outer = None

    def send(self, sender: Actor, verb: str, *arguments: Any) -> Receipt:
        if self.outer is None:
            return super().send(sender, verb, *arguments)
        call = (self.domain.escrow, self.encode(verb, *arguments))
        self.node.transact(DEPLOYER, self.token.arm, [call])
        receipt = self._interrupted(self.outer)
        answer = next(values for name, values in receipt.events(self.token) if name == "Answered")
        if not answer["done"]:
            raise reverted(bytes.fromhex(answer["answer"][2:]))
        # the verb around it logs once: a deposit at its end, a withdrawal before it lets go of the tokens
        logs = [log for log in receipt.logs if log["address"].lower() == self.domain.escrow.lower()]
        return replace(receipt, logs=logs[:-1] if self.outer == "deposit" else logs[1:])

    def _interrupted(self, outer: str) -> Receipt:
        if outer == "deposit":
            receipt = super().send(STRANGER, "deposit", STRANGER.address, 10)
            self.model.deposit(STRANGER.address, 10)
        else:
            receipt = super().send(STRANGER, "withdraw", STRANGER.address, STRANGER.address, 0, b"")
            self.model.withdraw(STRANGER.address)
        return receipt
