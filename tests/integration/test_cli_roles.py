"""`molt roles`: what guardian and fee setter may do, from when on, and that nobody else may."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from molt_market.cli.console import iso
from molt_market.domain.ids import ZERO_ADDRESS
from molt_market.domain.roles import Role
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from tests.integration.commands import PASSWORD, asked, key_file, molt, refused, run

WEEK = 7 * 24 * 3_600


@pytest.fixture
def files(net: Devnet, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Wallet, Path]:
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", PASSWORD)
    holders = {net.guardian: "guardian", net.fee_setter: "fee-setter", net.stranger: "stranger"}
    return {wallet: key_file(wallet, folder / f"{name}.json") for wallet, name in holders.items()}


def test_show__says_who_and_what(net: Devnet, files: dict[Wallet, Path]) -> None:
    told = asked("roles", "show")
    assert told["roles"]["guardian"] == {"holder": net.guardian.address, "pending": None}
    assert told["roles"]["fee-setter"] == {"holder": net.fee_setter.address, "pending": None}
    assert (told["transaction"], told["fee_bps"], told["next_fee_bps"], told["paused_until"]) == (
        None,
        100,
        None,
        None,
    )
    assert "1.00% of what a provider is paid" in molt("roles", "show")


def test_pause__stops_openings_for_72_hours__and_unpause_ends_it(
    net: Devnet, files: dict[Wallet, Path]
) -> None:
    told = asked("--wallet", files[net.guardian], "roles", "pause")
    until = net.client().config().paused_until
    assert told["paused_until"] == iso(until)
    assert net.client().transactions.receipt(told["transaction"]) is not None
    assert "no deal opens before" in molt("roles", "show")
    assert "the next pause may begin at" in refused("--wallet", files[net.guardian], "roles", "pause")
    assert asked("--wallet", files[net.guardian], "roles", "unpause")["paused_until"] is None


def test_fee__holds_from_seven_days_on(net: Devnet, files: dict[Wallet, Path]) -> None:
    said = molt("--wallet", files[net.fee_setter], "roles", "fee", "250")
    assert "2.50% for deals that open from" in said
    told = asked("roles", "show")
    assert (told["fee_bps"], told["next_fee_bps"]) == (100, 250)
    net.warp(WEEK)
    told = asked("roles", "show")
    assert (told["fee_bps"], told["next_fee_bps"], told["next_fee_from"]) == (250, None, None)


def test_role__is_handed_over_in_two_steps(net: Devnet, files: dict[Wallet, Path]) -> None:
    heir = net.stranger.address
    offered = asked("--wallet", files[net.guardian], "roles", "offer", "guardian", heir)
    assert offered["roles"]["guardian"] == {"holder": net.guardian.address, "pending": heir}
    taken_back = asked("--wallet", files[net.guardian], "roles", "offer", "guardian", ZERO_ADDRESS)
    assert taken_back["roles"]["guardian"]["pending"] is None
    molt("--wallet", files[net.guardian], "roles", "offer", "guardian", heir)
    accepted = asked("--wallet", files[net.stranger], "roles", "accept", "guardian")
    assert accepted["roles"]["guardian"] == {"holder": heir, "pending": None}
    assert net.client().role(Role.GUARDIAN).holder == heir


@pytest.mark.parametrize(
    "command",
    [
        ("pause",),
        ("unpause",),
        ("fee", "100"),
        ("offer", "guardian", ZERO_ADDRESS),
        ("accept", "guardian"),
        ("accept", "fee-setter"),
    ],
)
def test_others__are_refused_before_anything_is_sent(
    net: Devnet, files: dict[Wallet, Path], command: tuple[str, ...]
) -> None:
    nonce = net.client().transactions.next_nonce(net.stranger.address)
    result = run("--json", "--wallet", files[net.stranger], "roles", *command)
    assert result.exit_code == 1
    assert json.loads(result.stderr)["error"] == "NotHolder"
    assert net.client().transactions.next_nonce(net.stranger.address) == nonce


def test_fee__above_the_limit__is_refused(net: Devnet, files: dict[Wallet, Path]) -> None:
    result = run("--json", "--wallet", files[net.fee_setter], "roles", "fee", "301")
    assert json.loads(result.stderr)["error"] == "FeeOutOfRange"
