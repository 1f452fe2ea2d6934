"""Confidences of fields: checked, recorded, returned, and what mode auto goes by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson
import pytest
from alembic import command
from conftest import App, AppMaker, ServerMaker
from example_team import Item
from sqlalchemy import text, update
from test_server import _refused as refused
from test_writer import make

import pilot
from pilot.contract import Answer, Failure, PilotError, Team
from pilot.operations import explain as explaining
from pilot.records import database as schema
from pilot.records import privacy, queries
from pilot.records.crypto import Contents, Vault
from pilot.records.database import migrate, now, open_database, writing
from pilot.records.tables import answers, items
from pilot.records.writer import AnswerRecord, Insert, Writer
from pilot.serving import demo, inference
from pilot.serving.responses import respond
from pilot.settings import load_settings
from pilot.workbench import columns


class Invoice(pilot.Prediction):
    supplier: str
    total: float
    due: date | None = None


class Hints(pilot.Prediction):
    """Nothing in it is required."""

    due: date | None = None
    note: str = ""


INVOICE, HINTS = Invoice(supplier="Acme", total=12.5), Hints(note="urgent")
SURE = {"supplier": 0.97, "total": 0.9, "due": 0.2}


class Reader:
    """A model in this process, or behind a pretended API, that answers with what it is told."""

    version = "reader-1"

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def predict(self, items: Sequence[Any]) -> list[Answer]:
        return [self.answer] * len(items)


class Remote(Reader):
    async def predict_one(self, item: Any) -> Answer:
        return self.answer


def team(answer: Answer, kind: type[Reader] = Reader, prediction: type[pilot.Prediction] = Invoice) -> Team:
    model, rules = kind(answer), Reader(Answer.failed(Failure.ABSTAINED))
    return Team(item=Item, prediction=prediction, model=lambda _: model, rules=lambda: rules)


@pytest.mark.parametrize("given", [SURE, MappingProxyType(SURE), {"total": np.float32(0.5)}, {"total": 1}])
def test_confidences_pass_as_plain_numbers(given: Mapping[str, float]) -> None:
    found = inference.checked(Answer(INVOICE, 0.5, confidences=given), Invoice)
    assert (found.failure, found.confidence, found.confidences) == (None, 0.5, dict(given))
    assert isinstance(found.confidences, dict)
    assert {type(one) for one in found.confidences.values()} == {float}


@pytest.mark.parametrize(
    "given",
    [
        {"totals": 0.9},
        {"supplier": 0.9, 1: 0.9},
        {"total": math.nan},
        {"total": math.inf},
        {"total": 1.01},
        {"total": -0.01},
        {"total": "0.9"},
        {"total": None},
        ["total"],
        0.9,
    ],
)
def test_confidences_that_are_none_are_invalid_output_and_keep_their_cost(given: Any) -> None:
    found = inference.checked(Answer(INVOICE, 0.9, 0.5, 3, confidences=given), Invoice)
    assert (found.failure, found.prediction, found.cost, found.tokens) == ("invalid_output", None, 0.5, 3)


def test_no_confidences_are_none() -> None:
    assert inference.checked(Answer(INVOICE, 0.9, confidences={}), Invoice).confidences is None
    failed = Answer(failure="timeout", confidences=SURE)
    assert inference.checked(failed, Invoice) == Answer.failed(Failure.TIMEOUT)


@pytest.mark.parametrize(
    ("answer", "confidence"),
    [
        (Answer(INVOICE, confidences=SURE), 0.9),
        (Answer(INVOICE, 0.3, confidences=SURE), 0.3),
        (Answer(INVOICE, confidences={"supplier": 0.9, "due": 0.2}), None),
        (Answer(HINTS, confidences={"due": 0.7, "note": 0.4}), 0.4),
        (Answer(HINTS, confidences={"due": 0.7}), 0.7),
    ],
)
def test_an_answer_is_as_sure_as_the_least_sure_of_its_required_fields(
    answer: Answer, confidence: float | None
) -> None:
    assert answer.prediction is not None
    assert inference.checked(answer, type(answer.prediction)).confidence == confidence


def reason(answer: Answer, mode: str = "auto", **thresholds: float) -> str | None:
    assert answer.prediction is not None
    found = inference.checked(answer, type(answer.prediction))
    made = (AnswerRecord("primary", "model", found, "1", "c", now(), now()),)
    return respond(make(mode=mode), made, threshold=0.8, thresholds=thresholds, audit_share=0.0).reason


@pytest.mark.parametrize(
    ("answer", "thresholds", "used"),
    [
        (Answer(INVOICE, confidences=SURE), {}, True),
        (Answer(INVOICE, 0.1, confidences=SURE), {}, True),
        (Answer(INVOICE, confidences={**SURE, "total": 0.79}), {}, False),
        (Answer(INVOICE, 0.99, confidences={**SURE, "total": 0.79}), {}, False),
        (Answer(INVOICE, confidences=SURE), {"total": 0.95}, False),
        (Answer(INVOICE, confidences=SURE), {"total": 0.9}, True),
        (Answer(INVOICE, confidences={**SURE, "total": 0.6}), {"total": 0.5}, True),
        (Answer(INVOICE, confidences=SURE), {"due": 0.9}, True),
        (Answer(INVOICE, 0.9, confidences={"total": 0.9}), {}, True),
        (Answer(INVOICE, 0.7, confidences={"total": 0.9}), {}, False),
        (Answer(INVOICE, confidences={"total": 0.9}), {}, False),
        (Answer(HINTS, confidences={"due": 0.9}), {}, True),
        (Answer(HINTS, confidences={"due": 0.9, "note": 0.5}), {}, False),
        (Answer(HINTS, confidences={"due": 0.9, "note": 0.5}), {"note": 0.4}, True),
        # One for the whole is that of each field.
        (Answer(INVOICE, 0.9), {}, True),
        (Answer(INVOICE, 0.9), {"total": 0.95}, False),
        (Answer(INVOICE, 0.7), {"total": 0.5}, False),
        (Answer(INVOICE, 0.7), {"total": 0.5, "supplier": 0.6}, True),
        (Answer(INVOICE), {"total": 0.0, "supplier": 0.0}, False),
        (Answer(HINTS, 0.9), {"note": 0.95}, False),
    ],
)
def test_auto_uses_an_answer_where_each_required_field_reaches_its_threshold(
    answer: Answer, thresholds: dict[str, float], used: bool
) -> None:
    assert reason(answer, **thresholds) == (None if used else "low_confidence")
    assert reason(answer, "assist", **thresholds) is None


def test_the_threshold_of_a_field_is_its_own_or_the_common_one(tmp_path: Path) -> None:
    settings = load_settings(root=tmp_path, threshold=0.7, thresholds={"total": 0.95})
    assert [settings.threshold_of(name) for name in ("total", "supplier")] == [0.95, 0.7]


@pytest.mark.parametrize("given", ["canary", "[]", '{"canary": 1.5}', '{"canary": NaN}', '{"total": "canary"}'])
def test_thresholds_that_are_none_are_refused_without_their_values(
    given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PILOT_THRESHOLDS", given)
    with pytest.raises(PilotError, match="PILOT_THRESHOLDS: must be JSON that gives fields a number") as caught:
        load_settings(root=tmp_path)
    assert "canary" not in str(caught.value)


def test_thresholds_come_as_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for given, found in (('{"total": 0.95, "due": 1}', {"total": 0.95, "due": 1.0}), ("{}", {}), ("", {})):
        monkeypatch.setenv("PILOT_THRESHOLDS", given)
        assert load_settings(root=tmp_path).thresholds == found


def test_a_threshold_of_a_field_that_there_is_not_stops_the_start(make_app: AppMaker) -> None:
    with pytest.raises(PilotError, match=r"PILOT_THRESHOLDS names 'totals', and Invoice has supplier, total, due\."):
        make_app(team=team(Answer(INVOICE)), thresholds={"totals": 0.9, "due": 0.5})


def test_the_server_says_so_and_ends(make_server: ServerMaker) -> None:
    told = refused(make_server("right", "auto"), PILOT_THRESHOLDS='{"lable": 0.9}')
    assert "PILOT_THRESHOLDS names 'lable', and Prediction has label. Correct the name, or leave it out." in told


def test_the_hash_of_the_settings_is_that_of_before_where_no_field_has_a_threshold(tmp_path: Path) -> None:
    hashes = [
        inference.config_hash(load_settings(root=tmp_path, thresholds=given, llm_base_url=None))
        for given in ({}, {"total": 0.5}, {"total": 0.6}, {"total": 0.5, "due": 0.9}, {"due": 0.9, "total": 0.5})
    ]
    assert hashes[0] == "6ee50c2fa1c4"
    assert len(set(hashes)) == 4
    assert hashes[3] == hashes[4]


@pytest.mark.parametrize("kind", [Reader, Remote])
def test_from_the_answer_to_the_record_and_back(
    kind: type[Reader], make_app: AppMaker, database: dict[str, str]
) -> None:
    app = make_app(mode="auto", team=team(Answer(INVOICE, confidences=SURE), kind), **database)
    reply = app.post("an invoice", subject="anna", key="k").json()
    assert (reply["status"], reply["confidence"], reply["confidences"]) == ("answered", 0.9, SURE)
    assert app.post("an invoice", subject="anna", key="k").json() == reply
    assert app.get(f"/v1/predictions/{reply['id']}").json()["confidences"] == SURE
    assert app.get("/v1/predictions").json()["items"][0]["confidences"] == SURE
    assert {row.role: row.confidences and orjson.loads(row.confidences) for row in app.rows(answers)} == {
        "primary": SURE,
        "rules": None,
    }
    with app.service.engine.connect() as connection:
        found = queries.answers_of(connection, app.service.vault, reply["id"])
    assert {one["role"]: one["confidences"] for one in found} == {"primary": SURE, "rules": None}
    exported = privacy.export(app.service.engine, app.service.vault, "anna", "olga")[0]["answers"]
    assert [one["confidences"] for one in exported if one["role"] == "primary"] == [SURE]


def test_the_evaluation_reads_them_by_field(make_app: AppMaker) -> None:
    app = make_app(mode="assist", team=team(Answer(INVOICE, confidences=SURE)))
    assert app.judge(app.post("an invoice").json()["id"], final=INVOICE.model_dump(mode="json")).status_code == 201
    app.post("nobody decides this one")
    with app.service.engine.connect() as connection:
        found = columns.read(connection, contents=Contents(Item, Invoice, Vault(())))
    assert {name: one.sure[0] for name, one in found.ai.items() if one.sure is not None} == SURE
    assert {name: np.isnan(one.sure).all() for name, one in found.rules.items() if one.sure is not None} == (
        dict.fromkeys(SURE, True)
    )
    assert np.isnan(found.ai["total"].sure[1])  # type: ignore[index]


def test_a_field_below_its_threshold_leaves_the_item_to_people(make_app: AppMaker) -> None:
    app = make_app(mode="auto", team=team(Answer(INVOICE, confidences=SURE)), thresholds={"total": 0.95})
    reply = app.post("an invoice").json()
    assert (reply["status"], reply["reason"], reply["prediction"]) == ("needs_human", "low_confidence", None)
    assert (reply["confidence"], reply["confidences"]) == (None, None)
    rows = {row.role: row for row in app.rows(answers)}
    assert orjson.loads(rows["primary"].confidences) == SURE
    assert (rows["primary"].audit_probability, app.rows(items)[0].review) == (1.0, "manual")
    app.set_mode("assist")
    assert app.post("an invoice").json()["confidences"] == SURE
    app.set_mode("shadow")
    assert app.post("an invoice").json()["confidences"] is None


def _as_before(app: App, item: str) -> bytes:
    """Makes the response to an item one of a version that knew no confidences of fields."""
    with writing(app.service.engine) as connection:
        row = queries.item(connection, item)
        assert row is not None
        told = queries.response(row, app.service.vault)
        assert told is not None
        del told["confidences"]
        body = orjson.dumps(told)
        connection.execute(update(items).where(items.c.id == item).values(response=app.service.vault.seal(body)))
    return body


def test_responses_of_before_are_served_as_they_were_given(make_app: AppMaker) -> None:
    app = make_app("right", "auto")
    item = app.post(key="k").json()["id"]
    body = _as_before(app, item)
    assert app.post(key="k").content == body
    assert app.get(f"/v1/predictions/{item}").json()["confidences"] is None
    assert app.get("/v1/predictions").json()["items"][0]["confidences"] is None


def test_code_of_before_writes_beside_this_and_its_records_are_kept(
    database_of_before: dict[str, str], tmp_path: Path
) -> None:
    engine = open_database(load_settings(root=tmp_path, **database_of_before))
    migrate(engine)
    with writing(engine) as connection:
        connection.execute(text(_OF_BEFORE), {"role": "rules"})
        writer = Writer(Vault(()), Invoice)
        new = AnswerRecord("primary", "model", Answer(INVOICE, 0.9, confidences=SURE), "2", "c", now(), now())
        writer.insert(connection, [Insert(make(id="b"), answers=(new,))])
    with engine.connect() as connection:
        assert [one["confidences"] for one in queries.answers_of(connection, Vault(()), "a")] == [None, None]
        assert [one["confidences"] for one in queries.answers_of(connection, Vault(()), "b")] == [SURE]
    engine.dispose()


_ITEM_OF_BEFORE = """INSERT INTO items
(id, caller, request_id, fingerprint, origin, arrived_at, received_at, content, mode, state)
VALUES ('a', 'shop', 'r', 'f', 'live', '2026-11-30 12:00:00', '2026-11-30 12:00:00', '', 'assist', 'done')"""
_OF_BEFORE = """INSERT INTO answers
(item_id, role, source, confidence, model_version, config_hash, begun_at, shown)
VALUES ('a', :role, 'model', 0.9, '1', 'c', '2026-11-30 12:00:00', true)"""


@pytest.fixture
def database_of_before(database: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A database with the schema of before, and an answer in it."""
    engine = open_database(load_settings(root=tmp_path, **database))
    with writing(engine) as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        connection.execute(text(_ITEM_OF_BEFORE))
        connection.execute(text(_OF_BEFORE), {"role": "primary"})
    engine.dispose()
    return database


