"""Writing: each item once, under its lease, with its trail."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from example_team import Item, Prediction
from sqlalchemy import Engine, select, update

from pilot.contract import Answer
from pilot.records import audit
from pilot.records.crypto import Vault
from pilot.records.database import now, writing
from pilot.records.tables import Status, answers, items, outcomes
from pilot.records.tables import audit as trail
from pilot.records.writer import AnswerRecord, Attempt, Complete, Insert, Record, Response, Writer


def make(**fields: Any) -> Record:
    moment = now()
    given = {"caller": "shop", "origin": "live", "mode": "shadow", "item": Item(text="a"), "content": b'{"text":"a"}'}
    given |= {"fingerprint": "f", "request_id": "r", "arrived_at": moment, "received_at": moment}
    return Record(**{**given, **fields})


def answers_of(label: str = "refund") -> tuple[AnswerRecord, ...]:
    moment = now()
    answer = Answer(Prediction(label=label), 0.5, 0.25, 7)
    return tuple(
        AnswerRecord(role, source, answer, "1", "c", moment, moment)
        for role, source in (("primary", "model"), ("rules", "process"))
    )


RESPONSE = Response(Status.ANSWERED, None, None, b"{}")


def inserted(record: Record) -> Insert:
    return Insert(record, RESPONSE, answers_of())


def pending(record: Record) -> Insert:
    return Insert(record, pending=True)


def completed(record: Record) -> Complete:
    return Complete(record, RESPONSE, answers_of())


@pytest.fixture
def writer() -> Writer:
    return Writer(Vault(()), Prediction)


def _write(engine: Engine, method: Any, *given: Any, **more: Any) -> Any:
    with writing(engine) as connection:
        return method(connection, *given, **more)


def _rows(engine: Engine, table: Any) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(table)))


def test_a_batch_is_recorded_with_answers_and_one_entry_of_the_trail(engine: Engine, writer: Writer) -> None:
    batch = [make(arrived_at=now() - timedelta(days=1)) for _ in range(3)]
    assert _write(engine, writer.insert, [inserted(record) for record in batch]) == [None] * 3
    rows = _rows(engine, items)
    assert [(row.id, row.arrived_at, row.received_at) for row in rows] == [
        (record.id, record.arrived_at, record.received_at) for record in batch
    ]
    assert len(_rows(engine, answers)) == 6
    entry = _rows(engine, trail)[-1]
    assert orjson.loads(entry.detail) == {"items": [record.id for record in batch], "modes": ["shadow"]}


@pytest.mark.parametrize("name", ["idempotency_key", "source_id"])
def test_a_repeat_finds_the_first_also_within_its_own_batch(name: str, engine: Engine, writer: Writer) -> None:
    first, twin, other = make(**{name: "k"}), make(**{name: "k"}), make(caller="bank", **{name: "k"})
    found = _write(engine, writer.insert, [inserted(record) for record in (first, twin, other, make())])
    assert [row and row.id for row in found] == [None, first.id, None, None]
    again = _write(engine, writer.insert, [pending(make(**{name: "k"}))])
    assert again[0].id == first.id
    assert len(_rows(engine, items)) == 3
    assert [len(orjson.loads(row.detail)["items"]) for row in _rows(engine, trail)] == [3], "a repeat leaves no entry"


def test_an_idempotency_key_wins_over_a_source_id(engine: Engine, writer: Writer) -> None:
    by_source, by_key = make(source_id="s"), make(idempotency_key="k")
    _write(engine, writer.insert, [inserted(by_source), inserted(by_key)])
    found = _write(engine, writer.insert, [inserted(make(source_id="s", idempotency_key="k"))])
    assert found[0].id == by_key.id


def test_a_final_decision_comes_with_its_agreement(engine: Engine, writer: Writer) -> None:
    right, wrong, unanswered = (make(final=Prediction(label=label)) for label in ("refund", "other", "refund"))
    _write(engine, writer.insert, [inserted(right), inserted(wrong), pending(unanswered)])
    found = [(row.version, row.agreement, row.rules_agreement) for row in _rows(engine, outcomes)]
    assert found == [(1, True, True), (1, False, False), (1, None, None)]


def test_an_answer_is_written_once_and_under_the_lease_alone(engine: Engine, writer: Writer) -> None:
    record = make()
    other = Writer(Vault(()), Prediction)
    _write(engine, writer.insert, [pending(record)])
    assert _write(engine, other.complete, [completed(record)]) == [False]
    assert _rows(engine, answers) == []
    assert _write(engine, writer.complete, [completed(record)]) == [True]
    assert _write(engine, writer.complete, [completed(record)]) == [False]
    assert len(_rows(engine, answers)) == 2
    row = _rows(engine, items)[0]
    assert (row.state, row.lease_owner, row.lease_until, row.status) == ("done", None, None, "answered")
    with engine.connect() as connection:
        assert audit.first_break(connection) is None


def test_an_attempt_is_begun_once_and_completed_by_its_answer(engine: Engine, writer: Writer) -> None:
    record = make()
    _write(engine, writer.insert, [pending(record)])
    attempt = Attempt(record, AnswerRecord("primary", "model", None, "1", "c", now(), None))
    assert _write(engine, Writer(Vault(()), Prediction).attempt, [attempt]) == [False]
    assert _write(engine, writer.attempt, [attempt]) == [True]
    assert _write(engine, writer.attempt, [attempt]) == [False]
    assert _rows(engine, answers)[0].ended_at is None
    _write(engine, writer.complete, [completed(record)])
    found = {row.role: (row.ended_at is None, row.cost, row.tokens) for row in _rows(engine, answers)}
    assert found == {"primary": (False, 0.25, 7), "rules": (False, 0.25, 7)}


def test_a_lease_that_lapsed_is_taken_over_oldest_first(engine: Engine, writer: Writer) -> None:
    other = Writer(Vault(()), Prediction)
    batch = [make() for _ in range(4)]
    _write(engine, writer.insert, [pending(record) for record in batch])
    assert _write(engine, other.claim, 10, ()) == [], "the leases hold"
    with engine.begin() as connection:
        connection.execute(update(items).values(lease_until=now() - timedelta(seconds=1)))
    assert [row.id for row in _write(engine, other.claim, 2, (batch[0].id,))] == [batch[1].id, batch[2].id]
    assert _write(engine, writer.complete, [completed(batch[1])]) == [False], "the lease is another's now"
    _write(engine, writer.renew)
    assert [row.id for row in _write(engine, other.claim, 9, ())] == [batch[1].id, batch[2].id]
    _write(engine, writer.release)
    assert {row.id for row in _write(engine, other.claim, 9, (batch[1].id, batch[2].id))} == {batch[0].id, batch[3].id}
    assert {row.lease_owner for row in _rows(engine, items)} == {other.owner}
