"""`molt deal` and `molt arbiter` on a real chain: every verb, by who may use it and by signature."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from molt_market.cli.root import ExitCode
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.fields import Value
from molt_market.domain.ids import EscrowId
from molt_market.domain.settlement import gpu_seconds
from molt_market.signing.agreements import (
    sign_concession,
    sign_dispute,
    sign_ruling,
    sign_stop,
    sign_unattested_claim,
    sign_vote,
)
from molt_market.signing.wallet import Wallet
from molt_market.storage.database import Database
from tests.integration.commands import PASSWORD, asked, key_file, molt, refused, run
from tests.integration.endings import WEEK, cancellation, claimed, contest, disputed, ran, split
from tests.integration.scene import HOURS, Scene

As = Callable[[Wallet], None]
Write = Callable[[Value], Path]


@pytest.fixture
def as_(folder: Path, monkeypatch: pytest.MonkeyPatch) -> As:
    """Makes an account the one that commands send as."""
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", PASSWORD)

    def use(wallet: Wallet) -> None:
        path = folder / f"{wallet.address}.json"
        if not path.exists():
            key_file(wallet, path)
        monkeypatch.setenv("MOLT_WALLET", str(path))

    return use


@pytest.fixture
def write(folder: Path) -> Write:
    """Writes what somebody has signed to a file."""

    def to_file(value: Value) -> Path:
        path = folder / f"{type(value).__name__}-{len(list(folder.iterdir()))}.json"
        path.write_text(value.model_dump_json())
        return path

    return to_file


def units(escrow: EscrowAccount, hours: str) -> int:
    return gpu_seconds(hours, escrow.terms.gpu_count)


def status(scene: Scene, escrow: EscrowAccount) -> DealStatus:
    return scene.client.escrow(escrow.id).status


# ---------------------------------------------------------------- while the job runs


def test_show__is_explain(scene: Scene, folder: Path) -> None:
    escrow = scene.open()
    assert molt("deal", "show", escrow.id) == molt("explain", escrow.id)
    assert asked("deal", "show", escrow.id)["status"] == "LOCKED"


def test_redeem__by_a_stranger__in_parts__twice_is_once(scene: Scene, as_: As, write: Write) -> None:
    escrow = scene.open()
    as_(scene.net.stranger)
    part = write(scene.voucher(escrow, "6"))
    first = asked("deal", "redeem", escrow.id, part)
    assert (first["status"], first["deal_id"]) == ("LOCKED", escrow.id)
    assert asked("deal", "redeem", escrow.id, part)["transaction"] == first["transaction"]
    text = molt("deal", "redeem", escrow.id, write(scene.voucher(escrow, "24")))
    assert text.startswith(f"deal {escrow.id}\ntransaction 0x")
    assert "\nRELEASED: closed at " in text


@pytest.mark.parametrize("how", ["himself", "by signature"])
def test_stop__by_the_buyer_or_with_his_signature(scene: Scene, as_: As, write: Write, how: str) -> None:
    net, escrow = scene.net, scene.open()
    as_(net.stranger)
    assert f"{escrow.buyer} has to sign" in refused("deal", "stop", escrow.id)
    if how == "by signature":
        request = sign_stop(escrow.id, net.buyer, net.domain, until=net.clock.now() + WEEK)
        told = asked("deal", "stop", escrow.id, "--signed", write(request))
    else:
        as_(net.buyer)
        told = asked("deal", "stop", escrow.id)
    assert told["says"].startswith("stopped by the buyer, it runs until ")


@pytest.mark.parametrize("how", ["himself", "by signature"])
def test_cancel__by_the_provider_or_with_his_signature(scene: Scene, as_: As, write: Write, how: str) -> None:
    escrow = scene.open()
    as_(scene.net.stranger if how == "by signature" else scene.net.provider)
    signed: list[str | Path] = []
    if how == "by signature":
        signed = ["--signed", write(cancellation(scene, escrow))]
    assert asked("deal", "cancel", escrow.id, "--reason", "a fire", *signed)["status"] == "REFUNDED"


# ---------------------------------------------------------------- when it is over


def test_claim__by_proof__and_again_when_the_window_is_over(scene: Scene, as_: As, write: Write) -> None:
    escrow = ran(scene)
    as_(scene.net.stranger)
    proof = write(scene.proof(escrow, "23.5"))
    assert asked("deal", "claim", escrow.id, "--proof", proof)["status"] == "CLAIMED"
    assert "is possible from" in refused("deal", "claim", escrow.id, "--proof", proof)
    scene.run_past(escrow)
    assert asked("deal", "claim", escrow.id, "--proof", proof)["status"] == "RELEASED"


@pytest.mark.parametrize("how", ["hours", "gpu-seconds", "signed"])
def test_claim__without_attestors__then_the_arbiter_rules(
    scene: Scene, as_: As, write: Write, how: str
) -> None:
    net, escrow = scene.net, ran(scene)
    given: dict[str, str | Path] = {"hours": "23.5", "gpu-seconds": str(units(escrow, "23.5"))}
    if how == "signed":
        until = net.clock.now() + WEEK
        word = sign_unattested_claim(escrow.id, units(escrow, "23.5"), net.provider, net.domain, until=until)
        given["signed"] = write(word)
    as_(net.stranger if how == "signed" else net.provider)
    assert asked("deal", "claim", escrow.id, f"--{how}", given[how])["status"] == "DISPUTED"

    as_(net.arbiter)
    [waits] = asked("arbiter", "list")["disputes"]
    assert (waits["deal_id"], waits["arbiter"], waits["attested"]) == (escrow.id, net.arbiter.address, False)
    assert (waits["least_gpu_seconds"], waits["most_gpu_seconds"]) == (0, units(escrow, "23.5"))
    assert "between  0 and 23.5 hours" in molt("arbiter", "list")
    assert asked("arbiter", "rule", escrow.id, "--hours", "20")["status"] == "RELEASED"
    assert molt("arbiter", "list") == "no dispute waits\n"


def test_finalize__what_is_due__and_what_is_not(scene: Scene, as_: As) -> None:
    first, unknown = scene.open(), EscrowId("0x" + "12" * 32)
    scene.run_past(first)
    second = scene.open()
    as_(scene.net.stranger)
    assert "is possible from" in refused("deal", "finalize", second.id)
    result = run("deal", "finalize", first.id, second.id, unknown)
    assert result.exit_code == ExitCode.FAILED
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"deal {first.id} closed by 0x")
    assert lines[1].startswith(f"deal {second.id} not closed: the end of deal")
    assert lines[2].startswith(f"deal {unknown} not closed: no deal")
    [again] = asked("deal", "finalize", first.id)["deals"]
    assert (again["error"], lines[0].endswith(again["transaction"])) == (None, True)


def test_settle__own_signature_may_be_missing(scene: Scene, as_: As, write: Write) -> None:
    escrow = scene.open()
    agreement = write(split(scene, escrow, "3", scene.net.provider))
    as_(scene.net.stranger)
    assert "has not signed the agreement" in refused("deal", "settle", escrow.id, agreement)
    as_(scene.net.buyer)
    assert asked("deal", "settle", escrow.id, agreement)["status"] == "RELEASED"


# ---------------------------------------------------------------- disputes


@pytest.mark.parametrize("how", ["himself", "by signature"])
def test_dispute__then_the_provider_gives_in(scene: Scene, as_: As, write: Write, how: str) -> None:
    net, escrow = scene.net, claimed(scene)
    as_(net.buyer)
    if how == "by signature":
        net.client(net.buyer).deposit(scene.client.balance_of(net.buyer.address))  # for the stake
        until = net.clock.now() + WEEK
        signed = sign_dispute(contest(escrow, "20"), escrow, net.buyer, net.domain, until=until)
        as_(net.stranger)
        told = asked("dispute", "open", escrow.id, "--signed", write(signed))
    else:
        told = asked(
            "dispute", "open", escrow.id, "--hours", "20", "--reason", "unreachable", "--text", "no ssh"
        )
    assert told["status"] == "DISPUTED"
    assert told["says"].startswith("the buyer accepts 20 of the 23.5 hours")
    if how == "by signature":
        until = net.clock.now() + WEEK
        concession = sign_concession(escrow.id, units(escrow, "20"), net.provider, net.domain, until=until)
        told = asked("dispute", "concede", escrow.id, "--signed", write(concession))
    else:
        as_(net.provider)
        told = asked("dispute", "concede", escrow.id)
    assert told["status"] == "RELEASED"
    assert scene.client.escrow(escrow.id).paid_gpu_seconds == units(escrow, "20")


def test_rule__by_a_signed_ruling__only_the_arbiters(scene: Scene, as_: As, write: Write) -> None:
    net, escrow = scene.net, disputed(scene)
    until = net.clock.now() + WEEK
    as_(net.stranger)
    for who, code in ((net.buyer, ExitCode.FAILED), (net.arbiter, ExitCode.DONE)):
        ruling = sign_ruling(escrow.id, units(escrow, "21"), who, net.domain, until=until)
        result = run("arbiter", "rule", escrow.id, "--ruling", write(ruling))
        assert result.exit_code == code, result.output
    assert scene.client.escrow(escrow.id).paid_gpu_seconds == units(escrow, "21")


def test_rule__by_the_votes_of_a_panel(scene: Scene, as_: As, write: Write) -> None:
    net = scene.net
    escrow = scene.open(offer=scene.offer(policy_id=net.panel_policy_id))
    scene.run(HOURS)
    scene.provider.claim_unattested(escrow, "23.5")
    [waits] = asked("arbiter", "list", "--arbiter", net.panel)["disputes"]
    assert waits["deal_id"] == escrow.id
    assert asked("arbiter", "list", "--all")["disputes"] == [waits]
    until = net.clock.now() + WEEK
    votes = [
        write(sign_vote(escrow.id, units(escrow, "22"), each, net.panel, net.domain, until=until))
        for each in net.panel_members[:2]
    ]
    as_(net.stranger)
    told = asked("arbiter", "rule", escrow.id, "--vote", votes[0], "--vote", votes[1])
    assert told["status"] == "RELEASED"


def test_list__disputes_of_others_and_those_that_are_over__are_left_out(scene: Scene, as_: As) -> None:
    escrow = disputed(scene)
    as_(scene.net.arbiter)
    assert molt("arbiter", "list").endswith("\n1 dispute waits\n")
    as_(scene.net.buyer)
    assert asked("arbiter", "list")["disputes"] == []
    scene.run_past(escrow)
    assert asked("arbiter", "list", "--all")["disputes"] == []


# ---------------------------------------------------------------- what is refused, and what is written down


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        ("", "is no Confirmation"),
        ("[]", "is no Confirmation"),
        ('{"deal_id": "0x12"}', "is no Confirmation: deal_id: '0x12' is not 32 bytes"),
    ],
)
def test_file__that_holds_something_else__is_bad_input(
    scene: Scene, as_: As, folder: Path, content: str | None, says: str
) -> None:
    as_(scene.net.stranger)
    if content is not None:
        (folder / "v.json").write_text(content)
    assert says in refused("deal", "redeem", "0x" + "12" * 32, "v.json", code=ExitCode.BAD_INPUT)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["deal", "claim"], "give exactly one of --proof"),
        (["deal", "claim", "--hours", "1", "--gpu-seconds", "1"], "give exactly one of --proof"),
        (["deal", "claim", "--hours", "long"], "is not a number of hours"),
        (["dispute", "open"], "give exactly one of --hours"),
        (["dispute", "open", "--hours", "-1"], "a deal runs for 0 to"),
        (["dispute", "open", "--hours", "1", "--text", "x" * 2_001], "this is no dispute: text: "),
        (["dispute", "open", "--hours", "1", "--evidence", "0x12"], "is not 32 bytes"),
    ],
)
def test_options__that_do_not_fit__are_bad_input(
    scene: Scene, as_: As, arguments: list[str], says: str
) -> None:
    as_(scene.net.provider)
    group, verb, *options = arguments
    assert says in refused(group, verb, ran(scene).id, *options, code=ExitCode.BAD_INPUT)


def test_verb__with_a_database__is_written_down(scene: Scene, as_: As, folder: Path) -> None:
    Database(folder / "market.db").close()
    escrow = scene.open()
    as_(scene.net.provider)
    molt("--database", "market.db", "deal", "cancel", escrow.id, "--reason", "a fire")
    [entry] = json.loads(molt("--database", "market.db", "payments", "--all", "--json"))["payments"]
    assert (entry["state"], entry["note"], entry["deal_id"]) == ("final", "a fire", escrow.id)


def test_verb__without_a_wallet__or_on_no_deal__is_refused(scene: Scene, as_: As, folder: Path) -> None:
    nothing: list[Any] = ["deal", "stop", "0x" + "12" * 32]
    assert "give --wallet" in refused(*nothing, code=ExitCode.BAD_INPUT)
    as_(scene.net.buyer)
    assert "no deal 0x1212" in refused(*nothing)


# ---------------------------------------------------------------- signed by one, brought by another


def kept(folder: Path, name: str, *arguments: str | Path) -> Path:
    """Keep what a command prints in a file, as a shell does."""
    (folder / name).write_text(molt(*arguments))
    return folder / name


def test_voucher__signed_by_the_buyer__brought_by_the_provider(scene: Scene, as_: As, folder: Path) -> None:
    escrow = scene.open()
    as_(scene.net.buyer)
    first = kept(folder, "v.json", "deal", "voucher", escrow.id, "--hours", "6")
    as_(scene.net.provider)
    molt("deal", "redeem", escrow.id, first)
    assert scene.client.escrow(escrow.id).paid_gpu_seconds == units(escrow, "6")
    assert f"{escrow.buyer} has to sign" in refused("deal", "voucher", escrow.id, "--hours", "7")


def test_agreement__signed_by_both__brought_by_a_stranger(scene: Scene, as_: As, folder: Path) -> None:
    escrow = scene.open()
    as_(scene.net.buyer)
    half = kept(folder, "half.json", "deal", "agree", escrow.id, "--hours", "3", "--days", "1")
    as_(scene.net.stranger)
    assert "has to sign" in refused("deal", "agree", escrow.id, "--to", half)
    as_(scene.net.provider)
    whole = kept(folder, "whole.json", "deal", "agree", escrow.id, "--to", half)
    as_(scene.net.stranger)
    assert asked("deal", "settle", escrow.id, whole)["status"] == "RELEASED"


def test_agreement__of_another_deal__is_not_signed(scene: Scene, as_: As, folder: Path) -> None:
    one, other = scene.open(), scene.open()
    as_(scene.net.buyer)
    half = kept(folder, "half.json", "deal", "agree", one.id, "--hours", "3")
    as_(scene.net.provider)
    assert "use the deal's own" in refused("deal", "agree", other.id, "--to", half)


def test_vote__of_enough_members__is_the_panels_ruling(scene: Scene, as_: As, folder: Path) -> None:
    net = scene.net
    escrow = scene.open(offer=scene.offer(policy_id=net.panel_policy_id))
    as_(net.panel_members[0])
    assert "LOCKED cannot become RULED" in refused("arbiter", "vote", escrow.id, "--hours", "22")
    shown = refused("dispute", "show", escrow.id, code=ExitCode.BAD_INPUT)
    assert f"{escrow.id} is LOCKED, so nobody disputes it now: `molt explain` says" in shown
    scene.run(HOURS)
    scene.provider.claim_unattested(escrow, "23.5")
    said = refused("arbiter", "vote", escrow.id, "--hours", "23.6", code=ExitCode.BAD_INPUT)
    assert f"a ruling lies between 0 and {units(escrow, '23.5')}" in said
    votes: list[str | Path] = []
    for number, member in enumerate(net.panel_members[:2]):
        as_(member)
        votes += ["--vote", kept(folder, f"{number}.json", "arbiter", "vote", escrow.id, "--hours", "22")]
    as_(net.stranger)
    assert asked("arbiter", "rule", escrow.id, *votes)["status"] == "RELEASED"


@pytest.mark.parametrize("command", [("deal", "voucher"), ("deal", "agree"), ("arbiter", "vote")])
def test_signing__more_than_the_allocation__or_nothing__is_bad_input(
    scene: Scene, as_: As, command: tuple[str, str]
) -> None:
    escrow = disputed(scene)
    as_(scene.net.buyer)
    assert "give exactly one of --hours" in refused(*command, escrow.id, code=ExitCode.BAD_INPUT)
    said = refused(*command, escrow.id, "--hours", "25", code=ExitCode.BAD_INPUT)
    assert "the whole allocation has" in said
