"""The exported ABIs: written the same each time, and every difference to the sources is found."""

from pathlib import Path

import pytest

from scripts import export_abi

ARTEFACT = {"contractName": "Coin", "abi": [{"type": "fallback"}], "bytecode": "0x60"}


@pytest.fixture(autouse=True)
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Export one contract, compiled already, into an empty folder."""
    monkeypatch.setattr(export_abi, "ROOT", tmp_path)
    monkeypatch.setattr(export_abi, "TARGET", tmp_path / "abi")
    monkeypatch.setattr(export_abi, "compile_contracts", lambda: {"Coin": ARTEFACT})
    return tmp_path / "abi"


def test_export__then_check__agrees(target: Path) -> None:
    assert export_abi.main([]) == 0
    assert export_abi.main(["--check"]) == 0
    assert (target / "Coin.json").read_text("utf-8").startswith('{\n  "abi": [\n')


def test_check__nothing_exported__names_the_file(capsys: pytest.CaptureFixture[str], target: Path) -> None:
    assert export_abi.main(["--check"]) == 1
    assert "Coin.json. Run `make abi`" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.parametrize("change", ["{}", "", "{ }\n"])
def test_check__edited_file__fails(target: Path, change: str) -> None:
    export_abi.main([])
    (target / "Coin.json").write_text(change, "utf-8")
    assert export_abi.main(["--check"]) == 1


def test_check__left_over_file__fails(capsys: pytest.CaptureFixture[str], target: Path) -> None:
    export_abi.main([])
    (target / "Removed.json").write_text("{}", "utf-8")
    assert export_abi.main(["--check"]) == 1
    assert "Removed.json" in capsys.readouterr().err


def test_compile__sources_missing__says_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(export_abi, "ROOT", tmp_path)
    with pytest.raises(export_abi.ExportError, match=r"no source at contracts/MoltEscrow\.sol"):
        export_abi.compile_contracts()
