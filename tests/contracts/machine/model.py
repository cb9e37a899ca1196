"""The escrow in plain Python: written from ESCROW 1, 2 and 5, without the product or its tests' models.

A verb changes the state and logs events, or it raises Refusal with code and both figures; then nothing has
changed. Times, callers and signatures are the real ones, so it says beforehand what the chain will answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, Self

from tests.contracts.machine.deal import BPS, CLAIMED, DISPUTED, LIVE, LOCKED, NONE, REFUNDED, RELEASED, Deal
from tests.contracts.machine.wire import (
    ZERO,
    ZERO_WORD,
    Call,
    Domain,
    Event,
    Match,
    Offer,
    Order,
    Policy,
    Terms,
    attestors_hash,
    recover,
    struct_hash,
)

HOUR = 3_600
DAY = 24 * HOUR
OFFERS, ORDERS = 0, 1
GUARDIAN, FEE_SETTER = 0, 1
FOREVER = 2**40 - 1
UNLIMITED = 2**256 - 1
MOST_TOKENS = 2**96 - 1
MOST_FEE_BPS = 300
MOST_CALLS = 200


class Refusal(Exception):
    """Why the escrow says no."""

    def __init__(self, code: str, actual: int, limit: int) -> None:
        super().__init__(code, actual, limit)
        self.code, self.actual, self.limit = code, actual, limit


def refuse_if(broken: object, code: str, actual: Any, limit: Any) -> None:
    if broken:
        raise Refusal(code, number(actual), number(limit))


def refuse_outside(code: str, value: int, least: int, most: int) -> None:
    refuse_if(value < least, code, value, least)
    refuse_if(value > most, code, value, most)


def number(value: Any) -> int:
    """Read a word, an address or a number as a refusal carries it."""
    if isinstance(value, bytes):
        return int.from_bytes(value)
    return int(value, 16) if isinstance(value, str) else int(value)


class Account(NamedTuple):
    balance: int = 0
    withdrawing: int = 0
    unlock_at: int = 0
    nonce: int = 0


class Cutoff(NamedTuple):
    """Of a maker's group of slots."""

    dead_before: int = 0
    at: int = 0

    def alive_from(self, time: int) -> int:
        return self.at if time >= self.at else self.dead_before


class Config(NamedTuple):
    fee_bps: int = 0
    next_fee_bps: int = 0
    next_fee_from: int = 0
    paused_until: int = 0

    def fee(self, time: int) -> int:
        return self.fee_bps if time < self.next_fee_from else self.next_fee_bps


class Step(NamedTuple):
    """A deal's transition."""

    verb: str
    before: int
    after: int
    detail: str = ""


class Setting(NamedTuple):
    """What a deployment fixes."""

    escrow: str
    fee_recipient: str
    withdraw_delay: int
    cancel_delay: int
    domain: Domain
    token_domain: Domain


@dataclass
class State:
    """All values are immutable, so that copying the tables copies all."""

    config: Config = field(default_factory=Config)
    accounts: dict[str, Account] = field(default_factory=dict)
    deals: dict[bytes, Deal] = field(default_factory=dict)
    cutoffs: dict[tuple[str, int, int], Cutoff] = field(default_factory=dict)
    opened: dict[tuple[str, int], bytes] = field(default_factory=dict)  # by buyer and slot: the deal
    policies: dict[bytes, tuple[Policy, tuple[str, ...]]] = field(default_factory=dict)
    approved: dict[tuple[str, bytes], int] = field(default_factory=dict)
    roles: dict[int, tuple[str, str]] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    allowances: dict[str, int] = field(default_factory=dict)  # of the escrow
    permit_nonces: dict[str, int] = field(default_factory=dict)
    donated: int = 0  # tokens sent to the escrow without a deposit

    def copy(self) -> Self:
        return type(self)(*(copy(getattr(self, each.name)) for each in fields(self)))


