"""What a server answers about the alerts of a party."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from molt_market.alerts.ports import DeliveryState, Subscription
from molt_market.domain.fields import Moment, Value

REQUEST = "Molt-Request"  # the header that holds a signed request where there is no body


class SubscriptionState(Value):
    """Where a party's alerts go, and how many were delivered there, wait, or were given up."""

    number: int
    url: str
    created_at: Moment
    waiting: int = 0
    delivered: int = 0
    given_up: int = 0

    @classmethod
    def of(cls, subscription: Subscription, counts: Mapping[DeliveryState, int]) -> Self:
        return cls(
            number=subscription.id,
            url=subscription.url,
            created_at=subscription.created_at,
            **{state.value: number for state, number in counts.items()},
        )


class Subscribed(Value):
    """A subscription, with the secret that signs what is posted; None: it was there already.

    Whoever has lost the secret ends the subscription, and subscribes again.
    """

    subscription: SubscriptionState
    secret: str | None


class Subscriptions(Value):
    """The subscriptions of a party, the oldest first."""

    subscriptions: tuple[SubscriptionState, ...]


class Unsubscribed(Value):
    """Whether there was such a subscription of the party."""

    was_there: bool
