"""Buyer, provider and attestor at a market: the few calls that each of them makes."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from molt_market.attestation.evidence import EvidenceContent
from molt_market.attestation.receipts import assemble_proof, countersign
from molt_market.chain.client import MoltClient
from molt_market.chain.deployments import Deployment
from molt_market.chain.networks import Network
from molt_market.domain.agreements import SplitAgreement
from molt_market.domain.amounts import Amount
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.documents import Document, DocumentKind
from molt_market.domain.fields import moment
from molt_market.domain.ids import EscrowId, Hash32, PartyId, TransactionId
from molt_market.domain.jobs import Access, JobResult, JobSpec
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.domain.pings import Gateway
from molt_market.domain.proofs import Attestation, Confirmation, ExecutionProof
from molt_market.domain.requests import Side
from molt_market.domain.settlement import SettlementResult
from molt_market.domain.subscriptions import AlertsRequest, AlertsVerb
from molt_market.domain.transactions import TransactionReceipt
from molt_market.domain.updates import FeedItem
from molt_market.errors import (
    InvalidValue,
    MarketMismatch,
    MatchMismatch,
    TransactionPending,
    WrongSigner,
)
from molt_market.orderbook.constraints import names_broken
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing, Pool
from molt_market.payments.fees import FeePolicy
from molt_market.payments.gas import GasBudget
from molt_market.payments.journal import Journal
from molt_market.payments.relayer import Relayed
from molt_market.payments.service import PaymentService
from molt_market.sdk.api import MarketApi
from molt_market.sdk.book import UNLISTING_SECONDS, RemoteBook
from molt_market.sdk.direct import DirectMail, Mailbox
from molt_market.sdk.feed import follow_feed
from molt_market.sdk.gateways import GatewayClient, GatewayLimits
from molt_market.sdk.jobs import WAIT_SECONDS, DealJob
from molt_market.sdk.watch import PingStore, Watch, WatchPolicy
from molt_market.signing.evidence import evidence_hash, sign_evidence
from molt_market.signing.hashes import offer_hash, order_hash
from molt_market.signing.listings import sign_unlisting
from molt_market.signing.relays import EitherPartys, sign_relay_request
from molt_market.signing.sealing import SealingKey
from molt_market.signing.statements import (
    sign_offer,
    sign_order,
    sign_voucher,
    verify_offer,
    verify_receipt,
    verify_voucher,
)
from molt_market.signing.subscriptions import sign_alerts_request
from molt_market.signing.wallet import TransactionSigner, Wallet
from molt_market.wire.alerts import Subscribed, SubscriptionState
from molt_market.wire.messages import DealState, ExplanationAnswer, OrderState, QuoteAnswer

OFFERS_PER_GROUP, ORDERS_PER_GROUP = 4, 128
CHAIN_SECONDS = 10  # how long our node may lag behind the server's


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What a cancel came to: whether it was on the book, and until when the chain still takes it.

    Until then whoever has seen the signature can open a deal with it, as far as money and GPUs allow.
    """

    digest: Hash32
    was_listed: bool
    stands_until: datetime


