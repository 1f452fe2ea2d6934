"""Looking back on the records by the rules of the template, and how often these call somebody for nothing."""

from __future__ import annotations

import csv
import math
import os
import random
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from example_papers import write as write_papers
from example_team import Item, Prediction
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from pilot.charter import Charter, Objectives
from pilot.cli import app as command
from pilot.contract import Answer, Failure, PilotError
from pilot.models.onnx import OnnxTextClassifier
from pilot.models.training import train_text_classifier
from pilot.operations import backtest, prometheus
from pilot.operations.backtest import Alarm, Looked, Series, counted
from pilot.records import controls
from pilot.records.crypto import Vault
from pilot.records.database import migrate, open_database, writing
from pilot.records.queries import KNOWN_ITEMS
from pilot.records.tables import Review, Status, audit
from pilot.records.writer import AnswerRecord, Insert, Record, Response, Writer
from pilot.serving.metrics import Metrics
from pilot.settings import load_settings
from pilot.workbench import evidence

TEMPLATE = Path(__file__).resolve().parents[2]
BANKING77 = os.environ.get("PILOT_TEST_BANKING77")
BEGIN = datetime(2026, 9, 7, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = prometheus.alerts(TEMPLATE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A pilot with the rules of the template."""
    shutil.copytree(TEMPLATE / "ops", tmp_path / "ops")
    return tmp_path


@pytest.fixture
def empty(root: Path) -> Iterator[Engine]:
    engine = open_database(load_settings(root=root, database_url=f"sqlite:///{root}/pilot.db"))
    migrate(engine)
    yield engine
    engine.dispose()


def recorded(moment: datetime, text: str, answer: Answer, **fields: Any) -> Insert:
    """An item with the answer that a model gave, a known one where it has a final decision."""
    item = Item(text=text)
    caller = KNOWN_ITEMS if "final" in fields else "desk"
    given = {"caller": caller, "origin": "live", "mode": "shadow", "request_id": "r", "fingerprint": "f", **fields}
    record = Record(item=item, content=item.model_dump_json().encode(), arrived_at=moment, received_at=moment, **given)
    made = AnswerRecord("primary", "model", answer, "1", "c", moment, moment + timedelta(milliseconds=30))
    review = None if "final" in fields else Review.BLIND
    return Insert(record, Response(Status.RECORDED, review, None, b"{}"), (made,))


def write(engine: Engine, changes: list[Insert]) -> None:
    with writing(engine) as connection:
        Writer(Vault(()), Prediction).insert(connection, changes)


def known(begin: datetime, end: datetime, label: Callable[[datetime], str] = lambda _: "refund") -> list[Insert]:
    """Known items, one every two minutes, whose right label is refund."""
    final, moment, found = Prediction(label="refund"), begin, []
    while moment < end:
        answer = Answer(Prediction(label=label(moment)), 0.9)
        found.append(recorded(moment, "money", answer, final=final, origin="test"))
        moment += 2 * MINUTE
    return found


def look(root: Path, engine: Engine) -> Looked:
    with engine.connect() as connection:
        return backtest.look_back(root, connection, Objectives(), Charter(volume_production=50), 120)


def at(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


@pytest.mark.skipif(not BANKING77, reason="PILOT_TEST_BANKING77 does not name the folder with train.csv and test.csv")
def test_eight_weeks_of_banking77_with_one_outage_are_one_call(root: Path, empty: Engine) -> None:
    def read(name: str) -> list[tuple[str, str]]:
        with (Path(str(BANKING77)) / name).open(newline="", encoding="utf-8") as file:
            rows = [(row["text"], row["category"]) for row in csv.DictReader(file)]
        labels = sorted({label for _, label in rows})[:12]
        return [row for row in rows if row[1] in labels]

    texts, labels = zip(*read("train.csv"), strict=True)
    settings = load_settings(root=root, database_url=f"sqlite:///{root}/pilot.db")
    train_text_classifier(list(texts), list(labels), settings, text=str)
    model = OnnxTextClassifier.load(settings, text=str, prediction=lambda label: Prediction(label=label))
    asked = read("test.csv")
    answers = model.predict([text for text, _ in asked])
    sure = [
        (row, answer)
        for row, answer in zip(asked, answers, strict=True)
        if answer.prediction == Prediction(label=row[1])
    ][:12]
    order = sorted(set(labels))
    outage, over = BEGIN + timedelta(days=37, hours=2, minutes=10), BEGIN + timedelta(days=37, hours=4, minutes=20)

    def answered(moment: datetime, answer: Answer) -> Answer:
        """In the outage each label is the next one."""
        if not outage <= moment < over or answer.prediction is None:
            return answer
        wrong = order[(order.index(str(answer.prediction.label)) + 1) % len(order)]
        return Answer(Prediction(label=wrong), answer.confidence)

    draw = random.Random(7)
    changes = []
    for day in range(56):
        for _ in range(round(50 * draw.uniform(0.6, 1.4))):
            moment = BEGIN + timedelta(days=day, hours=draw.uniform(7, 19))
            number = draw.randrange(len(asked))
            lost = Answer.failed(Failure.TIMEOUT) if draw.random() < 0.01 else answers[number]
            changes.append(recorded(moment, asked[number][0], answered(moment, lost)))
    for number in range(56 * 720):
        moment = BEGIN + number * 2 * MINUTE
        (text, label), answer = sure[number % len(sure)]
        final = Prediction(label=label)
        changes.append(recorded(moment, text, answered(moment, answer), final=final, origin="test"))
    for first in range(0, len(changes), 500):
        write(empty, changes[first : first + 500])

    found = look(root, empty)
    assert (found.items, found.known) == (len(changes) - 56 * 720, 56 * 720)
    [call] = found.calls
    assert [alarm.alert.name for alarm in call] == ["KnownItemsWrong"]
    assert outage < at(call[0].begin) <= outage + 10 * MINUTE
    assert over <= at(call[0].end) <= over + 10 * MINUTE
    # Neither a full disk nor a request that failed leaves a record.
    assert {"DiskFull", "ErrorBudgetFast"} <= set(found.unseen)


def test_a_service_that_stood_still_would_have_called(root: Path, empty: Engine) -> None:
    stop, again = BEGIN + timedelta(hours=3), BEGIN + timedelta(hours=5)
    changes = [*known(BEGIN, stop), *known(again, again + timedelta(hours=2))]
    write(empty, [recorded(BEGIN, "money", Answer(Prediction(label="refund"), 0.9)), *changes])
    [[alarm]] = look(root, empty).calls
    assert alarm.alert.name == "KnownItemsSilent"
    assert stop + 15 * MINUTE < at(alarm.begin) <= stop + 25 * MINUTE


def test_an_ai_that_people_switched_off_would_not(root: Path, empty: Engine) -> None:
    stop, again = BEGIN + timedelta(hours=3), BEGIN + timedelta(hours=5)
    with writing(empty) as connection:
        for mode, moment in ((controls.Mode.OFF, stop), (controls.Mode.SHADOW, again)):
            controls.set_mode(connection, mode, "olga")
            connection.execute(audit.update().where(audit.c.seq == _last(connection)).values(at=moment))
    changes = [*known(BEGIN, stop), *known(again, again + timedelta(hours=2))]
    write(empty, [recorded(BEGIN, "money", Answer(Prediction(label="refund"), 0.9)), *changes])
    assert look(root, empty).calls == []


def _last(connection: Any) -> int:
    return int(connection.execute(audit.select().order_by(audit.c.seq.desc())).first().seq)


def test_an_outcome_that_comes_late_opens_a_ticket(root: Path, empty: Engine) -> None:
    write(empty, [recorded(BEGIN + timedelta(days=day), "money", Answer(Prediction(label="a"), 0.9)) for day in (0, 8)])
    found = look(root, empty)
    assert [alarm.alert.name for alarm in found.alarms] == ["JudgedLate"]
    assert found.calls == []


def test_nothing_recorded_says_so(root: Path, empty: Engine) -> None:
    with pytest.raises(PilotError, match="Nothing is recorded yet"):
        look(root, empty)


def test_each_metric_that_it_writes_is_one_of_the_service(root: Path, empty: Engine) -> None:
    write(empty, [recorded(BEGIN, "a", Answer.failed(Failure.TIMEOUT)), *known(BEGIN, BEGIN + MINUTE)])
    with empty.connect() as connection:
        events = backtest._Events.read(connection)
    written = {line.name for line in [*events.series(120, 0), *backtest.promised(Objectives(), Charter(), 0)]}
    metrics = Metrics()
    metrics.promises(Objectives(), Charter())
    assert written <= {sample.name for family in metrics.registry.collect() for sample in family.samples}
    assert "pilot_known_items_total" in written


def pilot(root: Path, *words: str) -> Result:
    environment = {"PILOT_ROOT": str(root), "PILOT_DATABASE_URL": f"sqlite:///{root}/pilot.db"}
    return CliRunner(env=environment).invoke(command, words, catch_exceptions=False)


def test_the_verb_says_when_and_leaves_evidence(root: Path, empty: Engine) -> None:
    write_papers(root)
    wrong = [BEGIN + timedelta(hours=3), BEGIN + timedelta(hours=4)]
    changes = known(BEGIN, BEGIN + timedelta(hours=6), lambda now: "other" if wrong[0] <= now < wrong[1] else "refund")
    write(empty, [recorded(BEGIN, "money", Answer(Prediction(label="refund"), 0.9)), *changes])
    said = pilot(root, "alerts", "backtest", "--prometheus", "http://127.0.0.1:9").stdout
    assert "would have called somebody once:\n  2026-09-07 03:0" in said
    assert "KnownItemsWrong, runbook/garbage.md" in said
    [entry] = evidence.read(root).entries
    assert (entry.kind, entry.facts["items"], len(entry.facts["calls"])) == ("backtest", 1, 1)
    assert entry.facts["minutes_by_prometheus"] is None


def test_a_scratch_database_leaves_no_evidence(root: Path, empty: Engine) -> None:
    write_papers(root)
    with writing(empty) as connection:
        controls.mark_scratch(connection, "olga")
    write(empty, [recorded(BEGIN, "money", Answer(Prediction(label="refund"), 0.9))])
    said = pilot(root, "alerts", "backtest").stdout
    assert "would not have called anybody" in said
    assert "no evidence was written" in said
    assert evidence.read(root).entries == []


# The budget of false alarms: at most 0.2 pages a month, for a healthy service whose days differ.
# Half a year takes Prometheus a minute or two: two months of one volume on each push, all of it nightly.
FULL = bool(os.environ.get("PILOT_TEST_FULL"))
MONTHS = 6 if FULL else 2
VOLUMES = [50, 500, 5000] if FULL else [500]
SPAN = MONTHS * 30 * 86400
# Of a healthy service: half of the errors that slo.toml allows, one call of fifty that fails, and known items that are
# answered wrongly once in 500 times. Days have their own rates, with a coefficient of variation of one half.
ERRORS, FAILURES, WRONG = 0.005, 0.02, 0.002


def traffic(volume: int, seed: int) -> dict[str, list[float]]:
    """Months of events, in seconds since its begin: requests that are answered or fail, answers of the model that
    fail, known items. Working hours, quiet weekends, and days that differ in volume (by a third) and in each rate."""
    draw = random.Random(seed)
    found: dict[str, list[float]] = {name: [] for name in ("served", "failed", "answered", "timeout", "right", "wrong")}
    for day in range(MONTHS * 30):
        rates = [rate * draw.gammavariate(4, 1 / 4) for rate in (ERRORS, FAILURES, WRONG)]
        expected = volume * (0.3 if day % 7 > 4 else 1.2) * draw.lognormvariate(-0.05, 0.32)
        for _ in range(round(expected)):
            moment = day * 86400 + draw.triangular(7, 19, 10) * 3600
            failed = draw.random() < rates[0]
            found["failed" if failed else "served"].append(moment)
            if not failed:
                found["answered"].append(moment)
                if draw.random() < rates[1]:
                    found["timeout"].append(moment)
        for number in range(720):
            moment = day * 86400 + number * 120 + draw.uniform(0, 5)
            found["wrong" if draw.random() < rates[2] else "right"].append(moment)
    return found


def series(events: dict[str, list[float]], volume: int) -> list[Series]:
    requests, failures, asked = "pilot_requests_total", "pilot_model_failures_total", "pilot_known_items_total"
    answered = [*events["answered"], *events["right"], *events["wrong"]]
    return [
        counted(requests, events["served"], route="/v1/predictions", status="200"),
        counted(requests, events["failed"], route="/v1/predictions", status="503"),
        counted("pilot_model_answers_total", answered),
        counted(failures, events["timeout"], reason="timeout"),
        counted(asked, events["right"], result="right"),
        counted(asked, events["wrong"], result="wrong"),
        backtest.constant("pilot_known_items_rows", 12, 0),
        *backtest.promised(Objectives(availability=0.99), Charter(volume_production=volume), 0),
    ]


def pages(found: list[Alarm]) -> list[list[Alarm]]:
    return Looked(0, SPAN, 0, 0, found, []).calls


PAGING = [alert for alert in RULES if alert.severity == "page" and "up{" not in alert.expression]


@pytest.mark.parametrize("volume", VOLUMES)
def test_a_healthy_service_has_at_most_the_false_alarms_of_the_budget(volume: int) -> None:
    found = backtest.alarms(PAGING, series(traffic(volume, volume), volume), 0, SPAN)
    assert len(pages(found)) <= 0.2 * MONTHS, [alarm.alert.name for alarm in found]


@pytest.mark.parametrize("volume", VOLUMES)
def test_garbage_is_paged_within_ten_minutes_at_any_hour(volume: int) -> None:
    """Twice a week the model answers wrongly for an hour, at hours that are drawn."""
    events, draw = traffic(volume, 1), random.Random(3)
    begins = [day * 86400 + draw.uniform(0, 82800) for day in range(0, MONTHS * 14, 3)]

    def garbage(moment: float) -> bool:
        return any(begin <= moment < begin + 3600 for begin in begins)

    asked = sorted([*events["right"], *events["wrong"]])
    events["wrong"] = sorted({*events["wrong"], *filter(garbage, asked)})
    events["right"] = sorted({*asked} - {*events["wrong"]})
    until = (MONTHS * 14 + 1) * 86400
    known_wrong = [alert for alert in RULES if alert.name == "KnownItemsWrong"]
    found = pages(backtest.alarms(known_wrong, series(events, volume), 0, until))
    waits = [
        min((call[0].begin - begin for call in found if call[0].begin >= begin), default=math.inf) for begin in begins
    ]
    assert max(waits) <= 600


def test_the_usual_rule_for_burn_rates_breaks_the_budget() -> None:
    """So the simulation can see red: 14.4 times the budget in an hour and in five minutes, without a least count."""
    errors, all_of = ('pilot_requests_total{status="503"}', "pilot_requests_total")
    burns = (f"sum(rate({errors}[{span}])) / sum(rate({all_of}[{span}])) > 14.4 * 0.01" for span in ("1h", "5m"))
    usual = prometheus.Alert("Usual", " and ".join(burns), "page", "", "")
    found = backtest.alarms([usual], series(traffic(50, 50), 50), 0, SPAN)
    assert len(pages(found)) > 10 * 0.2 * MONTHS