class Model:
    def __init__(self, setting: Setting, state: State) -> None:
        self.setting = setting
        self.state = state
        self.now = 0
        self.caller = ZERO
        self.events: list[Event] = []
        self.steps: list[Step] = []

    def copy(self) -> Self:
        twin = type(self)(self.setting, self.state.copy())
        twin.now = self.now
        return twin

    def play(self, caller: str, time: int, call: Call) -> list[Event]:
        """Make a call, and return what it logs (`steps` are then its transitions), or raise Refusal."""
        self.now, self.caller, self.events, self.steps = time, caller, [], []
        self._frame(call)
        return self.events

    def check(self, match: Match, opener: str) -> tuple[str, int, int]:
        """Tell what `check` answers at the latest time."""
        try:
            self._require_openable(match, opener)
        except Refusal as refusal:
            return refusal.code, refusal.actual, refusal.limit
        return "NONE", 0, 0

    def digest(self, name: str, *values: Any) -> bytes:
        return self.setting.domain.digest(name, *values)

    def deal_id(self, terms: Terms) -> bytes:
        return self.digest("Terms", *terms)

    # ---------------------------------------------------------------- what follows from the state

    def account(self, address: str) -> Account:
        return self.state.accounts.get(address, Account())

    def cutoff(self, maker: str, side: int, group: int) -> Cutoff:
        return self.state.cutoffs.get((maker, side, group), Cutoff())

    def gpus_in_use(self, provider: str, slot: int) -> int:
        """Count the GPUs of LOCKED deals (I09, I35): nothing keeps a counter here."""
        pool = (provider, slot)
        locked = (deal.terms for deal in self.state.deals.values() if deal.status == LOCKED)
        return sum(terms.gpus for terms in locked if (terms.provider, terms.slot) == pool)

    def pools(self) -> set[tuple[str, int]]:
        """Return providers and slots of all deals."""
        return {(deal.terms.provider, deal.terms.slot) for deal in self.state.deals.values()}

    def group_words(self, maker: str, side: int, group: int) -> tuple[int, int, int]:
        """Return the fields of `groupOf`."""
        if side == OFFERS:
            payload = sum(self.gpus_in_use(maker, group * 4 + lane) << lane * 32 for lane in range(4))
        else:
            slots = (slot for buyer, slot in self.state.opened if buyer == maker and slot >> 7 == group)
            payload = sum(1 << (slot & 127) for slot in slots)
        return (payload, *self.cutoff(maker, side, group))

    @property
    def liabilities(self) -> int:
        """What all accounts and live deals hold."""
        balances = sum(account.balance for account in self.state.accounts.values())
        return balances + sum(deal.held for deal in self.state.deals.values())

    # ---------------------------------------------------------------- frames

    def _frame(self, call: Call) -> None:
        """Make a call; if it is refused, nothing has happened."""
        before, logged, made = self.state.copy(), len(self.events), len(self.steps)
        try:
            self._verb(call.verb)(*call.args)
        except Refusal:
            self.state = before
            del self.events[logged:], self.steps[made:]
            raise

    def _verb(self, verb: str) -> Callable[..., None]:
        name = re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), verb).replace(".", "_")
        found: Callable[..., None] = getattr(self, "_do_" + name, _no_call)
        return found

    def _do_multicall(self, calls: Sequence[Call], skip: bool) -> None:  # noqa: FBT001 - the contract's argument
        refuse_if(len(calls) > MOST_CALLS, "TOO_MANY_CALLS", len(calls), MOST_CALLS)
        for index, call in enumerate(calls):
            try:
                refuse_if(call.verb == "multicall", "NESTED_MULTICALL", index, 0)
                self._frame(call)
            except Refusal as refusal:
                if not skip:
                    raise
                self._log("ItemRefused", index, refusal.code, refusal.actual, refusal.limit)

    def _log(self, name: str, *values: Any) -> None:
        self.events.append(Event(name, values))

    # ---------------------------------------------------------------- who agreed, and when

    def _require_before(self, deadline: int) -> None:
        refuse_if(self.now >= deadline, "TOO_LATE", self.now, deadline)

    def _require_due(self, time: int) -> None:
        refuse_if(self.now < time, "TOO_EARLY", self.now, time)

    def _require_signer(self, signer: str, digest: bytes, sig: bytes, caller: str | None = None) -> None:
        found = recover(digest, sig) if sig else caller or self.caller
        agreed = found == signer != ZERO
        if not sig and not agreed:
            agreed = self.now < self.state.approved.get((signer, digest), 0)
        refuse_if(not agreed, "BAD_SIGNATURE", found, signer)

    def _require_request(self, signer: str, digest: bytes, deadline: int, sig: bytes) -> None:
        """The signer's own call does not lapse."""
        if sig or self.caller != signer:
            self._require_before(deadline)
        self._require_signer(signer, digest, sig)

    def _do_approve(self, digest: bytes) -> None:
        self.state.approved[self.caller, digest] = FOREVER
        self._log("DigestApproved", self.caller, digest)

    def _do_revoke(self, digest: bytes) -> None:
        given = self.state.approved.get((self.caller, digest), 0)
        until = min(given, self.now + self.setting.cancel_delay)
        self.state.approved[self.caller, digest] = until
        self._log("DigestRevoked", self.caller, digest, until)

    # ---------------------------------------------------------------- the token

    def _do_token_approve(self, spender: str, amount: int) -> None:
        if spender == self.setting.escrow:
            self.state.allowances[self.caller] = amount

    def _do_token_transfer(self, to: str, amount: int) -> None:
        self._move_tokens(self.caller, to, amount)
        if to == self.setting.escrow:
            self.state.donated += amount

    def _do_token_mint(self, to: str, amount: int) -> None:
        self.state.tokens[to] = self.state.tokens.get(to, 0) + amount

    def _move_tokens(self, sender: str, to: str, amount: int) -> None:
        tokens = self.state.tokens
        tokens[sender] -= amount
        tokens[to] = tokens.get(to, 0) + amount

    # ---------------------------------------------------------------- money in and out

    def _credit(self, address: str, amount: int) -> None:
        account = self.account(address)
        if amount:
            self.state.accounts[address] = account._replace(balance=account.balance + amount)

    def _require_receiver(self, to: str) -> None:
        refuse_if(to in (ZERO, self.setting.escrow), "BAD_RECEIVER", to, 0)

    def _do_deposit(self, to: str, amount: int) -> None:
        self._pull(self.caller, to, amount)

    def _pull(self, owner: str, to: str, amount: int) -> None:
        refuse_if(amount == 0, "ZERO_AMOUNT", 0, 1)
        self._require_receiver(to)
        allowance = self.state.allowances.get(owner, 0)
        movable = min(allowance, self.state.tokens.get(owner, 0))
        refuse_if(amount > movable, "TOKEN_REFUSED", movable, amount)
        if allowance != UNLIMITED:
            self.state.allowances[owner] = allowance - amount
        self._move_tokens(owner, self.setting.escrow, amount)
        balance = self.state.tokens[self.setting.escrow]
        refuse_if(balance > MOST_TOKENS, "TOKEN_CAP", balance, MOST_TOKENS)
        self._credit(to, amount)
        self._log("Deposited", to, owner, amount)

    def _do_deposit_with_permit(  # noqa: PLR0917 - the contract's arguments
        self, owner: str, amount: int, deadline: int, v: int, r: bytes, s: bytes
    ) -> None:
        nonce = self.state.permit_nonces.get(owner, 0)
        permit = self.setting.token_domain.digest(
            "Permit", owner, self.setting.escrow, amount, nonce, deadline
        )
        taken = self.now <= deadline and recover(permit, r + s + bytes([v])) == owner
        if taken:
            self.state.permit_nonces[owner] = nonce + 1
            self.state.allowances[owner] = amount
        refuse_if(self.caller != owner and not taken, "PERMIT_REFUSED", nonce, nonce + 1)
        self._pull(owner, owner, amount)

    def _do_request_withdraw(self, address: str, amount: int, deadline: int, sig: bytes) -> None:
        account = self.account(address)
        digest = self.digest("RequestWithdraw", address, amount, account.nonce, deadline)
        self._require_request(address, digest, deadline, sig)
        refuse_if(amount > account.balance, "INSUFFICIENT_BALANCE", account.balance, amount)
        unlock_at = self.now + self.setting.withdraw_delay
        marked = Account(account.balance, amount, unlock_at, account.nonce + 1)
        self.state.accounts[address] = marked
        self._log("WithdrawRequested", address, amount, unlock_at)

    def _do_withdraw(self, address: str, to: str, deadline: int, sig: bytes) -> None:
        account = self.account(address)
        digest = self.digest("Withdraw", address, to, account.nonce, deadline)
        self._require_request(address, digest, deadline, sig)
        self._require_receiver(to)
        self._require_due(account.unlock_at)
        amount = min(account.withdrawing, account.balance)
        refuse_if(amount == 0, "ZERO_AMOUNT", 0, 1)
        left = account._replace(balance=account.balance - amount, withdrawing=0, nonce=account.nonce + 1)
        self.state.accounts[address] = left
        self._move_tokens(self.setting.escrow, to, amount)
        self._log("Withdrawn", address, to, amount)

    # ---------------------------------------------------------------- roles

    def _require_holder(self, holder: str) -> None:
        refuse_if(self.caller != holder, "NOT_HOLDER", self.caller, holder)

    def _do_pause(self) -> None:
        self._require_holder(self.state.roles[GUARDIAN][0])
        rested = self.state.config.paused_until + 7 * DAY
        refuse_if(self.now < rested, "PAUSE_RESTING", self.now, rested)
        self._pause_until(self.now + 72 * HOUR)

    def _do_unpause(self) -> None:
        self._require_holder(self.state.roles[GUARDIAN][0])
        if self.now < self.state.config.paused_until:
            self._pause_until(self.now)

    def _pause_until(self, time: int) -> None:
        self.state.config = self.state.config._replace(paused_until=time)
        self._log("OpeningsPaused", time)

    def _do_schedule_fee(self, fee_bps: int) -> None:
        self._require_holder(self.state.roles[FEE_SETTER][0])
        refuse_if(fee_bps > MOST_FEE_BPS, "FEE_OUT_OF_RANGE", fee_bps, MOST_FEE_BPS)
        config = self.state.config
        since = self.now + 7 * DAY
        self.state.config = Config(config.fee(self.now), fee_bps, since, config.paused_until)
        self._log("FeeAnnounced", fee_bps, since)

    def _do_offer_role(self, role: int, to: str) -> None:
        holder, _ = self.state.roles[role]
        self._require_holder(holder)
        self.state.roles[role] = (holder, to)
        self._log("RoleOffered", role, holder, to)

    def _do_accept_role(self, role: int) -> None:
        _, pending = self.state.roles[role]
        self._require_holder(pending)
        self.state.roles[role] = (pending, ZERO)
        self._log("RoleAccepted", role, pending)

    # ---------------------------------------------------------------- before a deal

    def _do_cancel(self, maker: str, side: int, group: int, deadline: int, sig: bytes) -> None:
        cutoff = self.cutoff(maker, side, group)
        digest = self.digest("CancelOrders", maker, side, group, cutoff.at, deadline)
        self._require_request(maker, digest, deadline, sig)
        refuse_if(self.now < cutoff.at, "CANCEL_PENDING", self.now, cutoff.at)
        at = self.now + self.setting.cancel_delay
        self.state.cutoffs[maker, side, group] = Cutoff(cutoff.at, at)
        self._log("OrdersCancelled", maker, side, group, at)

    def _do_register_policy(self, policy: Policy, attestors: tuple[str, ...]) -> None:
        policy_id = struct_hash("Policy", policy)
        if policy_id in self.state.policies:
            return
        refuse_if(policy.arbiter == ZERO, "POLICY_ARBITER", 0, 1)
        refuse_if(policy.bond_bps > 5_000, "POLICY_BOND", policy.bond_bps, 5_000)
        refuse_outside("POLICY_CHALLENGE", policy.challenge, HOUR, 14 * DAY)
        refuse_outside("POLICY_GRACE", policy.grace, HOUR, 7 * DAY)
        refuse_if(policy.notice_minutes == 0, "POLICY_NOTICE", 0, 1)
        refuse_outside("POLICY_ARBITRATION", policy.arbitration, DAY, 14 * DAY)
        share = policy.arbiter_share_bps
        refuse_if(share > 5_000, "POLICY_ARBITER_SHARE", share, 5_000)
        _require_attestors(policy, attestors)
        self.state.policies[policy_id] = (policy, tuple(attestors))
        self._log("PolicyRegistered", policy_id, policy, tuple(attestors))

    # ---------------------------------------------------------------- open

    def _do_open(self, match: Match) -> None:
        offer, order = match.offer, match.order
        self._require_openable(match, self.caller)

        policy, _ = self.state.policies[offer.policy_id]
        terms = self.terms(match)
        ends_at = self.now + terms.duration
        deal = Deal(
            terms=terms,
            fee_bps=self.state.config.fee(self.now),
            bond_bps=policy.bond_bps,
            notice_minutes=policy.notice_minutes,
            opened_at=self.now,
            ends_at=ends_at,
            deadline=ends_at + policy.grace,
        )
        self._credit(order.buyer, -deal.price)
        self._credit(offer.provider, -deal.bond)
        deal_id = self._put(deal, "open")
        self.state.opened[order.buyer, order.slot] = deal_id
        told = (terms.buyer, terms.provider, terms.voucher_signer, *terms[3:])
        self._log("DealOpened", deal_id, *told, deal.packed())

    def terms(self, match: Match) -> Terms:
        """Work out the terms from offer and order alone (I33)."""
        offer, order = match.offer, match.order
        return Terms(
            buyer=order.buyer,
            voucher_signer=order.voucher_signer,
            provider=offer.provider,
            agent=offer.agent,
            price=offer.price,
            gpus=order.gpus,
            duration=order.hours * HOUR,
            commitment=offer.commitment_hours * HOUR,
            slot=offer.slot,
            policy_id=offer.policy_id,
            order_hash=self.digest("Order", *order),
        )

    def _require_openable(self, match: Match, opener: str) -> None:
        offer, order = match.offer, match.order
        offer_hash, order_hash = self.digest("Offer", *offer), self.digest("Order", *order)
        _require_parties(offer, order, offer_hash)
        _require_hardware(offer, order)
        _require_hours(offer, order)
        _require_price(offer, order)
        self._require_config(offer)
        self._require_offer_alive(offer, order)
        self._require_order_alive(order, opener)
        self._require_policy_and_funds(offer, order)
        self._require_signer(offer.provider, offer_hash, match.offer_sig, opener)
        self._require_signer(order.buyer, order_hash, match.order_sig, opener)

    def _require_config(self, offer: Offer) -> None:
        config = self.state.config
        refuse_if(self.now < config.paused_until, "PAUSED", self.now, config.paused_until)
        fee = config.fee(self.now)
        refuse_if(fee > offer.max_fee_bps, "FEE_ABOVE_LIMIT", fee, offer.max_fee_bps)

    def _require_offer_alive(self, offer: Offer, order: Order) -> None:
        self._require_alive("OFFER", offer, self.cutoff(offer.provider, OFFERS, offer.slot >> 2))
        in_use = self.gpus_in_use(offer.provider, offer.slot) + order.gpus
        refuse_if(in_use > offer.gpus, "CAPACITY_EXCEEDED", in_use, offer.gpus)

    def _require_order_alive(self, order: Order, opener: str) -> None:
        may_open = order.opener == ZERO or opener in (order.opener, order.buyer)
        refuse_if(not may_open, "NOT_OPENER", opener, order.opener)
        self._require_alive("ORDER", order, self.cutoff(order.buyer, ORDERS, order.slot >> 7))
        opened = (order.buyer, order.slot) in self.state.opened
        refuse_if(opened, "ORDER_ALREADY_OPENED", order.slot, order.slot)

    def _require_alive(self, side: str, message: Offer | Order, cutoff: Cutoff) -> None:
        created_at, expires_at = message.created_at, message.expires_at
        refuse_if(self.now < created_at, f"{side}_NOT_YET_VALID", self.now, created_at)
        refuse_if(self.now >= expires_at, f"{side}_EXPIRED", self.now, expires_at)
        alive_from = cutoff.alive_from(self.now)
        refuse_if(created_at < alive_from, f"{side}_CANCELLED", created_at, alive_from)

    def _require_policy_and_funds(self, offer: Offer, order: Order) -> None:
        known = self.state.policies.get(offer.policy_id)
        if known is None:
            raise Refusal("POLICY_UNKNOWN", number(offer.policy_id), 0)
        policy, _ = known
        parties = (order.buyer, order.voucher_signer, offer.provider, offer.agent)
        refuse_if(policy.arbiter in parties, "ARBITER_IS_PARTY", policy.arbiter, policy.arbiter)
        price = offer.price * order.gpus * order.hours
        balance = self.account(order.buyer).balance
        refuse_if(balance < price, "BUYER_BALANCE", balance, price)
        bond = price * policy.bond_bps // BPS
        balance = self.account(offer.provider).balance
        refuse_if(balance < bond, "PROVIDER_BALANCE", balance, bond)

    # ---------------------------------------------------------------- a deal

    def _find(self, terms: Terms, *needed: int) -> tuple[bytes, Deal]:
        """Return the deal, which must be in one of these statuses."""
        deal_id = self.deal_id(terms)
        deal = self.state.deals.get(deal_id)
        if deal is None or deal.status not in needed:
            raise Refusal("WRONG_STATUS", deal.status if deal else NONE, needed[0])
        return deal_id, deal

    def _find_live(self, terms: Terms) -> tuple[bytes, Deal]:
        return self._find(terms, *LIVE)

    def _policy(self, deal: Deal) -> tuple[Policy, tuple[str, ...]]:
        return self.state.policies[deal.terms.policy_id]

    def _put(self, deal: Deal, verb: str, detail: str = "") -> bytes:
        """Keep what a deal has become, and return its id."""
        deal_id = self.deal_id(deal.terms)
        before = self.state.deals.get(deal_id)
        self.state.deals[deal_id] = deal
        self.steps.append(Step(verb, before.status if before else NONE, deal.status, detail))
        return deal_id

    def _do_release(self, terms: Terms, units: int, sig: bytes) -> None:
        deal_id, deal = self._find(terms, LOCKED, CLAIMED)
        most = deal.allocation if deal.status == LOCKED else deal.claim
        paid = min(units, most)
        refuse_if(paid <= deal.paid, "NOT_ABOVE_PAID", paid, deal.paid)
        self._require_signer(terms.voucher_signer, self.digest("Voucher", deal_id, units), sig)
        if paid == most:
            self._close(deal, paid, self._bond_back(deal, paid), "release")
            return
        to_provider, fee = deal.payment(paid)
        self._credit(terms.provider, to_provider)
        self._credit(self.setting.fee_recipient, fee)
        self._put(replace(deal, paid=paid), "release")
        self._log("DealPaid", deal_id, paid, to_provider, fee)

    def _require_claimable(self, deal: Deal, units: int) -> None:
        self._require_before(deal.deadline)
        refuse_if(units <= deal.paid, "NOT_ABOVE_PAID", units, deal.paid)
        elapsed = deal.terms.gpus * (min(self.now, deal.ends_at) - deal.opened_at)
        refuse_if(units > elapsed, "ABOVE_ELAPSED", units, elapsed)

    def _do_claim(  # noqa: PLR0917 - the contract's arguments
        self,
        terms: Terms,
        units: int,
        result: bytes,
        usage: bytes,
        agent_sig: bytes,
        attestors: tuple[str, ...],
        attestor_sigs: bytes,
    ) -> None:
        deal_id, deal = self._find(terms, LOCKED)
        self._require_claimable(deal, units)
        completed = result != ZERO_WORD
        refuse_if(not completed and self.now < deal.ends_at, "NOT_COMPLETED", self.now, deal.ends_at)
        receipt = self.digest("Receipt", deal_id, units, result, usage)
        self._require_signer(terms.agent, receipt, agent_sig)
        policy, _ = self._policy(deal)
        _require_quorum(policy, terms, receipt, attestors, attestor_sigs)
        deadline = self.now + policy.challenge
        claimed = replace(deal, status=CLAIMED, attested=True, claim=units, deadline=deadline)
        claimed = replace(claimed, excused=deal.excused or completed)
        self._put(claimed, "claim", "completed" if completed else "")
        self._log("DealClaimed", deal_id, units, result, usage, deadline)

    def _do_claim_unattested(self, terms: Terms, units: int, deadline: int, sig: bytes) -> None:
        deal_id, deal = self._find(terms, LOCKED)
        self._require_due(deal.ends_at)
        self._require_claimable(deal, units)
        digest = self.digest("UnattestedClaim", deal_id, units, deadline)
        self._require_request(terms.provider, digest, deadline, sig)
        self._contest(replace(deal, claim=units), deal.paid, ZERO_WORD, "claimUnattested")

    def _do_dispute(self, terms: Terms, counter: int, evidence: bytes, deadline: int, sig: bytes) -> None:
        deal_id, deal = self._find(terms, CLAIMED)
        self._require_before(deal.deadline)
        refuse_outside("COUNTER_OUT_OF_RANGE", counter, deal.paid, deal.claim - 1)
        self._require_request(
            terms.buyer, self.digest("Dispute", deal_id, counter, evidence, deadline), deadline, sig
        )
        self._contest(deal, counter, evidence, "dispute")

    def _contest(self, deal: Deal, counter: int, evidence: bytes, verb: str) -> None:
        """Settle what is not contested; then an attested claim takes the buyer's stake too."""
        to_provider, fee = deal.payment(counter)
        policy, _ = self._policy(deal)
        deadline = self.now + policy.arbitration
        disputed = replace(deal, status=DISPUTED, paid=counter, deadline=deadline)
        lost = deal.bond - deal.bond_of(deal.claim)
        to_provider += deal.bond_of(counter) + (lost if deal.excused else 0)
        to_buyer = deal.price - deal.due(deal.claim) + (0 if deal.excused else lost)
        self._credit(deal.terms.provider, to_provider)
        self._credit(self.setting.fee_recipient, fee)
        self._credit(deal.terms.buyer, to_buyer)
        stake = disputed.stake if deal.attested else 0
        balance = self.account(deal.terms.buyer).balance
        refuse_if(balance < stake, "BUYER_BALANCE", balance, stake)
        self._credit(deal.terms.buyer, -stake)
        deal_id = self._put(disputed, verb, "" if deal.attested else "unattested")
        told = (counter, deal.claim, evidence, stake, deadline, to_provider, fee, to_buyer)
        self._log("DealDisputed", deal_id, *told)

    def _do_resolve(self, terms: Terms, units: int, deadline: int, sig: bytes) -> None:
        deal_id, deal = self._find(terms, DISPUTED)
        self._require_before(deal.deadline)
        refuse_outside("RULING_OUT_OF_RANGE", units, deal.paid, deal.claim)
        policy, _ = self._policy(deal)
        digest = self.digest("Ruling", self.setting.escrow, deal_id, units, deadline)
        self._require_request(policy.arbiter, digest, deadline, sig)
        share = deal.pot * policy.arbiter_share_bps // BPS
        self._credit(policy.arbiter, share)
        self._log("DealRuled", deal_id, policy.arbiter, units, share)
        self._close_dispute(deal, units, "resolve", share=share)

    def _do_concede(self, terms: Terms, units: int, deadline: int, sig: bytes) -> None:
        deal_id, deal = self._find(terms, DISPUTED)
        self._require_before(deal.deadline)
        by_buyer = units == deal.claim
        refuse_if(units not in (deal.paid, deal.claim), "RULING_OUT_OF_RANGE", units, deal.paid)
        loser = terms.buyer if by_buyer else terms.provider
        self._require_request(loser, self.digest("Concede", deal_id, units, deadline), deadline, sig)
        self._close_dispute(deal, units, "concede by buyer" if by_buyer else "concede by provider")

    def _do_stop(self, terms: Terms, deadline: int, sig: bytes) -> None:
        deal_id, deal = self._find(terms, LOCKED)
        refuse_if(deal.stopped, "ALREADY_STOPPED", deal.ends_at, deal.ends_at)
        notice = deal.notice_minutes * 60
        ends_at = max(self.now + notice, deal.opened_at + terms.commitment)
        refuse_if(ends_at >= deal.ends_at, "STOP_TOO_LATE", ends_at, deal.ends_at)
        self._require_request(terms.buyer, self.digest("Stop", deal_id, deadline), deadline, sig)
        excused = self.now < deal.opened_at + notice
        policy, _ = self._policy(deal)
        until = ends_at + policy.grace
        stopped = replace(deal, stopped=True, excused=excused, ends_at=ends_at, deadline=until)
        self._put(stopped, "stop", "excused" if excused else "")
        self._log("DealStopped", deal_id, ends_at, until, excused)

    def _do_cancel_deal(self, terms: Terms, deadline: int, sig: bytes) -> None:
        deal_id, deal = self._find(terms, LOCKED)
        self._require_request(terms.provider, self.digest("CancelDeal", deal_id, deadline), deadline, sig)
        self._close(deal, deal.paid, self._bond_back(deal, deal.paid), "cancelDeal")

    def _do_settle(self, terms: Terms, units: int, until: int, buyer_sig: bytes, provider_sig: bytes) -> None:
        deal_id, deal = self._find_live(terms)
        self._require_before(until)
        disputed = deal.status == DISPUTED
        most = deal.claim if disputed else deal.allocation
        refuse_outside("SPLIT_OUT_OF_RANGE", units, deal.paid, most)
        split = self.digest("Split", deal_id, units, until)
        self._require_signer(terms.buyer, split, buyer_sig)
        self._require_signer(terms.provider, split, provider_sig)
        self._close(deal, units, deal.stake if disputed else deal.bond, "settle")

    def _do_finalize(self, terms: Terms) -> None:
        _, deal = self._find_live(terms)
        self._require_due(deal.deadline)
        units = deal.claim if deal.attested else deal.paid
        if deal.status == DISPUTED:
            detail = "attested" if deal.attested else "unattested"
            self._close_dispute(deal, units, "finalize", detail=detail)
        else:
            self._close(deal, units, self._bond_back(deal, units), "finalize")

    # ---------------------------------------------------------------- closing

    def _bond_back(self, deal: Deal, units: int) -> int:
        return deal.bond if deal.excused else deal.bond_of(units)

    def _close_dispute(self, deal: Deal, units: int, verb: str, *, share: int = 0, detail: str = "") -> None:
        """Split the stakes, less the arbiter's share, as the ruling splits the bond at stake."""
        won = 0
        if deal.stake:
            won = (deal.pot - share) * (deal.bond_of(units) - deal.bond_of(deal.paid)) // deal.stake
        self._close(deal, units, won, verb, share=share, detail=detail)

    def _close(
        self, deal: Deal, units: int, back: int, verb: str, *, share: int = 0, detail: str = ""
    ) -> None:
        """Pay up to `units`, give the provider `back` of bond or stakes, and the buyer all the rest."""
        to_provider, fee = deal.payment(units)
        to_provider += back
        to_buyer = deal.held - share - to_provider - fee
        self._credit(deal.terms.provider, to_provider)
        self._credit(self.setting.fee_recipient, fee)
        self._credit(deal.terms.buyer, to_buyer)
        closed = replace(deal, paid=units, status=RELEASED if units else REFUNDED)
        deal_id = self._put(closed, verb, detail)
        self._log("DealClosed", deal_id, closed.status, units, to_provider, fee, to_buyer)


