"""What comes next for a payment: pure, so that a command, an API or a page can show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from molt_market.domain.ids import Address, EscrowId
from molt_market.domain.transactions import Fee
from molt_market.errors import utc
from molt_market.payments.fees import FeePolicy, gwei
from molt_market.payments.journal import Dispatch, Entry, EntryState, deal_of

UNMINED = frozenset({EntryState.SIGNED, EntryState.BROADCAST, EntryState.REPLACED})
AGAIN = "the same call plans it again"


@dataclass(frozen=True, slots=True)
class View:
    """What is known at the moment of looking.

    `head` is the number of the chain's latest block; None: no node answered. `first_nonces` is the lowest
    nonce of each account that is signed and in no block: nothing after it can be mined before it.
    """

    now: datetime
    head: int | None = None
    confirmations: int = 0
    fees: FeePolicy = field(default_factory=FeePolicy)
    first_nonces: Mapping[Address, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outlook:
    """A payment, and what comes next for it, in words.

    `final_at` is the block at which it has its confirmations, known once it is mined; `blocked_by` the
    earlier nonce of its account that has to be mined first.
    """

    entry: Entry
    next: str
    final_at: int | None = None
    blocked_by: int | None = None

    @property
    def deal_id(self) -> EscrowId | None:
        """The deal that it is about."""
        return deal_of(self.entry.key)


def outlook(entry: Entry, view: View) -> Outlook:
    """Say what comes next for a payment."""
    dispatch = entry.dispatch
    if dispatch is None or entry.state not in UNMINED | {EntryState.MINED}:
        return Outlook(entry, _of_the_rest(entry))
    if entry.state is EntryState.MINED:
        final_at = (dispatch.block or 0) + view.confirmations
        return Outlook(entry, _of_mined(dispatch, final_at, view.head), final_at=final_at)
    first = view.first_nonces.get(dispatch.sender, dispatch.nonce)
    if first < dispatch.nonce:
        waits = f"waits for nonce {first} of its account, which is not mined: that one first"
        return Outlook(entry, waits, blocked_by=first)
    return Outlook(entry, _of_unmined(dispatch, view))


def first_nonces(in_flight: Iterable[Dispatch]) -> dict[Address, int]:
    """Return the lowest nonce of each account among the dispatches that are in no block."""
    lowest: dict[Address, int] = {}
    for dispatch in in_flight:
        if dispatch.state in UNMINED:
            lowest[dispatch.sender] = min(dispatch.nonce, lowest.get(dispatch.sender, dispatch.nonce))
    return lowest


def _of_mined(dispatch: Dispatch, final_at: int, head: int | None) -> str:
    mined = f"mined in block {dispatch.block}, final at block {final_at}"
    if head is None:
        return mined
    if head < final_at:
        return f"{mined}: {final_at - head} to go"
    return f"{mined}, which is there: noted by whoever looks next"


def _of_unmined(dispatch: Dispatch, view: View) -> str:
    cap = gwei(view.fees.cap)
    replaceable_at = dispatch.signed_at + view.fees.patience
    if view.now < replaceable_at:
        sent = "sent by whoever looks next, then mined" if dispatch.state is EntryState.SIGNED else "mined"
        return f"{sent}; if not, replaced for a higher fee from {utc(replaceable_at)} on, at most {cap} gwei"
    raised = view.fees.raised(dispatch.latest.fee, Fee(0, 0))
    if raised is None:
        return f"an eighth more would be above the cap of {cap} gwei: waits until the base fee falls"
    least = gwei(raised.most)
    return f"not mined in time: replaced by whoever looks next, for {least} gwei at least, {cap} at most"


def _of_the_rest(entry: Entry) -> str:
    match entry.state:
        case EntryState.PLANNED:
            return "signed and sent by the call that planned it; if its process is gone, call again"
        case EntryState.FINAL:
            return "nothing: it is done"
        case EntryState.DROPPED:
            return f"its nonce went to another transaction, nothing moved; {AGAIN}"
        case EntryState.REVERTED:
            return f"the contract refused it, only gas was spent ({entry.failure}); {AGAIN}"
        case _:
            return f"refused before it was signed, nothing was spent ({entry.failure}); {AGAIN}"
