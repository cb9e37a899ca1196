"""What an account tells a relayer: bring this for me, and charge it to my budget."""

from __future__ import annotations

from molt_market.domain.fields import Moment, Value
from molt_market.domain.ids import Address, Hash32, Signature


class RelayRequest(Value):
    """The account has the message with this digest brought to the chain, and the gas charged to its budget.

    It counts for a relayer only, until `until`: the contract knows no such message.
    """

    digest: Hash32
    account: Address
    until: Moment
    signature: Signature
