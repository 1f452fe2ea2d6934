"""All records in one file, from SQLite or PostgreSQL, and back into an empty database of either."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, LargeBinary, func, insert, select, text

from pilot.contract import PilotError
from pilot.records import audit, controls
from pilot.records.crypto import Vault
from pilot.records.database import MIGRATIONS, migrate, note_schema, now, open_database, revision, shown_name, writing
from pilot.records.tables import Instant, metadata, sessions, settings_in_force
from pilot.settings import Settings

FORMAT = "ai-pilot-backup-1"
# In an order in which each row comes after those that it refers to. Whoever is signed in signs in again.
TABLES = [table for table in metadata.sorted_tables if table is not sessions]
_CHUNK = 1000


def backup(settings: Settings, file: Path) -> str:
    """Writes the records of one moment to a new file and says what is in it. Contents stay as they are kept: sealed,
    where a data key is set. The file appears when it is whole, and its last line has the hash of all others.

    Raises PilotError where the file is there already.
    """
    if file.exists():
        raise PilotError(f"{file} is there already. A backup overwrites nothing: name another file.")
    begun, engine = time.monotonic(), open_database(settings)
    migrate(engine)
    draft, counts = file.with_name(f".{file.name}.{os.getpid()}"), dict[str, int]()
    try:
        with (
            _snapshot(engine) as connection,
            open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as plain,
            gzip.GzipFile("", "wb", 6, plain) as out,
        ):
            digest = hashlib.sha256()

            def put(line: dict[str, Any]) -> None:
                written = orjson.dumps(line) + b"\n"
                digest.update(written)
                out.write(written)

            moment = now()
            columns = {str(table.name): [str(column.name) for column in table.c] for table in TABLES}
            of = {"schema": revision(connection), "head": audit.head(connection), "columns": columns}
            put({"format": FORMAT, "at": moment.isoformat(), **of})
            for table in TABLES:
                rows = connection.execution_options(yield_per=_CHUNK).execute(select(table))
                for number, row in enumerate(rows, start=1):
                    put({"table": str(table.name), "row": [_plain(value) for value in row]})
                    counts[str(table.name)] = number
            out.write(orjson.dumps({"counts": counts, "sha256": digest.hexdigest()}) + b"\n")
            out.close()
            plain.flush()
            os.fsync(plain.fileno())
        os.link(draft, file)  # not over a file that appeared meanwhile
    finally:
        draft.unlink(missing_ok=True)
        engine.dispose()
    sealed = "sealed by the data key, without which they cannot be read" if settings.data_keys else "NOT encrypted"
    return (
        f"{file}: {counts.get('items', 0)} items, {sum(counts.values())} rows, {file.stat().st_size / 1e6:.1f} MB, in "
        f"{time.monotonic() - begun:.1f} s; contents are {sealed}.\n"
        f"What is recorded after {moment:%Y-%m-%d %H:%M:%S} UTC is not in it: make one as often as `rpo_minutes` in "
        "phases/4-harden/playbook.md says."
    )


def restore(settings: Settings, file: Path) -> str:
    """Reads a backup into the database of the settings, which must be empty, and says what was compared.

    Raises PilotError where the file is not whole or was altered, the database holds records, the data key is not the
    one that sealed them, or what was restored differs from what the file promises; then nothing was written.
    """
    begun = time.monotonic()
    header, counts = _checked(file)
    engine = open_database(settings)
    migrate(engine)
    with writing(engine) as connection:
        _refuse_records(connection)
        # Made by whatever looked at the database before.
        connection.execute(settings_in_force.delete())
        for name, rows in _rows(file, header):
            connection.execute(insert(metadata.tables[name]), rows)
        _go_on_counting(connection)
        number = select(func.count())
        found = {table.name: connection.execute(number.select_from(table)).scalar_one() for table in TABLES}
        if {name: count for name, count in found.items() if count} != counts:
            raise PilotError(f"The counts differ: {found} in the database, {counts} in the file. Nothing was restored.")
        controls.pepper(connection, Vault(settings.data_keys))  # the key opens what it must open
        note_schema(connection)  # the file has that of the version that made it
        if audit.first_break(connection) is not None or audit.head(connection) != header["head"]:
            raise PilotError("The audit chain does not hold as it was backed up. Nothing was restored.")
    made = datetime.fromisoformat(header["at"])
    minutes = (datetime.now(UTC) - made).total_seconds() / 60
    return (
        f"{shown_name(engine)}: {counts.get('items', 0)} items, {sum(counts.values())} rows; counts and audit "
        f"chain are those of the file.\nRecovery point: {made:%Y-%m-%d %H:%M:%S} UTC, {minutes:.0f} minutes ago; what "
        f"was recorded since is not there.\nRecovery time: {time.monotonic() - begun:.1f} s for the records."
    )


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one moment, while the service goes on to write."""
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.connect() as connection:
        yield connection


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, datetime) else value


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with gzip.open(file, "rb") as stream:
            yield from stream
    except (zlib.error, EOFError, OSError) as error:
        raise PilotError(
            f"{file} cannot be read to its end ({type(error).__name__}): it is no backup, or not whole."
        ) from error


def _checked(file: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The first and the last line of a whole and unaltered file. Raises PilotError for any other."""
    digest, header, last = hashlib.sha256(), None, b""
    for line in _lines(file):
        if header is None:
            header = line
        if last:
            digest.update(last)
        last = line
    try:
        first, end = orjson.loads(header or b""), orjson.loads(last)
        if first["format"] != FORMAT:
            raise ValueError
        counts, promised = dict[str, int](end["counts"]), end["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise PilotError(f"{file} is no backup of a pilot, or its end is missing. Nothing was restored.") from error
    if promised != digest.hexdigest():
        raise PilotError(f"{file} was altered after it was written. Nothing was restored.")
    return first, counts


def _rows(file: Path, header: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The rows by table, in chunks. A column that the backup's schema did not have stays empty."""
    schema = header["schema"]
    if schema not in {path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("*.py")}:
        raise PilotError(f"The backup is of schema {schema}, which is newer than this code. Update the pilot first.")
    taken: list[dict[str, Any]] = []
    name = ""
    for line in _lines(file):
        content = orjson.loads(line)
        if "table" not in content:
            continue
        if taken and (content["table"] != name or len(taken) == _CHUNK):
            yield name, taken
            taken = []
        name = content["table"]
        columns = [metadata.tables[name].c[column] for column in header["columns"][name]]
        taken.append({column.name: _value(column, v) for column, v in zip(columns, content["row"], strict=True)})
    if taken:
        yield name, taken


def _value(column: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(column.type, LargeBinary):
        return base64.b64decode(value)
    return datetime.fromisoformat(value) if isinstance(column.type, Instant) else value


def _refuse_records(connection: Connection) -> None:
    for name in ("items", "audit", "keys"):
        if connection.execute(select(metadata.tables[name]).limit(1)).first():
            raise PilotError(
                f"{shown_name(connection.engine)} is not empty: it has {name}. Name an empty database in "
                "PILOT_DATABASE_URL; nothing is overwritten."
            )


def _go_on_counting(connection: Connection) -> None:
    """Numbers that PostgreSQL gives go on behind those that were restored; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in TABLES:
        column = table.autoincrement_column
        if column is not None:
            most = connection.execute(select(func.max(column))).scalar()
            if most:
                connection.execute(
                    text("SELECT setval(pg_get_serial_sequence(:table, :column), :most)"),
                    {"table": table.name, "column": column.name, "most": most},
                )
