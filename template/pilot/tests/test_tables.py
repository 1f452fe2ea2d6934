"""Moments come back as they went in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine, insert, select

from pilot.records.tables import keys


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2024, 2, 29, 23, 59, 59, 999_999, UTC),
        datetime(2024, 3, 31, 2, 30, tzinfo=timezone(timedelta(hours=14))),
        datetime(1970, 1, 1, tzinfo=UTC),
    ],
)
def test_a_moment_is_kept_in_utc_to_the_microsecond(moment: datetime, engine: Engine) -> None:
    row = {"id": "a", "name": "a", "role": "caller", "origin": "live", "hash": "a", "created_at": moment}
    with engine.begin() as connection:
        connection.execute(insert(keys), row)
        found = connection.execute(select(keys.c.created_at, keys.c.revoked_at)).one()
        assert connection.execute(select(keys.c.id).where(keys.c.created_at <= moment)).scalar() == "a"
        later = moment - timedelta(microseconds=1)
        assert connection.execute(select(keys.c.id).where(keys.c.created_at <= later)).scalar() is None
    assert found.created_at == moment
    assert found.created_at.utcoffset() is not None
    assert found.revoked_at is None
