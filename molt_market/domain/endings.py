"""What each ending of a deal brings, before it is chosen: the contract's arithmetic, to the base unit.

`quote_settlement` says it for the plain endings: released, finalized or cancelled. These say it for the
others.
"""

from __future__ import annotations

from dataclasses import dataclass

from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.fields import BPS
from molt_market.domain.settlement import (
    SettlementQuote,
    bond,
    bond_of,
    due,
    owed,
    price,
    quote_of,
    quote_settlement,
)
from molt_market.errors import InvalidStateTransition
from molt_market.refusals import (
    AboveElapsed,
    CounterOutOfRange,
    NotAbovePaid,
    RulingOutOfRange,
    SplitOutOfRange,
)


@dataclass(frozen=True, slots=True)
class ContestQuote:
    """What opening a dispute moves at once: all that is not contested goes out, and the buyer stakes.

    Payment and earned bond go to the provider, what is not claimed to the buyer. `stake` comes out of the
    buyer's balance after `to_buyer` has reached it; `pot` is what the ruling will split.
    """

    counter_gpu_seconds: int
    claimed_gpu_seconds: int
    to_provider: Amount
    platform_fee: Amount
    to_buyer: Amount
    stake: Amount
    pot: Amount


def quote_dispute(escrow: EscrowAccount, counter: int) -> ContestQuote:
    """Say what contesting a claim above `counter` GPU-seconds moves.

    Raises:
        InvalidStateTransition: nothing is claimed.
        CounterOutOfRange: the counter is less than is paid already, or not less than is claimed.
    """
    _require(escrow, DealStatus.CLAIMED, "DISPUTED")
    if counter < escrow.paid_gpu_seconds:
        raise CounterOutOfRange(counter, escrow.paid_gpu_seconds)
    if counter >= escrow.claimed_gpu_seconds:
        raise CounterOutOfRange(counter, escrow.claimed_gpu_seconds - 1)
    return _contest(escrow, counter, escrow.claimed_gpu_seconds, attested=True)


def quote_unattested_claim(escrow: EscrowAccount, gpu_seconds: int) -> ContestQuote:
    """Say what claiming `gpu_seconds` without attestors moves.

    Raises:
        InvalidStateTransition: the deal is not LOCKED.
        NotAbovePaid: so much is paid already. AboveElapsed: the deal runs for less.
    """
    _require(escrow, DealStatus.LOCKED, "DISPUTED")
    if gpu_seconds <= escrow.paid_gpu_seconds:
        raise NotAbovePaid(gpu_seconds, escrow.paid_gpu_seconds)
    ran = escrow.terms.gpu_count * escrow.run_seconds
    if gpu_seconds > ran:
        raise AboveElapsed(gpu_seconds, ran)
    return _contest(escrow, escrow.paid_gpu_seconds, gpu_seconds, attested=False)


def quote_ruling(escrow: EscrowAccount, gpu_seconds: int, *, arbiter_share_bps: int = 0) -> SettlementQuote:
    """Say where the money goes if a dispute is closed at `gpu_seconds`.

    By a ruling, with the policy's share for the arbiter; by a concession or for lack of a ruling, without.

    Raises:
        InvalidStateTransition: the deal is not disputed.
        RulingOutOfRange: it is not between the buyer's counter and the claim.
    """
    _require(escrow, DealStatus.DISPUTED, "RULED")
    counter, claim = escrow.paid_gpu_seconds, escrow.claimed_gpu_seconds
    if not counter <= gpu_seconds <= claim:
        raise RulingOutOfRange(gpu_seconds, counter if gpu_seconds < counter else claim)
    stake = _stake(escrow, counter, claim)
    buyers = stake if escrow.attested else 0
    share = (stake + buyers) * arbiter_share_bps // BPS
    earned = _stake(escrow, counter, gpu_seconds)  # the stakes are split as the bond is, step included
    won = (stake + buyers - share) * earned // stake if stake else 0
    returned = _uncontested_bond(escrow, counter, claim)
    return quote_of(escrow, gpu_seconds, bond_to_provider=returned + won, stake=buyers, arbiter_share=share)


