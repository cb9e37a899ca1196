"""docs/cli.md: its commands print what the page says; only ids, times and ages are others each time."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from molt_market.app import journal_in
from molt_market.cli.root import app
from molt_market.storage.database import Database
from molt_market.testing import Devnet, devnet
from tests.integration.commands import PASSWORD, key_file
from tests.integration.scene import Scene
from tests.integration.stage import Stage
from tests.integration.test_stuck import payments_of, pending
from tests.pages import Page
from tests.service import server

PAGE = Page("cli.md")
CHANGING = (
    (r"0x[0-9a-fA-F]{40,64}", lambda found: "#" * len(found[0])),
    (r"\d{4}-\d\d-\d\d", lambda _: "YYYY-MM-DD"),  # a table may break a line between day and time
    (r"\d\d:\d\d:\d\d", lambda _: "hh:mm:ss"),
    (r"\d+\.\d+ of native coin", lambda found: "#" * len(found[0])),
    (r"\d+\.\d+ gwei", lambda _: "N gwei"),  # the base fee follows the size of blocks
    (r"127\.0\.0\.1:\d+", lambda _: "127.0.0.1:port"),
    (r"tables are current \(\d+\)", lambda _: "tables are current (N)"),
    (r"block \d+, .* old", lambda _: "block N, N s old"),
    (r"(?<= for )\d+ s(?=, since)", lambda _: "N s"),
)


def same_each_time(text: str) -> str:
    for pattern, put in CHANGING:
        text = re.sub(pattern, put, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def shown() -> dict[str, str]:
    """Return what the page shows, by command."""
    blocks = [block.text for block in PAGE.blocks("console")]
    return {
        command.removeprefix("$ molt "): output
        for command, _, output in (each.partition("\n") for each in blocks)
    }


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Tell the page's story: a deal that runs and is paid for 3.5 hours, then two openings that get stuck."""
    folder = tmp_path_factory.mktemp("market")
    with devnet() as net, pytest.MonkeyPatch.context() as environment:
        for name, value in {"RPC_URL": net.url, "DEPLOYMENTS": str(folder), "DATABASE": "market.db"}.items():
            environment.setenv(f"MOLT_{name}", value)
        environment.setenv("COLUMNS", "100")
        environment.chdir(folder)
        (folder / "31337.json").write_text(net.deployment.model_dump_json())
        scene = Scene(net)
        Database("market.db").close()
        escrow = scene.open()
        Stage(scene).send(escrow, "release", "3.5")
        told = {
            "explain $DEAL": molt("explain", escrow.id),
            "doctor": molt("doctor"),
            "wallet balance $BUYER": molt("wallet", "balance", escrow.buyer),
        }
        environment.setenv("MOLT_WALLET", str(key_file(net.buyer, folder / "buyer.json")))
        told["deal list"] = molt("deal", "list")
        told |= at_the_market(net, folder, environment)
        environment.setenv("MOLT_WALLET", str(key_file(net.provider, folder / "provider.json")))
        environment.setenv("MOLT_WALLET_PASSWORD", PASSWORD)
        cancel = ("deal", "cancel", escrow.id, "--reason", "power cut")
        told['deal cancel $DEAL --reason "power cut"'] = molt(*cancel)
        get_stuck(net, scene)
        told["payments"] = molt("payments")
    return told


def at_the_market(net: Devnet, folder: Path, environment: pytest.MonkeyPatch) -> dict[str, str]:
    """Tell what a market's server shows of one offer."""
    environment.setenv("MOLT_WALLET_PASSWORD", PASSWORD)
    buyer, provider = (
        str(key_file(wallet, folder / f"at-market-{name}.json"))
        for name, wallet in (("buyer", net.buyer), ("provider", net.provider))
    )
    shown = ("market depth", "offer list", "order quote --gpus 4 --vram 80 --hours 8 --max-price 3")
    with server(net, f"sqlite:///{folder / 'server.db'}", folder) as started, environment.context() as here:
        here.setenv("MOLT_SERVER", started.url)
        here.setenv("MOLT_WALLET", provider)
        wait_for_the_deal(started.url)
        gpus = ("--gpus", "8", "--model", "H100", "--vram", "80", "--hours", "24", "--region", "eu-west-1")
        molt("offer", "post", *gpus, "--price", "2.50", "--policy", net.policy_id)
        told = {command: molt(*command.split()) for command in shown[:2]}
        here.setenv("MOLT_WALLET", buyer)
        return told | {shown[2]: molt(*shown[2].split())}


def wait_for_the_deal(url: str) -> None:
    """Wait until a server has followed the log and knows whose GPUs are held: its feed has begun then."""
    until = time.monotonic() + 20
    while httpx.get(f"{url}/health").json()["sequence"] == 0 and time.monotonic() < until:
        time.sleep(0.05)


def get_stuck(net: Devnet, scene: Scene) -> None:
    database = Database("market.db")
    journal = journal_in(database, net.client())
    net.node.request("evm_setAutomine", False)
    for slot in (4, 8):
        payments = payments_of(net, journal, patience=3_600)
        pending(payments, scene.match(offer=scene.offer(slot=slot)), net)
    database.close()


def molt(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_page__shows_what_the_commands_print(printed: dict[str, str]) -> None:
    page = shown()
    assert page.keys() == printed.keys()
    for command, output in page.items():
        assert same_each_time(output) == same_each_time(printed[command])
