"""Buyer: finds GPUs, pays for them, hands a job over, and lets the provider be paid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from molt_market.domain.agreements import SplitAgreement
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.documents import Document
from molt_market.domain.ids import PartyId
from molt_market.domain.jobs import Access, JobResult, JobSpec
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.domain.pings import Gateway
from molt_market.domain.proofs import Confirmation
from molt_market.domain.requests import Side
from molt_market.errors import (
    InvalidValue,
    MatchMismatch,
    WrongSigner,
)
from molt_market.orderbook.constraints import names_broken
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing, Pool
from molt_market.sdk.direct import DirectMail, Mailbox
from molt_market.sdk.gateways import GatewayClient, GatewayLimits
from molt_market.sdk.jobs import WAIT_SECONDS, DealJob
from molt_market.sdk.party import Cancelled, Party
from molt_market.sdk.watch import PingStore, Watch, WatchPolicy
from molt_market.signing.hashes import offer_hash, order_hash
from molt_market.signing.sealing import SealingKey
from molt_market.signing.statements import (
    sign_order,
    sign_voucher,
    verify_offer,
)
from molt_market.wire.messages import ExplanationAnswer, OrderState, QuoteAnswer

ORDERS_PER_GROUP = 128


class Buyer(Party):
    """Finds GPUs, pays for them, and lets the provider be paid.

    >>> buyer = Buyer("http://127.0.0.1:8080", "buyer.json")  # doctest: +SKIP
    >>> escrow = buyer.open(buyer.match(order)[0])  # doctest: +SKIP
    >>> buyer.release(escrow)  # doctest: +SKIP
    """

    def quote(self, order: JobOrder) -> QuoteAnswer:
        """Return what an order would get now, and what that costs; the server's word."""
        return self.api.quote(self._own(order))

    def explain(self, order: JobOrder) -> ExplanationAnswer:
        """Return why an order does not match, and what would make it match; the server's word."""
        return self.api.explain(self._own(order))

    def match(self, order: JobOrder, limit: int = 8) -> list[OrderMatch]:
        """Return what fits an order now, the best first by the server's score, each checked here.

        Raises:
            MatchMismatch: the server shows an offer that does not fit: do not trust it.
            InvalidSignature, UnsignedOffer: or one that its provider did not sign.
            NoMatchingOffers, PriceExceedsBudget, InsufficientCapacity: nothing fits.
        """
        own = self._own(order)
        return [self._checked(found.for_order(own)) for found in self.api.match(own, limit)]

    def open(self, match: OrderMatch) -> EscrowAccount:
        """Hold the GPUs, sign the order, lock the money: `PaymentService.create_job_escrow`."""
        self._checked(match)
        return self.payments.create_job_escrow(match, self.wallet)

    def next_match(self, escrow: EscrowAccount, offer: CapacityOffer, hours: int) -> OrderMatch:
        """Return the match that goes on from a deal: as many GPUs, by an offer for its slot.

        Raises MatchMismatch, InvalidSignature, UnsignedOffer: the offer does not fit, or nobody signed it.
        """
        needs = JobRequirements(
            min_gpu_count=escrow.terms.gpu_count,
            min_vram_gb=0,
            max_price_per_hour=offer.price_per_hour,
            estimated_hours=hours,
        )
        order = JobOrder(
            buyer_id=PartyId(self.wallet.address),
            requirements=needs,
            voucher_signer=escrow.terms.voucher_signer,
            created_at=self.client.now(),
        )
        return self._checked(OrderMatch.of(offer, order))

    def extend(self, escrow: EscrowAccount, agreement: SplitAgreement, match: OrderMatch) -> EscrowAccount:
        """Close a deal as agreed and open the next in one transaction: `PaymentService.extend`."""
        self._checked(match)
        return self.payments.extend(escrow, agreement, match, self.wallet)

    def post(self, order: JobOrder) -> OrderState:
        """Sign an order and let it wait. Its budget has to lie in the escrow (`deposit`).

        Without a slot it gets the buyer's next one; without an opener it names the market's, who may open
        its deal with an offer that fits, and nothing else.
        """
        own = self._own(order)
        if own.opener is None and own.offer_hash is None:
            own = own.model_copy(update={"opener": self.api.market().opener})
        with self._posting:  # the slot is taken once the server has the order
            if own.slot is None:
                own = own.model_copy(update={"slot": self._free_slot()})
            [posted] = self.api.post_orders([sign_order(own, self.wallet, self.domain)])
        return posted

    def cancel(self, order: JobOrder, *, on_chain: bool = False, relayed: bool = False) -> Cancelled:
        """Take a signed order off the book; `on_chain` cancels its group of 128 slots there too.

        `relayed` does that through the server, which pays. What the answer says counts: until then it can
        still be opened on the chain.
        """
        gone = self._unlist(order_hash(order, self.domain), order.expires_at)
        if not (on_chain or relayed):
            return gone
        return self._cancel(gone, Side.ORDERS, (order.slot or 0) // ORDERS_PER_GROUP, relayed=relayed)

    def orders(self) -> Iterator[OrderState]:
        """Yield all orders of the account that the server knows."""
        return self.api.orders(self.wallet.address)

    def release(self, escrow: EscrowAccount, gpu_seconds: int | None = None) -> Confirmation:
        """Release the first `gpu_seconds` of a deal (default: all), and leave the voucher for the provider.

        Earlier ones are included. The money moves when he redeems it. Raises WrongSigner if vouchers of this
        deal are another key's: a payer lets its user release.
        """
        if self.wallet.address != escrow.terms.voucher_signer:
            raise WrongSigner(expected=escrow.terms.voucher_signer, actual=self.wallet.address)
        much = escrow.terms.gpu_seconds if gpu_seconds is None else gpu_seconds
        if not 0 < much <= escrow.terms.gpu_seconds:
            raise InvalidValue(
                f"{much} GPU-seconds of {escrow.terms.gpu_seconds}: give more than 0, at most all"
            )
        voucher = sign_voucher(escrow.id, much, self.wallet, self.domain)
        self.api.post_document(Document(voucher=voucher))
        return voucher

    def hand_over(
        self,
        escrow: EscrowAccount,
        spec: JobSpec,
        key: SealingKey,
        wait: float = WAIT_SECONDS,
        *,
        at: str | None = None,
        private: bool = False,
    ) -> Access:
        """Seal a job to the deal's agent, and return the access once it is ready: `DealJob.hand_over`.

        `at`: the gateway's address, asked instead of the market; whatever counts is signed by the agent.
        `private`: that one may be not public. Both as in the calls below.
        """
        return self._job(escrow, key, at, private=private).hand_over(spec, wait)

    def job_result(
        self,
        escrow: EscrowAccount,
        key: SealingKey,
        wait: float = WAIT_SECONDS,
        *,
        at: str | None = None,
        private: bool = False,
    ) -> JobResult:
        """Return how the job ended, as the agent has written: `DealJob.result`."""
        return self._job(escrow, key, at, private=private).result(wait)

    def fetch(
        self,
        escrow: EscrowAccount,
        key: SealingKey,
        folder: Path,
        wait: float = WAIT_SECONDS,
        *,
        at: str | None = None,
        private: bool = False,
    ) -> list[Path]:
        """Fetch the job's files, each checked against what the agent has signed for: `DealJob.fetch`."""
        return self._job(escrow, key, at, private=private).fetch(folder, wait, private=private)

    def watch(
        self,
        escrow: EscrowAccount,
        policy: WatchPolicy | None = None,
        *,
        pings: PingStore | None = None,
        wait: float = WAIT_SECONDS,
        at: str | None = None,
        private: bool = False,
    ) -> Watch:
        """Return what releases a deal's money while it runs, for what the machine answers: `run` it.

        With `at` the vouchers too go to the gateway, which passes them on to the market.

        Raises AgentSilent if the agent has not said where he is reached after `wait` seconds.
        """
        gateway = self.gateway(escrow, wait, at=at, private=private)
        asking = GatewayClient(gateway, GatewayLimits(private=private))
        mailbox = self._mailbox(at, private=private)
        return Watch(mailbox, self.client, self.wallet, escrow, asking, policy=policy, pings=pings)

    def gateway(
        self,
        escrow: EscrowAccount,
        wait: float = WAIT_SECONDS,
        *,
        at: str | None = None,
        private: bool = False,
    ) -> Gateway:
        """Return where a deal is answered for: `DealJob.gateway`."""
        return self._job(escrow, SealingKey.generate(), at, private=private).gateway(wait)

    def _job(self, escrow: EscrowAccount, key: SealingKey, at: str | None, *, private: bool) -> DealJob:
        return DealJob(self._mailbox(at, private=private), self.client, self.wallet, escrow, key)

    def _mailbox(self, at: str | None, *, private: bool) -> Mailbox:
        return self.api if at is None else DirectMail(at, private=private)

    def _free_slot(self) -> int:
        """Return the lowest slot that opened no deal, and that none of the account's other orders has."""
        taken = {each.order.slot for each in self.orders() if each.order.slot is not None}
        return self.client.next_order_slot(self.wallet.address, taken)

    def _own(self, order: JobOrder) -> JobOrder:
        mine = self.wallet.address
        if order.buyer_id.address not in {None, mine}:
            raise InvalidValue(f"the order is {order.buyer_id}'s, not {mine}'s: use his wallet")
        return order.model_copy(update={"buyer_id": PartyId(mine)})

    def _checked(self, match: OrderMatch) -> OrderMatch:
        """Trust no server: check the provider's signature, and every constraint, price and budget too."""
        offer = match.offer
        verify_offer(offer, self.domain, self.client.is_approved)
        listing = Listing.of(offer, Pool(), offer_hash(offer, self.domain))
        wrong = names_broken(listing, Demand.of_order(match.order, self.client.now()))
        if wrong:
            raise MatchMismatch(
                f"offer {offer.id} does not fit order {match.order.id} ({', '.join(sorted(wrong))}): match"
                " again, and do not trust this server if it comes back"
            )
        return match
