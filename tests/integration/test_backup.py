"""`molt backup` and `molt restore`: after an old backup came back nothing is paid twice, nothing lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from molt_market.app import journal_in
from molt_market.cli.root import ExitCode
from molt_market.domain.deals import DealStatus
from molt_market.domain.matches import OrderMatch
from molt_market.payments.service import PaymentService
from molt_market.storage import backup
from molt_market.storage.backup import back_up, restore
from molt_market.storage.database import Database
from molt_market.storage.schema import metadata
from molt_market.testing import Devnet
from tests.databases import KINDS, database_url
from tests.integration.commands import PASSWORD, asked, key_file, molt, refused
from tests.integration.scene import Scene
from tests.integration.scene import molt as tokens


@pytest.fixture(params=[KINDS, KINDS[::-1]], ids=" to ".join)
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Yield the URLs of two databases, one of each kind."""
    kinds = request.param
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    with (
        database_url(kinds[0], tmp_path / "old") as old,
        database_url(kinds[1], tmp_path / "new", without_tables=True) as new,
    ):
        yield old, new


def all_rows(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.reading() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        }


def payments_of(net: Devnet, database: Database) -> PaymentService:
    client = net.client(net.buyer)
    return PaymentService(client, journal=journal_in(database, client))


def test_backup__old_one_comes_back__nothing_paid_twice_nothing_lost(
    scene: Scene, net: Devnet, folder: Path, urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From either kind of database, by way of the file, into the other kind, and on with it there."""
    monkeypatch.setenv("MOLT_WALLET", str(key_file(net.buyer, folder / "buyer.json")))
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", PASSWORD)
    old, new = urls
    offer = scene.offer(gpu_count=12)
    matches = [scene.match(offer=offer, slot=slot) for slot in range(3)]
    database = Database(old)
    payments = payments_of(net, database)
    kept = payments.create_job_escrow(matches[0], net.buyer)
    assert asked("--database", old, "index", "--once")["live_deals"] == 1
    told = asked("--database", old, "backup", "market.backup")
    before = all_rows(database)
    assert told["rows"] == sum(map(len, before.values())) > 5
    assert (folder / "market.backup").stat().st_mode & 0o077 == 0

    lost = payments.create_job_escrow(matches[1], net.buyer)  # after the backup
    payments.redeem(lost, scene.voucher(lost, "12"))
    assert asked("--database", old, "index", "--once")["live_deals"] == 2
    database.close()
    money, sent = scene.wealth(net.buyer), scene.sent(net.buyer)

    assert asked("--database", new, "restore", "market.backup")["rows"] == told["rows"]
    restored = Database(new)
    assert all_rows(restored) == before
    assert "nonces" in molt("--database", new, "reconcile")
    assert asked("--database", new, "index", "--once")["live_deals"] == 2
    payments = payments_of(net, restored)
    assert payments.create_job_escrow(matches[0], net.buyer).id == kept.id
    assert payments.create_job_escrow(matches[1], net.buyer).id == lost.id
    payments.redeem(lost, scene.voucher(lost, "12"))
    assert (scene.wealth(net.buyer), scene.sent(net.buyer)) == (money, sent)
    assert payments.create_job_escrow(matches[2], net.buyer).status is DealStatus.LOCKED
    assert scene.wealth(net.buyer) == money - tokens(240)
    restored.close()


@pytest.mark.parametrize("kind", KINDS)
def test_backup__while_others_write__is_of_one_moment(
    scene: Scene, net: Devnet, tmp_path: Path, kind: str
) -> None:
    """Whatever moment it is: each transaction in the copy has its dispatch, and writers go on meanwhile."""
    with database_url(kind, tmp_path) as url:
        database, stop = Database(url), threading.Event()
        writer = threading.Thread(target=_keep_paying, args=(net, url, _matches(scene), stop))
        writer.start()
        try:
            copies = [_copied(database, tmp_path / f"{number}.backup") for number in range(4)]
        finally:
            stop.set()
            writer.join()
        database.close()
    sizes = [len(each["entries"]) for each in copies]
    assert sizes == sorted(sizes)
    for rows in copies:
        dispatches = {row[0] for row in rows["dispatches"]}
        assert {row[0] for row in rows["transactions"]} <= dispatches


def _matches(scene: Scene) -> list[OrderMatch]:
    offer = scene.offer(gpu_count=40)
    return [scene.match(offer=offer, slot=slot) for slot in range(8)]


def _keep_paying(net: Devnet, url: str, matches: list[OrderMatch], stop: threading.Event) -> None:
    database = Database(url)
    payments = payments_of(net, database)
    for match in matches:
        if not stop.is_set():
            payments.create_job_escrow(match, net.buyer)
    database.close()


def _copied(database: Database, file: Path) -> dict[str, list[tuple[object, ...]]]:
    back_up(database, file)
    copy = Database(file, must_exist=True)
    try:
        return all_rows(copy)
    finally:
        copy.close()


def test_backup__file_is_there__is_refused(net: Devnet, folder: Path) -> None:
    Database("market.db").close()
    molt("--database", "market.db", "backup", "market.backup")
    said = refused("--database", "market.db", "backup", "market.backup", code=ExitCode.BAD_INPUT)
    assert "is there already" in said
    assert "cannot be made" in refused(
        "--database", "market.db", "backup", "no/market.backup", code=ExitCode.BAD_INPUT
    )


def test_restore__database_is_not_empty__is_refused_and_left_alone(
    scene: Scene, net: Devnet, folder: Path
) -> None:
    database = Database("market.db")
    payments_of(net, database).create_job_escrow(scene.match(), net.buyer)
    molt("--database", "market.db", "backup", "market.backup")
    before = all_rows(database)
    said = refused("--database", "market.db", "restore", "market.backup", code=ExitCode.BAD_INPUT)
    assert "restore into an empty database" in said
    assert all_rows(database) == before
    database.close()
    said = refused("--database", "new.db", "restore", "nowhere.backup", code=ExitCode.BAD_INPUT)
    assert "there is no database at nowhere.backup" in said


def test_restore__breaks_off__leaves_nothing(
    scene: Scene, net: Devnet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database("market.db")
    payments_of(net, database).create_job_escrow(scene.match(), net.buyer)
    back_up(database, Path("market.backup"))
    target = Database("new.db")
    twice = [*metadata.sorted_tables, metadata.tables["entries"]]
    monkeypatch.setattr(backup, "metadata", SimpleNamespace(sorted_tables=twice))
    with pytest.raises(Exception, match="restore into an empty database"):  # met again, it has rows
        restore(Path("market.backup"), target)
    monkeypatch.undo()
    assert not any(all_rows(target).values())
    target.close()
    database.close()
