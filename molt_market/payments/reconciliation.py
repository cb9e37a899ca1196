"""The journal against the chain: after a start, and after an old backup came back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from logging import INFO, WARNING

from molt_market.domain.ids import Address
from molt_market.errors import TransactionDropped
from molt_market.payments.carrier import Carrier
from molt_market.payments.journal import EntryState, Journal
from molt_market.payments.ports import Transactions
from molt_market.telling import tell

LOOK_BACK = 256  # blocks; what is final for longer is taken for granted


class DifferenceKind(StrEnum):
    """What the journal and the chain did not agree on."""

    NOT_ON_CHAIN = "not on chain"  # final in the journal, in no block now: in flight again
    ENDED = "ended"  # in flight in the journal, mined or displaced meanwhile: noted
    FOREIGN = "foreign"  # nonces that the journal gave to nobody: another wallet, or an old backup


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. All but FOREIGN are repaired; nothing can be, or need be, done about that one."""

    kind: DifferenceKind
    text: str


def reconcile(
    sender: Address, transactions: Transactions, journal: Journal, carrier: Carrier
) -> list[Difference]:
    """Compare the dispatches of an account with the chain, and repair the journal.

    Nothing new is signed unless something is stuck, and then under its own nonce.

    Raises:
        NodeUnreachable, NodeError: it could not be compared.
    """
    differences = [
        *_not_on_chain(sender, transactions, journal, carrier),
        *_ended(sender, journal, carrier),
        *_foreign(sender, transactions, journal),
    ]
    for each in differences:
        level = INFO if each.kind is DifferenceKind.ENDED else WARNING
        tell("reconciled", level=level, sender=sender, kind=each.kind.value, text=each.text)
    return differences


def _not_on_chain(
    sender: Address, transactions: Transactions, journal: Journal, carrier: Carrier
) -> list[Difference]:
    found = []
    since = max(transactions.head() - transactions.confirmations - LOOK_BACK, 0)
    for dispatch in journal.final_since(sender, since):
        now, _ = carrier.push(dispatch.id)
        if now.state is not EntryState.FINAL or now.block != dispatch.block:
            text = (
                f"transaction {dispatch.latest.id} of block {dispatch.block} was final, now it is {now.state}"
            )
            found.append(Difference(DifferenceKind.NOT_ON_CHAIN, text))
    return found


def _ended(sender: Address, journal: Journal, carrier: Carrier) -> list[Difference]:
    found = []
    for dispatch in journal.in_flight(sender):
        try:
            state = carrier.push(dispatch.id)[0].state
        except TransactionDropped:
            state = EntryState.DROPPED
        if state in {EntryState.FINAL, EntryState.DROPPED}:
            text = f"transaction {dispatch.latest.id} was {dispatch.state}, and is {state}"
            found.append(Difference(DifferenceKind.ENDED, text))
    return found


def _foreign(sender: Address, transactions: Transactions, journal: Journal) -> list[Difference]:
    known, used = journal.next_nonce(sender), transactions.used_nonces(sender)
    if known is None or used <= known:
        return []
    text = (
        f"nonces {known} to {used - 1} of {sender} were used by transactions that the journal does not have"
    )
    return [Difference(DifferenceKind.FOREIGN, text)]
