"""A feed with a hole in it is not believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from molt_market.domain.ids import OfferId
from molt_market.domain.updates import FeedItem, OfferRemoved
from molt_market.errors import ServerError
from molt_market.sdk import feed
from molt_market.sdk.feed import follow_feed
from molt_market.wire.messages import FeedItems
from tests.factories import NOON


def message(*sequences: int) -> str:
    removed = OfferRemoved(offer_id=OfferId("0x" + "12" * 32), reason="cancelled")
    items = tuple(FeedItem(sequence=each, time=NOON, update=removed) for each in sequences)
    return FeedItems(items=items).model_dump_json()


@pytest.mark.parametrize(
    ("messages", "good"),
    [
        ([message(4, 5), message(7)], [4, 5]),  # 6 is left out
        ([message(4, 6)], [4]),
        ([message(5)], []),
        ([message(4), message(4)], [4]),  # told twice, perhaps otherwise
    ],
)
def test_step__left_out_or_told_again__is_an_error(
    monkeypatch: pytest.MonkeyPatch, messages: Sequence[str], good: Sequence[int]
) -> None:
    @contextmanager
    def connect(address: str, **_: Any) -> Iterator[Sequence[str]]:
        assert address == "ws://market/feed/live?after=3"
        yield messages

    monkeypatch.setattr(feed, "connect", connect)
    following = follow_feed("http://market", 3)
    assert [next(following).sequence for _ in good] == list(good)
    with pytest.raises(ServerError, match="came after step"):
        next(following)
