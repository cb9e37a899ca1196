"""Group commit: everything once, nobody forgotten, and errors to all whom they concern."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from molt_market.storage.together import Together


def test_items_that_come_while_one_is_written__go_together() -> None:
    batches: list[Sequence[int]] = []
    first_is_written, go_on = threading.Event(), threading.Event()

    def write(items: Sequence[int]) -> None:
        batches.append(items)
        first_is_written.set()
        assert go_on.wait(10)

    together = Together(write)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(together.add, 0)
        assert first_is_written.wait(10)
        others = [pool.submit(together.add, number) for number in range(1, 6)]
        while len(together._waiting) < 5:
            pass
        go_on.set()
        for each in (first, *others):
            each.result(10)
    assert batches[0] == [0]
    assert sorted(batches[1]) == [1, 2, 3, 4, 5]
    assert len(batches) == 2


def test_many_at_once__each_is_written_once() -> None:
    written: list[int] = []
    together = Together(written.extend)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(together.add, range(2_000)))
    assert sorted(written) == list(range(2_000))


def test_error__is_told_to_all_of_its_batch__and_to_nobody_else() -> None:
    def write(items: Sequence[int]) -> None:
        if 13 in items:
            raise OSError("disk full")

    together = Together(write)
    with pytest.raises(OSError, match="disk full"):
        together.add(13)
    together.add(14)
