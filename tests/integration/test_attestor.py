"""Attestors as processes of their own, against gateways over HTTP: who is honest is paid by two of three."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from molt_market.app import deployment_name
from molt_market.attestation.verifier import RejectionCode, Rules
from molt_market.attestor.pinging import PingPlan
from molt_market.attestor.process import AttestorProcess
from molt_market.cli.keeper import Work
from molt_market.domain.deals import DealStatus
from molt_market.domain.documents import DocumentKind
from molt_market.domain.ids import Address, EscrowId, Hash32
from molt_market.domain.pings import Rejection
from molt_market.domain.proofs import Attestation
from molt_market.sdk.api import MarketApi
from molt_market.sdk.attestor import Attestor
from molt_market.sdk.gateways import GatewayLimits
from molt_market.sdk.provider import Provider
from molt_market.sdk.transport import Transport
from molt_market.signing.pings import verify_rejection
from molt_market.signing.wallet import Wallet
from molt_market.storage.attestor import SqlAttestor
from molt_market.storage.database import Database
from molt_market.testing import Devnet
from tests.integration.agents import Agent, Machine, agent, readings, until
from tests.integration.commands import PASSWORD, asked, key_file, molt, running, stopped
from tests.integration.faults import faulty
from tests.integration.scene import Scene
from tests.service import Server, server

DONE = Hash32("0x" + "d0" * 32)
GPUS = 4
GPUS_OF = (("honest", "a"), ("inflated", "b"), ("rewritten", "c"), ("down", "d"), ("shared", "a"))
LEAST = 3  # pings that have to be answered before anything is done


class Attestors:
    """Three processes, each with its own key and database."""

    def __init__(self, net: Devnet, at: str, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        self._name = deployment_name(net.client())
        self._options: dict[Address, list[str | Path]] = {
            wallet.address: [
                "--wallet",
                key_file(wallet, folder / f"attestor-{number}.json"),
                "--database",
                folder / f"attestor-{number}.db",
                "--server",
                at,
            ]
            for number, wallet in enumerate(net.attestors)
        }
        self.processes = {wallet.address: self.start(wallet) for wallet in net.attestors}
        for wallet in net.attestors:
            self.require_ready(wallet)

    def start(self, wallet: Wallet) -> subprocess.Popen[str]:
        options = ["--mean", "1", "--longest-ping-gap", "120", "--every", "0.3", "--allow-private"]
        command = [*self._options[wallet.address], "attestor", "run", *options]
        return self._stack.enter_context(running(*command))

    def require_ready(self, wallet: Wallet) -> None:
        """Wait until it has followed the chain, and says as whom it attests."""
        stdout = self.processes[wallet.address].stdout
        assert stdout is not None
        assert stdout.readline().startswith(f"attests as {wallet.address}")

    def shown(self, wallet: Wallet, deal_id: EscrowId) -> dict[str, Any]:
        """Return what `show` says of a deal."""
        return asked(*self._options[wallet.address], "attestor", "show", deal_id)

    def text(self, wallet: Wallet) -> str:
        """Return what `show` says of all deals, as a person reads it."""
        return molt(*self._options[wallet.address], "attestor", "show")

    def answered(self, wallet: Wallet, deal_id: EscrowId) -> int:
        """Return how many pings of a deal are in an attestor's database."""
        database = Database(str(self._options[wallet.address][3]))
        try:
            store = SqlAttestor(database, self._name, wallet.address)
            return sum(ping.answer is not None for ping in store.pings(deal_id))
        finally:
            database.close()


