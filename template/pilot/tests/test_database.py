"""The database: durable, migrated by one process at a time, refused when it is newer."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from conftest import Pooler, Postgres, ServerMaker
from sqlalchemy import Engine, create_engine, inspect, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pilot.contract import PilotError
from pilot.records import database
from pilot.records.database import fault, migrate, open_database, shown_name, writing
from pilot.records.tables import audit, metadata
from pilot.settings import load_settings


def test_the_tables_are_those_that_the_migrations_make(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_the_comparison_sees_a_missing_column(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text('ALTER TABLE items DROP COLUMN "rollout_version"'))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) != []


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    migrate(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1


@pytest.mark.parametrize("mark", ["UPDATE settings_in_force SET value = '9998'", "DELETE FROM settings_in_force"])
def test_a_newer_schema_is_refused_and_left_alone(mark: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text(f"{mark} WHERE name = 'schema_runs_from'"))
    with pytest.raises(PilotError, match=r"schema 9999, which this version does not know"):
        migrate(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"


def test_many_may_start_on_one_empty_database_at_once(database: dict[str, str], tmp_path: Path) -> None:
    settings = load_settings(root=tmp_path, **database)
    together = threading.Barrier(6)

    def start(_: int) -> None:
        engine = open_database(settings)
        together.wait()
        migrate(engine)
        engine.dispose()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(start, range(6)))
    engine = open_database(settings)
    assert set(metadata.tables) <= set(inspect(engine).get_table_names())
    engine.dispose()


def test_the_switch_to_the_write_ahead_log_waits_for_another_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without SQLite's own waiting, which does not cover the moment in which two switch at once.
    first, second = (sqlite3.connect(tmp_path / "x.db", timeout=0, isolation_level=None) for _ in range(2))
    first.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(database, "sleep", lambda _: first.rollback())
    monkeypatch.setattr(database, "WAIT", -1)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        database._write_ahead(second)
    monkeypatch.setattr(database, "WAIT", 2)
    database._write_ahead(second)
    assert second.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    for connection in (first, second):
        connection.close()


def test_two_processes_may_start_on_one_empty_database_at_once(
    database: dict[str, str], make_server: ServerMaker
) -> None:
    first, second = (make_server("right", "shadow", database) for _ in range(2))
    for server in (first, second):
        engine = open_database(load_settings(root=server.log.parent, **database))
        with engine.begin() as connection:
            metadata.drop_all(connection)
            connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
        engine.dispose()
    first.start(wait=False)
    second.start(wait=False)
    for server in (first, second):
        from conftest import wait_until

        wait_until(server._answers, 60)


def test_a_migration_that_dies_half_way_leaves_nothing(
    database: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import op

    settings = load_settings(root=tmp_path, **database)
    engine = open_database(settings)
    create = op.create_table

    def dying(name: str, *given: object, **more: object) -> object:
        if name == "outcomes":
            raise KeyboardInterrupt
        return create(name, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(op, "create_table", dying)
    with pytest.raises(KeyboardInterrupt):
        migrate(engine)
    assert not set(inspect(engine).get_table_names()) & set(metadata.tables)
    monkeypatch.undo()
    migrate(engine)
    assert set(metadata.tables) <= set(inspect(engine).get_table_names())
    engine.dispose()


def test_a_write_that_fails_leaves_nothing(engine: Engine) -> None:
    from pilot.records import audit as trail

    def fail() -> None:
        with writing(engine) as connection:
            trail.append(connection, "test", "event", {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with engine.connect() as connection:
        assert connection.execute(select(audit)).all() == []


def test_sqlite_is_durable_and_keeps_its_references(settings: object, tmp_path: Path) -> None:
    engine = open_database(load_settings(root=tmp_path))
    with engine.connect() as connection:
        found = [
            connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]
    engine.dispose()


def test_the_files_of_sqlite_are_their_owner_s_alone(tmp_path: Path) -> None:
    engine = open_database(load_settings(root=tmp_path, database_url=f"sqlite:///{tmp_path}/var/pilot.db"))
    migrate(engine)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        files = list((tmp_path / "var").iterdir())
        assert {file.name for file in files} >= {"pilot.db", "pilot.db-wal"}
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_a_database_that_is_not_there_is_a_message_without_the_password(tmp_path: Path) -> None:
    settings = load_settings(
        root=tmp_path, database_url="postgresql://pilot@127.0.0.1:1/none", database_password="hunter2-canary"
    )
    engine = open_database(settings)
    with pytest.raises(PilotError) as caught:
        migrate(engine)
    assert "postgresql+psycopg://pilot@127.0.0.1:1/none cannot be used" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert "canary" not in shown_name(engine)


def test_a_file_that_is_no_database_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "pilot.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(PilotError, match="cannot be used"):
        migrate(open_database(load_settings(root=tmp_path, database_url="sqlite:///pilot.db")))


def test_a_folder_that_cannot_be_made_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PilotError, match="cannot be made"):
        open_database(load_settings(root=tmp_path, database_url="sqlite:///file/pilot.db"))


@pytest.mark.postgres
def test_behind_a_pooler_in_transaction_mode_all_is_recorded(
    postgres: Postgres, pooler: Pooler, make_server: ServerMaker
) -> None:
    """I4: PgBouncer refused the options of the start; without them, 77 of 200 items met 503."""
    server = make_server("right", "auto", pooler.before(postgres.new_database()))
    server.start()
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda number: server.post(f"where is my money {number}").status_code, range(200)))
    assert set(answers) == {200}
    assert "error" not in pooler.log.read_text().lower()


@pytest.mark.postgres
def test_a_statement_and_a_lock_are_waited_for_so_long_and_no_longer(
    postgres: Postgres, pooler: Pooler, tmp_path: Path
) -> None:
    for one in (pooler.before(postgres.new_database()), postgres.new_database()):
        engine = open_database(load_settings(root=tmp_path, **one))
        with engine.connect() as connection:
            names = ("statement_timeout", "lock_timeout")
            shown = [connection.execute(text(f"SHOW {name}")).scalar() for name in names]
        assert shown == ["10s", "5s"]
        with engine.connect() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 50"))
            with pytest.raises(DBAPIError) as raised:
                connection.execute(text("SELECT pg_sleep(5)"))
        assert fault(raised.value).kind == "timeout"
        engine.dispose()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("refused", lambda given: given | {"database_url": "postgresql://pilot@127.0.0.1:1/pilot"}),
        ("unknown_host", lambda given: given | {"database_url": "postgresql://pilot@no-such-host.invalid/pilot"}),
        ("wrong_password", lambda given: given | {"database_password": "x" * 24}),
        ("no_database", lambda given: given | {"database_url": f"{given['database_url']}_gone"}),
    ],
)
def test_errors_of_the_database_are_told_apart(kind: str, change: Any, postgres: Postgres, tmp_path: Path) -> None:
    """I4: each was told as the database being down."""
    engine = open_database(load_settings(root=tmp_path, **change(postgres.new_database())))
    with pytest.raises(PilotError) as raised:
        migrate(engine)
    assert str(raised.value).count(database.FAULTS[kind].what) == 1
    assert database.FAULTS[kind].fix in str(raised.value)


@pytest.mark.postgres
def test_errors_of_a_pooler_are_told_apart(postgres: Postgres, pooler: Pooler, tmp_path: Path) -> None:
    given = pooler.before(postgres.new_database())
    for kind, changed in {
        "wrong_password": given | {"database_password": "x" * 24},
        "no_database": given | {"database_url": f"{given['database_url']}_gone"},
    }.items():
        engine = open_database(load_settings(root=tmp_path, **changed))
        with pytest.raises(SQLAlchemyError) as raised, engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        assert fault(raised.value).kind == kind
    options = {"connect_args": {"options": "-c statement_timeout=1", "password": postgres.password}}
    refused = create_engine(given["database_url"].replace("postgresql:", "postgresql+psycopg:"), **options)
    with pytest.raises(SQLAlchemyError) as raised, refused.connect():
        pass
    assert fault(raised.value).kind == "pooler", raised.value


def test_what_no_word_of_an_error_tells_has_failed() -> None:
    assert fault(DBAPIError("", None, ValueError("something of customer Ada"))).kind == "failed"
    assert "Ada" not in str(fault(DBAPIError("", None, ValueError("something of customer Ada"))))
    missing = psycopg.errors.UndefinedTable('relation "items" does not exist')
    assert fault(DBAPIError("", None, missing)).kind == "failed", "not the database: a table of it"
    assert fault(DBAPIError("", None, psycopg.errors.AdminShutdown("terminating"))).kind == "lost"
    for said, kind in {"database is locked": "timeout", "database or disk is full": "full"}.items():
        assert fault(DBAPIError("", None, sqlite3.OperationalError(said))).kind == kind
