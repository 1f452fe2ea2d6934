"""A backup holds all records of one moment, and comes back into an empty database of either kind, or not at all."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import App, AppMaker
from cryptography.fernet import Fernet
from sqlalchemy import select

from pilot.contract import PilotError
from pilot.operations.backup import backup, restore
from pilot.records import audit
from pilot.records.database import open_database, writing
from pilot.records.tables import items, metadata, sessions
from pilot.settings import Settings, load_settings

KEY = Fernet.generate_key().decode()


def contents(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    engine = open_database(settings)
    with engine.connect() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
            if table is not sessions
        }


@pytest.fixture
def filled(make_app: AppMaker, database: dict[str, str]) -> App:
    app = make_app("right", "assist", data_key=KEY, **database)
    for text in ("where is my money", "the card is lost", "hello"):
        item = app.post(text).json()["id"]
        app.judge(item, final={"label": "money"}, comment="as said")
    return app


@pytest.fixture
def empty(tmp_path: Path) -> Settings:
    return load_settings(root=tmp_path, data_key=KEY, database_url=f"sqlite:///{tmp_path}/restored.db")


def test_all_records_come_back_from_either_database(filled: App, empty: Settings, tmp_path: Path) -> None:
    said = backup(filled.settings, tmp_path / "backup.pilot")
    assert "3 items" in said
    assert KEY not in said
    assert "as said" not in gzip.decompress((tmp_path / "backup.pilot").read_bytes()).decode()
    told = restore(empty, tmp_path / "backup.pilot")
    assert "3 items" in told
    assert "Recovery point" in told
    assert contents(empty) == contents(filled.settings)
    engine = open_database(empty)
    with engine.connect() as connection:
        assert audit.first_break(connection) is None
    with pytest.raises(PilotError, match="is not empty"):
        restore(empty, tmp_path / "backup.pilot")


@pytest.mark.postgres
def test_records_move_into_postgresql_and_numbers_go_on(make_app: AppMaker, postgres: Any, tmp_path: Path) -> None:
    app = make_app("right", "assist", data_key=KEY)
    app.post("where is my money")
    backup(app.settings, tmp_path / "backup.pilot")
    moved = load_settings(root=tmp_path, data_key=KEY, **postgres.new_database())
    restore(moved, tmp_path / "backup.pilot")
    assert contents(moved) == contents(app.settings)
    with writing(open_database(moved)) as connection:
        row = dict(connection.execute(select(items)).mappings().one())
        seq = row.pop("seq")
        connection.execute(items.insert(), {**row, "id": "another", "idempotency_key": None, "source_id": None})
        assert connection.execute(select(items.c.seq).where(items.c.id == "another")).scalar_one() > seq


def test_the_wrong_key_is_refused_and_nothing_is_written(filled: App, empty: Settings, tmp_path: Path) -> None:
    backup(filled.settings, tmp_path / "backup.pilot")
    wrong = load_settings(root=tmp_path, data_key=Fernet.generate_key().decode(), database_url=empty.database_url)
    with pytest.raises(PilotError, match="was sealed with data key"):
        restore(wrong, tmp_path / "backup.pilot")
    assert "3 items" in restore(empty, tmp_path / "backup.pilot")


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def without_the_end(content: bytes) -> bytes:
    lines = gzip.decompress(content).splitlines(keepends=True)
    return gzip.compress(b"".join(lines[:-1]))


def without_an_item(content: bytes) -> bytes:
    lines = gzip.decompress(content).splitlines(keepends=True)
    return gzip.compress(b"".join(line for n, line in enumerate(lines) if n != 3))


def another_file(content: bytes) -> bytes:
    return b"PK\x03\x04" + content


@pytest.mark.parametrize("damage", [cut, without_the_end, without_an_item, another_file])
def test_a_file_that_is_not_whole_is_refused(
    damage: Callable[[bytes], bytes], make_app: AppMaker, empty: Settings, tmp_path: Path
) -> None:
    app = make_app("right", "assist", data_key=KEY)
    app.post("where is my money")
    file = tmp_path / "backup.pilot"
    backup(app.settings, file)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(PilotError, match=r"backup\.pilot"):
        restore(empty, file)
    assert empty.database_file is not None
    assert not empty.database_file.exists()


def test_a_byte_that_the_disk_changed_is_seen_wherever_it_is(
    make_app: AppMaker, empty: Settings, tmp_path: Path
) -> None:
    app = make_app("right", "assist", data_key=KEY)
    app.post("where is my money")
    file = tmp_path / "backup.pilot"
    backup(app.settings, file)
    whole = file.read_bytes()
    # The first bytes hold gzip's date and system, which nothing reads.
    for place in range(10, len(whole), 7):
        file.write_bytes(bytes((*whole[:place], whole[place] ^ 0xFF, *whole[place + 1 :])))
        with pytest.raises(PilotError, match=r"backup\.pilot"):
            restore(empty, file)


def test_a_backup_that_fails_leaves_no_file_and_overwrites_none(
    make_app: AppMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app("right", "assist")
    app.post("where is my money")
    folder = tmp_path / "backups"
    folder.mkdir()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pilot.operations.backup.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            backup(app.settings, folder / "backup.pilot")
    assert not list(folder.iterdir())
    backup(app.settings, folder / "backup.pilot")
    with pytest.raises(PilotError, match="is there already"):
        backup(app.settings, folder / "backup.pilot")
    assert [file.name for file in folder.iterdir()] == ["backup.pilot"]
    assert (folder / "backup.pilot").stat().st_mode & 0o777 == 0o600


def test_a_chain_that_does_not_hold_is_refused(make_app: AppMaker, empty: Settings, tmp_path: Path) -> None:
    app = make_app("right", "assist", data_key=KEY)
    app.post("where is my money")
    engine = open_database(app.settings)
    with writing(engine) as connection:
        connection.execute(audit.audit.update().where(audit.audit.c.seq == 1).values(actor="nobody"))
    backup(app.settings, tmp_path / "backup.pilot")
    with pytest.raises(PilotError, match="audit chain"):
        restore(empty, tmp_path / "backup.pilot")
    assert contents(empty)["audit"] == []
