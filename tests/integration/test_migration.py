"""docs/migration.md: a market is drained to the last unit, and goes on at another deployment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from molt_market.chain.deploy import deploy
from molt_market.domain.deals import DealStatus
from molt_market.domain.requests import Side
from molt_market.refusals import BadSignature, OfferCancelled, Paused
from molt_market.signing.statements import sign_order
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from tests.integration.commands import PASSWORD, asked, key_file
from tests.integration.scene import Scene, molt
from tests.integration.story import GIFT, Story

LATER = 14 * 24  # hours: after every window of these deals


def test_migration__the_old_market_empties__and_the_new_one_opens(
    scene: Scene, net: Devnet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story(scene)
    story.tell()
    resting = scene.match(offer=scene.offer(slot=100))  # signed before, in a group of its own
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", PASSWORD)
    heir = key_file(net.stranger, folder / "guardian.json")  # the story gave him the role

    # what was signed and not opened is killed, and for a while nothing opens at all
    net.client(net.provider).cancel(Side.OFFERS, 100 // 4)
    scene.run(1)
    with pytest.raises(OfferCancelled):
        scene.buyer.create_job_escrow(resting, net.buyer)
    scene.run(7 * 24)  # the story's own pause has rested
    assert asked("--wallet", heir, "roles", "pause")["paused_until"] is not None
    with pytest.raises(Paused):
        scene.open()

    # what is open comes to its end, by nobody but a keeper
    scene.run(LATER)
    keeper = ("--wallet", heir, "--database", "keeper.db", "keeper", "--once")
    assert asked(*keeper)["failures"] == []
    told = asked("audit")
    assert (told["verdict"], told["deals"], told["held"]) == ("same", {}, "0")

    # everybody leaves
    has = [wallet for wallet in everybody(net) if told["accounts"].get(wallet.address, "0") != "0"]
    for wallet in has:
        client = net.client(wallet)
        client.request_withdraw(client.balances(wallet.address).escrow)
    scene.run(1)
    for wallet in has:
        net.client(wallet).withdraw()
    told = asked("audit")
    assert (told["verdict"], told["balances"], told["tokens"]) == ("same", "0", str(GIFT))

    # the new market: what was signed for the old one is of no use there
    fees = net.fee_recipient.address
    deployed = deploy(net.network, net.operator, token=net.deployment.token_address, fee_recipient=fees)
    new = replace(net, deployment=deployed)
    provider = new.client(net.provider)
    provider.register_policy(net.policy)
    provider.deposit(molt(100))
    new.client(net.buyer).deposit(molt(240))
    of_the_old = scene.offer(slot=101)
    order = sign_order(scene.order(slot=0), net.buyer, new.domain, offer=of_the_old)
    refused = provider.check(of_the_old, order, net.buyer.address)
    assert isinstance(refused, BadSignature)
    assert Scene(new).open().status is DealStatus.LOCKED


def everybody(net: Devnet) -> list[Wallet]:
    parties = [*net.buyers, *net.providers, *net.agents, *net.attestors]
    return [*parties, net.stranger, net.arbiter, net.fee_recipient]
