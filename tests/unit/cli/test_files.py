"""Signed values from files: read as they were written, and refused with the field that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from molt_market.cli.files import read_value
from molt_market.domain.agreements import SplitAgreement
from molt_market.domain.proofs import Confirmation
from molt_market.errors import InvalidValue
from tests.factories import BUYER, DEAL_ID

VOUCHER = Confirmation(deal_id=DEAL_ID, gpu_seconds=3_600, signer=BUYER, signature="0x" + "ab" * 65)


def test_read_value__is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "voucher.json"
    path.write_text(VOUCHER.model_dump_json(indent=2))
    assert read_value(path, Confirmation) == VOUCHER


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe", "is no text"),
        (b"", "is no Confirmation: Invalid JSON"),
        (b"7", "is no Confirmation: "),
        (VOUCHER.model_dump_json().replace("3600", "1.5").encode(), "is no Confirmation: gpu_seconds: "),
        (VOUCHER.model_dump_json().replace("}", ', "more": 1}').encode(), "more: Extra inputs"),
        (VOUCHER.model_dump_json().replace("0xab", "0xzz").encode(), "signature: '0xzz"),
    ],
)
def test_read_value__something_else__says_what_is_wrong(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InvalidValue) as wrong:
        read_value(tmp_path / "x.json", Confirmation)
    assert says in str(wrong.value)


def test_read_value__no_file_or_a_folder__names_it(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.json"):
        with pytest.raises(InvalidValue, match="cannot be read"):
            read_value(path, SplitAgreement)
