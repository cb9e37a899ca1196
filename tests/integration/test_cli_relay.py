"""`molt relay` against a server of its own: what is signed in a file is brought, charged to who has to be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from molt_market.cli.root import ExitCode
from molt_market.domain.agreements import StopRequest
from molt_market.domain.requests import Side
from molt_market.sdk.api import MarketApi
from molt_market.signing.agreements import sign_stop
from molt_market.signing.relays import sign_relay_request
from molt_market.testing import Devnet
from molt_market.wire.relays import Permit, Relay
from tests.integration.commands import PASSWORD, asked, key_file, molt, refused
from tests.integration.endings import WEEK
from tests.integration.relays import GAS
from tests.integration.scene import Scene
from tests.integration.scene import molt as tokens
from tests.service import hosted


@pytest.fixture
def running(net: Devnet, tmp_path: Path) -> Iterator[str]:
    with hosted(net, f"sqlite:///{tmp_path / 'market.db'}", account=net.operator, relays=GAS) as url:
        yield url


@pytest.fixture
def file(folder: Path) -> Path:
    return folder / "signed.json"


def budget_used(running: str, account: str) -> int:
    with MarketApi(running) as api:
        return api.gas_budget(account).used  # type: ignore[arg-type]


def test_message__whose_fields_tell_what_it_is__is_brought_once(
    scene: Scene, running: str, file: Path
) -> None:
    net = scene.net
    permit = scene.client.permit(net.buyer, tokens(50).base_units)
    assert permit is not None
    file.write_text(Permit.of(permit).model_dump_json())
    assert "address of a server" in refused("relay", file, "--server", "nowhere", code=ExitCode.BAD_INPUT)
    done = asked("relay", file, "--server", running)
    assert asked("relay", file, "--server", running) == done
    assert scene.client.balances(net.buyer.address).escrow == tokens(50)
    file.write_text(scene.client.orders_cancellation(net.buyer, Side.ORDERS, 1).model_dump_json())
    assert "brought by transaction 0x" in molt("relay", file, "--server", running)
    assert scene.client.cutoff_of(net.buyer.address, Side.ORDERS, 1) > 0


def test_voucher__is_charged_to_the_wallet__or_to_who_has_signed_in_the_file(
    scene: Scene, running: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, escrow = scene.net, scene.open()
    file.write_text(scene.voucher(escrow, "6").model_dump_json())
    assert "no account: give --wallet" in refused("relay", file, "--server", running, code=ExitCode.BAD_INPUT)
    wallet = file.parent / "provider.json"
    key_file(net.provider, wallet)
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", PASSWORD)
    molt("--wallet", wallet, "relay", file, "--server", running)
    used = budget_used(running, net.provider.address)
    assert used > 0
    larger = scene.voucher(escrow, "7")
    until = net.clock.now() + WEEK
    request = sign_relay_request(larger, net.provider, net.domain, until=until)
    file.write_text(Relay.of(larger, request).model_dump_json(exclude_none=True))
    molt("relay", file, "--server", running)
    assert budget_used(running, net.provider.address) > used
    assert budget_used(running, net.buyer.address) == 0


def test_message__that_may_be_of_two_kinds__needs_to_be_told(scene: Scene, running: str, file: Path) -> None:
    until = scene.net.clock.now() + WEEK
    stop: StopRequest = sign_stop(scene.open().id, scene.net.buyer, scene.net.domain, until=until)
    file.write_text(stop.model_dump_json())
    to = ("relay", file, "--server", running)
    assert "--kind stop or provider_cancellation" in refused(*to, code=ExitCode.BAD_INPUT)
    assert "WrongSigner" in refused("--json", *to, "--kind", "provider_cancellation")
    assert "give one of" in refused(*to, "--kind", "letter", code=ExitCode.BAD_INPUT)
    done = asked(*to, "--kind", "stop")
    file.write_text(Relay.of(stop).model_dump_json(exclude_none=True))
    assert asked(*to) == done


def test_what_cannot_be_brought__is_told(running: str, file: Path) -> None:
    def told(text: str) -> str:
        file.write_text(text)
        return refused("relay", file, "--server", running, code=ExitCode.BAD_INPUT)

    assert "is no JSON" in told("no")
    assert "holds no signed message" in told("[]")
    assert "nothing that is relayed" in told("{}")
    assert "is no StopRequest" in told('{"stop": {}}')
    file.unlink()
    assert "correct the path" in refused("relay", file, "--server", running, code=ExitCode.BAD_INPUT)
