"""Having signed messages brought to the chain."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from molt_market.api.common import Here, limited
from molt_market.api.relay_desk import RelayDesk
from molt_market.domain.ids import Address
from molt_market.errors import NotOffered
from molt_market.wire.relays import Brought, BudgetAnswer, Relay

router = APIRouter(tags=["relays"], dependencies=[Depends(limited)])


def _desk(here: Here) -> RelayDesk:
    if here.relays is None:
        raise NotOffered("relays")
    return here.relays


Desk = Annotated[RelayDesk, Depends(_desk)]


@router.post("/relays", operation_id="relay")
async def relay(body: Relay, desk: Desk) -> Brought:
    """Bring a signed message to the chain, at the server's expense, within the account's gas budget.

    Answers once its transaction is final. To post it again is harmless, and answers the same.
    """
    return Brought(transaction_id=await asyncio.wrap_future(desk.take(body)))


@router.get("/relays/budget", operation_id="gas_budget")
def gas_budget(
    desk: Desk, account: Annotated[Address, Query(description="Whose signed messages are brought.")]
) -> BudgetAnswer:
    """Say how much gas is paid for an account until when, for what it holds in the escrow."""
    return BudgetAnswer.of(desk.relayer.budget(account))
