"""Where each unit of a deal's money is, and who may do what next: pure, for whoever looks at a deal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.endings import quote_default, quote_dispute
from molt_market.domain.events import Event
from molt_market.domain.ids import Address
from molt_market.domain.policies import Policy
from molt_market.domain.settlement import SettlementQuote, owed, quote_settlement
from molt_market.errors import EscrowError, counted, utc
from molt_market.payments.results import Ledger, hours_of, refunded, settlement_of
from molt_market.payments.steps import CLOSED


class Place(StrEnum):
    """Where money of a deal is."""

    ESCROW = "held by the escrow"
    PROVIDER = "paid to the provider"
    FEE = "platform fee"
    BUYER = "back to the buyer"
    ARBITER = "to the arbiter"


@dataclass(frozen=True, slots=True)
class Share:
    """What of the price, and what of the bond and the stakes, is at one place."""

    place: Place
    price: Amount
    bond: Amount

    @property
    def together(self) -> Amount:
        return self.price + self.bond


@dataclass(frozen=True, slots=True)
class Move:
    """Something that may be done with a deal, and what it brings.

    `verb` is the method of PaymentService that sends it. `accounts` are those that sign it, for the claim
    those that may; none: it needs no signature. It may be done `from_` on (None: now), and `before` another
    time.
    """

    verb: str
    who: str
    then: str
    accounts: tuple[Address, ...] = ()
    from_: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class DealExplanation:
    """A deal's money and its future, as one looks at it.

    `shares` add up to the price, the provider's bond and the buyer's `stake`, to the unit. `says` is the
    status in words.
    """

    escrow: EscrowAccount
    policy: Policy
    says: str
    shares: tuple[Share, ...]
    stake: Amount
    moves: tuple[Move, ...]

    @property
    def in_all(self) -> Amount:
        """All that was ever locked in the deal: price, bond and stake."""
        return self.escrow.amount + self.escrow.bond + self.stake


def explain_deal(
    escrow: EscrowAccount, policy: Policy, events: Sequence[Event], now: datetime
) -> DealExplanation:
    """Say where a deal's money is and what may come next.

    `escrow` and `events` have to be of one moment, `now` the chain's time, `policy` the deal's.

    Raises:
        EscrowError: the log does not add up to what was locked; that must never happen.
    """
    log = Ledger.of(events)
    return DealExplanation(
        escrow=escrow,
        policy=policy,
        says=status_of(escrow, events, now),
        shares=_shares(escrow, log),
        stake=Amount(log.staked, escrow.token),
        moves=tuple(move for move in _moves(escrow, policy, log, now) if _is_open(move, now)),
    )


# ---------------------------------------------------------------- where the money is


@dataclass(frozen=True, slots=True)
class Held:
    """What a deal holds, by whose it was: price and stake of the buyer, bond (or stake) of the provider."""

    of_buyer: Amount
    of_provider: Amount


def held_of(escrow: EscrowAccount, events: Sequence[Event]) -> Held:
    """Say what a deal still holds. `escrow` and `events` have to be of one moment.

    Raises:
        EscrowError: the log does not add up to what was locked; that must never happen.
    """
    log = Ledger.of(events)
    held = next(share for share in _shares(escrow, log) if share.place is Place.ESCROW)
    closed = escrow.status in CLOSED
    stake = Amount(0 if closed else log.staked, escrow.token)
    return Held(held.price + stake, held.bond - stake)


def _shares(escrow: EscrowAccount, log: Ledger) -> tuple[Share, ...]:
    terms, token = escrow.terms, escrow.token
    paid = owed(terms, escrow.paid_gpu_seconds, paid=0, fee_bps=escrow.fee_bps)
    back = refunded(escrow).base_units
    price_held = escrow.amount.base_units - paid.to_provider - paid.fee - back
    at_stake = escrow.bond.base_units + log.staked
    bond_to = (log.to_provider - paid.to_provider, log.to_buyer - back, log.to_arbiter)
    bond_held = at_stake - sum(bond_to)
    figures = (price_held, bond_held, *bond_to)
    if (
        min(figures) < 0
        or log.fee != paid.fee
        or (escrow.status in CLOSED and (price_held, bond_held) != (0, 0))
    ):
        raise EscrowError(
            f"the log of deal {escrow.id} does not add up to what was locked: stop, and report this"
        )
    rows = (
        (Place.ESCROW, price_held, bond_held),
        (Place.PROVIDER, paid.to_provider, bond_to[0]),
        (Place.FEE, paid.fee, 0),
        (Place.BUYER, back, bond_to[1]),
        (Place.ARBITER, 0, bond_to[2]),
    )
    return tuple(Share(place, Amount(price, token), Amount(bond, token)) for place, price, bond in rows)


# ---------------------------------------------------------------- how it stands


def status_of(escrow: EscrowAccount, events: Sequence[Event], now: datetime) -> str:
    """Say in words how a deal stands at the chain's time; `escrow` and `events` have to be of one moment."""
    used = (escrow.claimed_gpu_seconds, escrow.paid_gpu_seconds)
    claim, paid = (hours_of(escrow.terms, each) for each in used)
    claimed = counted(claim, "hour")
    match escrow.status:
        case DealStatus.LOCKED:
            return _running(escrow, now)
        case DealStatus.CLAIMED:
            return f"attestors signed for {claimed}; the buyer may contest that"
        case DealStatus.DISPUTED if escrow.attested:
            return (
                f"the buyer accepts {paid} of the {claim} hours that attestors signed; the arbiter may rule"
            )
        case DealStatus.DISPUTED:
            return f"the provider claims {claimed} without attestors, {paid} are paid; the arbiter may rule"
        case _:
            reason = getattr(settlement_of(escrow, events).status, "reason", "the whole price was paid")
            at = f" at {utc(escrow.released_at)}" if escrow.released_at else ""
            return f"closed{at}: {reason}"


