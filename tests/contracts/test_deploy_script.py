"""`ape run deploy` as an operator runs it, against chains that stay."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from ape_accounts import import_account_from_private_key
from click.testing import CliRunner

from molt_market.chain.client import MoltClient
from molt_market.chain.deployments import load_deployment
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.chain.plans import FACTORY, address_by_nonce
from molt_market.testing import anvil, dev_wallet
from scripts.deploy import cli

ROOT = Path(__file__).resolve().parents[2]
BASE_SEPOLIA = 84_532
KEY = (
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # Anvil's first, known to everybody
)
PAYER = dev_wallet(0).address
PANEL = ["--panel", dev_wallet(1).address, "--panel", dev_wallet(2).address, "--threshold", "2"]


def command(folder: Path, network: str, *options: str) -> list[str]:
    """The command as a process of its own."""
    ape = str(Path(sys.executable).with_name("ape"))
    return [ape, "run", "deploy", "--folder", str(folder), "--network", network, *options]


def program(folder: Path, network: str, *options: str) -> str:
    """Run it as a process of its own, which has to end well."""
    arguments = command(folder, network, *options)
    ran = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def deploy(
    folder: Path,
    network: str,
    *options: str,
    given: str | None = None,
    code: int = 0,
    env: dict[str, str] | None = None,
) -> str:
    """Run it in this process, where it has to end with a code; return what it says, a refusal in one line."""
    arguments = ["--folder", str(folder), "--network", network, *options]
    nothing = dict.fromkeys(("MOLT_RPC_URL", "MOLT_DEPLOYER_KEY"))
    ran = CliRunner().invoke(cli, arguments, input=given, env={**nothing, **(env or {})})
    assert ran.exit_code == code, ran.output or ran.exception
    return ran.output if code == 0 else " ".join(ran.output.split())


def nonce(url: str, account: str = PAYER) -> int:
    return Node(url).number("eth_getTransactionCount", account, "latest")


def without_factory(url: str) -> None:
    Node(url).request("hardhat_setCode", FACTORY, "0x")


def page_says() -> set[str]:
    """What docs/deploying.md shows of this very run, but node, balance and price, which are of the moment."""
    page = (ROOT / "docs" / "deploying.md").read_text("utf-8")
    shown = page.partition("```text\n")[2].partition("```")[0].splitlines()
    return {line for line in shown if not line.startswith(("chain", "account", "cost"))}


@contextmanager
def mining(url: str) -> Iterator[None]:
    """Have blocks come one after the other: a network of which blocks on top are asked for."""
    over = threading.Event()

    def mine() -> None:
        while not over.wait(0.05):
            Node(url).request("evm_mine")

    miner = threading.Thread(target=mine)
    miner.start()
    try:
        yield
    finally:
        over.set()
        miner.join()


def test_deploy__says_first_what_it_does_and_asks(tmp_path: Path) -> None:
    """On a second chain, by the factory; the environment names the node, and has the key of who pays."""
    network = "ethereum:base-sepolia"
    with anvil(chain_id=BASE_SEPOLIA) as url, mining(url):
        secrets = {"MOLT_RPC_URL": url, "MOLT_DEPLOYER_KEY": KEY}
        declined = deploy(tmp_path, network, *PANEL, given="n\n", code=1, env=secrets)
        assert "Send it? [y/N]: n Aborted!" in declined
        said = deploy(tmp_path, network, *PANEL, "--dry-run", env=secrets)
        assert (nonce(url), [*tmp_path.iterdir()]) == (0, [])

        sent = deploy(tmp_path, network, *PANEL, "--yes", env=secrets)
        deployment = load_deployment(BASE_SEPOLIA, tmp_path)
        assert f"chain    {BASE_SEPOLIA}, ethereum:base-sepolia, node {url}" in said
        assert f"creation by the factory {FACTORY}" in said
        for contract in deployment.contracts:
            assert f"{contract.name} {contract.address}, to be created" in said
            assert contract.code_hash in said
        assert page_says() <= set(said.splitlines())
        assert KEY.removeprefix("0x") not in said + sent + declined
        assert [*tmp_path.iterdir()] == [tmp_path / f"{BASE_SEPOLIA}.json"]

        client = MoltClient(Network.custom(BASE_SEPOLIA, url), deployment=deployment)
        assert client.token.symbol == "MOLT"
        again = deploy(tmp_path, network, *PANEL, "--yes", env=secrets)
        assert again.count("there already") == 3
        assert nonce(url) == 3


def test_deploy__key_file_of_apes__pays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes its password from the environment, as on a machine where nobody types it."""
    account = import_account_from_private_key("molt-test-operator", "a passphrase", KEY)
    monkeypatch.setenv("APE_ACCOUNTS_molt-test-operator_PASSPHRASE", "a passphrase")
    try:
        with anvil() as url:
            deploy(tmp_path, f"ethereum:anvil:{url}", "--account", account.alias, "--yes")
            assert nonce(url) == 2
    finally:
        account.keyfile_path.unlink()


