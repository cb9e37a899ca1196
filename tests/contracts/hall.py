"""One deployment, and all of its verbs that come before a deal: money in and out, roles, approvals, policies.

Each verb sends a mined transaction. If it succeeds, the model makes the same step, and the event must say
what the model says. If it is refused, Refused is raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, NamedTuple, Self

from molt_market.signing import messages
from molt_market.signing.typed_data import Domain, Message, TokenDomain
from tests.contracts import model
from tests.contracts.actors import (
    ATTESTORS,
    DEPLOYER,
    FEE_RECIPIENT,
    FEE_SETTER,
    GUARDIAN,
    RELAYER,
    Actor,
)
from tests.contracts.desk import NEVER, Desk
from tests.contracts.factories import DAY, HOUR, addresses, make_policy
from tests.contracts.node import Node, Receipt
from tests.contracts.signatures import parts
from tests.tokens import DECIMALS

WITHDRAW_DELAY = 900
CANCEL_DELAY = 600
FEE_BPS = 100


class Config(NamedTuple):
    """What the roles have set, as `config` gives it."""

    fee_bps: int
    next_fee_bps: int
    next_fee_from: int
    paused_until: int


class Hall(Desk):
    """An escrow, its token, a policy, and the model of all that has happened."""

    def __init__(self, node: Node, token: Any, escrow: Any, model_: model.Model) -> None:
        chain = node.chain_id
        super().__init__(Domain(chain, str(escrow.address)), TokenDomain(chain, str(token.address), "MOLT"))
        self.node = node
        self.token = token
        self.escrow = escrow
        self.model = model_

    @classmethod
    def deploy(
        cls,
        node: Node,
        project: Any,
        *,
        token: Any = None,
        fee_bps: int = FEE_BPS,
        guardian: str = GUARDIAN.address,
        fee_setter: str = FEE_SETTER.address,
    ) -> Self:
        """Deploy an escrow for `token` (a fresh MOLT if not given) and register the default policy."""
        token = token or node.deploy(project.MoltToken, "MOLT", "MOLT", DECIMALS)
        roles = (FEE_RECIPIENT.address, guardian, fee_setter)
        delays = (WITHDRAW_DELAY, CANCEL_DELAY)
        escrow = node.deploy(project.MoltEscrow, token.address, *roles, fee_bps, *delays)
        market = cls(node, token, escrow, model.Model(FEE_RECIPIENT.address))
        market.register(make_policy(), ATTESTORS)
        return market

    def copy(self) -> Self:
        """Return a market of the same deployment, whose model can go its own way."""
        twin = type(self)(self.node, self.token, self.escrow, deepcopy(self.model))
        twin.policies = dict(self.policies)
        return twin

    # ---------------------------------------------------------------- money in and out

    def fund(self, actor: Actor, amount: int) -> None:
        """Give the actor tokens that the escrow may take."""
        self.node.transact(DEPLOYER, self.token.mint, actor.address, amount)
        self.node.transact(actor, self.token.approve, self.escrow.address, amount)

    def deposit(self, sender: Actor, amount: int, *, to: str | None = None) -> Receipt:
        to = sender.address if to is None else to
        receipt = self.send(sender, "deposit", to, amount)
        self.model.deposit(to, amount)
        self._expect(receipt, "Deposited", account=to, **{"from": sender.address}, amount=amount)
        return receipt

    def deposit_with_permit(
        self, owner: Actor, amount: int, *, sig: bytes, sender: Actor | None = None, deadline: int = NEVER
    ) -> Receipt:
        receipt = self.send(
            sender or owner, "depositWithPermit", owner.address, amount, deadline, *parts(sig)
        )
        self.model.deposit(owner.address, amount)
        whose = {"account": owner.address, "from": owner.address}
        self._expect(receipt, "Deposited", **whose, amount=amount)
        return receipt

    def stock(self, actor: Actor, amount: int) -> None:
        """Mint and deposit in one go."""
        self.fund(actor, amount)
        self.deposit(actor, amount)

    def request_withdraw(
        self,
        owner: Actor,
        amount: int,
        *,
        sender: Actor | None = None,
        deadline: int = NEVER,
        sig: bytes = b"",
    ) -> Receipt:
        receipt = self.send(sender or owner, "requestWithdraw", owner.address, amount, deadline, sig)
        unlock_at = receipt.time + WITHDRAW_DELAY
        self.model.request_withdraw(owner.address, amount, unlock_at)
        self._expect(receipt, "WithdrawRequested", account=owner.address, amount=amount, unlockAt=unlock_at)
        return receipt

    def withdraw(
        self,
        owner: Actor,
        *,
        to: str | None = None,
        sender: Actor | None = None,
        deadline: int = NEVER,
        sig: bytes = b"",
    ) -> Receipt:
        to = owner.address if to is None else to
        receipt = self.send(sender or owner, "withdraw", owner.address, to, deadline, sig)
        amount = self.model.withdraw(owner.address)
        self._expect(receipt, "Withdrawn", account=owner.address, to=to, amount=amount)
        return receipt

    # ---------------------------------------------------------------- roles

    def pause(self, sender: Actor = GUARDIAN) -> int:
        """Pause, and return the second at which deals open again."""
        receipt = self.send(sender, "pause")
        until = receipt.time + 72 * HOUR
        self._expect(receipt, "OpeningsPaused", until=until)
        return until

    def unpause(self, sender: Actor = GUARDIAN) -> int:
        """End the pause, and return when."""
        receipt = self.send(sender, "unpause")
        self._expect(receipt, "OpeningsPaused", until=receipt.time)
        return receipt.time

    def schedule_fee(self, bps: int, sender: Actor = FEE_SETTER) -> int:
        """Announce a fee, and return from when on it counts."""
        receipt = self.send(sender, "scheduleFee", bps)
        since = receipt.time + 7 * DAY
        self._expect(receipt, "FeeAnnounced", feeBps=bps, **{"from": since})
        return since

    def role_of(self, role: int) -> tuple[str, str]:
        """Return who holds a role, and whom it is offered to."""
        holder, pending = self.escrow.roleOf(role)
        return str(holder), str(pending)

    def config(self) -> Config:
        return Config(*self.node.read(self.escrow.config))

    # ---------------------------------------------------------------- before a deal

    def register(self, policy: messages.Policy, attestors: Sequence[Actor] = ()) -> str:
        """Register a policy and return its id."""
        policy_id = "0x" + policy.hash_struct().hex()
        self.send(RELAYER, "registerPolicy", policy.as_tuple(), addresses(attestors))
        self.policies[policy_id] = policy
        return policy_id

    def cancel(
        self,
        owner: Actor,
        side: messages.Side,
        group: int,
        *,
        sender: Actor | None = None,
        deadline: int = NEVER,
        sig: bytes = b"",
    ) -> int:
        """Cancel a group and return the second from which it is dead."""
        receipt = self.send(sender or owner, "cancel", owner.address, side, group, deadline, sig)
        cutoff = receipt.time + CANCEL_DELAY
        self._expect(
            receipt, "OrdersCancelled", account=owner.address, side=side, group=group, cutoffAt=cutoff
        )
        return cutoff

    def approve(self, account: Actor, message: Message) -> Receipt:
        digest = self.digest(message)
        receipt = self.send(account, "approve", digest)
        self._expect(receipt, "DigestApproved", account=account.address, digest=digest)
        return receipt

    def revoke(self, account: Actor, message: Message) -> int:
        """Take an approval back, and return the second from which it does not count."""
        digest = self.digest(message)
        before = self.approved_until(account, message)
        receipt = self.send(account, "revoke", digest)
        until = min(before, receipt.time + CANCEL_DELAY)
        self._expect(receipt, "DigestRevoked", account=account.address, digest=digest, until=until)
        return until

    def approved_until(self, account: Actor, message: Message) -> int:
        return self.node.read(self.escrow.approvedUntil, account.address, self.digest(message))[0]

    # ---------------------------------------------------------------- all calls

    def send(self, sender: Actor, verb: str, *arguments: Any) -> Receipt:
        """Send a call; the model does not follow."""
        return self.node.transact(sender, getattr(self.escrow, verb), *arguments)

    def encode(self, verb: str, *arguments: Any) -> bytes:
        """Return the data of a call, as an item of a multicall."""
        return bytes(getattr(self.escrow, verb).encode_input(*arguments))

    def balance(self, actor: Actor) -> int:
        return self.node.read(self.escrow.accountOf, actor.address)[0]

    def _expect(self, receipt: Receipt, name: str, **values: Any) -> None:
        found = receipt.events(self.escrow)
        assert found == [(name, values)], f"{found}; expected {name} of {values}"
