"""What is in force while the service runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, select

from pilot.records import controls
from pilot.records.controls import Mode
from pilot.records.crypto import Vault
from pilot.records.database import writing
from pilot.records.tables import audit, settings_in_force


def test_a_new_database_is_in_shadow(engine: Engine) -> None:
    with engine.connect() as connection:
        assert controls.mode(connection) is Mode.SHADOW


@pytest.mark.parametrize("wanted", list(Mode))
def test_a_mode_holds_with_its_version_and_its_entry(wanted: Mode, engine: Engine) -> None:
    for number in (1, 2):
        with writing(engine) as connection:
            before = controls.set_mode(connection, wanted, "olga")
            assert before is (Mode.SHADOW if number == 1 else wanted)
            assert controls.mode(connection) is wanted
            row = connection.execute(select(settings_in_force).where(settings_in_force.c.name == "mode")).one()
            assert (row.version, row.by) == (number, "olga")
            assert len(connection.execute(select(audit)).all()) == number


def test_processes_that_start_together_share_one_pepper(engine: Engine) -> None:
    def read(_: int) -> bytes:
        with writing(engine) as connection:
            return controls.pepper(connection, Vault(()))

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(read, range(16)))
    assert len(found) == 1
    assert len(found.pop()) == 32
