"""What a party tells a server of the alerts that it wants, signed."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from pydantic import Field

from molt_market.domain.fields import Moment, Uint64, Value
from molt_market.domain.ids import Address, Signature

MOST_URL = 2_000  # characters


class AlertsVerb(IntEnum):
    """What is asked for, by the number that is signed."""

    SUBSCRIBE = 0
    LIST = 1
    UNSUBSCRIBE = 2


class AlertsRequest(Value):
    """The party has its alerts posted to `url`, asks for its subscriptions, or ends the one of this number.

    It counts for a server only, until `until`: the contract knows no such message.
    """

    party: Address
    verb: AlertsVerb
    url: Annotated[str, Field(max_length=MOST_URL)] = ""
    number: Uint64 = 0
    until: Moment
    signature: Signature
