"""Every place where a verb takes somebody's word, made ready for it: by signature, approval or own call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from molt_market.signing import messages
from molt_market.signing.typed_data import Message
from tests.contracts.actors import (
    AGENT,
    ARBITER,
    ATTESTORS,
    BUYER,
    OWNER,
    PROVIDER,
    RELAYER,
    STRANGER,
    VOUCHER_SIGNER,
    Actor,
)
from tests.contracts.endings import FullMarket
from tests.contracts.factories import HOUR, UNIT, USAGE_ROOT, ZERO, Match, OpenDeal, make_policy
from tests.contracts.wallets import Wallet

COUNTER, CLAIM = 8 * HOUR, 24 * HOUR
KEYS = (BUYER, PROVIDER, AGENT, VOUCHER_SIGNER, ARBITER, ATTESTORS[0], STRANGER, RELAYER, OWNER)
"""Who has a key: one of them has to say the word, and none of the others can."""


@dataclass(frozen=True)
class Cast:
    buyer: Actor = BUYER
    provider: Actor = PROVIDER
    voucher_signer: Actor = VOUCHER_SIGNER
    agent: Actor = AGENT
    arbiter: Actor = ARBITER


class Scene:
    """A market in which one cast makes its deals. Whoever is a wallet approves what others sign."""

    def __init__(self, market: FullMarket, cast: Cast, *, slot: int = 130) -> None:
        self.market = market
        self.cast = cast
        self.slot = slot
        for party in (cast.buyer, cast.provider):
            if market.model.accounts[party.address].balance == 0:
                market.fund(RELAYER, 1_000 * UNIT)
                market.deposit(RELAYER, 1_000 * UNIT, to=party.address)

    def match(self) -> Match:
        """Make a pair, signed by those who have a key."""
        cast = self.cast
        policy = {"policy_id": self._policy()}
        offer = {**policy, "provider": cast.provider.address, "agent": cast.agent.address}
        order = {**policy, "buyer": cast.buyer.address, "voucher_signer": cast.voucher_signer.address}
        return self.market.match(
            offer,
            {**order, "slot": self.slot},
            offer_sig=b"" if isinstance(cast.provider, Wallet) else None,
            order_sig=b"" if isinstance(cast.buyer, Wallet) else None,
        )

    def locked(self) -> OpenDeal:
        match = self.match()
        for party, message in ((self.cast.provider, match.offer), (self.cast.buyer, match.order)):
            if isinstance(party, Wallet):
                self.market.approve(party, message)
        return self.market.open(match)

    def ended(self) -> OpenDeal:
        deal = self.locked()
        self.market.node.mine(deal.ends_at)
        return deal

    def claimed(self) -> OpenDeal:
        deal = self.ended()
        self.market.claim(deal, CLAIM)
        return deal

    def disputed(self) -> OpenDeal:
        deal = self.claimed()
        self.market.dispute(deal, COUNTER, sender=self.cast.buyer)
        return deal

    def _policy(self) -> str:
        if self.cast.arbiter is ARBITER:
            return self.market.policy_id
        return self.market.register(make_policy(arbiter=self.cast.arbiter.address), ATTESTORS)


@dataclass(frozen=True)
class Asked:
    """What there is to say by a deadline, and the call that does it: of a sender, a deadline, a signature."""

    message: Callable[[int], Message]
    do: Callable[..., Any]


@dataclass(frozen=True)
class Word:
    """Whose word a verb takes, and how to come so far that it is asked for."""

    role: str
    ask: Callable[[Scene], Asked]
    lapses: bool = True  # with a deadline that is signed too

    def whose(self, scene: Scene) -> Actor:
        owner = getattr(scene.cast, self.role)
        assert isinstance(owner, Actor)
        return owner


def offer(scene: Scene) -> Asked:
    match = scene.match()

    def do(sender: Actor, _: int, sig: bytes = b"") -> OpenDeal:
        return scene.market.open(replace(match, offer_sig=sig), sender=sender)

    return Asked(lambda _: match.offer, do)


def order(scene: Scene) -> Asked:
    match = scene.match()

    def do(sender: Actor, _: int, sig: bytes = b"") -> OpenDeal:
        return scene.market.open(replace(match, order_sig=sig), sender=sender)

    return Asked(lambda _: match.order, do)


def voucher(scene: Scene) -> Asked:
    deal = scene.locked()

    def do(sender: Actor, _: int, sig: bytes = b"") -> Any:
        return scene.market.release(deal, HOUR, sig=sig, sender=sender)

    return Asked(lambda _: messages.Voucher(deal.id, HOUR), do)


def receipt(scene: Scene) -> Asked:
    deal = scene.ended()

    def do(sender: Actor, _: int, sig: bytes = b"") -> Any:
        return scene.market.claim(deal, CLAIM, agent_sig=sig, sender=sender)

    return Asked(lambda _: messages.Receipt(deal.id, CLAIM, ZERO, USAGE_ROOT), do)


def request_withdraw(scene: Scene) -> Asked:
    market, owner = scene.market, scene.cast.buyer
    nonce = market.model.accounts[owner.address].nonce

    def do(sender: Actor, deadline: int, sig: bytes = b"") -> Any:
        return market.request_withdraw(owner, 7, sender=sender, deadline=deadline, sig=sig)

    return Asked(lambda deadline: messages.RequestWithdraw(owner.address, 7, nonce, deadline), do)


def withdraw(scene: Scene) -> Asked:
    market, owner = scene.market, scene.cast.buyer
    market.request_withdraw(owner, 7)
    account = market.model.accounts[owner.address]
    market.node.mine(account.unlock_at)

    def do(sender: Actor, deadline: int, sig: bytes = b"") -> Any:
        return market.withdraw(owner, sender=sender, deadline=deadline, sig=sig)

    nonce = account.nonce
    return Asked(lambda deadline: messages.Withdraw(owner.address, owner.address, nonce, deadline), do)


def cancel(scene: Scene) -> Asked:
    owner, group = scene.cast.provider, 100 + scene.slot
    cutoff = scene.market.escrow.groupOf(owner.address, messages.Side.OFFERS, group).cutoffAt

    def signed(deadline: int) -> Message:
        return messages.CancelOrders(owner.address, messages.Side.OFFERS, group, cutoff, deadline)

    def do(sender: Actor, deadline: int, sig: bytes = b"") -> Any:
        how: dict[str, Any] = {"sender": sender, "deadline": deadline, "sig": sig}
        return scene.market.cancel(owner, messages.Side.OFFERS, group, **how)

    return Asked(signed, do)


def stop(scene: Scene) -> Asked:
    deal = scene.locked()

    def do(sender: Actor, deadline: int, sig: bytes = b"") -> Any:
        return scene.market.stop(deal, sender=sender, deadline=deadline, sig=sig)

    return Asked(lambda deadline: messages.Stop(deal.id, deadline), do)


def cancel_deal(scene: Scene) -> Asked:
    deal = scene.locked()

    def do(sender: Actor, deadline: int, sig: bytes = b"") -> Any:
        return scene.market.cancel_deal(deal, sender=sender, deadline=deadline, sig=sig)

    return Asked(lambda deadline: messages.CancelDeal(deal.id, deadline), do)


def claim_unattested(scene: Scene) -> Asked:
    deal = scene.ended()

    def do(sender: Actor, deadline: int, sig: bytes = b"") -> Any:
        return scene.market.claim_unattested(deal, CLAIM, sender=sender, deadline=deadline, sig=sig)

    return Asked(lambda deadline: messages.UnattestedClaim(deal.id, CLAIM, deadline), do)


def dispute(scene: Scene) -> Asked:
    deal = scene.claimed()

    def do(sender: Actor, deadline: int, sig: bytes = b"") -> Any:
        return scene.market.dispute(deal, COUNTER, sender=sender, deadline=deadline, sig=sig)

    return Asked(lambda deadline: messages.Dispute(deal.id, COUNTER, ZERO, deadline), do)


def ruling(scene: Scene) -> Asked:
    deal = scene.disputed()

    def do(sender: Actor, deadline: int, sig: bytes = b"") -> Any:
        return scene.market.resolve(deal, 2 * COUNTER, sender=sender, deadline=deadline, sig=sig)

    return Asked(
        lambda deadline: messages.Ruling(scene.market.domain.escrow, deal.id, 2 * COUNTER, deadline), do
    )


def concession(units: int) -> Callable[[Scene], Asked]:
    def ask(scene: Scene) -> Asked:
        deal = scene.disputed()

        def do(sender: Actor, deadline: int, sig: bytes = b"") -> Any:
            return scene.market.concede(deal, units, sender=sender, deadline=deadline, sig=sig)

        return Asked(lambda deadline: messages.Concede(deal.id, units, deadline), do)

    return ask


def split(side: str) -> Callable[[Scene], Asked]:
    def ask(scene: Scene) -> Asked:
        deal = scene.locked()

        def do(sender: Actor, deadline: int, sig: bytes = b"") -> Any:
            own: dict[str, Any] = {f"{side}_sig": sig}
            return scene.market.settle(deal, COUNTER, until=deadline, sender=sender, **own)

        return Asked(lambda deadline: messages.Split(deal.id, COUNTER, deadline), do)

    return ask


WORDS = {
    "offer": Word("provider", offer, lapses=False),
    "order": Word("buyer", order, lapses=False),
    "voucher": Word("voucher_signer", voucher, lapses=False),
    "receipt": Word("agent", receipt, lapses=False),
    "request to withdraw": Word("buyer", request_withdraw),
    "withdrawal": Word("buyer", withdraw),
    "cancel": Word("provider", cancel),
    "stop": Word("buyer", stop),
    "cancel of a deal": Word("provider", cancel_deal),
    "unattested claim": Word("provider", claim_unattested),
    "dispute": Word("buyer", dispute),
    "ruling": Word("arbiter", ruling),
    "concession of the provider": Word("provider", concession(COUNTER)),
    "concession of the buyer": Word("buyer", concession(CLAIM)),
    "split of the buyer": Word("buyer", split("buyer")),
    "split of the provider": Word("provider", split("provider")),
}
