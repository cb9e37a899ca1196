"""A market in which deals end in every way, its verbs compared with the model like those of `Market`."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from molt_market.signing import messages
from tests.contracts import endings_model, model
from tests.contracts.actors import ARBITER, BUYER, BY_ADDRESS, PROVIDER, RELAYER, Actor
from tests.contracts.desk import NEVER
from tests.contracts.factories import ZERO, Match, OpenDeal
from tests.contracts.market import Market
from tests.contracts.node import Receipt

PAID_OUT = ("toProvider", "fee", "toBuyer", "share")


class FullMarket(Market):
    """A market whose deals can be stopped, cancelled, contested, ruled on and split."""

    # ---------------------------------------------------------------- the deal in the model

    def modelled(self, deal: OpenDeal) -> endings_model.Deal:
        """Return the model of this deal."""
        found = self.model.deals[deal.id]
        assert isinstance(found, endings_model.Deal)
        return found

    def _modelled(self, deal: OpenDeal, policy: messages.Policy) -> endings_model.Deal:
        return endings_model.Deal(
            **vars(super()._modelled(deal, policy)),
            commitment=deal.terms.commitment,
            grace=policy.grace,
            arbitration=policy.arbitration,
            arbiter=policy.arbiter,
            arbiter_share_bps=policy.arbiter_share_bps,
        )

    # ---------------------------------------------------------------- the parties' verbs

    def stop(
        self, deal: OpenDeal, *, sender: Actor = BUYER, deadline: int = NEVER, sig: bytes = b""
    ) -> Receipt:
        receipt = self.send(sender, "stop", deal.terms.as_tuple(), deadline, sig)
        modelled = self.modelled(deal)
        says: dict[str, Any] = {"dealId": deal.id, "excused": modelled.stop(receipt.time)}
        says |= {"endsAt": modelled.ends_at, "deadline": modelled.deadline}
        self._expect(receipt, "DealStopped", **says)
        return receipt

    def cancel_deal(
        self, deal: OpenDeal, *, sender: Actor = PROVIDER, deadline: int = NEVER, sig: bytes = b""
    ) -> Receipt:
        receipt = self.send(sender, "cancelDeal", deal.terms.as_tuple(), deadline, sig)
        modelled = self.modelled(deal)
        self._expect_closed(receipt, deal, modelled.close(modelled.paid))
        return receipt

    def claim_unattested(
        self, deal: OpenDeal, units: int, *, sender: Actor = PROVIDER, deadline: int = NEVER, sig: bytes = b""
    ) -> Receipt:
        receipt = self.send(sender, "claimUnattested", deal.terms.as_tuple(), units, deadline, sig)
        payout = self.modelled(deal).claim_unattested(units, receipt.time)
        self._expect_contested(receipt, deal, payout, ZERO)
        return receipt

    def dispute(
        self,
        deal: OpenDeal,
        counter: int,
        *,
        evidence: str = ZERO,
        sender: Actor = BUYER,
        deadline: int = NEVER,
        sig: bytes = b"",
    ) -> Receipt:
        receipt = self.send(sender, "dispute", deal.terms.as_tuple(), counter, evidence, deadline, sig)
        payout = self.modelled(deal).contest(counter, receipt.time)
        self._expect_contested(receipt, deal, payout, evidence)
        return receipt

    def concede(
        self, deal: OpenDeal, units: int, *, sender: Actor, deadline: int = NEVER, sig: bytes = b""
    ) -> Receipt:
        receipt = self.send(sender, "concede", deal.terms.as_tuple(), units, deadline, sig)
        self._expect_closed(receipt, deal, self.modelled(deal).rule(units))
        return receipt

    def settle(
        self,
        deal: OpenDeal,
        units: int,
        *,
        until: int = NEVER,
        buyer_sig: bytes | None = None,
        provider_sig: bytes | None = None,
        sender: Actor = RELAYER,
    ) -> Receipt:
        """Close as both wish; both sign unless signatures are given."""
        split = messages.Split(deal.id, units, until)
        buyer_sig = self.sign(deal.terms.buyer, split) if buyer_sig is None else buyer_sig
        provider_sig = self.sign(deal.terms.provider, split) if provider_sig is None else provider_sig
        receipt = self.send(sender, "settle", deal.terms.as_tuple(), units, until, buyer_sig, provider_sig)
        self._expect_closed(receipt, deal, self.modelled(deal).split(units))
        return receipt

    # ---------------------------------------------------------------- the arbiter's verbs, and his silence

    def resolve(
        self,
        deal: OpenDeal,
        units: int,
        *,
        sender: Actor = ARBITER,
        deadline: int = NEVER,
        sig: bytes = b"",
    ) -> Receipt:
        receipt = self.send(sender, "resolve", deal.terms.as_tuple(), units, deadline, sig)
        self.ruled(receipt, deal, units)
        return receipt

    def ruled(self, receipt: Receipt, deal: OpenDeal, units: int) -> None:
        """Make the step of a ruling in the model, and compare."""
        modelled = self.modelled(deal)
        share = modelled.share
        says = {"dealId": deal.id, "arbiter": modelled.arbiter, "gpuSeconds": units, "share": share}
        self.model.accounts[modelled.arbiter].balance += share
        self._expect_closed(receipt, deal, modelled.rule(units, share), ("DealRuled", says))

    def finalize(self, deal: OpenDeal, *, sender: Actor = RELAYER) -> Receipt:
        modelled = self.modelled(deal)
        if modelled.status != model.DISPUTED:
            return super().finalize(deal, sender=sender)
        receipt = self.send(sender, "finalize", deal.terms.as_tuple())
        self._expect_closed(receipt, deal, modelled.fall_silent())
        return receipt

    # ---------------------------------------------------------------- deals on their way

    def disputed(self, match: Match, claim: int, counter: int = 0, *, paid: int = 0) -> OpenDeal:
        """Open a deal, have `paid` released and `claim` claimed at its end, and disputed."""
        deal = self.claimed(match, claim, paid=paid)
        self.dispute(deal, counter, sender=BY_ADDRESS[deal.terms.buyer])
        return deal

    def unattested(self, match: Match, claim: int, *, paid: int = 0) -> OpenDeal:
        """Open a deal, have `paid` released, and `claim` claimed at its end by the provider alone."""
        deal = self.open(match)
        if paid:
            self.release(deal, paid)
        self.node.at(deal.ends_at)
        self.claim_unattested(deal, claim, sender=BY_ADDRESS[deal.terms.provider])
        return deal

    # ---------------------------------------------------------------- comparing

    def status(self, deal: OpenDeal) -> int:
        return int(self.escrow.dealOf(deal.id).status)

    def contested(self, deal: OpenDeal, payout: model.Payout) -> None:
        """Move the money of a contested claim in the model: the payout, and then the buyer's stake."""
        modelled = self.modelled(deal)
        self.model._credit(modelled, payout)
        self.model.accounts[modelled.buyer].balance -= modelled.buyers_stake

    def _expect_contested(
        self, receipt: Receipt, deal: OpenDeal, payout: model.Payout, evidence: str
    ) -> None:
        modelled = self.modelled(deal)
        self.contested(deal, payout)
        self._expect(
            receipt,
            "DealDisputed",
            dealId=deal.id,
            counter=modelled.paid,
            gpuSeconds=modelled.claim,
            evidence=evidence,
            stake=modelled.buyers_stake,
            deadline=modelled.deadline,
            toProvider=payout.provider,
            fee=payout.fee,
            toBuyer=payout.buyer,
        )

    def _expect_closed(
        self, receipt: Receipt, deal: OpenDeal, payout: model.Payout, *before: tuple[str, dict[str, Any]]
    ) -> None:
        modelled = self.modelled(deal)
        self.model._credit(modelled, payout)
        says = {"dealId": deal.id, "status": modelled.status, "gpuSeconds": modelled.paid}
        says |= {"toProvider": payout.provider, "fee": payout.fee, "toBuyer": payout.buyer}
        assert receipt.events(self.escrow) == [*before, ("DealClosed", says)]

    def audit(self) -> None:
        """Beside what Market compares: every deal's events add up to its price, bond and buyer's stake."""
        super().audit()
        paid_out: dict[str, int] = defaultdict(int)
        for _, values in self._history():
            if "dealId" in values:
                paid_out[values["dealId"]] += sum(values.get(key, 0) for key in PAID_OUT)
                paid_out[values["dealId"]] -= values.get("stake", 0)
        for deal_id, deal in self.model.deals.items():
            assert paid_out[deal_id] + deal.held == deal.cost + deal.bond, (
                f"deal {deal_id}: {paid_out[deal_id]}"
            )

    def _history(self) -> list[tuple[str, dict[str, Any]]]:
        where = {"address": self.domain.escrow, "fromBlock": "0x0", "toBlock": "latest"}
        logs = self.node.request("eth_getLogs", where)
        return Receipt(hash="", time=0, gas_used=0, created=None, logs=logs).events(self.escrow)
