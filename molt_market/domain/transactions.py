"""What is sent to a chain, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from molt_market.domain.events import Event
from molt_market.domain.ids import Address, TransactionId

AnyEvent = TypeVar("AnyEvent", bound=Event)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a contract: its address (None creates a contract) and its data."""

    to: Address | None
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fee:
    """What a transaction offers for gas, in wei for each unit of it (EIP-1559).

    `most` is the limit of base fee and tip together, `tip` what the block's proposer gets of that.
    """

    most: int
    tip: int

    def with_room(self) -> Fee:
        """Return what to offer where this is the present base fee, and the usual tip.

        Twice the base fee: a full block raises it by an eighth, and six may come before (1.125^6 = 2.03).

        >>> Fee(100, 2).with_room()
        Fee(most=202, tip=2)
        """
        return Fee(2 * self.most + self.tip, self.tip)


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A transaction that only has to be sent. Sending it twice is harmless: it is mined at most once.

    `gas` is the most that it may burn; it costs at most `gas * fee.most` wei.
    """

    id: TransactionId
    sender: Address
    nonce: int
    call: Call
    gas: int
    fee: Fee
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TransactionReceipt:
    """How a transaction was mined. `gas_price` is wei per gas; one that did not succeed has no events.

    `created` is the contract that it made, if it made one. `l1_fee` is what its data cost in wei beside the
    gas, on chains that charge for it so (receipts of the OP Stack).
    """

    transaction_id: TransactionId
    sender: Address
    block: int
    gas_used: int
    gas_price: int
    succeeded: bool
    events: tuple[Event, ...] = ()
    created: Address | None = None
    l1_fee: int = 0

    @property
    def cost(self) -> int:
        """What its sender paid for it, in wei."""
        return self.gas_used * self.gas_price + self.l1_fee

    def only(self, kind: type[AnyEvent]) -> AnyEvent:
        """Return the one event of a kind. Raises LookupError if there is none, or more than one."""
        found = [event for event in self.events if isinstance(event, kind)]
        if len(found) != 1:
            raise LookupError(f"{len(found)} {kind.__name__} in transaction {self.transaction_id}")
        return found[0]
