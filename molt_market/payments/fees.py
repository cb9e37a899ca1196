"""What is offered for gas, and how much more when a transaction is not taken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from molt_market.domain.transactions import Fee
from molt_market.errors import InvalidValue

GWEI = 10**9
# Nodes want at least a tenth more of a transaction that replaces another one (go-ethereum: price bump 10 %).
RAISE = (9, 8)


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """How much a transaction may offer, and after how long it is replaced by one that offers more.

    `cap` is wei for each unit of gas, base fee and tip together; above it nothing is signed.

    >>> FeePolicy().first(Fee(100, 2))
    Fee(most=202, tip=2)
    """

    cap: int = 500 * GWEI
    patience: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        if self.cap < 1 or self.patience <= timedelta(0):
            raise InvalidValue("a fee policy needs a cap and a patience above 0")

    def first(self, market: Fee) -> Fee:
        """Return the first offer, with room for the base fee to rise; `market` is that, and the usual tip."""
        offer = market.with_room()
        return self._capped(offer.most, offer.tip)

    def raised(self, before: Fee, market: Fee) -> Fee | None:
        """Return what may replace an offer: an eighth more of both, or the market's if that is more.

        None if that is above the cap.
        """
        up, down = RAISE
        least = Fee(-(-before.most * up // down), -(-before.tip * up // down))
        now = self.first(market)
        if least.most > self.cap:
            return None
        return self._capped(max(least.most, now.most), max(least.tip, now.tip))

    def _capped(self, most: int, tip: int) -> Fee:
        return Fee(min(most, self.cap), min(tip, self.cap))


def gwei(wei: int) -> str:
    """Write wei as gwei, exactly.

    >>> gwei(1_500_000_000)
    '1.5'
    """
    whole, rest = divmod(wei, GWEI)
    return f"{whole}.{rest:09d}".rstrip("0") if rest else str(whole)
