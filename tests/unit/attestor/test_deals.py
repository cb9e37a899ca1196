"""Which deals an attestor asks about: LOCKED ones, whose policy names him, and that he is no party of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from molt_market.attestor.deals import DealsToAttest, ReceivedReceipt
from molt_market.domain.deals import Deal, DealStatus
from molt_market.domain.fields import seconds
from molt_market.domain.ids import EscrowId, Hash32, TransactionId
from molt_market.indexer.records import DealRecord
from molt_market.signing.hashes import policy_id
from molt_market.signing.pings import sign_gateway
from tests.factories import NOON, STRANGER
from tests.unit.attestation.deals import DOMAIN, ENDS_AT, policy, terms
from tests.unit.attestation.evidence import good_log, receipt_of
from tests.unit.signing.keys import AGENT, ATTESTORS, BUYER

ME = ATTESTORS[0].address
FIRST, SECOND = (EscrowId(f"0x{number:064x}") for number in (1, 2))


def record(id_: EscrowId = FIRST, status: DealStatus = DealStatus.LOCKED, **of_terms: Any) -> DealRecord:
    opened, ends = seconds(NOON), seconds(ENDS_AT)
    deal = Deal(status, 0, 100, 1_000, opened, ends, ends + 86_400, 0, 0, 15)
    return DealRecord(
        id_,
        terms(**of_terms),
        deal,
        to_provider=0,
        fee=0,
        to_buyer=0,
        share=0,
        stake=0,
        opened_by=TransactionId("0x" + "0a" * 32),
        closed_by=None,
        closed_at=None,
    )


def deals(*live: DealRecord, of: Any = None, me: Any = ME) -> DealsToAttest:
    known = of or policy()
    return DealsToAttest(me, lambda: live, lambda: {policy_id(known): known})


def test_refresh__tells_what_is_new__once() -> None:
    found = deals(record(), record(SECOND))
    assert found.refresh() == [FIRST, SECOND]
    assert found.refresh() == []
    assert found.now()[FIRST].ends_at == ENDS_AT


def test_refresh__leaves_out_what_is_not_his() -> None:
    claimed = record(status=DealStatus.CLAIMED)
    own = policy(attestors=[BUYER.address, ME])
    for none in (
        deals(claimed),
        deals(record(), me=STRANGER),
        deals(record(policy_id=policy_id(own)), of=own, me=BUYER.address),
    ):
        assert none.refresh() == []
        assert none.now() == {}


def test_refresh__forgets_what_is_over__and_keeps_what_was_left() -> None:
    live = [record(), record(SECOND)]
    known = policy()
    found = DealsToAttest(ME, lambda: live, lambda: {policy_id(known): known})
    found.refresh()
    gateway = sign_gateway(FIRST, "http://127.0.0.1:9", Hash32("0x" + "5e" * 32), AGENT, DOMAIN)
    received = ReceivedReceipt(receipt_of(good_log()), NOON)
    found.put(FIRST, gateway, [received])
    found.put(FIRST, None, [received])
    live.pop()
    live[0] = replace(live[0], deal=replace(live[0].deal, ends_at=seconds(NOON)))
    found.refresh()
    [only] = found.now().values()
    assert (only.gateway, only.receipts, only.ends_at) == (gateway, (received,), NOON)
    found.put(SECOND, gateway, [received])  # over meanwhile: nothing to keep it for
    assert found.now().keys() == {FIRST}
