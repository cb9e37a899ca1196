"""Draws the next call: mostly a good one, aimed at edges of time and amount; else one that breaks a rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple, TypeVar

from eth_utils import keccak

from tests.contracts.machine.deal import CLAIMED, DISPUTED, LIVE, LOCKED, Deal
from tests.contracts.machine.model import DAY, FOREVER, HOUR, MOST_TOKENS, OFFERS, ORDERS, UNLIMITED, Model
from tests.contracts.machine.stage import Party
from tests.contracts.machine.wire import (
    ZERO,
    ZERO_WORD,
    Call,
    Match,
    Offer,
    Order,
    Policy,
    Terms,
    attestors_hash,
    compact,
)
from tests.tokens import DECIMALS

UNIT = 10**DECIMALS  # one token
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
NOWHERE = keccak(text="no such policy, offer or deal")
H100, A100 = keccak(text="H100"), keccak(text="A100")
REGION = b"eu-central".ljust(32, b"\0")

BUYERS = [Party("buyer A"), Party("buyer B"), Party("poor buyer")]
PROVIDERS = [Party("provider A"), Party("provider B"), BUYERS[1]]  # buyer B sells as well
AGENTS = [Party("agent A"), Party("agent B")]
VOUCHER_SIGNERS = [
    Party("voucher signer A"),
    BUYERS[1],
    Party("voucher signer C"),
]  # buyer B signs them himself
ATTESTORS = sorted((Party(f"attestor {i}") for i in range(3)), key=lambda party: int(party.address, 16))
ARBITER, FEE_RECIPIENT = Party("arbiter"), Party("fee recipient")
GUARDIAN, FEE_SETTER = Party("guardian"), Party("fee setter")
RELAYER, THIEF, WHALE = Party("relayer"), Party("thief"), Party("whale")

PARTIES = [*BUYERS, *PROVIDERS[:2], *AGENTS, VOUCHER_SIGNERS[0], VOUCHER_SIGNERS[2], *ATTESTORS]
CAST = [*PARTIES, ARBITER, FEE_RECIPIENT, GUARDIAN, FEE_SETTER, RELAYER, THIEF, WHALE]
BY_ADDRESS = {party.address: party for party in CAST}
HOLDERS = [*BUYERS, *PROVIDERS[:2], ARBITER, FEE_RECIPIENT, THIEF]  # of accounts in the escrow

GUARDIAN_ROLE, FEE_SETTER_ROLE = 0, 1

DEAL_VERBS: dict[str, tuple[int, ...]] = {  # and how often each is tried in LOCKED, CLAIMED and DISPUTED
    "release": (3, 3, 0),
    "claim": (6, 0, 0),
    "claimUnattested": (3, 0, 0),
    "stop": (2, 0, 0),
    "cancelDeal": (1, 0, 0),
    "dispute": (0, 4, 0),
    "resolve": (0, 0, 4),
    "concede": (0, 0, 3),
    "settle": (1, 3, 2),
    "finalize": (1, 2, 2),
}

T = TypeVar("T")


class Move(NamedTuple):
    sender: str
    time: int
    call: Call


@dataclass
class Memory:
    """What is not in the contract's state and may be sent again."""

    matches: list[Match] = field(default_factory=list)
    sent: list[Move] = field(default_factory=list)  # and succeeded
    agreed: list[Move] = field(
        default_factory=list
    )  # calls without signatures: all that they need is approved
    orders: int = 0