class Party:
    """One account at one market, and on its chain.

    Args:
        server: address of the market's server, or a MarketApi.
        wallet: the account, or its key file. It stays here: the server sees signatures only.
        network: the chain. rpc_url, deployment: as MoltClient; the contract's code is compared with it.
        journal: where payments are written down (default: in memory; see `connect`).
        fees: what is offered for gas.

    Raises:
        MarketMismatch: the server is for another chain or contract.
        ServerUnreachable, ServerError: of the server. As MoltClient does, of the chain.
    """

    def __init__(
        self,
        server: str | MarketApi,
        wallet: TransactionSigner | str | Path,
        *,
        network: Network = Network.LOCAL,
        rpc_url: str | None = None,
        deployment: Deployment | Path | None = None,
        journal: Journal | None = None,
        fees: FeePolicy | None = None,
    ) -> None:
        self.wallet = Wallet.from_file(wallet) if isinstance(wallet, (str, Path)) else wallet
        self.client = MoltClient(network, rpc_url=rpc_url, deployment=deployment, account=self.wallet)
        self.domain = self.client.domain
        self.api = MarketApi(server) if isinstance(server, str) else server
        try:
            _require_same(self.api, self.client)
        except BaseException:
            self.close()
            raise
        book = RemoteBook(self.api, self.wallet, self.domain, self.client.clock)
        self.payments = PaymentService(self.client, book=book, journal=journal, fees=fees)
        self._posting = Lock()

    def deposit(self, amount: Amount) -> TransactionReceipt:
        """Move tokens into the account's balance in the escrow, for a bond, or for orders that wait."""
        return self.client.deposit(amount)

    def relay(self, message: Relayed) -> TransactionId:
        """Have the server bring what was signed to the chain, and pay: `MarketApi.relay`.

        Who signed it is charged; a voucher or a split is charged to this account, which signs for that.
        """
        asked = None
        if isinstance(message, EitherPartys):
            until = self.client.now() + timedelta(seconds=UNLISTING_SECONDS)
            asked = sign_relay_request(message, self.wallet, self.domain, until=until)
        return self.api.relay(message, asked)

    def gas_budget(self) -> GasBudget:
        """Return what the server pays for the account's gas."""
        return self.api.gas_budget(self.wallet.address)

    def subscribe_alerts(self, url: str) -> Subscribed:
        """Have the account's alerts posted to a webhook; the answer has the secret, this once.

        `verify_webhook` wants it. None: they go there already.
        """
        return self.api.subscribe_alerts(self._alerts(AlertsVerb.SUBSCRIBE, url=url))

    def alert_subscriptions(self) -> Sequence[SubscriptionState]:
        """Return where the account's alerts go."""
        return self.api.alert_subscriptions(self._alerts(AlertsVerb.LIST))

    def unsubscribe_alerts(self, number: int) -> bool:
        """End a subscription of the account. False: there is none of this number."""
        return self.api.unsubscribe_alerts(self._alerts(AlertsVerb.UNSUBSCRIBE, number=number))

    def deals(self) -> Iterator[DealState]:
        """Yield the account's deals as the server has followed them."""
        return self.api.deals(self.wallet.address)

    def escrow(self, deal_id: EscrowId) -> EscrowAccount:
        """Return a deal as it is on the chain. Raises DealNotFound."""
        return self.client.escrow(deal_id)

    def settlement(self, deal_id: EscrowId) -> SettlementResult:
        """Return what was paid of a deal so far, from the chain's log."""
        return self.payments.settlement(deal_id)

    def lay_evidence(self, escrow: EscrowAccount, content: EvidenceContent) -> Hash32:
        """Leave evidence about a deal at the market; return its hash, which a dispute names."""
        evidence = sign_evidence(escrow.id, content.written, self.wallet, self.domain)
        self.api.post_document(Document(evidence=evidence))
        return evidence_hash(evidence.content)

    def feed(self, after: int = 0) -> Generator[FeedItem]:
        """Yield the market's steps behind a sequence number, and then each as it comes. Never ends."""
        return follow_feed(self.api.transport.url, after)

    def close(self) -> None:
        """Close the connections to the server."""
        self.api.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def _alerts(self, verb: AlertsVerb, *, url: str = "", number: int = 0) -> AlertsRequest:
        until = self.client.now() + timedelta(seconds=UNLISTING_SECONDS)
        return sign_alerts_request(verb, self.wallet, self.domain, until=until, url=url, number=number)

    def _unlist(self, digest: Hash32, expires_at: datetime) -> Cancelled:
        until = self.client.now() + timedelta(seconds=UNLISTING_SECONDS)
        gone = self.api.unlist([sign_unlisting(digest, self.wallet, self.domain, until=until)])
        return Cancelled(digest, digest in gone, expires_at)

    def _cancel(self, cancelled: Cancelled, side: Side, group: int, *, relayed: bool) -> Cancelled:
        """Cancel a group on the chain too, and say until when that leaves it."""
        if relayed:
            takes_effect = self._cancel_relayed(side, group)
        else:
            self.client.cancel(side, group)
            takes_effect = self.client.now() + timedelta(seconds=self.client.deployment.cancel_delay_seconds)
        return Cancelled(cancelled.digest, cancelled.was_listed, min(takes_effect, cancelled.stands_until))

    def _cancel_relayed(self, side: Side, group: int) -> datetime:
        """Have a cancel relayed; return when it takes effect by the chain, not by the server's word.

        Raises TransactionPending if the chain has no such cancel.
        """
        request = self.client.orders_cancellation(self.wallet, side, group)
        done = self.relay(request)
        until = time.monotonic() + CHAIN_SECONDS
        while (cutoff_at := self.client.cutoff_of(self.wallet.address, side, group)) == request.cutoff_at:
            if time.monotonic() >= until:
                raise TransactionPending(done, CHAIN_SECONDS)
            time.sleep(0.2)
        return moment(cutoff_at)


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


