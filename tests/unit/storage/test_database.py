"""Opening a database: its tables are made once, whoever opens it, and what is none is told."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, create_engine, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from molt_market.domain.amounts import MOLT
from molt_market.domain.ids import OfferId
from molt_market.domain.updates import OfferPosted
from molt_market.errors import InvalidValue, StorageUnavailable
from molt_market.storage import database as storage_database
from molt_market.storage.database import Database, _engine, _url
from molt_market.storage.market import SqlMarket
from molt_market.storage.migrate import config
from molt_market.storage.schema import VERSION, accounts, entries, feeds, metadata
from tests.databases import KINDS, database_url
from tests.factories import NOON, make_offer

ENTRY = {"chain": "c", "key": "k", "note": "", "first_item": 0, "items": 1}


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database_url(request.param, tmp_path, without_tables=True) as url:
        yield url


def test_migrations__give_the_tables_of_the_schema(database: Database) -> None:
    with database.reading() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == VERSION


def test_open__by_many_at_once__makes_the_tables_once(url: str) -> None:
    opened: list[Database] = []
    threads = [threading.Thread(target=lambda: opened.append(Database(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for each in opened:
        with each.reading() as connection:
            assert connection.execute(select(accounts)).all() == []
        each.close()


def test_open__a_new_file_by_many_at_the_same_moment__each_waits_for_the_others(tmp_path: Path) -> None:
    """SQLite itself does not wait where two switch a file to WAL: one of ten such moments failed."""
    for number in range(40):
        failures: list[Exception] = []
        together = threading.Barrier(6)

        def connect(
            url: URL, together: threading.Barrier = together, failures: list[Exception] = failures
        ) -> None:
            engine = _engine(url)
            together.wait()
            try:
                engine.connect().close()
            except DBAPIError as error:
                failures.append(error)
            engine.dispose()

        url = _url(tmp_path / f"{number}.db")
        threads = [threading.Thread(target=connect, args=(url,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []


def test_open__again__keeps_what_is_there(url: str, database: Database) -> None:
    with database.writing() as connection:
        connection.execute(insert(accounts).values(chain="c", address="0x00"))
    again = Database(url)
    with again.reading() as connection:
        assert connection.execute(select(accounts.c.address)).scalar_one() == "0x00"
    again.close()


def test_open__tables_of_before_the_feed_named_what_was_posted__its_steps_are_read(url: str) -> None:
    posted = OfferPosted(offer=make_offer())
    old = create_engine(_url(url))
    with old.begin() as connection:
        settings = config()
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0010")
        row = {"here": "c", "update": posted.model_dump_json()}
        connection.execute(text("INSERT INTO feed VALUES (:here, 1, 1800000000, :update)"), row)
        connection.execute(text("INSERT INTO feeds VALUES (:here, 1)"), row)
    old.dispose()
    database = Database(url)
    market = SqlMarket(database, "c", MOLT)
    market.post_offers([make_offer(id=OfferId("new"))], NOON)
    assert [item.update for item in market.feed(0, 10)] == [
        posted,
        OfferPosted(offer=make_offer(id=OfferId("new"))),
    ]
    database.close()


def test_open__tables_that_are_current__takes_no_alembic(url: str, database: Database) -> None:
    run = "import sys; from molt_market.storage.database import Database; Database(sys.argv[1]).close()"
    look = "; assert 'alembic' not in sys.modules"
    subprocess.run([sys.executable, "-c", run + look, url], check=True)


def test_open__tables_of_a_later_version__is_refused(url: str, database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageUnavailable, match="later version"):
        Database(url)


def test_writing__error_in_the_block__undoes_all_of_it(database: Database) -> None:
    def broken() -> None:
        with database.writing() as connection:
            connection.execute(insert(accounts).values(chain="c", address="0x00"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    with database.reading() as connection:
        assert connection.execute(select(accounts)).all() == []


def test_times__come_back_in_utc__whatever_zone_they_were_in(database: Database) -> None:
    noon = datetime(2026, 1, 1, 12, 0, 0, 123, tzinfo=UTC)
    with database.writing() as connection:
        local = noon.astimezone(timezone(timedelta(hours=5)))
        connection.execute(insert(entries).values(ENTRY | {"planned_at": local}))
    with database.reading() as connection:
        found = connection.execute(select(entries.c.planned_at)).scalar_one()
    assert (found, found.tzinfo) == (noon, UTC)


def test_sqlite__is_durable(tmp_path: Path) -> None:
    database = Database(tmp_path / "market.db")
    with database.reading() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    database.close()
    assert settings == ["wal", 2, 1]  # 2: FULL


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("mysql://host/name", "not supported"),
        ("sqlite://", "does not outlive"),
        ("sqlite:///:memory:", "does not outlive"),
        ("://", "is no database"),
    ],
)
def test_open__what_cannot_be_used__is_told(given: str, says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        Database(given)


def test_open__postgresql_without_its_driver__says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InvalidValue, match="pip install"):
        Database("postgresql://localhost/market")


def test_open__a_file_that_is_no_database__is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("this is not a database at all\n" * 100, "utf-8")
    with pytest.raises(StorageUnavailable, match="not a database"):
        Database(path)
    assert path.read_text("utf-8").startswith("this is not")


def test_open__a_folder_that_is_not_there__is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="unable to open"):
        Database(tmp_path / "nowhere" / "market.db")


def test_open__no_server__is_unavailable__and_no_password_is_shown() -> None:
    with pytest.raises(StorageUnavailable) as error:
        Database("postgresql://user:secret@127.0.0.1:1/market")
    assert "secret" not in str(error.value)


def test_must_exist__no_file__is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "market.db"
    with pytest.raises(InvalidValue, match="there is no database at"):
        Database(path, must_exist=True)
    assert not path.exists()
    Database(path).close()
    Database(path, must_exist=True).close()


def test_reading__sees_one_state__whatever_is_written_meanwhile(database: Database) -> None:
    with database.reading() as connection:
        before = connection.execute(select(accounts)).all()
        with database.writing() as other:
            other.execute(insert(accounts).values(chain="c", address="0x1"))
        assert connection.execute(select(accounts)).all() == before == []
    with database.reading() as connection:
        assert len(connection.execute(select(accounts)).all()) == 1


def test_writing__in_a_file_that_is_busy__is_unavailable__and_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_database, "BUSY_SECONDS", 0)
    path = tmp_path / "market.db"
    with closing(Database(path)) as database, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(StorageUnavailable), database.writing():
                pytest.fail("there is one writer at a time")
        other.execute("COMMIT")
        with database.writing() as connection:
            assert connection.in_transaction()


def test_writing__by_many_threads__one_after_the_other(database: Database) -> None:
    """Each reads what the one before has written: nobody writes beside another one."""

    def count(_: int) -> None:
        with database.writing() as connection:
            last = connection.execute(select(feeds.c.last).with_for_update()).scalar_one()
            connection.execute(update(feeds).values(last=last + 1))

    with database.writing() as connection:
        connection.execute(insert(feeds).values(deployment="here", last=0))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(100)))
    with database.reading() as connection:
        assert connection.execute(select(feeds.c.last)).scalar_one() == 100
