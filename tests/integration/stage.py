"""Deals in every status, and every verb of the contract, sent by the party that may."""

from __future__ import annotations

from molt_market.chain.interface import interface
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.ids import ZERO_HASH
from molt_market.domain.settlement import gpu_seconds
from molt_market.domain.transactions import Call
from molt_market.signing.hashes import deal_id, terms_message, terms_of
from molt_market.signing.messages import Split
from molt_market.signing.statements import sign_order
from molt_market.signing.wallet import Wallet
from tests.integration.scene import HOURS, Scene, molt

ESCROW = interface("MoltEscrow")
BY_SENDER = b""
NEVER = 2**40 - 1

LEADING_TO: dict[str, list[tuple[str, str]]] = {
    "NONE": [],
    "LOCKED": [],
    "CLAIMED": [("claim", "23.5")],
    "DISPUTED": [("claim", "23.5"), ("dispute", "0")],
    "UNATTESTED": [("claimUnattested", "23.5")],
    "RELEASED": [("release", "24")],
    "REFUNDED": [("cancelDeal", "0")],
}


class Stage:
    """Brings deals into a status by the contract's own verbs."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.net = scene.net

    def deal(self, status: str, *, slot: int | None = None) -> EscrowAccount:
        escrow = self.scene.open(slot=slot)
        self.net.client(self.net.buyer).deposit(molt(50))  # for the stake in a dispute
        for verb, hours in LEADING_TO[status]:
            if verb.startswith("claim"):
                self.scene.run(HOURS)
            self.send(escrow, verb, hours)
        return escrow

    def send(self, escrow: EscrowAccount, verb: str, hours: str) -> DealStatus:
        """Send a verb, and return the status that follows."""
        sender, call = self.call(escrow, verb, hours)
        self.net.client(sender).send(call)
        return self.scene.client.escrow(escrow.id).status

    def call(self, escrow: EscrowAccount, verb: str, hours: str) -> tuple[Wallet, Call]:
        net, units = self.net, gpu_seconds(hours, escrow.terms.gpu_count)
        if verb == "claim":
            return net.stranger, self.scene.client.calls.claim(escrow.terms, self.scene.proof(escrow, hours))
        split = net.provider.sign(Split(escrow.id, units, NEVER), net.domain)
        sender, values = {
            "release": (net.stranger, (units, self.scene.voucher(escrow, hours).signature)),
            "claimUnattested": (net.provider, (units, 0, BY_SENDER)),
            "dispute": (net.buyer, (units, ZERO_HASH, 0, BY_SENDER)),
            "resolve": (net.arbiter, (units, 0, BY_SENDER)),
            "concede": (net.provider if units == 0 else net.buyer, (units, 0, BY_SENDER)),
            "settle": (net.buyer, (units, NEVER, BY_SENDER, split)),
            "stop": (net.buyer, (0, BY_SENDER)),
            "cancelDeal": (net.provider, (0, BY_SENDER)),
            "finalize": (net.stranger, ()),
        }[verb]
        data = ESCROW.encode(verb, terms_message(escrow.terms).as_tuple(), *values)
        return sender, Call(net.deployment.escrow, data)

    def never_opened(self) -> EscrowAccount:
        """Return a deal that everybody signed and nobody opened."""
        match = self.scene.match(slot=7)
        order = sign_order(match.order, self.net.buyer, self.net.domain, offer=match.offer)
        terms = terms_of(match.offer, order, self.net.domain)
        id_ = deal_id(terms, self.net.domain)
        return self.scene.open().model_copy(update={"id": id_, "terms": terms})
