from pathlib import Path
from typing import Any

import pytest

from molt_market.chain.artefacts import artefact
from molt_market.chain.deployments import Deployment, hash_of, load_deployment
from molt_market.domain.amounts import MOLT, Token
from molt_market.domain.ids import Address
from molt_market.errors import DeploymentMismatch, DeploymentNotFound
from tests.factories import BUYER, PROVIDER
from tests.unit.chain.test_artefacts import deployed

TOKEN = Address("0x" + "ab" * 20)


def make_code(**overrides: int) -> bytes:
    values = {
        "token": TOKEN.number(),
        "feeRecipient": BUYER.number(),
        "withdrawDelay": 900,
        "cancelDelay": 60,
    }
    return deployed(artefact("MoltEscrow"), **{**values, **overrides})


def make_deployment(**overrides: Any) -> Deployment:
    fields = {
        "chain_id": 31_337,
        "escrow": PROVIDER,
        "token": Token("MOLT", 18, TOKEN),
        "fee_recipient": BUYER,
        "withdraw_delay_seconds": 900,
        "cancel_delay_seconds": 60,
        "block": 7,
        "code_hash": hash_of(make_code()),
    }
    return Deployment(**{**fields, **overrides})


def test_save__comes_back_equal(tmp_path: Path) -> None:
    path = make_deployment().save(tmp_path / "deployments")
    assert path == tmp_path / "deployments" / "31337.json"
    assert load_deployment(31_337, tmp_path / "deployments") == make_deployment()
    assert load_deployment(31_337, path) == make_deployment()


def test_load__configured_folder__is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLT_DEPLOYMENTS", str(tmp_path))
    make_deployment().save()
    assert load_deployment(31_337) == make_deployment()


def test_load__nothing_there__says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DeploymentNotFound) as missing:
        load_deployment(1, tmp_path)
    assert (missing.value.chain_id, missing.value.looked_in) == (1, str(tmp_path / "1.json"))


@pytest.mark.parametrize("content", ["", "{}", "nonsense", '{"chain_id": 31337}'])
def test_load__damaged_file__is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "31337.json").write_text(content, "utf-8")
    with pytest.raises(DeploymentMismatch, match="31337"):
        load_deployment(31_337, tmp_path)


def test_load__file_of_another_chain__is_refused(tmp_path: Path) -> None:
    path = make_deployment().save(tmp_path)
    path.rename(tmp_path / "1.json")
    with pytest.raises(DeploymentMismatch, match="31337"):
        load_deployment(1, tmp_path)


def test_money__molt_of_18_decimals__is_plain_molt() -> None:
    assert make_deployment().money == MOLT


@pytest.mark.parametrize(
    "token", [Token("USDC", 6, TOKEN), Token("MOLT", 6, TOKEN), Token("USDC", 18, TOKEN)]
)
def test_money__any_other__is_the_token_itself(token: Token) -> None:
    assert make_deployment(token=token).money == token


def test_token_address__missing__is_refused() -> None:
    with pytest.raises(DeploymentMismatch):
        _ = make_deployment(token=MOLT).token_address


def test_require_code__ours__is_fine() -> None:
    make_deployment().require_code(make_code())


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (b"", "no code"),
        (b"\x60\x80", "2 bytes of other code"),
        (make_code(token=1), "token"),
        (make_code(feeRecipient=1), "feeRecipient"),
        (make_code(withdrawDelay=1), "withdrawDelay"),
        (make_code(cancelDelay=1), "cancelDelay"),
        (make_code(_cachedChainId=1), "hashes to"),
    ],
    ids=["none", "other", "token", "fee recipient", "withdraw delay", "cancel delay", "another chain's"],
)
def test_require_code__not_as_recorded__says_what_differs(code: bytes, said: str) -> None:
    with pytest.raises(DeploymentMismatch, match=said):
        make_deployment().require_code(code)
