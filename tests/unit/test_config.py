from pathlib import Path

import pytest

from molt_market import config
from molt_market.config import Settings, settings

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
            "OTHER": "x",
        }
    )
    assert (found.rpc_url, found.deployments, found.anvil) == (
        "http://node:8545",
        Path("/srv/deployments"),
        "/opt/anvil",
    )
    assert found.wallet_password is not None
    assert found.wallet_password.get_secret_value() == "secret"


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
