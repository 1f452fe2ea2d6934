"""What people may ask of their data: export, erasure, retention, and new keys for contents."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from conftest import App, AppMaker
from cryptography.fernet import Fernet
from sqlalchemy import event, update

from pilot.contract import PilotError
from pilot.records import audit, controls, privacy
from pilot.records.crypto import Vault
from pilot.records.database import now, writing
from pilot.records.queries import judged, live
from pilot.records.tables import answers, items, outcomes
from pilot.records.tables import audit as trail

CANARY = "canary-4711"


def _fill(app: App) -> tuple[str, str]:
    """An item of anna's that is judged, and one of ben's."""
    mine = app.post(f"money {CANARY}", subject="anna", source_id=CANARY, group=CANARY, key=CANARY).json()["id"]
    other = app.post("hello ben", subject="ben").json()["id"]
    app.drained()
    assert app.judge(mine, final={"label": "refund"}, comment=CANARY).status_code == 201
    return mine, other


def _settled(app: App) -> bool:
    with app.service.engine.connect() as connection:
        return audit.verify(connection) is None


def _events(app: App) -> list[str]:
    return [row.event for row in app.rows(trail)]


@pytest.mark.parametrize("sealed", [True, False])
def test_a_subject_gets_all_that_is_recorded_and_nobody_elses(sealed: bool, make_app: AppMaker) -> None:
    app = make_app("right", "assist", **({"data_key": Fernet.generate_key().decode()} if sealed else {}))
    mine, _ = _fill(app)
    found = privacy.export(app.service.engine, app.service.vault, "anna", "olga")
    assert [one["id"] for one in found] == [mine]
    assert found[0]["content"] == {"text": f"money {CANARY}"}
    assert found[0]["source_id"] == CANARY
    assert {one["role"]: one["prediction"] for one in found[0]["answers"]}["primary"] == {"label": "refund"}
    assert found[0]["outcomes"][0]["comment"] == CANARY
    assert "rita" not in orjson.dumps(found).decode()
    assert privacy.export(app.service.engine, app.service.vault, "nobody", "olga") == []
    detail = [orjson.loads(row.detail) for row in app.rows(trail) if row.event == "data.exported"]
    assert detail[0]["items"] == [mine]
    assert "anna" not in str(detail)


def test_an_erasure_leaves_a_stub_and_the_sums_and_no_byte_of_the_content(make_app: AppMaker) -> None:
    app = make_app("right", "assist")
    mine, other = _fill(app)
    with app.service.engine.connect() as connection:
        before = judged(connection)
    assert privacy.erase(app.service.engine, app.service.vault, "anna", "olga") == 1
    with app.service.engine.connect() as connection:
        assert judged(connection) == before
        assert live(connection).incomplete_items == 0
    for file in (app.settings.root / "var").glob("pilot.db*"):
        assert CANARY.encode() not in file.read_bytes(), file
    stub = app.get(f"/v1/predictions/{mine}").json()
    assert (stub["status"], stub["prediction"], stub["source_id"]) == ("answered", None, None)
    assert app.get(f"/v1/predictions/{other}").json()["prediction"] is not None
    refused = app.judge(mine, final={"label": "other"}, version=1)
    assert (refused.status_code, "erased" in refused.text) == (422, True)
    assert _settled(app)
    assert _events(app).count("data.erased") == 1
    assert privacy.erase(app.service.engine, app.service.vault, "anna", "olga") == 0, "nothing is left"
    app.post("money again", subject="anna")


@pytest.mark.parametrize("overwritten", [True, False])
def test_what_is_erased_is_overwritten_in_the_file(overwritten: bool, make_app: AppMaker) -> None:
    """A long content has pages of its own, which are freed: without the overwriting they keep it."""
    app = make_app("right", "assist")
    app.post(f"{CANARY} " * 700, subject="anna")

    @event.listens_for(app.service.engine, "begin")
    def careless(connection: Any) -> None:
        if not overwritten:
            connection.exec_driver_sql("PRAGMA secure_delete=OFF")

    privacy.erase(app.service.engine, app.service.vault, "anna", "olga")
    files = (app.settings.root / "var").glob("pilot.db*")
    assert any(CANARY.encode() in file.read_bytes() for file in files) is not overwritten


def test_an_item_that_waits_for_a_person_waits_no_more_once_it_is_erased(make_app: AppMaker) -> None:
    app = make_app("right", "assist")
    mine = app.post("money", subject="anna").json()["id"]
    app.client.base_url = "http://localhost"
    app.client.post("/login", data={"key": app.keys["rita"]})
    assert mine in app.client.get("/review").text
    privacy.erase(app.service.engine, app.service.vault, "anna", "olga")
    assert mine not in app.client.get("/review").text
    assert app.client.get(f"/review/{mine}").status_code == 404


def test_what_is_still_being_answered_is_not_erased(make_app: AppMaker) -> None:
    app = make_app("hanging", "shadow")
    app.post("money", subject="anna")
    with pytest.raises(PilotError, match="still being answered"):
        privacy.erase(app.service.engine, app.service.vault, "anna", "olga")


def _age(app: App, identity: str, days: int) -> None:
    with writing(app.service.engine) as connection:
        past = now() - timedelta(days=days)
        connection.execute(update(items).where(items.c.id == identity).values(received_at=past))


def test_a_purge_takes_what_is_older_and_no_more(make_app: AppMaker) -> None:
    app = make_app("right", "assist")
    mine, other = _fill(app)
    _age(app, mine, 200)
    _age(app, other, 199)
    with app.service.engine.connect() as connection:
        assert privacy.overdue(connection, 200) == 1
        assert privacy.overdue(connection, 0) == 0
    assert privacy.purge(app.service.engine, app.service.vault, 200, "olga") == 1
    assert {row.id: row.erased_at is not None for row in app.rows(items)} == {mine: True, other: False}
    assert _settled(app)
    with pytest.raises(PilotError, match="is not set"):
        privacy.purge(app.service.engine, app.service.vault, 0, "olga")
    assert {row.final for row in app.rows(outcomes)} == {None}


@pytest.mark.parametrize(
    ("days", "regulated", "refused"), [(182, True, True), (183, True, False), (30, False, False), (0, True, False)]
)
def test_a_regulated_pilot_keeps_its_contents_for_six_months(days: int, regulated: bool, refused: bool) -> None:
    if refused:
        with pytest.raises(PilotError, match="183"):
            privacy.check_retention(days, regulated)
    else:
        privacy.check_retention(days, regulated)


def test_a_service_of_a_regulated_pilot_does_not_start_with_less(make_app: AppMaker, tmp_path: Any) -> None:
    charter = tmp_path / "phases" / "1-scope" / "charter.md"
    charter.parent.mkdir(parents=True)
    charter.write_text("---\nregulated: true\n---\n")
    with pytest.raises(PilotError, match="PILOT_RETENTION_DAYS is 30"):
        make_app(data_key=Fernet.generate_key().decode(), retention_days=30)


def test_contents_are_sealed_anew_while_the_service_runs(
    make_app: AppMaker,
) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    app = make_app("right", "assist", data_key=old)
    mine, _ = _fill(app)
    both = Vault((new, old))
    rotation = privacy.rotate(app.service.engine, both, "olga")
    next(rotation)  # broken off
    rotation.close()
    app.post("money meanwhile")  # sealed with the old key, which the service still has
    assert list(privacy.rotate(app.service.engine, both, "olga"))
    assert list(privacy.rotate(app.service.engine, both, "olga")) == [], "nothing is left"
    alone = Vault((new,))
    for table, columns in (
        (items, ("content", "response")),
        (answers, ("prediction",)),
        (outcomes, ("final", "comment")),
    ):
        for row in app.rows(table):
            for column in columns:
                if (stored := getattr(row, column)) is not None:
                    orjson.loads(alone.open(stored))
    assert {row.content_key for row in app.rows(items)} == {alone.key_id}
    with app.service.engine.connect() as connection:
        assert controls.pepper(connection, alone) == app.service.pepper
    assert _settled(app)
    assert privacy.export(app.service.engine, alone, "anna", "olga")[0]["id"] == mine


def test_plain_contents_are_sealed_by_a_rotation(make_app: AppMaker) -> None:
    app = make_app("right", "assist")
    _fill(app)
    with pytest.raises(PilotError, match="PILOT_DATA_KEY is not set"):
        list(privacy.rotate(app.service.engine, Vault(()), "olga"))
    list(privacy.rotate(app.service.engine, Vault((Fernet.generate_key().decode(),)), "olga"))
    assert all(row.content.startswith(b"\x01") and row.content_key for row in app.rows(items))


def test_a_missing_key_is_named_and_nothing_is_lost(make_app: AppMaker) -> None:
    app = make_app("right", "assist", data_key=Fernet.generate_key().decode())
    _fill(app)
    before = app.rows(items)
    with pytest.raises(PilotError, match="which is not set"):
        list(privacy.rotate(app.service.engine, Vault((Fernet.generate_key().decode(),)), "olga"))
    assert app.rows(items) == before


def test_the_trail_is_read_over_http_by_an_auditor(make_app: AppMaker, tmp_path: Any) -> None:
    app = make_app("right", "assist")
    _fill(app)
    told = app.get("/v1/audit?limit=3", "anna").json()
    rest = app.get("/v1/audit?after=3", "anna").json()
    file = tmp_path / "trail.jsonl"
    file.write_bytes(b"\n".join(orjson.dumps(one) for one in (*told["entries"], *rest["entries"])))
    entries = audit.read_entries(file)
    assert audit.flaw(entries, {rest["head"]: "now"}) is None
    assert audit.end(entries) == (rest["count"], rest["head"])
