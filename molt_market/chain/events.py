"""From the log of the chain to the events of the domain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from molt_market.chain.interface import interface
from molt_market.chain.node import unhex
from molt_market.domain import events
from molt_market.domain.deals import Deal, DealStatus
from molt_market.domain.ids import Address, EscrowId, Hash32, TransactionId
from molt_market.domain.policies import Policy
from molt_market.domain.roles import Role
from molt_market.domain.terms import Terms
from molt_market.signing import messages

ESCROW = interface("MoltEscrow")


def decode_logs(logs: Iterable[Mapping[str, Any]], escrow: Address) -> tuple[events.Event, ...]:
    """Return the events of the escrow among a node's log entries, in their order."""
    decoded = (
        _decode(
            tuple(log["topics"]), log["data"], log["transactionHash"], log["blockNumber"], log["logIndex"]
        )
        for log in logs
        if Address(log["address"]) == escrow
    )
    return tuple(event for event in decoded if event is not None)


@lru_cache(maxsize=4096)  # who waits for a transaction to be final is shown the same logs again and again
def _decode(topics: tuple[str, ...], data: str, transaction: str, block: str, at: str) -> events.Event | None:
    named = ESCROW.decode_log([unhex(topic) for topic in topics], unhex(data))
    if named is None:
        return None
    name, values = named
    return _DECODERS[name](
        *values,
        transaction_id=TransactionId(transaction),
        block=int(block, 16),
        log_index=int(at, 16),
    )


def _deal_opened(deal_id: bytes, buyer: str, provider: str, *others: Any, **where: Any) -> events.DealOpened:
    voucher_signer, agent, price, gpu_count, duration, commitment, slot, policy_id, order_hash, word = others
    terms = Terms(
        buyer=Address(buyer),
        voucher_signer=Address(voucher_signer),
        provider=Address(provider),
        agent=Address(agent),
        price_per_gpu_hour=price,
        gpu_count=gpu_count,
        duration=duration,
        commitment=commitment,
        slot=slot,
        policy_id=Hash32.of(policy_id),
        order_hash=Hash32.of(order_hash),
    )
    return events.DealOpened(deal_id=EscrowId.of(deal_id), terms=terms, deal=Deal.unpack(word), **where)


def _policy_registered(
    policy_id: bytes, policy: tuple[Any, ...], attestors: tuple[str, ...], **where: Any
) -> events.PolicyRegistered:
    message = messages.Policy(*policy)  # its fields stand in the contract's order
    known = Policy(
        arbiter=Address(message.arbiter),
        bond_bps=message.bond_bps,
        challenge_seconds=message.challenge,
        grace_seconds=message.grace,
        notice_minutes=message.notice_minutes,
        arbitration_seconds=message.arbitration,
        arbiter_share_bps=message.arbiter_share_bps,
        threshold=message.threshold,
        attestors=tuple(map(Address, attestors)),
    )
    return events.PolicyRegistered(policy_id=Hash32.of(policy_id), policy=known, **where)


def _plain(event: type[events.Event], **fields: Callable[[Any], Any]) -> Callable[..., events.Event]:
    """Make the decoder of an event whose fields are the contract's, each read by its own function."""

    def decode(*values: Any, **where: Any) -> events.Event:
        read = zip(fields.items(), values, strict=True)
        return event(**{name: read_field(value) for (name, read_field), value in read}, **where)

    return decode


_DECODERS: dict[str, Callable[..., events.Event]] = {
    "ItemRefused": _plain(events.ItemRefused, index=int, code=int, actual=int, limit=int),
    "Deposited": _plain(events.Deposited, account=Address, sender=Address, amount=int),
    "WithdrawRequested": _plain(events.WithdrawRequested, account=Address, amount=int, unlock_at=int),
    "Withdrawn": _plain(events.Withdrawn, account=Address, to=Address, amount=int),
    "OrdersCancelled": _plain(events.OrdersCancelled, account=Address, side=int, group=int, cutoff_at=int),
    "DigestApproved": _plain(events.DigestApproved, account=Address, digest=Hash32.of),
    "DigestRevoked": _plain(events.DigestRevoked, account=Address, digest=Hash32.of, until=int),
    "RoleOffered": _plain(events.RoleOffered, role=Role, holder=Address, pending=Address),
    "RoleAccepted": _plain(events.RoleAccepted, role=Role, holder=Address),
    "OpeningsPaused": _plain(events.OpeningsPaused, until=int),
    "FeeAnnounced": _plain(events.FeeAnnounced, fee_bps=int, from_=int),
    "PolicyRegistered": _policy_registered,
    "DealOpened": _deal_opened,
    "DealPaid": _plain(events.DealPaid, deal_id=EscrowId.of, gpu_seconds=int, to_provider=int, fee=int),
    "DealClaimed": _plain(
        events.DealClaimed,
        deal_id=EscrowId.of,
        gpu_seconds=int,
        result_digest=Hash32.of,
        usage_root=Hash32.of,
        deadline=int,
    ),
    "DealStopped": _plain(events.DealStopped, deal_id=EscrowId.of, ends_at=int, deadline=int, excused=bool),
    "DealDisputed": _plain(
        events.DealDisputed,
        deal_id=EscrowId.of,
        counter=int,
        gpu_seconds=int,
        evidence=Hash32.of,
        stake=int,
        deadline=int,
        to_provider=int,
        fee=int,
        to_buyer=int,
    ),
    "DealRuled": _plain(events.DealRuled, deal_id=EscrowId.of, arbiter=Address, gpu_seconds=int, share=int),
    "DealClosed": _plain(
        events.DealClosed,
        deal_id=EscrowId.of,
        status=DealStatus,
        gpu_seconds=int,
        to_provider=int,
        fee=int,
        to_buyer=int,
    ),
}
