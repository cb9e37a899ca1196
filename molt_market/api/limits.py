"""How much one account, or one address of the network, may ask for in a time."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from molt_market.errors import TooManyRequests

KNOWN = 100_000  # callers that are remembered; who comes again after that many others begins anew


@dataclass(slots=True)
class _Bucket:
    """Tokens that a caller has left, as of a time. A token bucket, as in RFC 2697's meters."""

    tokens: float
    at: float


class Limits:
    """A token bucket for each caller: `burst` at once, `per_second` in the long run. Of this process only.

    >>> Limits(per_second=1, burst=2).take("buyer", 2)
    """

    def __init__(self, *, per_second: float = 50, burst: int = 500) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, caller: str, count: int = 1) -> None:
        """Take tokens of a caller. Raises TooManyRequests, and then none are taken."""
        with self._lock:
            now = time.monotonic()
            bucket = self._buckets.setdefault(caller, _Bucket(self._burst, now))
            self._buckets.move_to_end(caller)
            if len(self._buckets) > KNOWN:
                self._buckets.popitem(last=False)
            grown = bucket.tokens + (now - bucket.at) * self._per_second
            bucket.tokens, bucket.at = min(grown, self._burst), now
            if bucket.tokens < count:
                raise TooManyRequests(math.ceil((count - bucket.tokens) / self._per_second))
            bucket.tokens -= count

    def take_all(self, callers: Iterable[str]) -> None:
        """Take one token of each caller that is named."""
        for caller in callers:
            self.take(caller)