def _no_call(*_: Any) -> None:
    raise Refusal("MALFORMED_CALL", 0, 0)


def _require_attestors(policy: Policy, attestors: Sequence[str]) -> None:
    count, threshold = len(attestors), policy.threshold
    refuse_if(count > 16, "POLICY_ATTESTOR_COUNT", count, 16)
    refuse_if(threshold > count, "POLICY_THRESHOLD", threshold, count)
    refuse_if(threshold == 0 and count != 0, "POLICY_THRESHOLD", 0, 1)
    last = ZERO
    for attestor in attestors:
        refuse_if(number(attestor) <= number(last), "POLICY_ATTESTOR_ORDER", attestor, last)
        last = attestor
    found = attestors_hash(tuple(attestors))
    refuse_if(found != policy.attestors_hash, "POLICY_ATTESTORS", found, policy.attestors_hash)


def _require_quorum(
    policy: Policy, terms: Terms, receipt: bytes, attestors: tuple[str, ...], sigs: bytes
) -> None:
    refuse_if(policy.threshold == 0, "UNATTESTED_POLICY", 0, 1)
    given = attestors_hash(tuple(attestors))
    refuse_if(given != policy.attestors_hash, "ATTESTOR_SET", given, policy.attestors_hash)
    count, rest = divmod(len(sigs), 64)
    refuse_if(count < policy.threshold or rest, "QUORUM", count, policy.threshold)
    last = ZERO
    for start in range(0, len(sigs), 64):
        signer = recover(receipt, sigs[start : start + 64])
        refuse_if(number(signer) <= number(last), "ATTESTOR_ORDER", signer, last)
        party = signer in (terms.buyer, terms.provider, terms.agent)
        refuse_if(party, "ATTESTOR_IS_PARTY", signer, signer)
        refuse_if(signer not in attestors, "ATTESTOR_UNKNOWN", signer, 0)
        last = signer