def test_explain_tells_the_confidence_of_each_field(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(mode="auto", team=team(Answer(INVOICE, confidences=SURE)))
    item = app.post("an invoice").json()["id"]
    monkeypatch.setattr(explaining, "store_of", lambda *_: object())
    monkeypatch.setattr(explaining, "replayed", lambda team, settings, version, rows: app.service.model.predict(rows))  # type: ignore[union-attr]

    def explained() -> explaining.Explanation:
        with app.service.engine.connect() as connection:
            return explaining.explain(app.service.team, app.settings, connection, app.service.vault, item)

    found = explained()
    assert found.same is True, "a confidence that the wrapper worked out is worked out again"
    assert found.lines[0].endswith(", confidence 0.900 (supplier 0.970, total 0.900, due 0.200)")
    near = INVOICE.model_copy(update={"total": INVOICE.total + 1e-7})
    for prediction, confidences, same in (
        (near, {**SURE, "due": SURE["due"] + 1e-7}, True),
        (INVOICE, {**SURE, "due": 0.3}, False),
        (INVOICE, {"supplier": 0.97, "total": 0.9}, False),
        (INVOICE.model_copy(update={"total": 12.6}), SURE, False),
        (INVOICE.model_copy(update={"due": date(2026, 1, 1)}), SURE, False),
    ):
        app.model.answer = Answer(prediction, confidences=confidences)
        assert explained().same is same


def test_the_demo_shows_the_confidence_of_each_field(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"id": "a", "prediction": INVOICE.model_dump(mode="json"), "confidence": 0.9, "confidences": SURE}
    monkeypatch.setattr(demo, "_call", lambda *_: told)
    monkeypatch.setattr(demo, "INTERVAL", 0)
    said: list[str] = []
    demo._assist("", "", (Item(text="a"), INVOICE), said.append)
    assert "     by field    supplier 0.97, total 0.90, due 0.20" in said
    told["confidences"] = None
    said.clear()
    demo._assist("", "", (Item(text="a"), INVOICE), said.append)
    assert not [line for line in said if "by field" in line]
