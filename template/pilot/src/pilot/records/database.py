"""The database: how it is opened, written and brought to the present schema."""

from __future__ import annotations

import os
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, MetaData, Table, create_engine, event, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError

from pilot.contract import PilotError
from pilot.settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"
# Any constant will do, as long as no other program of the same database takes it.
AUDIT_LOCK = 0x70696C6F74
# The oldest schema whose code works with the present one: since then, columns were only added. A migration that takes
# something away raises it, one release after the code stopped to use it.
RUNS_FROM, _RUNS_FROM = "0001", "schema_runs_from"
SCHEMA_LOCK = AUDIT_LOCK + 1
# Seconds for which SQLite's writers wait for one another.
WAIT = 2
# How long, in seconds, a server of a database may not answer: longer than a statement may take.
PATIENCE = 12.0


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class DatabaseFault:
    """Why the database cannot be used: a `kind` for logs, what it is, and what to do. Never the server's own words,
    which may hold names and contents."""

    kind: str
    what: str
    fix: str


_FAULTS = tomllib.loads((Path(__file__).parent / "faults.toml").read_text(encoding="utf-8"))
FAULTS = {kind: DatabaseFault(kind, of["what"], of["fix"]) for kind, of in _FAULTS.items()}


def fault(error: BaseException) -> DatabaseFault:
    """Why an error of SQLAlchemy came about, as far as that can be told."""
    cause = getattr(error, "orig", None) or error
    state, said = str(getattr(cause, "sqlstate", None) or ""), str(cause).lower()
    for kind, of in _FAULTS.items():
        signs = of.get("states" if state else "words", ())
        if any(state.startswith(sign) if state else sign in said for sign in signs):
            return FAULTS[kind]
    return FAULTS["failed"]


class _Patient(psycopg.Connection[Any]):
    """A connection that gives up on a server which keeps it open and no longer answers, as one that is suspended: the
    bounds of a statement are the server's, and those of the network see nothing wrong."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As psycopg's, and OperationalError after PATIENCE."""
        try:
            return super().wait(gen, interval, timeout or PATIENCE)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                self.close()  # a late answer belongs to no question
            raise


def open_database(settings: Settings) -> Engine:
    """An engine whose commits survive a power cut and whose waits are bounded. Nothing is connected yet.

    Raises PilotError when the file of the database cannot be made.
    """
    file = settings.database_file
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                # Records are nobody else's to read; SQLite gives its other files the same permissions.
                os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError as error:
            raise PilotError(
                f"The database {file} cannot be made ({error.strerror}). Check PILOT_DATABASE_URL."
            ) from error
        # A path is never parsed as a URL, where a percent sign and a question mark mean something.
        return _sqlite(URL.create("sqlite", database=str(file)))
    url = make_url(settings.database_url)
    url = url.set(drivername="postgresql+psycopg")
    # TLS first: a server's certificate is checked by the authorities that this system knows.
    if not all(settings.is_plain(host) for host in _hosts(url)):
        url = url.update_query_dict({"sslmode": "verify-full", "sslrootcert": "system", **url.query})
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=5,
        max_overflow=5,
        pool_timeout=5,
        connect_args={
            "connect_timeout": 3,
            # A server that is gone without a word must not hold a connection, and all who wait for it.
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            # A pooler that hands out a connection for each transaction knows no statements that were prepared before.
            "prepare_threshold": None,
        },
    )

    @event.listens_for(engine, "do_connect")
    def connect(_: Any, __: Any, arguments: Any, parameters: dict[str, Any]) -> _Patient:
        # As it is now: it may have been changed since the service began.
        if settings.database_password is not None:
            parameters["password"] = settings.database_password.get_secret_value()
        return _Patient.connect(*arguments, **parameters)

    @event.listens_for(engine, "begin")
    def bounded(connection: Connection) -> None:
        # For the transaction: such a pooler refuses options at the start, and would pass them on to others.
        # It has no rows to stream, whatever the statement that begins the transaction asks for.
        bounds = "SET LOCAL statement_timeout = 10000; SET LOCAL lock_timeout = 5000"
        connection.exec_driver_sql(bounds, execution_options={"stream_results": False, "yield_per": None})

    return engine


def _hosts(url: URL) -> tuple[str, ...]:
    named = url.query.get("host", ())
    return (url.host,) if url.host else (named,) if isinstance(named, str) else named or ("",)


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": WAIT, "isolation_level": None})

    @event.listens_for(engine, "connect")
    def durable(connection: sqlite3.Connection, _: Any) -> None:
        _write_ahead(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switches to the write-ahead log. SQLite does not wait where another switches at the same moment, so this does."""
    until = monotonic() + WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > until:
                raise
            sleep(0.01)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes. It waits for its turn, so that the audit chain has one order."""
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": AUDIT_LOCK})
        yield connection


def shown_name(engine: Engine) -> str:
    """The database's name for people: a file or a host, never a password."""
    return engine.url.database or "" if engine.dialect.name == "sqlite" else engine.url.render_as_string(True)


def migrate(engine: Engine) -> None:
    """Brings the database to this version's schema, one process at a time.

    Raises PilotError when the schema is newer than this code, or when the database cannot be reached.
    """
    try:
        with engine.connect() as connection, connection.begin():
            if not _behind(connection):
                return  # nothing is written, so whoever writes at this moment need not be waited for
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SCHEMA_LOCK})
            if _behind(connection):
                config = _config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                note_schema(connection)
    except SQLAlchemyError as error:
        found = fault(error)
        raise PilotError(
            f"The database {shown_name(engine)} cannot be used: {found.what}. {found.fix} See runbook/database-down.md."
        ) from error


def revision(connection: Connection) -> str | None:
    """The schema that the database has; None where it has none."""
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _behind(connection: Connection) -> bool:
    """Whether the database has an older schema than this code, or none. A newer one that leaves all that this code
    needs is not behind: so a deployment can be taken back.

    Raises PilotError for a schema that this code cannot work with.
    """
    script = ScriptDirectory.from_config(_config())
    present, head = revision(connection), script.get_current_head()
    if present is None or present in {known.revision for known in script.walk_revisions()}:
        return present != head
    if _runs_from(connection) > str(head):
        raise PilotError(
            f"The database {shown_name(connection.engine)} has schema {present}, which this version does not know. "
            "Run the version that made it, or a newer one; nothing was changed."
        )
    return False


def note_schema(connection: Connection) -> None:
    """Leaves in the database which older code works with its schema."""
    if _runs_from(connection) == RUNS_FROM:
        return
    table = Table("settings_in_force", MetaData(), autoload_with=connection)
    connection.execute(table.delete().where(table.c.name == _RUNS_FROM))
    row = {"name": _RUNS_FROM, "value": RUNS_FROM, "version": 1, "at": now().replace(tzinfo=None), "by": "service"}
    connection.execute(table.insert(), row)


def _runs_from(connection: Connection) -> str:
    """The oldest schema whose code can work with the present one, by the version that made it."""
    table = Table("settings_in_force", MetaData(), autoload_with=connection)
    found = connection.execute(select(table.c.value).where(table.c.name == _RUNS_FROM)).scalar_one_or_none()
    return found or "unknown"