def _running(escrow: EscrowAccount, now: datetime) -> str:
    ends_at = escrow.ends_at or escrow.locked_until
    how = "stopped by the buyer, it " if escrow.stopped else ""
    if now < ends_at:
        return f"{how}runs until {utc(ends_at)}"
    return f"{how}ended at {utc(ends_at)}; it can be claimed before {utc(escrow.locked_until)}"


# ---------------------------------------------------------------- what may come next


def _is_open(move: Move, now: datetime) -> bool:
    return move.before is None or now < move.before


def _moves(escrow: EscrowAccount, policy: Policy, log: Ledger, now: datetime) -> Iterator[Move]:
    match escrow.status:
        case DealStatus.LOCKED:
            yield from _of_locked(escrow, policy, log, now)
        case DealStatus.CLAIMED:
            yield from _of_claimed(escrow)
        case DealStatus.DISPUTED:
            yield from _of_disputed(escrow, policy)
        case _:
            return
    yield _split(escrow)
    in_silence = f"closes the deal, if nobody did before: {_goes(quote_default(escrow), log)}"
    yield Move("refund_payment", "anyone", in_silence, from_=_later(escrow.locked_until, now))


def _of_locked(escrow: EscrowAccount, policy: Policy, log: Ledger, now: datetime) -> Iterator[Move]:
    ends_at, deadline = escrow.ends_at or escrow.locked_until, escrow.locked_until
    yield _release(escrow, "the deal is closed by one for all hours")
    if policy.threshold:
        quorum = f"{policy.threshold} of {len(policy.attestors)} attestors"
        window = _span(policy.challenge_seconds)
        early = f" (before {utc(ends_at)} only if the job has a result)" if now < ends_at else ""
        yield Move(
            "release_payment",
            f"the agent with {quorum}",
            f"claims what they sign for{early}; the buyer may contest it for {window}, then it is paid",
            accounts=(escrow.terms.agent, *policy.attestors),
            before=deadline,
        )
    yield Move(
        "claim_unattested",
        "the provider",
        f"claims without attestors; the arbiter has {_span(policy.arbitration_seconds)} to rule, or it falls",
        accounts=(escrow.provider,),
        from_=_later(ends_at, now),
        before=deadline,
    )
    yield from _stop(escrow, now)
    given_up = _goes(quote_settlement(escrow, escrow.paid_gpu_seconds), log)
    yield Move("cancel", "the provider", f"gives the deal up: {given_up}", accounts=(escrow.provider,))


