"""A market in which deals open, are paid, claimed and closed by time, its verbs as tests use them.

`audit` compares all that the events do not say with the model, to the unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from molt_market.signing import messages
from tests.contracts import model
from tests.contracts.actors import AGENT, ATTESTORS, RELAYER, Actor
from tests.contracts.factories import USAGE_ROOT, ZERO, Match, OpenDeal, addresses
from tests.contracts.hall import Hall
from tests.contracts.node import Receipt
from tests.contracts.refusals import Refused
from tests.contracts.signatures import compact


class Market(Hall):
    """An escrow, its token, a policy, and the model of all that has happened."""

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

    # ---------------------------------------------------------------- comparing

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