def quote_split(escrow: EscrowAccount, gpu_seconds: int) -> SettlementQuote:
    """Say where the money goes if both parties close the deal at `gpu_seconds`.

    The provider gets the whole bond back; in a dispute, each side its stake.

    Raises:
        InvalidStateTransition: the deal is closed.
        SplitOutOfRange: it is not between what is paid and what is allocated (in a dispute: claimed).
    """
    disputed = escrow.status is DealStatus.DISPUTED
    if not disputed and escrow.status not in {DealStatus.LOCKED, DealStatus.CLAIMED}:
        raise InvalidStateTransition(escrow.status.name, "SETTLED")
    paid = escrow.paid_gpu_seconds
    most = escrow.claimed_gpu_seconds if disputed else escrow.terms.gpu_seconds
    if not paid <= gpu_seconds <= most:
        raise SplitOutOfRange(gpu_seconds, paid if gpu_seconds < paid else most)
    if not disputed:
        return quote_of(escrow, gpu_seconds, bond_to_provider=_whole_bond(escrow))
    stake = _stake(escrow, paid, most)
    returned = _uncontested_bond(escrow, paid, most) + stake
    return quote_of(escrow, gpu_seconds, bond_to_provider=returned, stake=stake if escrow.attested else 0)


def quote_default(escrow: EscrowAccount) -> SettlementQuote:
    """Say where the money goes if everybody stays silent until the deadline, `locked_until`.

    A claim stands, a deal without one closes at what is paid; a dispute without a ruling ends at the claim if
    that was attested, else at what is paid. Raises InvalidStateTransition for a closed deal.
    """
    match escrow.status:
        case DealStatus.LOCKED:
            return quote_settlement(escrow, escrow.paid_gpu_seconds)
        case DealStatus.CLAIMED:
            return quote_settlement(escrow, escrow.claimed_gpu_seconds)
        case _:
            stands = escrow.attested
            return quote_ruling(escrow, escrow.claimed_gpu_seconds if stands else escrow.paid_gpu_seconds)


def _contest(escrow: EscrowAccount, counter: int, claim: int, *, attested: bool) -> ContestQuote:
    terms = escrow.terms
    paid = owed(terms, counter, paid=escrow.paid_gpu_seconds, fee_bps=escrow.fee_bps)
    returned = _uncontested_bond(escrow, counter, claim)
    stake = _stake(escrow, counter, claim)
    undelivered = _whole_bond(escrow) - returned - stake
    token = escrow.token
    return ContestQuote(
        counter_gpu_seconds=counter,
        claimed_gpu_seconds=claim,
        to_provider=Amount(paid.to_provider + returned, token),
        platform_fee=Amount(paid.fee, token),
        to_buyer=Amount(price(terms) - due(terms, claim) + undelivered, token),
        stake=Amount(stake if attested else 0, token),
        pot=Amount(2 * stake if attested else stake, token),
    )


def _stake(escrow: EscrowAccount, counter: int, claim: int) -> int:
    """Return what the provider has at stake: the bond that the contested GPU-seconds would earn."""
    return bond_of(escrow, claim) - bond_of(escrow, counter)


def _uncontested_bond(escrow: EscrowAccount, counter: int, claim: int) -> int:
    """Return the bond that goes back to the provider when the dispute opens."""
    spared = _whole_bond(escrow) - bond_of(escrow, claim) if escrow.excused else 0
    return bond_of(escrow, counter) + spared


def _whole_bond(escrow: EscrowAccount) -> int:
    return bond(price(escrow.terms), escrow.bond_bps)


def _require(escrow: EscrowAccount, status: DealStatus, wanted: str) -> None:
    if escrow.status is not status:
        raise InvalidStateTransition(escrow.status.name, wanted)
