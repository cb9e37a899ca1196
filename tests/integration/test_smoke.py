"""`scripts/smoke.py` on an Anvil that has the id of Base Sepolia, and on one of nobody's id."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from molt_market.audit.auditor import Auditor, Outcome
from molt_market.audit.contract import Contract
from molt_market.chain.client import MoltClient
from molt_market.chain.deploy import Deployer
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.chain.plans import NO_SALT, DeploymentSpec, TokenSpec
from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus
from molt_market.errors import InvalidValue
from molt_market.testing import anvil, dev_wallet
from scripts import smoke
from scripts.smoke import ENDINGS, Ending, Smoke, main, require_test_chain
from tests.integration.commands import PASSWORD, key_file

CHAIN = 4_242
PAYER, FEES = dev_wallet(0), dev_wallet(1).address
SPEC = DeploymentSpec(TokenSpec("Test Dollar", "TUSD", 6), FEES, FEES, FEES, fee_bps=100)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with anvil(chain_id=CHAIN) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> MoltClient:
    network = Network.custom(CHAIN, url)
    deployment = Deployer(network, PAYER, SPEC, salt=NO_SALT).run()
    client = MoltClient(network, deployment=deployment, account=PAYER)
    client.send(client.calls.mint(PAYER.address, 10**9))
    return client


@pytest.fixture
def tried(client: MoltClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield the arguments that try the deployment; what they do is undone."""
    file = tmp_path / f"{CHAIN}.json"
    file.write_text(client.deployment.model_dump_json())
    monkeypatch.setenv("MOLT_WALLET", str(key_file(PAYER, tmp_path / "payer.json")))
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", PASSWORD)
    snapshot = client.node.request("evm_snapshot")
    yield [str(file), "--rpc-url", client.node.url]
    client.node.request("evm_revert", snapshot)


def audited(client: MoltClient) -> Outcome:
    auditor = Auditor(Contract(client.node, client.deployment.escrow), client.deployment.block)
    return auditor.compare(auditor.read()).outcome


def marked(text: str, mark: str) -> list[str]:
    return [line[9:].partition(":")[0] for line in text.splitlines() if line.startswith(f"{mark} ")]