def test_deploy__killed_after_each_step__goes_on_and_creates_nothing_twice(tmp_path: Path) -> None:
    """A real SIGKILL while a transaction waits to be mined; the last one is lost besides."""
    with anvil() as url:
        without_factory(url)
        Node(url).request("evm_setAutomine", False)
        options = [f"ethereum:anvil:{url}", "--account", "TEST::0", *PANEL, "--yes"]
        for count in (1, 2, 3):
            kill_when_sent(url, command(tmp_path, *options), tmp_path / "31337.journal", count)
            if count < 3:
                Node(url).request("evm_mine")
        Node(url).request("anvil_dropAllTransactions")
        Node(url).request("evm_setAutomine", True)
        said = program(tmp_path, *options)

        assert (said.count("there already"), said.count("sent by an earlier run")) == (2, 1)
        assert "there is no factory" in said
        assert nonce(url) == 3
        deployment = load_deployment(31_337, tmp_path)
        addresses = [address_by_nonce(PAYER, at) for at in range(3)]
        assert [contract.address for contract in deployment.contracts] == addresses
        assert deployment.arbiter == addresses[2]
        assert [*tmp_path.iterdir()] == [tmp_path / "31337.json"]

        refused = deploy(tmp_path, *options, code=1)
        assert f"{deployment.escrow} is recorded for chain 31337 already" in refused
        assert nonce(url) == 3


def kill_when_sent(url: str, arguments: Sequence[str], journal: Path, count: int) -> None:
    """Run it until the node has so many transactions of its journal, and kill it."""
    ends = time.monotonic() + 60
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE) as process:
        while sent(url, journal) < count and time.monotonic() < ends and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert (process.returncode, sent(url, journal)) == (-signal.SIGKILL, count)


def sent(url: str, journal: Path) -> int:
    """Return how many transactions of a journal the node has; they are written down before they are sent."""
    written = json.loads(journal.read_text("utf-8"))["sent"] if journal.exists() else []
    ids = [each["transaction_id"] for each in written]
    return sum(Node(url).request("eth_getTransactionByHash", each) is not None for each in ids)


@pytest.mark.parametrize(
    ("network", "options", "code", "said"),
    [
        ("ethereum:anvil:{url}", ["--fee-recipient", "0x" + "00" * 20], 1, "deployment"),
        ("ethereum:sepolia:{url}", [], 1, "the node serves chain 31337, but chain 11155111 was asked for"),
        ("{url}", [], 2, "Give --chain-id"),
        ("{url}", ["--chain-id", "1"], 1, "the node serves chain 31337, but chain 1 was asked for"),
        ("ethereum:anvil:{url}", ["--chain-id", "1"], 2, "is chain 31337, and --chain-id says 1"),
        ("ethereum:sepolia:node", [], 2, "set MOLT_RPC_URL"),
        ("ethereum:nowhere:{url}", [], 2, "no network ethereum:nowhere"),
        ("ethereum:anvil:{url}", ["--account", "nobody"], 2, "ape has no account nobody"),
        ("ethereum:anvil:{url}", ["--account", ""], 2, "nobody pays"),
        ("ethereum:anvil:{url}", ["--token", "0x" + "11" * 20], 1, "there is no contract"),
        ("ethereum:anvil:{url}", ["--token", "0x11"], 1, "is not an address"),
        ("ethereum:anvil:{url}", ["--fee-bps", "301"], 2, "301 is not in the range"),
        ("ethereum:anvil:{url}", ["--panel", PAYER, "--threshold", "2"], 1, "2 of 1 members"),
        ("ethereum:anvil:{url}", ["--salt", "1"], 1, "32 bytes"),
    ],
)
def test_deploy__not_as_said__is_refused(
    tmp_path: Path, network: str, options: list[str], code: int, said: str
) -> None:
    with anvil() as url:
        given = ["--account", "TEST::0", *options, "--yes"]
        assert said in deploy(tmp_path, network.format(url=url), *given, code=code)
        assert nonce(url) == 0
    assert [*tmp_path.iterdir()] == []


def test_deploy__key_that_everybody_knows__is_refused_where_others_are(tmp_path: Path) -> None:
    with anvil(chain_id=BASE_SEPOLIA) as url:
        network = f"ethereum:base-sepolia:{url}"
        assert "everybody knows" in deploy(tmp_path, network, "--account", "TEST::0", "--yes", code=2)


def test_deploy__custom_chain_of_a_poor_account__says_what_it_needs(tmp_path: Path) -> None:
    with anvil(chain_id=4_242) as url:
        Node(url).request("hardhat_setBalance", PAYER, "0x1")
        refused = deploy(tmp_path, url, "--chain-id", "4242", "--account", "TEST::0", "--yes", code=1)
    assert f"{PAYER} has 1 wei" in refused


def test_deploy__chain_of_apes__pays_by_itself(tmp_path: Path) -> None:
    said = program(tmp_path, "ethereum:local:foundry", "--fee-bps", "50", "--yes")
    assert "feeBps         50" in said
    assert load_deployment(31_337, tmp_path).contracts
