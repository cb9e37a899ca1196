"""An audit: read the whole log up to a block, and compare what it comes to with the contract there."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum

from molt_market.audit.books import Books
from molt_market.audit.checks import Check, Difference, all_checks
from molt_market.audit.contract import Contract, Page
from molt_market.domain.events import Deposited, Event
from molt_market.domain.ids import Address, TransactionId
from molt_market.errors import NodeError

SPAN = 2_000  # blocks in one question


class Outcome(StrEnum):
    """What an audit comes to."""

    SAME = "same"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Verdict:
    """What the log came to at a block, beside what the contract says. Money is in base units.

    `held` is in live deals, `gifts` was sent to the contract without a deposit, so it is nobody's; `tokens`
    lie in the contract by the token's own word. `balances` + `held` + `gifts` = `tokens`, or it is DIFFERENT.
    """

    block: int
    events: int
    balances: int
    held: int
    gifts: int
    tokens: int
    checks: tuple[Check, ...]

    @property
    def differences(self) -> list[Difference]:
        """Return all that differs, accounts first."""
        return [each for check in self.checks for each in check.differences]

    @property
    def outcome(self) -> Outcome:
        return Outcome.DIFFERENT if self.differences else Outcome.SAME

    @property
    def first_account(self) -> Address | None:
        """Return the first account whose balance is another than the log says."""
        found = (Address(each.name) for each in self.differences if each.what == "accounts")
        return next(found, None)


@dataclass
class Auditor:
    """Reads a contract's log, again and again, and compares it with the contract.

    A deposit that the log lacks looks like a gift: of every transaction that sent more tokens than it
    deposited the receipt is read, and compared with the log.

    Args:
        contract: the one that is audited.
        next_block: where its log starts.
        span: blocks in one question to the node.
    """

    contract: Contract
    next_block: int
    span: int = SPAN
    books: Books = field(init=False)
    _log: Check = field(default_factory=lambda: Check("the log itself"))
    _gifts: Counter[TransactionId] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.books = Books(self.contract.fee_recipient)

    @property
    def gifts(self) -> int:
        """Return the base units that were sent to the contract and are in nobody's balance."""
        return self._gifts.total()

    def read(self) -> int:
        """Enter all that was logged since the last time, and return the block it is complete to."""
        latest = self.contract.node.number("eth_blockNumber")
        for page in self.contract.logged(self.next_block, latest, self.span):
            self._enter(page)
        self.next_block = latest + 1
        return latest

    def compare(self, block: int) -> Verdict:
        """Compare what was read with the contract at the block that it is complete to."""
        checks = *all_checks(self.contract, self.books, self.gifts, block), self._log
        return Verdict(
            block,
            self.books.entered,
            self.books.total_balance(),
            self.books.total_held(),
            self.gifts,
            self.contract.tokens(block),
            checks,
        )

    # ---------------------------------------------------------------- inside

    def _enter(self, page: Page) -> None:
        by: defaultdict[TransactionId, list[Event]] = defaultdict(list)
        for event in page.events:
            by[event.transaction_id].append(event)
            self._log.compared += 1
            try:
                self.books.follow([event])
            except NodeError as error:
                where, what = f"transaction {event.transaction_id}", type(event).__name__
                missing = f"that something before it is missing ({error})"
                self._log.differences.append(Difference(self._log.what, where, what, missing))
        for sent_by, received in page.received.items():
            deposited = sum(each.amount for each in by[sent_by] if isinstance(each, Deposited))
            if received != deposited:
                self._gifts[sent_by] += received - deposited
                self._look_at(sent_by, by[sent_by])

    def _look_at(self, transaction: TransactionId, logged: list[Event]) -> None:
        """Compare a transaction's part of the log with its receipt."""
        receipt = self.contract.logged_by(transaction)
        self._log.compare(f"transaction {transaction}", f"{len(logged)} events", f"{len(receipt)} events")
