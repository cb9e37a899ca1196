"""The audit of an escrow by its log alone: it sees all that deals do, and that one event is withheld."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from molt_market.audit.auditor import Auditor, Outcome, Verdict
from molt_market.audit.contract import Contract
from molt_market.chain.interface import interface
from molt_market.chain.node import Node
from molt_market.cli.root import ExitCode
from molt_market.domain import events
from molt_market.domain.deals import DealStatus
from molt_market.domain.events import Event
from molt_market.testing import Devnet
from tests.integration.commands import asked, molt, run
from tests.integration.faults import FaultyProxy
from tests.integration.liars import LyingNode
from tests.integration.scene import Scene
from tests.integration.story import GIFT, Story

MONEY = (  # without one of these an account, a deal or the sum is another
    events.Deposited,
    events.WithdrawRequested,
    events.Withdrawn,
    events.DealOpened,
    events.DealPaid,
    events.DealStopped,
    events.DealClaimed,
    events.DealDisputed,
    events.DealRuled,
    events.DealClosed,
)


@pytest.fixture(scope="module")
def story(chain: Devnet) -> Story:
    """Told once: deals in every status and of every ending, and a gift."""
    story = Story(Scene(chain))
    story.tell()
    story.open("walked off")
    story.play("walked off", ("cancelDeal", "0"))
    return story


def auditor(net: Devnet, node: Node | None = None) -> Auditor:
    return Auditor(Contract(node or net.node, net.deployment.escrow), net.deployment.block)


def audited(net: Devnet, node: Node | None = None) -> Verdict:
    found = auditor(net, node)
    return found.compare(found.read())


def all_events(net: Devnet) -> list[Event]:
    contract, latest = Contract(net.node, net.deployment.escrow), net.node.number("eth_blockNumber")
    return [event for page in contract.logged(0, latest, latest + 1) for event in page.events]


def without(event: Event, logs: Any) -> Any:
    """Leave one entry out of a node's answer."""
    if not isinstance(logs, list) or not logs or "logIndex" not in logs[0]:
        return logs
    here = (event.transaction_id, event.log_index)
    return [each for each in logs if (each["transactionHash"], int(each["logIndex"], 16)) != here]


class LosingProxy(FaultyProxy):
    """Passes everything on but one entry of the log."""

    def __init__(self, target: str, lost: Event) -> None:
        super().__init__(target, seed=0, rate=0)
        self._lost = lost

    def fault(self, method: str) -> None:
        """Let nothing else strike."""

    def ask(self, body: bytes) -> bytes:
        answer = json.loads(super().ask(body))
        if isinstance(answer, dict) and "result" in answer:
            answer["result"] = without(self._lost, answer["result"])
        return json.dumps(answer).encode()


@contextmanager
def losing(net: Devnet, lost: Event) -> Iterator[str]:
    proxy = LosingProxy(net.url, lost)
    thread = Thread(target=proxy.serve_forever)
    thread.start()
    try:
        yield proxy.url
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


# ---------------------------------------------------------------- the same


def test_audit__every_unit_is_accounted_for(story: Story, net: Devnet) -> None:
    verdict = audited(net)
    assert verdict.outcome is Outcome.SAME
    assert verdict.first_account is None
    assert verdict.gifts == GIFT
    assert verdict.balances + verdict.held + verdict.gifts == verdict.tokens
    assert verdict.tokens == net.client().balance_of(net.deployment.escrow).base_units
    client = net.client()
    statuses = {client.escrow(deal.id).status for deal in story.deals.values()}
    assert statuses == set(DealStatus) - {DealStatus.NONE}


def test_audit__command__says_what_every_account_and_deal_has(
    story: Story, net: Devnet, folder: Path
) -> None:
    told = asked("audit")
    assert (told["verdict"], told["first_account"], told["differences"]) == ("same", None, [])
    assert told["accounts"][net.stranger.address] == str(
        net.client().balances(net.stranger.address).escrow.base_units
    )
    live = {id_: deal["status"] for id_, deal in told["deals"].items()}
    client = net.client()
    assert live == {id_: client.escrow(id_).status.name for id_ in client.live_deals()}
    held = sum(int(deal["held"]) for deal in told["deals"].values())
    assert sum(map(int, told["accounts"].values())) + held + GIFT == int(told["tokens"])
    assert "the same: the log accounts for every unit" in molt("audit", "--blocks", "7")


def test_audit__more_comes__is_entered_once(story: Story, net: Devnet) -> None:
    found = auditor(net)
    before = found.compare(found.read())
    net.client(net.buyer).deposit(net.client().token.amount(3))
    after = found.compare(found.read())
    assert after.outcome is Outcome.SAME
    assert after.events == before.events + 1


# ---------------------------------------------------------------- different


def test_audit__an_event_is_withheld__is_red__whichever_it_is(story: Story, net: Devnet) -> None:
    """Also a deposit to an account that has nothing else: its tokens would pass for a gift."""
    lonely = net.client(net.buyers[2])
    lonely.send(lonely.calls.approve(7))
    lonely.send(lonely.calls.deposit(net.attestors[0].address, 7))
    every = [event for event in all_events(net) if isinstance(event, MONEY)]
    assert {type(event) for event in every} == set(MONEY)
    assert isinstance(every[-1], events.Deposited)
    last_of_kind = {type(event): event for event in every}
    first_of_kind = {type(event): event for event in reversed(every)}
    for lost in [*first_of_kind.values(), *last_of_kind.values()]:

        def lie(_: Node, __: str, answer: Any, lost: Event = lost) -> Any:
            return without(lost, answer)

        verdict = audited(net, LyingNode(net.url, lie))
        assert verdict.outcome is Outcome.DIFFERENT, lost


def test_audit__command__names_the_first_account_that_differs(
    story: Story, net: Devnet, folder: Path
) -> None:
    lost = next(event for event in all_events(net) if isinstance(event, events.Withdrawn))
    with losing(net, lost) as url:
        result = run("--rpc-url", url, "audit", "--json")
        said = run("--rpc-url", url, "audit")
    assert result.exit_code == ExitCode.FAILED
    told = json.loads(result.stdout)
    assert (told["verdict"], told["first_account"]) == ("different", lost.account)
    assert told["differences"][0]["name"] == lost.account
    assert said.exit_code == ExitCode.FAILED
    assert f"the first account that differs is {lost.account}" in said.stdout


def test_audit__tokens_have_gone__is_red(story: Story, net: Devnet) -> None:
    escrow, token = net.deployment.escrow, interface("MoltToken")
    net.node.request("hardhat_setBalance", escrow, hex(10**18))
    net.node.request("hardhat_impersonateAccount", escrow)
    data = token.encode("transfer", net.stranger.address, 1)
    sent = {"from": escrow, "to": net.deployment.token_address, "data": "0x" + data.hex()}
    net.node.request("eth_sendTransaction", sent)
    verdict = audited(net)
    assert [each.what for each in verdict.differences] == ["tokens in the contract"]
    assert verdict.balances + verdict.held + verdict.gifts == verdict.tokens + 1
