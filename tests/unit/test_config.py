from pathlib import Path

import pytest

from molt_market import config
from molt_market.config import Settings, settings
from molt_market.errors import InvalidValue

PACKAGE = Path(__file__).resolve().parents[2] / "molt_market"


def test_settings__of_an_empty_environment__are_the_defaults() -> None:
    assert settings({}) == Settings(deployments=Path("deployments"), anvil="anvil")


def test_settings__each_variable__is_read() -> None:
    found = settings(
        {
            "MOLT_RPC_URL": "http://node:8545",
            "MOLT_WALLET_PASSWORD": "secret",
            "MOLT_DEPLOYMENTS": "/srv/deployments",
            "MOLT_ANVIL": "/opt/anvil",
            "MOLT_NETWORK": "sepolia",
            "MOLT_DATABASE": "postgresql://molt:hidden@host/market",
            "MOLT_WALLET": "buyer.json",
            "MOLT_SERVER": "http://market:8080",
            "MOLT_MAX_FEE_GWEI": "200",
            "MOLT_CONFIRMATIONS": "12",
            "OTHER": "x",
        }
    )
    assert (found.rpc_url, found.deployments, found.anvil) == (
        "http://node:8545",
        Path("/srv/deployments"),
        "/opt/anvil",
    )
    assert (found.network, found.wallet, found.max_fee_gwei) == ("sepolia", Path("buyer.json"), 200)
    assert found.confirmations == 12
    assert found.server == "http://market:8080"
    assert found.database is not None
    assert found.database.get_secret_value() == "postgresql://molt:hidden@host/market"
    assert "hidden" not in repr(found)
    assert found.wallet_password is not None
    assert found.wallet_password.get_secret_value() == "secret"


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "1e3", "many", "²"])
def test_settings__fee_that_is_no_whole_gwei__names_the_variable(value: str) -> None:
    with pytest.raises(InvalidValue, match=r"^MOLT_MAX_FEE_GWEI: give a whole number of gwei"):
        settings({"MOLT_MAX_FEE_GWEI": value})


@pytest.mark.parametrize("value", ["-1", "1.5", "many"])
def test_settings__confirmations_that_are_no_blocks__names_the_variable(value: str) -> None:
    with pytest.raises(InvalidValue, match=r"^MOLT_CONFIRMATIONS: give a whole number of blocks"):
        settings({"MOLT_CONFIRMATIONS": value})


def test_settings__empty_variable__counts_as_unset() -> None:
    assert settings({"MOLT_ANVIL": "", "MOLT_WALLET_PASSWORD": ""}) == settings({})


def test_settings__repr__masks_the_password() -> None:
    assert "secret" not in repr(settings({"MOLT_WALLET_PASSWORD": "secret"}))


def test_settings__are_the_processs_own_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLT_ANVIL", "/opt/anvil")
    assert settings().anvil == "/opt/anvil"


def test_environment__is_read_nowhere_else() -> None:
    sources = {
        file.relative_to(PACKAGE).as_posix(): file.read_text("utf-8") for file in PACKAGE.rglob("*.py")
    }
    readers = [name for name, text in sources.items() if "os.environ" in text or "getenv" in text]
    assert readers == ["config.py"]


def test_docstring__names_every_variable() -> None:
    for name in Settings.model_fields:
        assert f"MOLT_{name.upper()}" in (config.__doc__ or "")
