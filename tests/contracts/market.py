"""One deployment, and its verbs as tests use them.

Each verb sends a mined transaction. If it succeeds, the model makes the same step, and the event must say
what the model says; `audit` compares all the rest, to the unit. If it is refused, Refused is raised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any, Self

from molt_market.signing import messages
from molt_market.signing.typed_data import Domain, Message, TokenDomain
from tests.contracts import model
from tests.contracts.actors import (
    AGENT,
    ATTESTORS,
    DEPLOYER,
    FEE_RECIPIENT,
    FEE_SETTER,
    GUARDIAN,
    RELAYER,
    Actor,
)
from tests.contracts.desk import NEVER, Desk
from tests.contracts.factories import (
    DECIMALS,
    USAGE_ROOT,
    ZERO,
    Match,
    OpenDeal,
    addresses,
    make_policy,
)
from tests.contracts.node import Node, Receipt
from tests.contracts.refusals import Refused
from tests.contracts.signatures import compact, parts

WITHDRAW_DELAY = 900
CANCEL_DELAY = 600
FEE_BPS = 100


class Market(Desk):
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

    # ---------------------------------------------------------------- a deal

    def check(self, match: Match, opener: Actor) -> tuple[int, int, int]:
        code, actual, limit = self.node.read(self.escrow.check, match.as_tuple(), opener.address)
        return code, actual, limit

    def open(self, match: Match, *, sender: Actor = RELAYER) -> OpenDeal:
        """Open the deal. If that is refused, `check` must say the same at the same second."""
        try:
            receipt = self.send(sender, "open", match.as_tuple())
        except Refused as refusal:
            _same(self.check(match, sender), refusal.answer, "check")
            raise
        return self.opened(match, receipt.time)

    def opened(self, match: Match, time: int) -> OpenDeal:
        """Make the step of an opening at this time in the model, and return the deal."""
        terms, policy = self.terms(match), self.policies[match.offer.policy_id]
        ends_at = time + terms.duration
        deal = OpenDeal(
            id=self.digest(terms),
            terms=terms,
            match=match,
            opened_at=time,
            ends_at=ends_at,
            deadline=ends_at + policy.grace,
        )
        self.model.open(deal.id, self._modelled(deal, policy), match.order.slot)
        return deal

    def _modelled(self, deal: OpenDeal, policy: messages.Policy) -> model.Deal:
        return model.Deal(
            buyer=deal.terms.buyer,
            provider=deal.terms.provider,
            price=deal.terms.price_per_gpu_hour,
            gpus=deal.terms.gpu_count,
            duration=deal.terms.duration,
            slot=deal.terms.slot,
            fee_bps=self.node.read(self.escrow.feeBps)[0],
            bond_bps=policy.bond_bps,
            notice_minutes=policy.notice_minutes,
            challenge=policy.challenge,
            opened_at=deal.opened_at,
            ends_at=deal.ends_at,
            deadline=deal.deadline,
        )

    def release(
        self, deal: OpenDeal, units: int, *, sig: bytes | None = None, sender: Actor = RELAYER
    ) -> Receipt:
        voucher = self.voucher(deal, units) if sig is None else sig
        receipt = self.send(sender, "release", deal.terms.as_tuple(), units, voucher)
        payout = self.model.release(deal.id, units)
        self._expect_paid(receipt, deal, payout)
        return receipt

    def claim(
        self,
        deal: OpenDeal,
        units: int,
        *,
        result: str = ZERO,
        agent_sig: bytes | None = None,
        by: Sequence[Actor] = ATTESTORS[:2],
        attestors: Sequence[Actor] = ATTESTORS,
        attestor_sigs: bytes | None = None,
        sender: Actor = RELAYER,
    ) -> Receipt:
        """Claim by a receipt that the agent and `by` have signed."""
        receipt_ = messages.Receipt(deal.id, units, result, USAGE_ROOT)
        sigs = b"".join(compact(actor.sign(receipt_, self.domain)) for actor in by)
        receipt = self.send(
            sender,
            "claim",
            deal.terms.as_tuple(),
            units,
            result,
            USAGE_ROOT,
            self.sign(AGENT.address, receipt_) if agent_sig is None else agent_sig,
            addresses(attestors),
            sigs if attestor_sigs is None else attestor_sigs,
        )
        self.model.claim(deal.id, units, completed=result != ZERO, time=receipt.time)
        deadline = self.model.deals[deal.id].deadline
        says = {"gpuSeconds": units, "resultDigest": result, "usageRoot": USAGE_ROOT, "deadline": deadline}
        self._expect(receipt, "DealClaimed", dealId=deal.id, **says)
        return receipt

    def finalize(self, deal: OpenDeal, *, sender: Actor = RELAYER) -> Receipt:
        receipt = self.send(sender, "finalize", deal.terms.as_tuple())
        self._expect_paid(receipt, deal, self.model.finalize(deal.id))
        return receipt

    def claimed(self, match: Match, units: int, *, result: str = ZERO, paid: int = 0) -> OpenDeal:
        """Open a deal, have `paid` released, and claim `units` at its end."""
        deal = self.open(match)
        if paid:
            self.release(deal, paid)
        self.node.at(deal.ends_at)
        self.claim(deal, units, result=result)
        return deal

    def deadline(self, deal: OpenDeal) -> int:
        """The deadline of the deal's present status."""
        return int(self.escrow.dealOf(deal.id).deadline)

    # ---------------------------------------------------------------- all calls

    def send(self, sender: Actor, verb: str, *arguments: Any) -> Receipt:
        """Send a call; the model does not follow."""
        return self.node.transact(sender, getattr(self.escrow, verb), *arguments)

    def encode(self, verb: str, *arguments: Any) -> bytes:
        """Return the data of a call, as an item of a multicall."""
        return bytes(getattr(self.escrow, verb).encode_input(*arguments))

    def _expect_paid(self, receipt: Receipt, deal: OpenDeal, payout: model.Payout) -> None:
        modelled = self.model.deals[deal.id]
        says = {
            "dealId": deal.id,
            "gpuSeconds": modelled.paid,
            "toProvider": payout.provider,
            "fee": payout.fee,
        }
        if modelled.status in {model.LOCKED, model.CLAIMED}:
            self._expect(receipt, "DealPaid", **says)
        else:
            self._expect(receipt, "DealClosed", **says, status=modelled.status, toBuyer=payout.buyer)

    def _expect(self, receipt: Receipt, name: str, **values: Any) -> None:
        found = receipt.events(self.escrow)
        assert found == [(name, values)], f"{found}; expected {name} of {values}"

    # ---------------------------------------------------------------- comparing

    def balance(self, actor: Actor) -> int:
        return self.node.read(self.escrow.accountOf, actor.address)[0]

    def audit(self) -> None:
        """Compare every account, deal, pool and order, and the token's balance, with the model."""
        escrow, read, model_ = self.escrow, self.node.read, self.model
        for address, account in model_.accounts.items():
            _same(read(escrow.accountOf, address), account.word(), f"account {address}")
        for deal_id, deal in model_.deals.items():
            _same(read(escrow.dealOf, deal_id), deal.word(), f"deal {deal_id}")
        for provider, slot in model_.pools():
            in_use = model_.gpus_in_use(provider, slot)
            _same(read(escrow.gpusInUse, provider, slot), [in_use], f"GPUs of {slot}")
        for buyer, slot in model_.opened_orders:
            bits, *_ = read(escrow.groupOf, buyer, messages.Side.ORDERS, slot >> 7)
            _same([bits >> (slot & 127) & 1], [1], f"bit of order {slot}")
        _same(read(self.token.balanceOf, escrow.address), [model_.tokens], "tokens")


def _same(found: Any, expected: Iterable[int], what: str) -> None:
    found, expected = tuple(found), tuple(expected)
    assert found == expected, f"{what}: {found}, the model says {expected}"