def test_smoke__clock_may_be_turned__plays_every_ending(
    client: MoltClient, tried: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = client.balances(PAYER.address).total
    assert main([*tried, "--turn-clock", "--yes"]) == 0
    said = capsys.readouterr().out
    assert marked(said, "OK") == [*(each.name for each in ENDINGS), "all taken out of the escrow"]
    assert marked(said, "SKIP") == marked(said, "FAIL") == []
    fees = client.balances(FEES).escrow
    assert client.balances(PAYER.address).escrow.base_units == 0
    assert client.balances(PAYER.address).total == before - fees
    assert fees.base_units == sum(each.paid * 10 * 100 // 10_000 for each in ENDINGS)
    assert f"cost     {fees} and " in said
    assert client.balance_of(client.deployment.escrow) == fees
    assert audited(client) is Outcome.SAME


def test_smoke__live_chain__skips_what_waits_and_says_why(
    client: MoltClient,
    tried: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two runs: the second one finds other keys, and the payer's slots used. The clock goes without it."""
    monkeypatch.setattr(smoke, "sleep", lambda each: client.node.request("evm_increaseTime", each))
    for _ in range(2):
        assert main([*tried, "--yes"]) == 0
        said = capsys.readouterr().out
        waiting = [each.name for each in ENDINGS if each.waits]
        assert marked(said, "OK") == [each.name for each in ENDINGS if not each.waits]
        assert marked(said, "SKIP") == [*waiting, "taking out"]
        assert "it takes 1 h of the deal, 1 d to rule" in said
    assert client.live_deals() == []
    assert audited(client) is Outcome.SAME


def test_smoke__asks_before_it_spends(
    client: MoltClient,
    tried: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head, asked = client.transactions.head(), []

    def no(prompt: str) -> str:
        asked.append(prompt)
        return "n"

    def nobody(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", no)
    assert main(tried) == 1
    assert asked == ["Spend this? [y/N] "]
    assert "locked   0.468 TUSD in all" in capsys.readouterr().out
    monkeypatch.setattr("builtins.input", nobody)
    assert main(tried) == 1
    assert "nobody answered" in capsys.readouterr().err
    assert client.transactions.head() == head


def test_smoke__an_ending_comes_out_otherwise__fails_and_goes_on(
    client: MoltClient,
    tried: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = Ending("wrong", Smoke.give_up, DealStatus.RELEASED, 0)
    refused = Ending("refused", lambda run, deal: run.rule(deal, 1), DealStatus.RELEASED, 1)
    monkeypatch.setattr(smoke, "ENDINGS", (wrong, refused, ENDINGS[0]))
    assert main([*tried, "--yes"]) == 1
    said = capsys.readouterr().out
    assert marked(said, "FAIL") == ["wrong", "refused"]
    assert "it is REFUNDED at 0 GPU-seconds, not RELEASED at 0" in said
    assert marked(said, "OK") == [ENDINGS[0].name]


def test_smoke__money_is_missing__fails(
    client: MoltClient,
    tried: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A unit that leaves the parties on the way is seen."""

    def leaks(run: Smoke, deal: object) -> None:
        ENDINGS[0].play(run, deal)  # type: ignore[arg-type]
        run.send(run.client.calls.request_withdraw(PAYER.address, 1))
        run.turn_to(run.client.now() + timedelta(hours=1))
        run.send(run.client.calls.withdraw(PAYER.address, FEES))

    monkeypatch.setattr(
        smoke, "ENDINGS", (Ending("leaks", leaks, DealStatus.RELEASED, smoke.WHOLE), ENDINGS[1])
    )
    assert main([*tried, "--yes"]) == 1
    assert "the parties have -361 base units together, not -360" in capsys.readouterr().out


# ---------------------------------------------------------------- where it refuses


def test_smoke__too_few_tokens__sends_nothing(
    client: MoltClient, tried: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    all_of_it = client.balance_of(PAYER.address).base_units
    client.send(client.calls.approve(all_of_it))
    client.send(client.calls.deposit(PAYER.address, all_of_it))
    head = client.transactions.head()
    assert main([*tried, "--yes"]) == 1
    assert Amount(0, client.token).token.symbol in capsys.readouterr().err
    assert client.transactions.head() == head


@pytest.mark.parametrize("chain_id", [1, 10, 8_453, 42_161])
def test_smoke__real_money__is_refused(
    chain_id: int,
) -> None:
    class Geth(Node):
        def request(self, method: str, *params: object) -> str:
            return "Geth/v1.16"

    with pytest.raises(InvalidValue, match="may have real money"):
        require_test_chain(Geth("http://127.0.0.1:1"), chain_id, turns_clock=False)


def test_smoke__main_network_as_an_anvil_plays_it__is_refused(url: str) -> None:
    with pytest.raises(InvalidValue, match="chain 1 may have real money"):
        require_test_chain(Node(url), 1, turns_clock=False)


def test_smoke__clock_of_a_test_network__is_not_turned() -> None:
    class Geth(Node):
        def request(self, method: str, *params: object) -> str:
            return "Geth/v1.16"

    require_test_chain(Geth("http://127.0.0.1:1"), Network.SEPOLIA.chain_id, turns_clock=False)
    with pytest.raises(InvalidValue, match="cannot be turned"):
        require_test_chain(Geth("http://127.0.0.1:1"), Network.SEPOLIA.chain_id, turns_clock=True)


def test_smoke__nobody_pays__is_said(
    tried: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MOLT_WALLET")
    assert main([*tried, "--yes"]) == 1
    assert "nobody pays" in capsys.readouterr().err
