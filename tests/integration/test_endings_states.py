"""Every verb of PaymentService in every status of a deal: it works, it finds itself done, or it is refused.

Refused is: InvalidStateTransition with the status found, and nothing sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from molt_market.domain.deals import EscrowAccount
from molt_market.errors import DealNotFound, InvalidStateTransition
from molt_market.payments.service import PaymentService
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from tests.integration.endings import cancellation, contest, split
from tests.integration.scene import Scene
from tests.integration.stage import LEADING_TO, Stage

# 23.5 of 24 hours are claimed, RELEASED has paid all, REFUNDED was cancelled; 12 hours are asked for.
WORKS, DONE, REFUSED = "works", "done", "refused"
TABLE = """
                   LOCKED   CLAIMED  DISPUTED  UNATTESTED  RELEASED  REFUNDED
 redeem            works    works    refused   refused     done      refused
 stop              works    refused  refused   refused     refused   refused
 cancel            works    refused  refused   refused     refused   done
 refund_payment    works    refused  refused   refused     refused   done
 settle_split      works    works    works     works       refused   refused
 claim_unattested  works    refused  refused   done        refused   refused
 handle_dispute    refused  works    done      done        refused   refused
 concede           refused  refused  works     works       refused   refused
 resolve           refused  refused  works     works       refused   refused
"""

Verb = Callable[[PaymentService, EscrowAccount, Scene], Any]
VERBS: dict[str, tuple[str, Verb]] = {
    "redeem": ("provider", lambda p, escrow, scene: p.redeem(escrow, scene.voucher(escrow, "12"))),
    "stop": ("buyer", lambda p, escrow, _: p.stop(escrow)),
    "cancel": ("provider", lambda p, escrow, _: p.cancel(escrow)),
    "refund_payment": (
        "buyer",
        lambda p, escrow, scene: p.refund_payment(escrow, "why", cancellation(scene, escrow)),
    ),
    "settle_split": ("provider", lambda p, escrow, scene: p.settle_split(escrow, both(scene, escrow))),
    "claim_unattested": ("provider", lambda p, escrow, _: p.claim_unattested(escrow, "23.5")),
    "handle_dispute": ("buyer", lambda p, escrow, _: p.handle_dispute(escrow, contest(escrow, "12"))),
    "concede": ("provider", lambda p, escrow, _: p.concede(escrow)),
    "resolve": ("arbiter", lambda p, escrow, _: p.resolve(escrow, "12")),
}


def both(scene: Scene, escrow: EscrowAccount) -> Any:
    return split(scene, escrow, "12", scene.net.buyer, scene.net.provider)


def told() -> list[tuple[str, str, str]]:
    """Read the table."""
    head, *rows = (line.split() for line in TABLE.strip("\n").split("\n"))
    return [
        (verb, status, outcome)
        for verb, *outcomes in rows
        for status, outcome in zip(head, outcomes, strict=True)
    ]


@pytest.mark.parametrize(("verb", "status", "outcome"), told())
def test_verb__in_every_status(scene: Scene, net: Devnet, verb: str, status: str, outcome: str) -> None:
    escrow = Stage(scene).deal(status)
    if verb == "claim_unattested" and status == "LOCKED":
        scene.run(24)
    role, act = VERBS[verb]
    account: Wallet = getattr(net, role)
    payments, sent = net.payments(account), scene.sent(account)
    before = scene.client.escrow(escrow.id)
    if outcome == REFUSED:
        with pytest.raises(InvalidStateTransition) as caught:
            act(payments, escrow, scene)
        assert caught.value.from_ == before.status.name
    else:
        act(payments, escrow, scene)
    assert scene.sent(account) == sent + (outcome == WORKS)
    if outcome != WORKS:
        assert scene.client.escrow(escrow.id) == before


def test_table__has_every_status_and_every_verb() -> None:
    assert {status for _, status, _ in told()} == set(LEADING_TO) - {"NONE"}
    assert {verb for verb, _, _ in told()} == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_verb__on_a_deal_that_is_none__is_not_found(scene: Scene, net: Devnet, verb: str) -> None:
    none = Stage(scene).never_opened()
    role, act = VERBS[verb]
    with pytest.raises(DealNotFound):
        act(net.payments(getattr(net, role)), none, scene)
