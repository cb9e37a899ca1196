"""A fresh process: prints when it had its first answer, and when the compiled code answered."""

from __future__ import annotations

import time

from molt_market.domain.amounts import Amount
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobRequirements
from molt_market.orderbook import CompiledIndex, OrderBook

GPUS = GpuCapacity(gpu_count=8, gpu_model="H100", vram_gb=80)
PRICE = Amount.from_molt(2)
NEEDS = JobRequirements(min_gpu_count=4, min_vram_gb=40, max_price_per_hour=PRICE, estimated_hours=8)


def main() -> None:
    index = CompiledIndex()
    book = OrderBook(index=index)
    for number in range(1_000):
        terms = {"price_per_hour": PRICE, "available_hours": 24, "slot": number}
        book.add_offer(CapacityOffer(provider_id="provider", gpu_capacity=GPUS, **terms))
    print(_when_answered(book))
    index.wait()
    print(_when_answered(book))


def _when_answered(book: OrderBook) -> float:
    if len(book.best_offers(NEEDS, 10)) != 10:
        raise AssertionError("ten of a thousand fit")
    return time.time()


if __name__ == "__main__":
    main()