def _require_parties(offer: Offer, order: Order, offer_hash: bytes) -> None:
    refuse_if(offer.provider == order.buyer, "SELF_TRADE", offer.provider, order.buyer)
    bound = order.offer_hash not in (ZERO_WORD, offer_hash)
    refuse_if(bound, "OFFER_MISMATCH", offer_hash, order.offer_hash)
    refuse_if(offer.policy_id != order.policy_id, "POLICY_MISMATCH", offer.policy_id, order.policy_id)
    refuse_if(offer.agent == ZERO, "AGENT_ZERO", 0, 1)
    signer = order.voucher_signer
    forbidden = signer in (ZERO, offer.provider, offer.agent)
    refuse_if(forbidden, "VOUCHER_SIGNER_FORBIDDEN", signer, signer)


def _require_hardware(offer: Offer, order: Order) -> None:
    refuse_if(order.gpus == 0, "GPU_COUNT_ZERO", 0, 1)
    refuse_if(offer.vram < order.min_vram, "VRAM_BELOW_MINIMUM", offer.vram, order.min_vram)
    missing = order.features & ~offer.features
    refuse_if(missing, "FEATURES_MISSING", offer.features, order.features)
    for name in ("country", "region", "model"):
        offered, wanted = getattr(offer, name), getattr(order, name)
        refuse_if(any(wanted) and wanted != offered, f"{name.upper()}_MISMATCH", offered, wanted)


def _require_hours(offer: Offer, order: Order) -> None:
    hours = order.hours
    refuse_outside("DURATION_OUT_OF_RANGE", hours, 1, 8_760)
    refuse_if(hours < offer.commitment_hours, "DURATION_BELOW_COMMITMENT", hours, offer.commitment_hours)
    refuse_if(hours > offer.available_hours, "DURATION_ABOVE_AVAILABLE", hours, offer.available_hours)
    units = order.gpus * hours * HOUR
    refuse_if(units >= 2**40, "ALLOCATION_TOO_LARGE", units, 2**40 - 1)


def _require_price(offer: Offer, order: Order) -> None:
    refuse_if(offer.price == 0, "PRICE_ZERO", 0, 1)
    refuse_if(offer.price > order.max_price, "PRICE_ABOVE_LIMIT", offer.price, order.max_price)
    total = offer.price * order.gpus * order.hours
    refuse_if(total > order.max_budget, "BUDGET_EXCEEDED", total, order.max_budget)