class Provider(Party):
    """Offers GPUs, and is paid for what he delivers.

    >>> provider = Provider("http://127.0.0.1:8080", "provider.json")  # doctest: +SKIP
    >>> offer = provider.offer(offer)  # doctest: +SKIP
    """

    def offer(self, offer: CapacityOffer) -> CapacityOffer:
        """Sign an offer and list it. Its bond has to lie in the escrow (`deposit`)."""
        signed = sign_offer(offer, self.wallet, self.domain)
        [posted] = self.api.post_offers([signed])
        return signed.model_copy(update={"id": posted.id})

    def offers(self) -> Iterator[CapacityOffer]:
        """Yield the account's offers that stand at the server."""
        return self.api.offers(self.wallet.address)

    def cancel(self, offer: CapacityOffer, *, on_chain: bool = False, relayed: bool = False) -> Cancelled:
        """Take an offer off the book; `on_chain` cancels its group of 4 slots there too.

        `relayed` does that through the server, which pays. What the answer says counts: until then it can
        still be taken on the chain.
        """
        gone = self._unlist(offer_hash(offer, self.domain), offer.expires_at)
        if not (on_chain or relayed):
            return gone
        return self._cancel(gone, Side.OFFERS, offer.slot // OFFERS_PER_GROUP, relayed=relayed)

    def vouchers(self, escrow: EscrowAccount) -> list[Confirmation]:
        """Return the vouchers that lie ready for a deal and are its voucher signer's, the largest last."""
        found = [
            verified
            for posted in self.api.documents(escrow.id, DocumentKind.VOUCHER)
            if (verified := posted.document.voucher) is not None
        ]
        for voucher in found:
            verify_voucher(voucher, escrow.terms, self.domain, self.client.is_approved)
        return sorted(found, key=lambda voucher: voucher.gpu_seconds)

    def redeem(self, deal_id: EscrowId, *, relayed: bool = False) -> SettlementResult:
        """Redeem the largest voucher that lies ready for a deal, if it brings anything; say what was paid.

        `relayed` does that through the server, which pays the gas.
        """
        escrow = self.payments.present(deal_id)
        vouchers = self.vouchers(escrow)
        if vouchers and vouchers[-1].gpu_seconds > escrow.paid_gpu_seconds:
            if relayed:
                self.relay(vouchers[-1])
            else:
                self.payments.redeem(escrow, vouchers[-1])
        return self.settlement(deal_id)

    def post_receipt(self, receipt: Attestation) -> None:
        """Leave the agent's receipt for the attestors of its deal."""
        self.api.post_document(Document(receipt=receipt))

    def claim(self, receipt: Attestation) -> SettlementResult:
        """Claim what a receipt says, with the attestors' signatures of it that lie ready.

        Call it again after the buyer's time to contest it, to finalize. Raises as `settle_job` does.
        """
        escrow = self.payments.present(receipt.deal_id)
        self.payments.advance(escrow, self.proof(receipt))
        return self.settlement(receipt.deal_id)

    def proof(self, receipt: Attestation) -> ExecutionProof:
        """Put a receipt and the attestors' signatures of it together, as they lie ready."""
        policy = self.client.policy(self.client.escrow(receipt.deal_id).terms.policy_id)
        signed = [
            other
            for posted in self.api.documents(receipt.deal_id, DocumentKind.RECEIPT)
            if (other := posted.document.receipt) is not None
            and other.signer in policy.attestors
            and other.same_receipt_as(receipt)
        ]
        return assemble_proof(receipt, signed, policy)


class Attestor(Party):
    """Signs receipts of deals whose policy names him, for what he has seen himself.

    >>> attestor = Attestor("http://127.0.0.1:8080", "attestor.json")  # doctest: +SKIP
    """

    def receipts(self, deal_id: EscrowId) -> Sequence[Attestation]:
        """Return the receipts of a deal's agent that lie ready and are his."""
        agent = self.client.escrow(deal_id).terms.agent
        found = [
            receipt
            for posted in self.api.documents(deal_id, DocumentKind.RECEIPT)
            if (receipt := posted.document.receipt) is not None and receipt.signer == agent
        ]
        for receipt in found:
            verify_receipt(receipt, self.domain, self.client.is_approved)
        return found

    def attest(self, receipt: Attestation) -> Attestation:
        """Sign a receipt of an agent, and leave it for the provider. To check it first is your business."""
        signed = countersign(receipt, self.wallet, self.domain)
        self.api.post_document(Document(receipt=signed))
        return signed


def _require_same(api: MarketApi, client: MoltClient) -> None:
    """Refuse a server that is for another market than the deployment that we brought along."""
    told, here = api.market(), client.deployment
    if (told.chain_id, told.escrow) != (here.chain_id, here.escrow):
        raise MarketMismatch(
            f"the server is for escrow {told.escrow} on chain {told.chain_id}, the deployment says"
            f" {here.escrow} on chain {here.chain_id}: use the server of your market, or its deployment"
        )