def _stop(escrow: EscrowAccount, now: datetime) -> Iterator[Move]:
    if escrow.stopped or escrow.opened_at is None or escrow.ends_at is None:
        return
    notice = timedelta(minutes=escrow.notice_minutes)
    new_end = max(now + notice, escrow.opened_at + timedelta(seconds=escrow.terms.commitment))
    if new_end >= escrow.ends_at:
        return
    excused = "; nobody's bond is at stake then" if now < escrow.opened_at + notice else ""
    yield Move(
        "stop",
        "the buyer",
        f"ends the deal at {utc(new_end)}{excused}",
        accounts=(escrow.buyer,),
        before=escrow.ends_at - notice,
    )


def _of_claimed(escrow: EscrowAccount) -> Iterator[Move]:
    yield _release(escrow, "the deal is closed by one for all that is claimed")
    stake = quote_dispute(escrow, escrow.paid_gpu_seconds).stake
    yield Move(
        "handle_dispute",
        "the buyer",
        f"contests the claim above the hours that he accepts, and stakes up to {stake}; the arbiter may rule",
        accounts=(escrow.buyer,),
        before=escrow.locked_until,
    )


def _of_disputed(escrow: EscrowAccount, policy: Policy) -> Iterator[Move]:
    counter, claim = (
        hours_of(escrow.terms, each) for each in (escrow.paid_gpu_seconds, escrow.claimed_gpu_seconds)
    )
    percent, rest = divmod(policy.arbiter_share_bps, 100)
    share = f"{percent}.{rest:02d}".rstrip("0").rstrip(".")
    before = escrow.locked_until
    yield Move(
        "resolve",
        "the arbiter",
        f"rules between {counter} and {claim} hours, for {share} % of the stakes",
        accounts=(policy.arbiter,),
        before=before,
    )
    yield Move(
        "concede", "the buyer", f"gives in: {claim} hours are paid", accounts=(escrow.buyer,), before=before
    )
    yield Move(
        "concede",
        "the provider",
        f"gives in: it stays at {counted(counter, 'hour')}",
        accounts=(escrow.provider,),
        before=before,
    )


def _release(escrow: EscrowAccount, closes: str) -> Move:
    signer = escrow.terms.voucher_signer
    who = "the buyer" if signer == escrow.buyer else "the buyer's voucher signer"
    return Move("redeem", who, f"pays by voucher, at once; {closes}", accounts=(signer,))


def _split(escrow: EscrowAccount) -> Move:
    disputed = escrow.status is DealStatus.DISPUTED
    most = escrow.claimed_gpu_seconds if disputed else escrow.terms.gpu_seconds
    between = f"{hours_of(escrow.terms, escrow.paid_gpu_seconds)} and {hours_of(escrow.terms, most)} hours"
    stakes = "each side gets its stake back" if disputed else "the provider gets the bond back"
    return Move(
        "settle_split",
        "buyer and provider",
        f"close the deal between {between}; {stakes}",
        accounts=(escrow.buyer, escrow.provider),
    )


def _goes(quote: SettlementQuote, log: Ledger) -> str:
    """Say what closing a deal as quoted still moves, after what its log says."""
    token = quote.stake.token
    parts = (
        ((quote.provider_payment + quote.bond_to_provider).base_units - log.to_provider, "to the provider"),
        (quote.platform_fee.base_units - log.fee, "in fees"),
        ((quote.buyer_refund + quote.bond_to_buyer).base_units - log.to_buyer, "to the buyer"),
    )
    moved = [f"{Amount(units, token)} {where}" for units, where in parts if units]
    return ", ".join(moved) or "nothing moves"


def _later(moment: datetime, now: datetime) -> datetime | None:
    return moment if now < moment else None


def _span(seconds: int) -> str:
    """Write a time of whole hours or minutes in words."""
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds % unit == 0:
            return f"{seconds // unit} {name}{'' if seconds == unit else 's'}"
    return f"{seconds} seconds"
