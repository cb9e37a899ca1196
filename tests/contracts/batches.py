"""Batches as tests send them, and what they say of their items."""

from __future__ import annotations

from typing import Any

from tests.contracts.actors import RELAYER
from tests.contracts.factories import OpenDeal
from tests.contracts.market import Market
from tests.contracts.node import Receipt


def batch(market: Market, *calls: bytes, skip: bool = False, sender: Any = RELAYER) -> Receipt:
    return market.send(sender, "multicall", list(calls), skip)


def voucher_call(market: Market, deal: OpenDeal, units: int) -> bytes:
    return market.encode("release", deal.terms.as_tuple(), units, market.voucher(deal, units))


def names(receipt: Receipt, market: Market) -> list[str]:
    return [name for name, _ in receipt.events(market.escrow)]


def refusals(receipt: Receipt, market: Market) -> list[tuple[int, int, int, int]]:
    """Return index, code, actual and limit of the items that were refused."""
    events = receipt.events(market.escrow)
    return [tuple(values.values()) for name, values in events if name == "ItemRefused"]
