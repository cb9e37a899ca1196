"""From a match to an open deal."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import RLock
from typing import Any

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.ids import Address, EscrowId, Hash32, OrderId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.orders import JobOrder
from molt_market.domain.policies import weaknesses
from molt_market.domain.settlement import price
from molt_market.domain.terms import Terms
from molt_market.domain.transactions import Call, TransactionReceipt
from molt_market.errors import MarketError, MatchMismatch, MoltError, PolicyWarning, TokenMismatch
from molt_market.payments.batches import Batches, Outcome, Payment, WhenMade
from molt_market.payments.carrier import UNCERTAIN
from molt_market.payments.funding import Funding
from molt_market.payments.hold import Hold
from molt_market.payments.journal import EntryState, Intent, Journal, Opening, SlotTaken, opening_key
from molt_market.payments.outbox import Outbox, Prepare
from molt_market.payments.ports import EscrowChain, ReservationBook
from molt_market.refusals import BuyerBalance, OrderAlreadyOpened, TokenRefused
from molt_market.signing.hashes import deal_id, terms_of
from molt_market.signing.messages import Policy
from molt_market.signing.statements import sign_order, verify_offer, verify_order
from molt_market.signing.wallet import TransactionSigner

MOST_PERMITS = 3  # how many are signed for one opening, if others overtake it


@dataclass(frozen=True, slots=True)
class Planned:
    """A deal that is to be opened: the match with the order that its buyer signed for its offer."""

    match: OrderMatch
    terms: Terms
    deal: EscrowId
    cost: Amount
    slot_is_new: bool  # chosen just now
    in_flight: bool = False  # as the journal has it

    @property
    def key(self) -> str:
        return opening_key(self.deal)

    @property
    def intent(self) -> Intent:
        opening = Opening(self.match.order, self.match.offer_id)
        return Intent(self.key, opening=opening, slot_is_new=self.slot_is_new)


class Openings:
    """Opens deals, each once."""

    def __init__(
        self,
        client: EscrowChain,
        outbox: Outbox,
        batches: Batches,
        journal: Journal,
        book: ReservationBook[Any] | None,
    ) -> None:
        self._client = client
        self._outbox = outbox
        self._batches = batches
        self._funding = Funding(client, outbox)
        self._journal = journal
        self._book = book
        self._choosing = RLock()
        self._policies: dict[Hash32, Policy] = {}  # a policy never changes once it is registered

    def open(self, match: OrderMatch, wallet: TransactionSigner) -> EscrowId:
        """Open the deal of a match, or return the one that it has; see PaymentService.create_job_escrow."""
        [planned] = self._planned([match], wallet)
        if isinstance(planned, MoltError):
            raise planned
        if self._is_open(planned):
            return planned.deal
        with self._hold(planned) as hold:
            try:
                self._send(planned.key, lambda: self._call(planned, wallet, hold), wallet.address, hold)
            except UNCERTAIN:
                raise
            except MarketError:
                if not self._client.is_open(planned.deal):  # else somebody opened this very deal before us
                    raise
                hold.try_to_take()
                hold.confirm()
        return planned.deal

    def open_after(
        self,
        match: OrderMatch,
        wallet: TransactionSigner,
        closing: Call,
        refund: Amount,
        when_mined: Callable[[TransactionReceipt], None],
    ) -> EscrowId:
        """Open the deal of a match in the transaction that closes the one before it: PaymentService.extend.

        `refund` is what `closing` gives back to the buyer. The GPUs are held once the first deal is closed.
        """
        [planned] = self._planned([match], wallet)
        if isinstance(planned, MoltError):
            raise planned
        hold = Hold(self._book, planned.match, planned.deal, self._client.now)

        def prepare() -> tuple[Call, TransactionSigner]:
            self._warn_of_policy(planned.terms)
            lacking = self._funding.shortfall(planned.terms.buyer, planned.cost, coming=refund)
            opening = self._client.calls.open(planned.match.offer, planned.match.order)
            payer = self._client.account or wallet
            return self._funding.with_deposit([closing, opening], wallet, lacking, payer=payer)

        def is_mined(receipt: TransactionReceipt) -> None:
            when_mined(receipt)
            hold.try_to_take()
            hold.confirm()

        self._outbox.send(planned.key, prepare, depositor=wallet.address, when_mined=is_mined)
        return planned.deal

    def open_all(
        self,
        matches: Sequence[OrderMatch],
        wallet: TransactionSigner,
        *,
        when_open: WhenMade | None = None,
    ) -> list[EscrowId | MoltError]:
        """Open the deals of many matches; return, in their order, each deal, or why it is not open.

        They go out in few transactions, the deposit of what the buyer lacks for all of them first; one by
        one if the gas is somebody else's than the buyer's. `when_open` is told of some of those that are
        open, while others are still waited for.
        """
        payer = self._client.account or wallet
        if payer.address != wallet.address:
            return [self._opened_alone(match, wallet) for match in matches]
        try:
            planned = self._planned(matches, wallet)
            refusals = self._refusals([each for each in planned if isinstance(each, Planned)], wallet)
        except MoltError as error:
            return [error] * len(matches)
        return self._open_planned(planned, refusals, payer, buyer=wallet, when_open=when_open)

    def open_resting(
        self, matches: Sequence[OrderMatch], opener: TransactionSigner
    ) -> list[EscrowId | MoltError]:
        """Open the deals of matches whose orders are signed already; as `open_all`, but nothing is deposited.

        `opener` pays for the gas. The money has to lie in the escrow, and the orders have to let him.
        """
        planned = [self._resting(match) for match in matches]
        good = [each for each in planned if isinstance(each, Planned)]
        try:
            self._journal.plan_all([each.intent for each in good])
            pairs = [(each.match.offer, each.match.order) for each in good]
            answers = self._client.check_all(pairs, opener.address)
        except MoltError as error:
            return [error] * len(matches)
        told = zip(good, answers, strict=True)
        refusals = {each.deal: answer for each, answer in told if answer is not None}
        return self._open_planned(planned, refusals, opener)

    # ---------------------------------------------------------------- many at once

    def _open_planned(
        self,
        all_planned: Sequence[Planned | MoltError],
        refusals: Mapping[EscrowId, MoltError],
        payer: TransactionSigner,
        *,
        buyer: TransactionSigner | None = None,
        when_open: WhenMade | None = None,
    ) -> list[EscrowId | MoltError]:
        """Hold the GPUs of what is planned and not refused, and open it; `buyer` deposits what he lacks."""
        answers: dict[int, EscrowId | MoltError] = {}
        ready: dict[int, tuple[Planned, Hold]] = {}
        for place, planned in enumerate(all_planned):
            if isinstance(planned, MoltError):
                answers[place] = planned
                continue
            try:
                hold = self._held(planned, refusals.get(planned.deal))
            except MoltError as error:
                answers[place] = error
                continue
            if hold is None:
                answers[place] = planned.deal
            else:
                ready[place] = planned, hold
        of_buyer = None if buyer is None else partial(self._deposit, [p for p, _ in ready.values()], buyer)
        made = [self._payment(*each) for each in ready.values()]
        outcomes = self._batches.send(made, payer, deposit=of_buyer, when_made=when_open)
        for (place, (planned, hold)), outcome in zip(ready.items(), outcomes, strict=True):
            answers[place] = self._ended(planned, hold, outcome)
        return [answers[place] for place in range(len(all_planned))]

    def _opened_alone(self, match: OrderMatch, wallet: TransactionSigner) -> EscrowId | MoltError:
        try:
            return self.open(match, wallet)
        except MoltError as error:
            return error

    def _refusals(self, planned: Sequence[Planned], wallet: TransactionSigner) -> dict[EscrowId, MoltError]:
        """Ask what the contract has against these deals, if the buyer had deposited what they cost."""
        new = [each for each in planned if not each.in_flight]
        cost = sum((each.cost for each in new), start=Amount.zero(self._client.token))
        answers = self._client.check_all(
            [(each.match.offer, each.match.order) for each in new],
            wallet.address,
            balances={wallet.address: cost},
        )
        return {each.deal: answer for each, answer in zip(new, answers, strict=True) if answer is not None}

    def _held(self, planned: Planned, refused: MoltError | None) -> Hold | None:
        """Take the GPUs of a deal, unless the contract has something against it; None: it is open.

        Raises what is against it, and writes it down.
        """
        hold = self._hold(planned)
        if planned.in_flight:
            return hold
        try:
            self._warn_of_policy(planned.terms)
            if refused is not None:
                raise refused
            hold.take()
        except MoltError as error:
            if isinstance(error, OrderAlreadyOpened) and self._client.is_open(planned.deal):
                return None
            self._journal.fail(planned.key, str(error))
            raise
        return hold

    def _payment(self, planned: Planned, hold: Hold) -> Payment:
        call = self._client.calls.open(planned.match.offer, planned.match.order)
        return Payment(planned.key, (call,), is_checked=True, when_mined=hold.confirm)

    def _deposit(
        self, planned: Sequence[Planned], wallet: TransactionSigner, fresh: Sequence[Payment]
    ) -> Call | None:
        keys = {payment.key for payment in fresh}
        cost = sum((each.cost for each in planned if each.key in keys), start=Amount.zero(self._client.token))
        lacking = self._funding.shortfall(wallet.address, cost)
        return self._funding.deposit(wallet, lacking)[0] if lacking else None

    def _ended(self, planned: Planned, hold: Hold, outcome: Outcome) -> EscrowId | MoltError:
        if not isinstance(outcome, MoltError):
            return planned.deal
        try:
            if isinstance(outcome, UNCERTAIN) or not self._client.is_open(planned.deal):
                hold.give_back(outcome)
                return outcome
        except MoltError as error:
            hold.give_back(error)
            return error
        hold.try_to_take()
        hold.confirm()
        return planned.deal

    # ---------------------------------------------------------------- one

    def _is_open(self, planned: Planned) -> bool:
        return not planned.in_flight and self._client.is_open(planned.deal)

    def _hold(self, planned: Planned) -> Hold:
        """Return the hold on a deal's GPUs; it is taken at once where the deal may be open already."""
        hold = Hold(self._book, planned.match, planned.deal, self._client.now)
        if planned.in_flight:
            hold.try_to_take()
        return hold

    def _send(self, key: str, prepare: Prepare, buyer: Address, hold: Hold) -> None:
        """Send an opening; again, if another process used the permit, or the allowance, that it came with."""
        for _ in range(MOST_PERMITS - 1):
            try:
                self._outbox.send(key, prepare, depositor=buyer, when_mined=hold.confirm)
            except TokenRefused:
                continue
            return
        self._outbox.send(key, prepare, depositor=buyer, when_mined=hold.confirm)

    def _planned(self, matches: Sequence[OrderMatch], wallet: TransactionSigner) -> list[Planned | MoltError]:
        """Have the wallet sign each order for its match's offer, and write that down; or say why not."""
        while True:
            with self._choosing:
                signed = self._signed_all(matches, wallet)
                intents = [each.intent for each in signed if isinstance(each, Planned)]
                try:
                    entries = self._journal.plan_all(intents)
                except SlotTaken:  # another process chose the same one at the same moment
                    continue
            return [
                replace(each, in_flight=entries[each.key].in_flight) if isinstance(each, Planned) else each
                for each in signed
            ]

    def _signed_all(
        self, matches: Sequence[OrderMatch], wallet: TransactionSigner
    ) -> list[Planned | MoltError]:
        slots = self._slots([match.order for match in matches if match.order.slot is None], wallet.address)
        signed: list[Planned | MoltError] = []
        for match in matches:
            try:
                signed.append(self._signed(match, wallet, slots.get(match.order_id)))
            except MoltError as error:
                signed.append(error)
        return signed

    def _signed(self, match: OrderMatch, wallet: TransactionSigner, slot: int | None) -> Planned:
        """Have the wallet sign the order, in this slot unless it has one."""
        require_match(match, self._client.token)
        verify_offer(match.offer, self._client.domain, self._client.is_approved)
        order, unslotted = match.order, match.order.slot is None
        if unslotted:
            order = order.model_copy(update={"slot": slot})
        order = sign_order(order, wallet, self._client.domain, offer=match.offer)
        return self._plan(replace(match, order=order), slot_is_new=unslotted)

    def _resting(self, match: OrderMatch) -> Planned | MoltError:
        """Return what a match opens whose order its buyer has signed before, or what is wrong with it."""
        try:
            require_match(match, self._client.token)
            verify_offer(match.offer, self._client.domain, self._client.is_approved)
            verify_order(match.order, self._client.domain, self._client.is_approved)
        except MoltError as error:
            return error
        planned = self._plan(match, slot_is_new=False)
        entry = self._journal.get(planned.key)
        return replace(planned, in_flight=entry is not None and entry.in_flight)

    def _plan(self, match: OrderMatch, *, slot_is_new: bool) -> Planned:
        terms = terms_of(match.offer, match.order, self._client.domain)
        deal = deal_id(terms, self._client.domain)
        return Planned(match, terms, deal, Amount(price(terms), self._client.token), slot_is_new)

    def _slots(self, orders: Sequence[JobOrder], buyer: Address) -> dict[OrderId, int]:
        """Return the slot that each order was given before, else one of the buyer's that nobody is using.

        An order keeps its slot, so that the contract opens one deal of it, however often it is tried. One
        that failed keeps it too until it expires: it may be tried again, or opened by who has seen it signed.
        """
        if not orders:
            return {}
        given: dict[OrderId, int] = {}
        in_use = set()
        now = self._client.now()
        for entry in self._journal.openings(buyer):
            known = entry.opening.order if entry.opening else None
            if known is None or known.slot is None:
                continue
            given.setdefault(known.id, known.slot)
            if entry.state is not EntryState.FAILED or now < known.expires_at:
                in_use.add(known.slot)
        free = self._client.order_slots(buyer, in_use)
        return {order.id: given[order.id] if order.id in given else next(free) for order in orders}

    def _call(
        self, planned: Planned, wallet: TransactionSigner, hold: Hold
    ) -> tuple[Call, TransactionSigner]:
        """Make the one call that deposits what the buyer lacks and opens, and say who sends it."""
        payer = self._client.account or wallet
        self._warn_of_policy(planned.terms)
        lacking = self._lacking(planned, payer.address)
        hold.take()
        opening = self._client.calls.open(planned.match.offer, planned.match.order)
        return self._funding.with_deposit([opening], wallet, lacking, payer=payer)

    def _warn_of_policy(self, terms: Terms) -> None:
        """Warn of a policy that protects the buyer of this deal little. Raises PolicyNotFound."""
        if terms.policy_id not in self._policies:
            self._policies[terms.policy_id] = self._client.stored_policy(terms.policy_id)
        policy = self._policies[terms.policy_id]
        for weakness in weaknesses(policy.bond_bps, policy.notice_minutes, terms.duration):
            warnings.warn(weakness, PolicyWarning, stacklevel=2)

    def _lacking(self, planned: Planned, opener: Address) -> int:
        """Return the base units that the buyer has to deposit; raise what else the contract has against it.

        Raises:
            Refused: by the contract's own check. InsufficientTokens: the buyer cannot deposit what he lacks.
        """
        lacking, buyer = 0, planned.terms.buyer
        offer, order = planned.match.offer, planned.match.order
        refused = self._client.check(offer, order, opener)
        if isinstance(refused, BuyerBalance):
            lacking = self._funding.shortfall(buyer, planned.cost)
            refused = self._client.check(offer, order, opener, balances={buyer: planned.cost})
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