@pytest.fixture
def market(net: Devnet, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", PASSWORD)
    with server(net, f"sqlite:///{folder / 'market.db'}", folder) as started:
        yield started


def signed_by(provider: Provider, deal_id: EscrowId) -> set[Address]:
    documents = provider.api.documents(deal_id, DocumentKind.RECEIPT)
    return {each.sender for each in documents} - {provider.client.escrow(deal_id).terms.agent}


def rejections(provider: Provider, deal_id: EscrowId) -> dict[Address, Rejection]:
    documents = provider.api.documents(deal_id, DocumentKind.REJECTION)
    found = [each.document.rejection for each in documents]
    return {each.signer: each for each in found if each is not None}


def test_attestors__sign_what_they_saw__and_nothing_else(
    net: Devnet, scene: Scene, market: Server, folder: Path
) -> None:
    """Five deals: an honest one, one with its GPUs, inflated hours, a log written anew, a gateway down."""
    machines = {
        name: opened(scene, slot=4 * number, gpus=gpus) for number, (name, gpus) in enumerate(GPUS_OF)
    }
    first, second, third = net.attestors
    two = {second.address, third.address}
    with (
        agent(net, list(machines.values())) as gateway,
        Provider(market.url, net.provider, rpc_url=net.url, deployment=net.deployment) as provider,
        ExitStack() as stack,
    ):
        attestors = Attestors(net, market.url, folder, stack)
        announce(gateway, provider, machines)
        honest = machines["honest"].escrow.id
        for each in net.attestors:
            until(lambda each=each: answered_all(attestors, each, machines))  # type: ignore[misc]

        killed = attestors.processes[third.address]
        killed.send_signal(signal.SIGKILL)
        killed.wait(10)
        before = attestors.answered(third, honest)
        attestors.processes[third.address] = attestors.start(third)
        attestors.require_ready(third)
        until(lambda: attestors.answered(third, honest) >= before + LEAST)

        stopped(attestors.processes[first.address])
        post_receipts(provider, machines)
        until(lambda: signed_by(provider, honest) == two)
        for name, code in (
            ("inflated", RejectionCode.ABOVE_LOG),
            ("rewritten", RejectionCode.LOG_REWRITTEN),
            ("shared", RejectionCode.DEVICE_IN_USE),
        ):
            if name == "shared":
                provider.post_receipt(right(machines[name]))
            deal_id = machines[name].escrow.id
            until(lambda deal_id=deal_id: rejections(provider, deal_id).keys() == two)  # type: ignore[misc]
            found = rejections(provider, deal_id)
            assert {each.code for each in found.values()} == {code}
            assert all(verify_rejection(each, net.domain) == signer for signer, each in found.items())
            assert signed_by(provider, deal_id) == set()
        shown = attestors.shown(second, machines["down"].escrow.id)
        [down] = shown["deals"]
        assert (down["answered"], down["open"], down["verdicts"]) == (0, True, [])
        assert down["unanswered"] == len(shown["pings"]) > 0
        text = attestors.text(second)
        assert f"{honest}  open" in text
        assert {code for code in RejectionCode if f"  {code}: " in text} == {
            RejectionCode.ABOVE_LOG,
            RejectionCode.LOG_REWRITTEN,
            RejectionCode.DEVICE_IN_USE,
        }

        [receipt] = [
            posted.document.receipt
            for posted in provider.api.documents(honest, DocumentKind.RECEIPT)
            if posted.sender == net.agent.address
        ]
        assert receipt is not None
        provider.claim(receipt)
        for each in (second, third):
            out, _ = stopped(attestors.processes[each.address])
            assert f"attested deal {honest}" in out
    claimed = scene.client.escrow(honest)
    assert (claimed.status, claimed.claimed_gpu_seconds) == (DealStatus.CLAIMED, receipt.gpu_seconds)
    scene.run_past(claimed)
    scene.provider.refund_payment(claimed, "the window is over")
    due = receipt.gpu_seconds * claimed.terms.price_per_gpu_hour // 3_600
    paid = scene.provider.settlement(honest)
    assert paid.provider_payment.base_units + paid.platform_fee.base_units == due > 0


def announce(gateway: Agent, provider: Provider, machines: dict[str, Machine]) -> None:
    for name, machine in machines.items():
        gateway.announce(provider.api, machine.escrow.id, "http://127.0.0.1:9" if name == "down" else None)


def answered_all(attestors: Attestors, wallet: Wallet, machines: dict[str, Machine]) -> bool:
    live = [machine for name, machine in machines.items() if name != "down"]
    return all(attestors.answered(wallet, each.escrow.id) >= LEAST for each in live)


def post_receipts(provider: Provider, machines: dict[str, Machine]) -> None:
    """Leave a receipt of each deal: right, over hours that nobody logged, and of a log that was another."""
    machines["rewritten"].rewrite()
    machines["inflated"].beats = False
    until(lambda: not machines["inflated"].beats and lags(machines["inflated"]))
    for name, more in (("honest", 0), ("inflated", 2 * GPUS), ("rewritten", 0)):
        provider.post_receipt(right(machines[name], more))


def right(machine: Machine, more: int = 0) -> Attestation:
    """Make the receipt of what a machine has logged, and so many GPU-seconds more."""
    machine.beats = False
    return machine.receipt(GPUS * machine.covered() + more, result=DONE)


def opened(scene: Scene, *, slot: int = 0, gpus: str = "a") -> Machine:
    """Open a deal of some GPUs."""
    return Machine(scene.net, scene.open(offer=scene.offer(slot=slot)), readings(gpus))


def lags(machine: Machine) -> bool:
    """Tell whether the chain is some seconds past the last heartbeat."""
    return (machine.net.clock.now() - machine.log.heartbeats[-1].at).total_seconds() > 3


def impatient(url: str) -> MarketApi:
    return MarketApi(Transport(url, attempts=1))


def test_attestor__while_node_and_market_fail__asks_on__and_signs_in_the_end(
    net: Devnet, scene: Scene, market: Server, folder: Path
) -> None:
    machine, port = opened(scene), int(market.url.rpartition(":")[2])
    wallet, deal_id = net.attestors[0], machine.escrow.id
    database = Database(folder / "attestor.db")
    seen = SqlAttestor(database, deployment_name(net.client()), wallet.address)

    def answered() -> int:
        return sum(ping.answer is not None for ping in seen.pings(deal_id))

    with (
        agent(net, [machine]) as gateway,
        faulty(net.url, seed=5, rate=0.0) as proxy,
        Attestor(impatient(market.url), wallet, rpc_url=proxy.url, deployment=net.deployment) as party,
        Provider(market.url, net.provider, rpc_url=net.url, deployment=net.deployment) as provider,
    ):
        gateway.announce(provider.api, deal_id)
        process = AttestorProcess(
            party,
            database,
            rules=Rules(longest_ping_gap=timedelta(minutes=2)),
            plan=PingPlan(timedelta(seconds=0.5)),
            limits=GatewayLimits(private=True),
        )
        work = Work(*process.jobs(timedelta(seconds=0.3)))
        with work.going():
            until(lambda: answered() >= 1)
            market.kill()
            proxy.rate = 0.08
            before = answered()
            until(lambda: answered() >= before + LEAST)
            with server(net, f"sqlite:///{folder / 'market.db'}", folder, port=port):
                provider.post_receipt(right(machine))
                until(lambda: signed_by(provider, deal_id) == {wallet.address})
                work.require_alive()
        assert proxy.struck.total() > 0
    [verdict] = seen.verdicts(deal_id)
    database.close()
    assert (verdict.code, verdict.posted) == (None, True)
