"""A PanelArbiter as tests use it: three of five members rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils import keccak

from molt_market.domain.ids import Address
from molt_market.signing import messages
from molt_market.signing.typed_data import SigningDomain
from tests.contracts.actors import ATTESTORS, RELAYER, Actor
from tests.contracts.desk import NEVER
from tests.contracts.endings import FullMarket
from tests.contracts.factories import HOUR, OpenDeal, addresses, make_policy
from tests.contracts.hall import WITHDRAW_DELAY
from tests.contracts.node import Receipt
from tests.contracts.refusals import Reverted
from tests.contracts.signatures import compact

THRESHOLD = 3
MEMBERS = tuple(sorted((Actor(f"member {i}") for i in range(5)), key=lambda actor: actor.number))
COUNTER, CLAIM = 8 * HOUR, 24 * HOUR


class Panel:
    """One panel, and a policy in a market that names it as the arbiter."""

    def __init__(self, market: FullMarket, project: Any, members: Sequence[Actor] = MEMBERS) -> None:
        self.market = market
        self.members = members
        self.contract = market.node.deploy(project.PanelArbiter, addresses(members), THRESHOLD)
        self.address = Address(str(self.contract.address))
        self.domain = SigningDomain("PanelArbiter", "1", market.node.chain_id, self.address)
        self.policy_id = market.register(make_policy(arbiter=self.address), ATTESTORS)

    # ---------------------------------------------------------------- rulings

    def disputed(self, *, slot: int = 130, counter: int = COUNTER) -> OpenDeal:
        """Have 24 of 32 GPU-hours claimed, and contested but for the counter, before this panel."""
        policy = {"policy_id": self.policy_id}
        match = self.market.match(offer=policy, order={**policy, "slot": slot})
        return self.market.disputed(match, CLAIM, counter)

    def ruling(self, deal: OpenDeal, units: int, *, deadline: int = NEVER) -> messages.Ruling:
        return messages.Ruling(self.market.domain.escrow, deal.id, units, deadline)

    def sign(
        self, ruling: messages.Ruling, by: Sequence[Actor], domain: SigningDomain | None = None
    ) -> bytes:
        """Put the signatures of `by` one after the other, in the order given."""
        return b"".join(compact(member.sign(ruling, domain or self.domain)) for member in by)

    def rule(
        self,
        deal: OpenDeal,
        units: int,
        *,
        by: Sequence[Actor] = MEMBERS[:THRESHOLD],
        deadline: int = NEVER,
        sigs: bytes | None = None,
        sender: Actor = RELAYER,
    ) -> Receipt:
        """Bring a ruling that `by` have signed, and compare what became of the deal."""
        sigs = self.sign(self.ruling(deal, units, deadline=deadline), by) if sigs is None else sigs
        where = self.market.escrow.address
        receipt = self.send(sender, "rule", where, deal.terms.as_tuple(), units, deadline, sigs)
        self.market.ruled(receipt, deal, units)
        says = {"escrow": where, "dealId": deal.id, "gpuSeconds": units}
        assert receipt.events(self.contract) == [("Ruled", says)]
        return receipt

    # ---------------------------------------------------------------- shares

    def request(self, *, sender: Actor = RELAYER) -> Receipt:
        """Have all of the panel's balance marked."""
        amount = self.market.model.accounts[self.address].balance
        receipt = self.send(sender, "requestShares", self.market.escrow.address)
        self.market.model.request_withdraw(self.address, amount, receipt.time + WITHDRAW_DELAY)
        return receipt

    def withdraw(self, *, sender: Actor = RELAYER) -> Receipt:
        """Have what is marked withdrawn, and all that the panel holds split."""
        where = self.market.escrow.address, self.market.token.address
        receipt = self.send(sender, "withdrawShares", *where)
        if self.market.model.accounts[self.address].withdrawing:
            self.market.model.withdraw(self.address)
        return receipt

    def wait(self) -> None:
        """Let the next transaction come when what is marked may be withdrawn."""
        self.market.node.at(self.market.model.accounts[self.address].unlock_at)

    def tokens(self, *actors: Actor) -> list[int]:
        return [int(self.market.token.balanceOf(actor.address)) for actor in actors]

    def send(self, sender: Actor, verb: str, *arguments: Any) -> Receipt:
        return self.market.node.transact(sender, getattr(self.contract, verb), *arguments)


@contextmanager
def reverts(error: str, *values: int | str) -> Iterator[None]:
    """Expect a mined transaction that reverted so, as in `reverts("NoQuorum(uint256,uint256)", 2, 3)`."""
    types = error[error.index("(") + 1 : -1].split(",") if values else []
    with pytest.raises(Reverted) as caught:
        yield
    assert caught.value.data == keccak(text=error)[:4] + encode(types, values)
