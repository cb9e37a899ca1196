"""Each step of a market in one line."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from molt_market.cli.asking import require_the_same
from molt_market.cli.words import told
from molt_market.domain.updates import Update
from molt_market.errors import ServerError
from tests.factories import BUYER, DEAL_ID, PROVIDER, make_offer, make_order

POOL = {"deal_id": DEAL_ID, "order_id": "order", "offer_id": "offer", "provider": PROVIDER, "slot": 0}
POOL |= {"gpu_count": 4, "held": 4}
PRICE = make_offer().price_per_hour
STEPS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"kind": "offer_posted", "offer": make_offer(id="mine")}, "offer posted: "),
    (
        {"kind": "offer_removed", "offer_id": "mine", "reason": "expired"},
        "offer removed: expired, offer mine",
    ),
    ({"kind": "order_posted", "order": make_order(id="mine")}, "order posted: "),
    (
        {"kind": "order_removed", "order_id": "mine", "reason": "cancelled"},
        "order removed: cancelled, order mine",
    ),
    ({"kind": "reserved", **POOL, "until": "2026-01-01T12:00:00Z"}, f"reserved: 4 GPUs, deal {DEAL_ID}"),
    ({"kind": "released", **POOL, "reason": "lapsed", "waits": True}, f"released: 4 GPUs, deal {DEAL_ID}"),
    (
        {"kind": "deal_opened", **POOL, "price_per_hour": PRICE, "hours": 8},
        f"deal opened: 4 GPUs for 8 h at {PRICE}, deal {DEAL_ID}",
    ),
    ({"kind": "deal_freed", **POOL}, f"deal freed: 4 GPUs, deal {DEAL_ID}"),
    (
        {"kind": "document_posted", "deal_id": DEAL_ID, "document": "voucher", "sender": BUYER, "number": 1},
        f"document posted: voucher by {BUYER}, deal {DEAL_ID}",
    ),
)


@pytest.mark.parametrize(("step", "says"), STEPS)
def test_told__is_one_line(step: dict[str, Any], says: str) -> None:
    line = told(TypeAdapter[Any](Update).validate_python(step))
    assert line.startswith(says)
    assert "\n" not in line


def test_told__knows_every_kind() -> None:
    kinds = {each.model_fields["kind"].default for each in get_args(get_args(Update)[0])}
    assert kinds == {step["kind"] for step, _ in STEPS}


def test_require_the_same__another_one__is_the_servers_failure() -> None:
    require_the_same("a", "a", "http://127.0.0.1:1")
    with pytest.raises(ServerError, match="asked for a, it answered b"):
        require_the_same("a", "b", "http://127.0.0.1:1")
