"""Deals as the contract has stored them, many at once."""

from __future__ import annotations

from collections.abc import Sequence

from molt_market.chain.interface import interface
from molt_market.chain.node import Node, call_params, readable, unhex
from molt_market.domain.deals import Deal, DealStatus
from molt_market.domain.ids import Address, EscrowId
from molt_market.domain.transactions import Call

ESCROW = interface("MoltEscrow")


def stored_deals(
    node: Node, escrow: Address, deal_ids: Sequence[EscrowId], block: int | str = "latest"
) -> list[Deal]:
    """Return what a contract had stored of these deals at the end of a block, in their order."""
    calls = [Call(escrow, ESCROW.encode("dealOf", deal_id)) for deal_id in deal_ids]
    answers = node.requests("eth_call", [call_params(call, None, block) for call in calls])
    with readable("eth_call"):
        words = [ESCROW.decode("dealOf", unhex(answer))[0] for answer in answers]
        return [Deal(DealStatus(status), *fields) for status, *fields in words]
