"""`ape run deploy` as an operator runs it, against a chain that stays."""

import subprocess
import sys
from pathlib import Path

import pytest

from molt_market.chain.client import MoltClient
from molt_market.chain.deployments import load_deployment
from molt_market.chain.networks import Network
from molt_market.testing import anvil

ROOT = Path(__file__).resolve().parents[2]


def deploy(url: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("ape")), "run", "deploy", "--folder", str(folder)]
    command += ["--network", f"ethereum:anvil:{url}", "--account", "TEST::0", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_deploy__on_a_running_chain__records_what_a_client_connects_to(tmp_path: Path) -> None:
    with anvil() as url:
        done = deploy(url, tmp_path, "--fee-bps", "50")
        assert done.returncode == 0, done.stdout + done.stderr
        deployment = load_deployment(Network.LOCAL.chain_id, tmp_path)
        client = MoltClient(Network.custom(deployment.chain_id, url), deployment=deployment)
        assert client.fee_bps() == 50


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fee-bps", "301"), "301 is not in the range"),
        (("--token", "0x" + "11" * 20), "there is no contract"),
    ],
)
def test_deploy__with_a_bad_value__records_nothing(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    with anvil() as url:
        done = deploy(url, tmp_path, *options)
    assert done.returncode == 2, "a usage error, before anything is sent"
    assert said in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