class Dice:
    """Choices with even odds. Hypothesis draws the seed of each move, and shrinks the list of moves."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)

    def pick(self, options: Sequence[T]) -> T:
        return self._random.choice(options)

    def number(self, least: int, most: int) -> int:
        return self._random.randint(least, most)

    def chance(self, percent: int) -> bool:
        return self.number(1, 100) <= percent


class Moves:
    """One move after another, each by its own sender and at its own time, unless those are given."""

    def __init__(
        self, dice: Dice, model: Model, memory: Memory, *, sender: str | None = None, time: int | None = None
    ) -> None:
        self.dice = dice
        self.model = model
        self.memory = memory
        self.sender = sender
        self.time = time
        self.approvals: list[tuple[str, bytes]] | None = None  # collects what would be signed

    # ---------------------------------------------------------------- who, when

    def made(self, verb: str, *args: Any) -> Move:
        sender = self.sender or self.dice.pick([RELAYER.address, THIEF.address])
        return Move(sender, self.at(), Call(verb, args))

    def at(self, least: int = 0, most: int = FOREVER) -> int:
        """Choose the time of this move: in [least, most), often at an edge, and seldom a second outside."""
        if self.time is None:
            soonest = self.model.now + 1
            inside = max(soonest, least) + self.dice.pick([0, 0, 1, 60, 600])
            inside = min(inside, max(soonest, most - 1))
            edges = (least - 1, most) if self.dice.chance(12) else (least, most - 1)
            aims = [time for time in edges if soonest <= time < FOREVER - 1]
            self.time = self.dice.pick(aims) if aims and self.dice.chance(50) else inside
        return self.time

    def moment(self) -> None:
        """Now and then wait for some second that matters, or the one before it or after it."""
        model, soonest = self.model, self.model.now + 1
        if self.time is not None or not self.dice.chance(15):
            return
        config = model.state.config
        moments = [config.paused_until, config.paused_until + 7 * DAY, config.next_fee_from]
        moments += [cutoff.at for cutoff in model.state.cutoffs.values()]
        moments += [account.unlock_at for account in model.state.accounts.values()]
        moments += [until for until in model.state.approved.values() if until != FOREVER]
        moments += [time for deal in self.live() for time in (deal.ends_at, deal.deadline)]
        coming = sorted({time for time in moments if time >= soonest})[:4]
        if coming:
            self.time = max(soonest, self.dice.pick(coming) + self.dice.pick([0, -1, 1]))

    def agree(self, signer: str, digest: bytes) -> bytes:
        """Have the signer agree in one of the ways that count, or seldom in one that does not."""
        if self.approvals is not None:
            self.approvals.append((signer, digest))
            self.sender = THIEF.address
            return b""
        style = self.dice.number(0, 29)
        if style < 12 and self.sender in (None, signer):
            self.sender = signer
            return b""
        return self.signed(signer, digest, style)

    def signed(self, signer: str, digest: bytes, style: int = 0) -> bytes:
        sig = BY_ADDRESS.get(signer, THIEF).sign(digest)
        if style < 25:
            return sig
        high = sig[:32] + (CURVE_ORDER - int.from_bytes(sig[32:64])).to_bytes(32) + bytes([55 - sig[64]])
        others = [
            compact(sig),
            compact(sig),
            THIEF.sign(digest),
            b"",
            self.dice.pick([high, sig[:63], sig[:64] + b"\0"]),
        ]
        return others[style - 25]

    def lapses(self) -> int:
        """Choose the last second but one of a request: mostly in time."""
        return self.at() + self.dice.pick([1, 1, 1, HOUR, HOUR, DAY, DAY, FOREVER // 2, 0])

    # ---------------------------------------------------------------- deals

    def live(self) -> list[Deal]:
        return [deal for deal in self.model.state.deals.values() if deal.status in LIVE]

    def _deal_for(self, verb: str) -> Deal | None:
        """Choose a deal for which the verb may be valid, mostly the one that lapses first; seldom another."""
        deals = list(self.model.state.deals.values())
        suited = [deal for deal in deals if self._suits(verb, deal)]
        if not suited or self.dice.chance(4):
            return self.dice.pick(deals) if deals else None
        suited.sort(key=lambda deal: deal.deadline)
        return suited[0] if self.dice.chance(70) else self.dice.pick(suited)

    def _suits(self, verb: str, deal: Deal) -> bool:
        """Tell whether status, policy and time leave the verb a chance."""
        if deal.status not in LIVE or not DEAL_VERBS[verb][deal.status - LOCKED]:
            return False
        soonest = self.time or self.model.now + 1
        if verb == "claim" and not self.model.state.policies[deal.terms.policy_id][0].threshold:
            return False
        if verb == "stop":
            return not deal.stopped and soonest < deal.ends_at
        return verb in ("finalize", "release", "cancelDeal", "settle") or soonest < deal.deadline

    def on_deal(self) -> Move | None:
        """Choose a status that some deal is in, then a verb: in every status equally often."""
        status = self.dice.pick(sorted({deal.status for deal in self.live()}) or [LOCKED])
        weights = [(verb, often[status - LOCKED]) for verb, often in DEAL_VERBS.items()]
        verbs = [verb for verb, often in weights for _ in range(often)]
        able = [verb for verb in verbs if any(self._suits(verb, deal) for deal in self.live())]
        verb = self.dice.pick(list(DEAL_VERBS) if self.dice.chance(5) else able or verbs)
        deal = self._deal_for(verb)
        if deal is None:
            return None
        if self.dice.chance(2):
            deal = _with_terms(deal, deal.terms._replace(price=deal.terms.price + 1))  # that nobody signed
        draw: Callable[[Deal, bytes], Move] = {
            "release": self._release,
            "claim": self._claim,
            "claimUnattested": self._claim_unattested,
            "stop": self._stop,
            "cancelDeal": self._cancel_deal,
            "dispute": self._dispute,
            "resolve": self._resolve,
            "concede": self._concede,
            "settle": self._settle,
            "finalize": self._finalize,
        }[verb]
        return draw(deal, self.model.deal_id(deal.terms))

    def _units(self, least: int, most: int, *others: int) -> int:
        """Choose a figure of [least, most], its ends included; now and then one beside it."""
        inside = [least, most, (least + most) // 2, (least + 3 * most) // 4]
        beside = [least - 1, most + 1]
        if self.dice.chance(90):
            near = [units for units in (*inside, *others) if least <= units <= most]
            return self.dice.pick(near or inside[:1])
        return max(0, self.dice.pick([*beside, *others]))

    def _step_of_bond(self, deal: Deal) -> int:
        """The figure from which the whole bond is earned."""
        return deal.deliverable - deal.terms.gpus * deal.notice_minutes * 60

    def _release(self, deal: Deal, deal_id: bytes) -> Move:
        self.moment()
        most = deal.claim if deal.status == CLAIMED else deal.allocation
        quarter = deal.paid + (most - deal.paid) // 4
        units = self._units(
            deal.paid + 1, most, quarter, quarter, self._step_of_bond(deal), deal.allocation + 1
        )
        sig = self.agree(deal.terms.voucher_signer, self.model.digest("Voucher", deal_id, units))
        return self.made("release", deal.terms, units, sig)

    def _claim(self, deal: Deal, deal_id: bytes) -> Move:
        result = self.dice.pick([ZERO_WORD, ZERO_WORD, keccak(text="result")])
        time = self.at(deal.opened_at + HOUR if any(result) else deal.ends_at, deal.deadline)
        elapsed = deal.terms.gpus * (min(time, deal.ends_at) - deal.opened_at)
        units = self._units(deal.paid + 1, elapsed, self._step_of_bond(deal) - 1)
        usage = keccak(text="usage")
        receipt = self.model.digest("Receipt", deal_id, units, result, usage)
        agent_sig = self.agree(deal.terms.agent, receipt)
        attestors, sigs = self._quorum(deal, receipt)
        return self.made("claim", deal.terms, units, result, usage, agent_sig, attestors, sigs)

    def _quorum(self, deal: Deal, receipt: bytes) -> tuple[tuple[str, ...], bytes]:
        """Choose attestors that sign: as many as needed or more, ascending; or in one of the wrong ways."""
        policy, attestors = self.model.state.policies[deal.terms.policy_id]
        parties = (deal.terms.buyer, deal.terms.provider, deal.terms.agent)
        signers = [signer for signer in attestors if signer not in parties]
        if self.dice.chance(60):
            signers = signers[: policy.threshold]
        wrong = self.dice.number(0, 44)
        if wrong == 25:
            signers = signers[::-1]
        elif wrong == 26:
            signers = signers[1:]
        elif wrong == 27:
            signers = list(attestors)
        elif wrong == 28:
            signers = [*signers, THIEF.address]
        elif wrong == 29:
            attestors = attestors[1:]
        sigs = b"".join(compact(BY_ADDRESS[signer].sign(receipt)) for signer in signers)
        return attestors, sigs[:-1] if wrong == 24 else sigs

    def _claim_unattested(self, deal: Deal, deal_id: bytes) -> Move:
        self.at(deal.ends_at, deal.deadline)
        units = self._units(deal.paid + 1, deal.deliverable, self._step_of_bond(deal) - 1)
        deadline = self.lapses()
        digest = self.model.digest("UnattestedClaim", deal_id, units, deadline)
        return self.made(
            "claimUnattested", deal.terms, units, deadline, self.agree(deal.terms.provider, digest)
        )

    def _stop(self, deal: Deal, deal_id: bytes) -> Move:
        notice = deal.notice_minutes * 60
        excused, latest = deal.opened_at + notice, deal.ends_at - notice
        self.at(*self.dice.pick([(0, excused), (excused, latest), (0, latest)]))
        deadline = self.lapses()
        sig = self.agree(deal.terms.buyer, self.model.digest("Stop", deal_id, deadline))
        return self.made("stop", deal.terms, deadline, sig)

    def _cancel_deal(self, deal: Deal, deal_id: bytes) -> Move:
        self.moment()
        deadline = self.lapses()
        sig = self.agree(deal.terms.provider, self.model.digest("CancelDeal", deal_id, deadline))
        return self.made("cancelDeal", deal.terms, deadline, sig)

    def _dispute(self, deal: Deal, deal_id: bytes) -> Move:
        self.at(0, deal.deadline)
        counter = self._units(deal.paid, max(deal.paid, deal.claim - 1), self._step_of_bond(deal))
        deadline = self.lapses()
        evidence = keccak(text="evidence")
        digest = self.model.digest("Dispute", deal_id, counter, evidence, deadline)
        return self.made(
            "dispute", deal.terms, counter, evidence, deadline, self.agree(deal.terms.buyer, digest)
        )

    def _resolve(self, deal: Deal, deal_id: bytes) -> Move:
        self.at(0, deal.deadline)
        units = self._units(deal.paid, deal.claim, self._step_of_bond(deal), deal.paid)
        deadline = self.lapses()
        digest = self.model.digest("Ruling", self.model.setting.escrow, deal_id, units, deadline)
        policy, _ = self.model.state.policies[deal.terms.policy_id]
        return self.made("resolve", deal.terms, units, deadline, self.agree(policy.arbiter, digest))

    def _concede(self, deal: Deal, deal_id: bytes) -> Move:
        self.at(0, deal.deadline)
        units = self.dice.pick([deal.paid, deal.paid, deal.claim, deal.claim, (deal.paid + deal.claim) // 2])
        deadline = self.lapses()
        loser = deal.terms.buyer if units == deal.claim else deal.terms.provider
        sig = self.agree(loser, self.model.digest("Concede", deal_id, units, deadline))
        return self.made("concede", deal.terms, units, deadline, sig)

    def _settle(self, deal: Deal, deal_id: bytes) -> Move:
        self.moment()
        units = self._units(deal.paid, deal.claim if deal.status == DISPUTED else deal.allocation, deal.paid)
        until = self.lapses()
        split = self.model.digest("Split", deal_id, units, until)
        sigs = [self.agree(signer, split) for signer in (deal.terms.buyer, deal.terms.provider)]
        return self.made("settle", deal.terms, units, until, *sigs)

    def _finalize(self, deal: Deal, _: bytes) -> Move:
        self.at(deal.deadline)
        return self.made("finalize", deal.terms)

    # ---------------------------------------------------------------- open

    def open(self) -> Move:
        """Open a fresh match, mostly a good one, or one that was signed before."""
        if self.memory.matches and self.dice.chance(12):
            match = self.dice.pick(self.memory.matches[-8:])
            edges = [match.offer.created_at, match.offer.expires_at, match.order.expires_at]
            self.at(*sorted(self.dice.pick([(0, edges[1]), (edges[0], edges[2])])))
        else:
            match = self.match()
            self.memory.matches.append(match)
        if self.sender is None and self.dice.chance(90):
            anyone = match.order.opener == ZERO
            self.sender = self.dice.pick(
                [RELAYER.address if anyone else match.order.opener, match.order.buyer]
            )
        return self.made("open", match)

    def match(self) -> Match:
        self.moment()
        offer, order = self._pair()
        if self.dice.chance(22):
            offer, order = self._spoilt(offer, order)
        if self.dice.chance(50) and order.offer_hash == ZERO_WORD:
            order = order._replace(offer_hash=self.model.digest("Offer", *offer))
        return Match(
            offer,
            order,
            self._match_sig(offer.provider, self.model.digest("Offer", *offer)),
            self._match_sig(order.buyer, self.model.digest("Order", *order)),
        )

    def _match_sig(self, signer: str, digest: bytes) -> bytes:
        if self.approvals is not None:
            return self.agree(signer, digest)
        return self.signed(signer, digest, self.dice.number(0, 29))

    def _pair(self) -> tuple[Offer, Order]:
        """Draw an offer and an order that fit. Offers have few slots, so they share pools."""
        dice, slot = self.dice, self.dice.pick([4, 5, 6, 9])
        buyer = dice.pick([0, 0, 1, 1, 2])  # the poor one seldom
        provider = dice.pick(PROVIDERS[: 3 if buyer != 1 else 2])
        self.memory.orders += 1
        order_slot = 120 + self.memory.orders  # across the edge of a group
        time = self._near_a_cutoff((provider, OFFERS, slot >> 2), (BUYERS[buyer], ORDERS, order_slot >> 7))
        price = dice.pick([10 * UNIT, 1_000_003, 3_599, 1, 2 * UNIT + 1])
        gpus, hours = dice.number(1, 4), dice.pick([1, 2, 8, 24])
        policies = [
            policy_id
            for policy_id, (policy, _) in self.model.state.policies.items()
            if policy.arbiter != provider.address or dice.chance(20)
        ]
        policy_id = dice.pick(policies)
        offer = Offer(
            provider=provider.address,
            agent=dice.pick(AGENTS).address,
            price=price,
            gpus=dice.pick([16, 16, 8, 4]),
            vram=80,
            features=0b1101,
            country=b"DE",
            region=REGION,
            model=H100,
            available_hours=24,
            commitment_hours=dice.pick([0, 1]),
            created_at=time - dice.pick([0, 1, 300, 1_000]),
            expires_at=time + dice.pick([1, DAY, 365 * DAY]),
            max_fee_bps=dice.pick([300, 300, 100]),
            slot=slot,
            policy_id=policy_id,
            metadata=ZERO_WORD,
        )
        order = Order(
            buyer=BUYERS[buyer].address,
            voucher_signer=VOUCHER_SIGNERS[buyer].address,
            max_price=price + dice.pick([0, 1]),
            max_budget=price * gpus * hours + dice.pick([0, 1]),
            gpus=gpus,
            min_vram=dice.pick([80, 40]),
            features=dice.pick([0, 0b101]),
            country=dice.pick([b"DE", b"\0\0"]),
            region=dice.pick([REGION, ZERO_WORD]),
            model=dice.pick([H100, ZERO_WORD]),
            hours=hours,
            created_at=time - dice.pick([0, 1, 300, 1_000]),
            expires_at=time + dice.pick([1, DAY, 365 * DAY]),
            slot=order_slot,
            policy_id=policy_id,
            offer_hash=ZERO_WORD,
            opener=dice.pick([ZERO, ZERO, RELAYER.address]),
            job=ZERO_WORD,
        )
        return offer, order

    def _near_a_cutoff(self, *groups: tuple[Party, int, int]) -> int:
        """Choose the time of an opening, often one at which a cancel takes effect."""
        cutoffs = [self.model.cutoff(maker.address, *group).at for maker, *group in groups]
        aims = [at - late for at in cutoffs for late in (0, 1) if at - late > self.model.now]
        if self.time is None and aims and self.dice.chance(40):
            self.time = self.dice.pick(aims)
        return self.at()

    def _spoilt(self, offer: Offer, order: Order) -> tuple[Offer, Order]:
        """Break one rule, on one side."""
        time = self.at()
        of_offer: list[dict[str, Any]] = [
            {"agent": ZERO},
            {"price": 0},
            {"vram": order.min_vram - 1},
            {"features": 0b1000},
            {"available_hours": order.hours - 1},
            {"commitment_hours": order.hours + 1},
            {"created_at": time + 1},
            {"expires_at": time},
            {"max_fee_bps": 0},
            {"policy_id": NOWHERE},
            {"gpus": order.gpus - 1},
            {"provider": order.buyer},
        ]
        of_order: list[dict[str, Any]] = [
            {"voucher_signer": self.dice.pick([ZERO, offer.provider, offer.agent])},
            {"max_price": offer.price - 1},
            {"max_budget": order.max_budget // 2},
            {"gpus": 0},
            {"gpus": 2**31, "max_price": 2**96 - 1, "max_budget": 2**96 - 1},
            {"min_vram": 81},
            {"features": 0b11101},
            {"country": b"FR"},
            {"region": REGION[::-1]},
            {"model": A100},
            {"hours": self.dice.pick([0, 8_761])},
            {"created_at": time + 1},
            {"expires_at": time},
            {"offer_hash": NOWHERE},
            {"opener": WHALE.address},
            {"slot": self.dice.number(120, 120 + self.memory.orders)},
        ]
        if self.dice.chance(5):
            return offer._replace(policy_id=NOWHERE), order._replace(policy_id=NOWHERE)
        if self.dice.chance(45):
            return offer._replace(**self.dice.pick(of_offer)), order
        return offer, order._replace(**self.dice.pick(of_order))

    # ---------------------------------------------------------------- money in and out

    def money(self) -> Move:
        marked = any(account.withdrawing for account in self.model.state.accounts.values())
        if marked and self.dice.chance(40):
            return self._withdraw()
        return self.dice.pick([self._deposit, self._permit, self._request, self._withdraw, self._token])()

    def _deposit(self) -> Move:
        self.sender = self.sender or self.dice.pick([*HOLDERS, WHALE]).address
        amount = self.dice.pick([UNIT, 5 * UNIT, 1, 0, 100 * UNIT, MOST_TOKENS])
        others = [self.dice.pick(HOLDERS).address, ZERO, self.model.setting.escrow]
        to = self.dice.pick([self.sender, self.sender, others[0], others[0], others[1], others[2]])
        return self.made("deposit", to, amount)

    def _permit(self) -> Move:
        owner = self.dice.pick(HOLDERS)
        time, amount = self.at(), self.dice.pick([UNIT, 3, 0, 50 * UNIT])
        deadline = time + self.dice.pick([0, HOUR, -1])
        nonce = self.model.state.permit_nonces.get(owner.address, 0) + self.dice.pick([0, 0, 0, 1])
        values = (owner.address, self.model.setting.escrow, amount, nonce, deadline)
        digest = self.model.setting.token_domain.digest("Permit", *values)
        sig = (THIEF if self.dice.chance(10) else owner).sign(digest)
        self.sender = self.sender or self.dice.pick([owner.address, RELAYER.address])
        parts = (sig[64], sig[:32], sig[32:64])
        return self.made("depositWithPermit", owner.address, amount, deadline, *parts)

    def _request(self) -> Move:
        self.moment()
        owner = self.dice.pick(HOLDERS).address
        account = self.model.account(owner)
        amount = self.dice.pick([account.balance, account.balance // 2, UNIT, 0, account.balance + 1])
        deadline = self.lapses()
        digest = self.model.digest("RequestWithdraw", owner, amount, account.nonce, deadline)
        return self.made("requestWithdraw", owner, amount, deadline, self.agree(owner, digest))

    def _withdraw(self) -> Move:
        if not any(
            account.withdrawing for account in self.model.state.accounts.values()
        ) and self.dice.chance(90):
            return self._request()
        marked = [owner for owner, account in self.model.state.accounts.items() if account.withdrawing]
        owner = self.dice.pick(marked or [party.address for party in HOLDERS])
        account = self.model.account(owner)
        self.at(account.unlock_at)
        to = self.dice.pick([owner, owner, owner, RELAYER.address, ZERO, self.model.setting.escrow])
        deadline = self.lapses()
        sig = self.agree(owner, self.model.digest("Withdraw", owner, to, account.nonce, deadline))
        return self.made("withdraw", owner, to, deadline, sig)

    def _token(self) -> Move:
        """The token's own verbs: an allowance, or tokens that nobody deposits."""
        if self.sender is not None:  # they are no calls of the escrow, so no items of its multicall
            return self._deposit()
        self.sender = self.dice.pick(HOLDERS).address
        escrow, tokens = self.model.setting.escrow, self.model.state.tokens[self.sender]
        if self.dice.chance(40):
            return self.made("token.transfer", escrow, min(tokens, self.dice.pick([1, UNIT])))
        return self.made("token.approve", escrow, self.dice.pick([UNIT, 0, tokens + UNIT, UNLIMITED]))

    # ---------------------------------------------------------------- groups, policies, roles

    def cancel(self) -> Move:
        self.moment()
        buyer, provider = self.dice.pick(BUYERS).address, self.dice.pick(PROVIDERS).address
        group = self.dice.pick(
            [(provider, OFFERS, 1), (provider, OFFERS, 2), (buyer, ORDERS, 0), (buyer, ORDERS, 1)]
        )
        cutoff = self.model.cutoff(*group)
        if self.dice.chance(50):
            self.at(cutoff.at)
        deadline = self.lapses()
        digest = self.model.digest("CancelOrders", *group, cutoff.at, deadline)
        return self.made("cancel", *group, deadline, self.agree(group[0], digest))

    def revoke(self) -> Move:
        given = list(self.model.state.approved)
        account, digest = self.dice.pick(given) if given else (THIEF.address, NOWHERE)
        self.sender = self.sender or account
        return self.made("revoke", digest)

    def policy(self) -> Move:
        attestors = tuple(party.address for party in ATTESTORS[: self.dice.number(0, 3)])
        policy = Policy(
            arbiter=ARBITER.address,
            bond_bps=self.dice.pick([0, 1_000, 5_000]),
            challenge=self.dice.pick([HOUR, 14 * DAY]),
            grace=self.dice.pick([HOUR, 7 * DAY]),
            notice_minutes=self.dice.pick([1, 255]),
            threshold=len(attestors),
            arbitration=self.dice.pick([DAY, 14 * DAY]),
            arbiter_share_bps=self.dice.pick([0, 5_000]),
            attestors_hash=attestors_hash(attestors),
        )
        wrong: list[dict[str, Any]] = [
            {"arbiter": ZERO},
            {"bond_bps": 5_001},
            {"challenge": self.dice.pick([HOUR - 1, 14 * DAY + 1])},
            {"grace": self.dice.pick([HOUR - 1, 7 * DAY + 1])},
            {"notice_minutes": 0},
            {"arbitration": self.dice.pick([DAY - 1, 14 * DAY + 1])},
            {"arbiter_share_bps": 5_001},
            {"threshold": self.dice.pick([0, len(attestors) + 1])},
            {"attestors_hash": NOWHERE},
        ]
        if self.dice.chance(40):
            policy = policy._replace(**self.dice.pick(wrong))
        if self.dice.chance(15):
            attestors = self.dice.pick([attestors[::-1], (*attestors, *attestors), attestors * 6])
        return self.made("registerPolicy", policy, attestors)

    def role(self) -> Move:
        """Use a role, or find that it is another's; sometimes at the very second at which a fee begins."""
        announced = self.model.state.config.next_fee_from
        if self.time is None and announced > self.model.now and self.dice.chance(25):
            self.time = announced
        self.moment()
        kinds = [self._pause, self._unpause, self._unpause, self._fee, self._offer_role, self._accept_role]
        offered = any(pending != ZERO for _, pending in self.model.state.roles.values())
        return self._accept_role() if offered and self.dice.chance(50) else self.dice.pick(kinds)()

    def _pause(self) -> Move:
        self._as_holder(GUARDIAN_ROLE)
        paused_until = self.model.state.config.paused_until
        if paused_until and self.dice.chance(60):
            self.at(paused_until + 7 * DAY)
        return self.made("pause")

    def _unpause(self) -> Move:
        self._as_holder(GUARDIAN_ROLE)
        return self.made("unpause")

    def _fee(self) -> Move:
        self._as_holder(FEE_SETTER_ROLE)
        return self.made("scheduleFee", self.dice.pick([0, 100, 300, 301]))

    def _offer_role(self) -> Move:
        role = self.dice.pick([GUARDIAN_ROLE, FEE_SETTER_ROLE])
        self._as_holder(role)
        heirs = [GUARDIAN.address, FEE_SETTER.address, RELAYER.address, ZERO]
        return self.made("offerRole", role, self.dice.pick(heirs))

    def _accept_role(self) -> Move:
        roles = self.model.state.roles
        offered = [role for role, (_, pending) in roles.items() if pending != ZERO]
        role = self.dice.pick(offered or list(roles))
        self._as_holder(role, pending=bool(offered))
        return self.made("acceptRole", role)

    def _as_holder(self, role: int, *, pending: bool = False) -> None:
        holder = self.model.state.roles[role][pending]
        self.sender = self.sender or (THIEF.address if self.dice.chance(30) else holder)

    # ---------------------------------------------------------------- several

    def vouchers(self) -> list[Call]:
        """Draw some good vouchers of one deal."""
        deals = [deal for deal in self.live() if deal.status in (LOCKED, CLAIMED)]
        if not deals:
            return []
        deal = self.dice.pick(deals)
        deal_id = self.model.deal_id(deal.terms)
        calls = []
        for _ in range(self.dice.number(2, 3)):
            units = self.dice.number(deal.paid + 1, deal.allocation)
            digest = self.model.digest("Voucher", deal_id, units)
            sig = BY_ADDRESS[deal.terms.voucher_signer].sign(digest)
            calls.append(Call("release", (deal.terms, units, sig)))
        return calls

    def to_approve(self) -> Move | None:
        """Draw a call without any signature; `approvals` then says what is missing."""
        self.approvals = []
        kinds: list[Callable[[], Move | None]] = [
            self.on_deal,
            self.on_deal,
            lambda: self.made("open", self.match()),
            self._request,
            self.cancel,
        ]
        return self.dice.pick(kinds)()

    def any(self) -> Move | None:
        """Draw any of these: what the items of a batch are."""
        kinds: list[Callable[[], Move | None]] = [
            self.open,
            self.open,
            self.on_deal,
            self.on_deal,
            self.on_deal,
            self.money,
            self.cancel,
            self.policy,
            lambda: self.made("no call at all"),
            lambda: self.made("multicall", (), True),
        ]
        return self.dice.pick(kinds)()


def _with_terms(deal: Deal, terms: Terms) -> Deal:
    return Deal(**{**vars(deal), "terms": terms})
