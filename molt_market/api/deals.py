"""Deals, as the chain's log tells them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from molt_market.api.common import Cursor, Here, PageLimit, limited, next_cursor
from molt_market.api.service import Service
from molt_market.domain.documents import Document, DocumentKind
from molt_market.domain.ids import Address, EscrowId
from molt_market.domain.terms import Terms
from molt_market.errors import DealNotFound, ProofMismatch
from molt_market.market.documents import sender_of
from molt_market.wire.messages import Deals, DealState, DocumentNumber, Documents

MOST = 2**31 - 1

router = APIRouter(tags=["deals"], dependencies=[Depends(limited)])


@router.get("/deals", operation_id="list_deals")
def list_deals(
    here: Here,
    party: Annotated[Address, Query(description="Buyer, provider or agent.")],
    cursor: Cursor = None,
    limit: PageLimit = 50,
) -> Deals:
    """List the deals of a party, by their ids."""
    found = here.facts.deals_of(party, None if cursor is None else EscrowId(cursor), limit)
    return Deals(
        deals=tuple(DealState.of(each, here.client.token) for each in found),
        next=next_cursor([each.id for each in found], limit),
    )


@router.get("/deals/{deal_id}", operation_id="get_deal")
def get_deal(deal_id: EscrowId, here: Here) -> DealState:
    """Return a deal as it stands at the block that the log was followed to."""
    found = here.facts.deal(deal_id)
    if found is None:
        raise DealNotFound(deal_id)
    return DealState.of(found, here.client.token)


@router.post("/deals/{deal_id}/documents", status_code=201, operation_id="post_document")
def post_document(deal_id: EscrowId, body: Document, here: Here) -> DocumentNumber:
    """Leave a voucher, a receipt, a dispute or a sealed letter for the other parties of a deal.

    It is kept for them; nothing is sent to the chain.
    """
    if body.deal_id != deal_id:
        raise ProofMismatch(f"the document is about deal {body.deal_id}, not {deal_id}: post it there")
    terms, market = _terms(deal_id, here), here.market
    policy = here.client.policy(terms.policy_id)
    sender = sender_of(body, terms, policy, market.domain, here.client.is_approved)
    market.admit(sender)
    number = market.store.post_document(body, sender, here.clock.now())
    market.catch_up()
    return DocumentNumber(deal_id=deal_id, number=number)


@router.get("/deals/{deal_id}/documents", operation_id="list_documents")
def list_documents(
    deal_id: EscrowId,
    here: Here,
    kind: DocumentKind | None = None,
    after: Annotated[int, Query(ge=0, le=MOST, description="The last number that you have.")] = 0,
    limit: PageLimit = 50,
) -> Documents:
    """List what the parties of a deal have left for each other; letters are sealed."""
    return Documents(documents=tuple(here.market.store.documents(deal_id, after, limit, kind)))


def _terms(deal_id: EscrowId, here: Service) -> Terms:
    """Return the terms of a deal, from the chain itself if it is newer than what was followed."""
    found = here.facts.deal(deal_id)
    return here.client.escrow(deal_id).terms if found is None else found.terms
