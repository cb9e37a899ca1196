"""One account at one market and on its chain: what every party has."""

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
from molt_market.chain.client import MoltClient
from molt_market.chain.deployments import Deployment
from molt_market.chain.networks import Network
from molt_market.domain.amounts import Amount
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.documents import Document
from molt_market.domain.fields import moment
from molt_market.domain.ids import EscrowId, Hash32, TransactionId
from molt_market.domain.requests import Side
from molt_market.domain.settlement import SettlementResult
from molt_market.domain.subscriptions import AlertsRequest, AlertsVerb
from molt_market.domain.transactions import TransactionReceipt
from molt_market.domain.updates import FeedItem
from molt_market.errors import MarketMismatch, TransactionPending
from molt_market.payments.fees import FeePolicy
from molt_market.payments.gas import GasBudget
from molt_market.payments.journal import Journal
from molt_market.payments.relayer import Relayed
from molt_market.payments.service import PaymentService
from molt_market.sdk.api import MarketApi
from molt_market.sdk.book import UNLISTING_SECONDS, RemoteBook
from molt_market.sdk.feed import follow_feed
from molt_market.signing.evidence import evidence_hash, sign_evidence
from molt_market.signing.listings import sign_unlisting
from molt_market.signing.relays import EitherPartys, sign_relay_request
from molt_market.signing.subscriptions import sign_alerts_request
from molt_market.signing.wallet import TransactionSigner, Wallet
from molt_market.wire.alerts import Subscribed, SubscriptionState
from molt_market.wire.messages import DealState

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


def _require_same(api: MarketApi, client: MoltClient) -> None:
    """Refuse a server that is for another market than the deployment that we brought along."""
    told, here = api.market(), client.deployment
    if (told.chain_id, told.escrow) != (here.chain_id, here.escrow):
        raise MarketMismatch(
            f"the server is for escrow {told.escrow} on chain {told.chain_id}, the deployment says"
            f" {here.escrow} on chain {here.chain_id}: use the server of your market, or its deployment"
        )
