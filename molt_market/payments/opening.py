"""From a match to an open deal."""

from __future__ import annotations

import warnings
from dataclasses import replace
from threading import RLock
from typing import Any

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.ids import Address, EscrowId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.orders import JobOrder
from molt_market.domain.policies import weaknesses
from molt_market.domain.settlement import price
from molt_market.domain.terms import Terms
from molt_market.domain.transactions import Call
from molt_market.errors import MarketError, MatchMismatch, PolicyWarning, TokenMismatch
from molt_market.payments.carrier import UNCERTAIN
from molt_market.payments.funding import Funding
from molt_market.payments.hold import Hold
from molt_market.payments.journal import Entry, EntryState, Journal, Opening
from molt_market.payments.outbox import Outbox, Prepare
from molt_market.payments.ports import EscrowChain, ReservationBook
from molt_market.refusals import BuyerBalance, TokenRefused
from molt_market.signing.hashes import deal_id, terms_of
from molt_market.signing.statements import sign_order, verify_offer
from molt_market.signing.wallet import TransactionSigner

MOST_PERMITS = 3  # how many are signed for one opening, if others overtake it


class Openings:
    """Opens deals, each once."""

    def __init__(
        self, client: EscrowChain, outbox: Outbox, journal: Journal, book: ReservationBook[Any] | None
    ) -> None:
        self._client = client
        self._outbox = outbox
        self._funding = Funding(client, outbox)
        self._journal = journal
        self._book = book
        self._choosing = RLock()

    def open(self, match: OrderMatch, wallet: TransactionSigner) -> EscrowId:
        """Open the deal of a match, or return the one that it has; see PaymentService.create_job_escrow."""
        require_match(match, self._client.token)
        verify_offer(match.offer, self._client.domain, self._client.is_approved)
        signed, terms, entry = self._planned(match, wallet)
        deal = deal_id(terms, self._client.domain)
        if not entry.in_flight and self._client.is_open(deal):
            return deal
        with Hold(self._book, signed, deal, self._client.now) as hold:
            if entry.in_flight:
                hold.try_to_take()
            try:
                self._send(entry.key, lambda: self._call(signed, terms, wallet, hold), wallet.address, hold)
            except UNCERTAIN:
                raise
            except MarketError:
                if not self._client.is_open(deal):  # else somebody opened this very deal before us
                    raise
                hold.try_to_take()
                hold.confirm()
        return deal

    def _send(self, key: str, prepare: Prepare, buyer: Address, hold: Hold) -> None:
        """Send an opening; again, if another process used the permit, or the allowance, that it came with."""
        for _ in range(MOST_PERMITS - 1):
            try:
                self._outbox.send(key, prepare, depositor=buyer, when_mined=hold.confirm)
            except TokenRefused:
                continue
            return
        self._outbox.send(key, prepare, depositor=buyer, when_mined=hold.confirm)

    def _planned(self, match: OrderMatch, wallet: TransactionSigner) -> tuple[OrderMatch, Terms, Entry]:
        """Have the wallet sign the order for the match's offer, in a slot of its own, and write that down."""
        with self._choosing:
            order = match.order
            if order.slot is None:
                order = order.model_copy(update={"slot": self._slot_of(order, wallet.address)})
            order = sign_order(order, wallet, self._client.domain, offer=match.offer)
            terms = terms_of(match.offer, order, self._client.domain)
            key = f"open:{deal_id(terms, self._client.domain)}"
            entry = self._journal.plan(key, opening=Opening(order, match.offer_id))
        return replace(match, order=order), terms, entry

    def _slot_of(self, order: JobOrder, buyer: Address) -> int:
        """Return the slot that the order was given before, else the buyer's next one that nobody is using.

        An order keeps its slot, so that the contract opens one deal of it, however often it is tried. One
        that failed keeps it too until it expires: it may be tried again, or opened by who has seen it signed.
        """
        in_use = set()
        now = self._client.now()
        for entry in self._journal.openings(buyer):
            known = entry.opening.order if entry.opening else None
            if known is None or known.slot is None:
                continue
            if known.id == order.id:
                return known.slot
            if entry.state is not EntryState.FAILED or now < known.expires_at:
                in_use.add(known.slot)
        return self._client.next_order_slot(buyer, in_use)

    def _call(
        self, match: OrderMatch, terms: Terms, wallet: TransactionSigner, hold: Hold
    ) -> tuple[Call, TransactionSigner]:
        """Make the one call that deposits what the buyer lacks and opens, and say who sends it."""
        payer = self._client.account or wallet
        self._warn_of_policy(terms)
        lacking = self._lacking(match, terms, payer.address)
        hold.take()
        opening = self._client.calls.open(match.offer, match.order)
        return self._funding.with_deposit(opening, wallet, lacking, payer=payer)

    def _warn_of_policy(self, terms: Terms) -> None:
        """Warn of a policy that protects the buyer of this deal little. Raises PolicyNotFound."""
        policy = self._client.stored_policy(terms.policy_id)
        for weakness in weaknesses(policy.bond_bps, policy.notice_minutes, terms.duration):
            warnings.warn(weakness, PolicyWarning, stacklevel=2)

    def _lacking(self, match: OrderMatch, terms: Terms, opener: Address) -> int:
        """Return the base units that the buyer has to deposit; raise what else the contract has against it.

        Raises:
            Refused: by the contract's own check. InsufficientTokens: the buyer cannot deposit what he lacks.
        """
        lacking, cost = 0, Amount(price(terms), self._client.token)
        refused = self._client.check(match.offer, match.order, opener)
        if isinstance(refused, BuyerBalance):
            lacking = self._funding.shortfall(terms.buyer, cost)
            refused = self._client.check(match.offer, match.order, opener, balances={terms.buyer: cost})
        if refused is not None:
            raise refused
        return lacking


def require_match(match: OrderMatch, token: Token) -> None:
    """Raise unless the match is what its offer and order say, in the deployment's token."""
    offer, order = match.offer, match.order
    needs = order.requirements
    for price_ in (offer.price_per_hour, needs.max_price_per_hour):
        if price_.token != token:
            raise TokenMismatch(price_.token, token)
    said = {
        "order_id": order.id,
        "offer_id": offer.id,
        "provider_id": offer.provider_id,
        "gpu_count": needs.min_gpu_count,
        "price_per_hour": offer.price_per_hour,
        "hours": needs.estimated_hours,
        "total_cost": needs.cost_at(offer.price_per_hour),
    }
    for name, value in said.items():
        if getattr(match, name) != value:
            raise MatchMismatch(
                f"{name} of the match is {getattr(match, name)}, its offer and order say {value}: match again"
            )
