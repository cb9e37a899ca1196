"""What a deal was opened from: the offer and the order, out of the transaction that opened it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from molt_market.chain.interface import interface
from molt_market.chain.node import Node, readable, unhex
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.fields import SECONDS_PER_HOUR
from molt_market.domain.ids import Address, Hash32, Signature, TransactionId
from molt_market.domain.terms import Terms
from molt_market.errors import InvalidSignature
from molt_market.signing.messages import Offer, Order
from molt_market.signing.signers import recover
from molt_market.signing.typed_data import Domain, Message

ESCROW = interface("MoltEscrow")

Kind = TypeVar("Kind", bound=Message)


@dataclass(frozen=True, slots=True)
class Opening:
    """The two messages that a deal was opened from, as provider and buyer signed them."""

    offer: Offer
    order: Order


def opening_of(node: Node, escrow: EscrowAccount, domain: Domain) -> Opening | None:
    """Return what a deal was opened from; None: its opening came by another contract, or hides it.

    The node is not believed: the order has to hash to the deal's, the offer has to give the deal's terms, and
    the order names it by its hash, or its provider's signature is beside it.

    Raises:
        NodeUnreachable, NodeError: the node does not answer, or not readably.
    """
    if escrow.transaction_id is None:
        return None
    data = _data_of(node, escrow.transaction_id, domain.escrow)
    for offer, order, signature in _matches(data):
        if _opens(offer, order, escrow.terms, domain) and _is_providers(offer, order, signature, domain):
            return Opening(offer, order)
    return None


# ---------------------------------------------------------------- inside


def _data_of(node: Node, transaction_id: TransactionId, escrow: Address) -> bytes:
    """Return what a transaction called the escrow with; nothing where it called another contract."""
    found = node.request("eth_getTransactionByHash", transaction_id)
    if found is None:
        return b""
    with readable("eth_getTransactionByHash"):
        to_escrow = found["to"] is not None and Address(found["to"]) == escrow
        return unhex(found["input"]) if to_escrow else b""


def _matches(data: bytes) -> Iterator[tuple[Offer, Order, bytes]]:
    """Yield the matches that a call opens, alone or in a multicall, each with the offer's signature.

    The contract takes no multicall within a multicall.
    """
    call = ESCROW.decode_call(data)
    bundled = call is not None and call[0] == "multicall"
    items = [ESCROW.decode_call(each) for each in call[1][0]] if call and bundled else [call]
    for item in items:
        if item is not None and item[0] == "open":
            offer, order, signature, _ = item[1][0]
            yield _message(Offer, offer), _message(Order, order), signature


def _message(kind: type[Kind], values: Sequence[Any]) -> Kind:
    """Make a message of decoded words: bytes are hex text there, addresses in their own spelling."""
    return kind(*("0x" + each.hex() if isinstance(each, bytes) else _spelled(each) for each in values))


def _spelled(value: Any) -> Any:
    return Address(value) if isinstance(value, str) else value


def _opens(offer: Offer, order: Order, terms: Terms, domain: Domain) -> bool:
    """Tell whether these are a deal's: its terms name the order by its hash, and repeat part of the offer."""
    return Hash32.of(order.digest(domain)) == terms.order_hash and (
        offer.provider,
        offer.agent,
        offer.price_per_gpu_hour,
        offer.min_commitment_hours * SECONDS_PER_HOUR,
        offer.slot,
        offer.policy_id,
    ) == (
        terms.provider,
        terms.agent,
        terms.price_per_gpu_hour,
        terms.commitment,
        terms.slot,
        terms.policy_id,
    )


def _is_providers(offer: Offer, order: Order, signature: bytes, domain: Domain) -> bool:
    """Tell whether the offer is bound: by the order, or by its provider's own signature."""
    digest = offer.digest(domain)
    if Hash32(order.offer_hash) == Hash32.of(digest):
        return True
    try:
        return recover(digest, Signature.of(signature)) == offer.provider
    except InvalidSignature:
        return False
