"""What a maker tells a market of his own offers, orders and reservations, signed."""

from __future__ import annotations

from molt_market.domain.fields import Moment, Value
from molt_market.domain.ids import Address, Hash32, Signature


class Unlisting(Value):
    """The signer takes what he signed off a market's book: an offer, an order, or a match that is reserved.

    `digest` is the offer's or order's hash, or the id of the deal that is reserved. It counts for a market
    only: on the chain an offer or an order stands until it expires or is cancelled there.
    """

    digest: Hash32
    until: Moment
    signer: Address
    signature: Signature
