"""A market's first days: something of everything that moves money, or that the log tells."""

from __future__ import annotations

from molt_market.chain.interface import interface
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.ids import Hash32
from molt_market.domain.requests import Side
from molt_market.domain.roles import Role
from molt_market.domain.transactions import Call
from tests.integration.scene import DONE, HOURS, Scene, molt
from tests.integration.stage import Stage

TOKEN = interface("MoltToken")
GIFT = 12_345


class Story:
    """Something of everything that moves money, or that the log tells."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.net = scene.net
        self.stage = Stage(scene)
        self.deals: dict[str, EscrowAccount] = {}

    def open(self, name: str) -> EscrowAccount:
        """Open a deal in a pool of its own."""
        self.deals[name] = self.scene.open(offer=self.scene.offer(slot=len(self.deals)))
        return self.deals[name]

    def play(self, name: str, *steps: tuple[str, str]) -> None:
        for verb, hours in steps:
            self.stage.send(self.deals[name], verb, hours)

    def tell(self) -> None:
        self.money()
        self.before_deals()
        self.first_day()
        self.end_of_the_day()
        self.second_day()
        self.roles()

    def money(self) -> None:
        """Deposits, one of them by somebody else, tokens that nobody deposits, withdrawals."""
        net = self.net
        net.client(net.buyer).deposit(molt(1_000))
        gift = net.client(net.buyers[1])
        gift.send(gift.calls.approve(molt(20).base_units))
        gift.send(gift.calls.deposit(net.stranger.address, molt(20).base_units))
        transfer = TOKEN.encode("transfer", net.deployment.escrow, GIFT)
        gift.send(Call(net.deployment.token_address, transfer))
        leaving = net.client(net.providers[1])
        leaving.request_withdraw(molt(30))
        self.scene.run(1)
        leaving.withdraw(net.stranger.address)
        leaving.request_withdraw(molt(7))  # stays marked

    def before_deals(self) -> None:
        """Cancels, one after the other in the same group; approvals, one of them taken back."""
        maker = self.net.client(self.net.providers[2])
        for _ in range(2):
            maker.cancel(Side.OFFERS, 3)
            self.scene.run(1)
        maker.approve_digest(DONE)
        maker.approve_digest(Hash32("0x" + "aa" * 32))
        maker.revoke_digest(DONE)

    def first_day(self) -> None:
        """Deals that end within the day, and those that will be claimed."""
        for name in (
            "paid",
            "given up",
            "split",
            "excused",
            "claimed",
            "contested",
            "ruled",
            "conceded",
            "unattested",
        ):
            self.open(name)
        self.play("paid", ("release", "6"), ("release", "24"))
        self.play("given up", ("release", "1"), ("cancelDeal", "0"))
        self.play("split", ("settle", "3"))
        self.play("excused", ("stop", "0"))
        self.play("contested", ("release", "2"))
        self.batch_with_a_refused_item()

    def batch_with_a_refused_item(self) -> None:
        """A voucher that pays, and one that is too low by then."""
        client, deal = self.net.client(self.net.stranger), self.deals["unattested"]
        vouchers = [self.scene.voucher(deal, hours) for hours in ("2", "1")]
        calls = [client.calls.release(deal.terms, voucher) for voucher in vouchers]
        client.send(client.calls.bundle(calls, skip=True))

    def end_of_the_day(self) -> None:
        self.scene.run(HOURS)
        for name in ("claimed", "contested", "ruled", "conceded"):
            self.play(name, ("claim", "23.5"))
        for name in ("contested", "ruled", "conceded"):
            self.play(name, ("dispute", "4"))
        self.play("ruled", ("resolve", "12"))
        self.play("conceded", ("concede", "23.5"))
        self.play("unattested", ("claimUnattested", "23.5"))

    def second_day(self) -> None:
        """Deals that have only begun."""
        for name in ("locked", "half paid", "stopped", "completed"):
            self.open(name)
        self.play("half paid", ("release", "12"))
        self.scene.run(5)
        self.play("stopped", ("stop", "0"))
        finished = self.scene.proof(self.deals["completed"], "4", result=DONE)
        client = self.net.client(self.net.stranger)
        client.send(client.calls.claim(self.deals["completed"].terms, finished))

    def roles(self) -> None:
        """A pause that ends, another fee, and a role that changes hands."""
        net = self.net
        guardian = net.client(net.guardian)
        guardian.pause()
        guardian.unpause()
        net.client(net.fee_setter).schedule_fee(200)
        guardian.offer_role(Role.GUARDIAN, net.stranger.address)
        net.client(net.stranger).accept_role(Role.GUARDIAN)
