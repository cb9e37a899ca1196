"""A job whose market died when its deal was open: handed over, paid and fetched straight at the gateway."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from molt_market.domain.deals import DealStatus
from molt_market.domain.documents import DocumentKind
from molt_market.domain.jobs import JobSpec
from molt_market.errors import ServerUnreachable
from molt_market.sdk.buyer import Buyer
from molt_market.sdk.direct import DirectMail
from molt_market.sdk.provider import Provider
from molt_market.signing.sealing import SealingKey
from molt_market.testing import Devnet
from tests.gateway import gateway
from tests.integration.commands import asked, molt
from tests.integration.test_jobs import Parties, place  # noqa: F401 - a fixture
from tests.service import server

SPEC = JobSpec(command=("sh", "-c", "sleep 4; echo done > out.txt"), outputs=("out.txt",))


def soon(look: Callable[[], Any]) -> Any:
    until = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.1)
    return found


def test_job__with_a_dead_market__goes_straight_to_the_gateway(
    net: Devnet,
    place: Path,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MOLT_SERVER", raising=False)  # the commands below know of no market at all
    here: dict[str, Any] = {"rpc_url": net.url, "deployment": net.deployment}
    database = f"sqlite:///{place / 'market.db'}"
    (place / "job.json").write_text(SPEC.model_dump_json())
    with ExitStack() as stack:
        market = stack.enter_context(server(net, database, place))
        buyer = stack.enter_context(Buyer(market.url, net.buyer, **here))
        provider = stack.enter_context(Provider(market.url, net.provider, **here))
        machine = stack.enter_context(gateway(net, market.url, place))
        parties = Parties(net, buyer, provider)
        deal = parties.open(2)
        market.kill()

        at = ["--at", machine.url, "--allow-private"]
        access = asked("job", "hand-over", deal.id, place / "job.json", *at)
        assert access["files_url"] == f"{machine.url}/deals/{deal.id}/files/"
        opened = deal.opened_at
        assert opened is not None
        soon(lambda: net.clock.now() > opened)  # in the second of the opening nothing is due yet
        look = json.loads(molt("job", "watch", deal.id, "--once", "--every", "5", "--json", *at))
        assert (look["answered"], look["released"], look["held_back"]) == (True, True, None)
        result = asked("job", "result", deal.id, "--to", place / "results", *at)
        assert (result["exit_code"], (place / "results" / "out.txt").read_text()) == (0, "done\n")
        key = SealingKey.from_file(place / "buyer.sealing")
        again: dict[str, Any] = {"at": machine.url, "private": True}
        assert buyer.job_result(deal, key, **again).exit_code == 0
        assert [each.read_text() for each in buyer.fetch(deal, key, place / "again", **again)] == ["done\n"]
        with pytest.raises(ServerUnreachable):
            buyer.job_result(deal, key, at=machine.url)  # not public, and not allowed
        [told] = machine.deals()
        assert (told["phase"], told["exit_code"]) == ("ended", 0)
        assert told["heartbeats"] >= 3

        stack.enter_context(server(net, database, place, port=int(market.url.rpartition(":")[2])))
        [voucher] = soon(lambda: provider.vouchers(deal))
        assert voucher.gpu_seconds == look["gpu_seconds"]
        [posted] = soon(lambda: list(buyer.api.documents(deal.id, DocumentKind.RECEIPT)))
        mail = DirectMail(machine.url, private=True)
        assert [each.document for each in mail.documents(deal.id, DocumentKind.RECEIPT)] == [posted.document]
        assert posted.document.receipt is not None
        parties.attest(posted.document.receipt)
        claimed = parties.until(deal.id, DealStatus.CLAIMED)
        assert claimed.claimed_gpu_seconds == posted.document.receipt.gpu_seconds
