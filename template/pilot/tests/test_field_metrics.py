"""Figures by field: what is counted of each answer, and that it goes through verdict, baseline and comparison."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from conftest import App, AppMaker, wait_until
from example_columns import DUE, WINDOW, Facts, Rail, columns
from example_invoices import Item, Prediction, invoice, team
from test_report import report

import pilot
from pilot.contract import Answer, PilotError, Team
from pilot.fields import Match
from pilot.metrics import metric_of
from pilot.records import outcomes
from pilot.records.crypto import Contents, Vault
from pilot.records.outcomes import Outcome
from pilot.records.tables import answers
from pilot.workbench import columns as reading
from pilot.workbench import drafts, metrics, versions
from pilot.workbench.columns import MATCHES, UNKNOWN, Columns, Facet, OfField
from pilot.workbench.documents import baseline
from pilot.workbench.evaluation import Verdict, evaluate, figure
from pilot.workbench.iteration import _worse
from pilot.workbench.phrases import lines, parts
from pilot.workbench.promotion import _judged_by
from pilot.workbench.report import Report, html, markdown
from pilot.workbench.results import readable
from pilot.workbench.stats import estimates
from pilot.workbench.stats.calibration import Coverage, Kept

CONTENTS = Contents(Item, Prediction, Vault(()))
R, W, M, S, E = (MATCHES.index(one) for one in (Match.RIGHT, Match.WRONG, Match.MISSING, Match.SPURIOUS, Match.EMPTY))


def of_field(matches: list[int], error: list[float] | None = None, *, score: list[float] | None = None) -> OfField:
    """A field whose values are single ones."""
    found = np.array(matches, "i")
    hits = np.where(found == UNKNOWN, np.nan, 2.0 * (found == R))
    counted = np.select([found == R, found == W, found == E, found == UNKNOWN], [2.0, 2.0, 0.0, np.nan], 1.0)
    right = np.where(found == UNKNOWN, np.nan, np.isin(found, [R, E]))
    unknown = np.full(len(found), np.nan)
    return OfField(
        score is not None,
        found,
        right.astype(float) if score is None else np.array(score, float),
        hits,
        counted,
        unknown if error is None else np.array(error, float),
    )


def with_fields(ai: dict[str, OfField], rules: dict[str, OfField] | None = None, **others: Any) -> Columns:
    n = len(next(iter(ai.values())).match)
    judged = [None if next(iter(ai.values())).match[place] == UNKNOWN else 1 for place in range(n)]
    return replace(columns(judged, **others), ai=ai, rules=rules or {})


def value(found: Columns, metric: str) -> float | None:
    return figure(found, metric, until=0.0).estimate.value


def test_each_metric_counts_the_fields_that_it_is_about() -> None:
    found = with_fields({"total": of_field([R, W, M, E], [0, 3, np.nan, np.nan]), "due": of_field([R, R, S, E])})
    assert value(found, "accuracy:total") == 0.5, "nothing where nothing is, is right"
    assert value(found, "within:total") == pytest.approx(1 / 3), "and says nothing of how near a number is"
    assert value(found, "f1:total") == pytest.approx(2 / 5)
    assert value(found, "f1:due") == pytest.approx(4 / 5)
    assert value(found, "field_accuracy") == pytest.approx(3 / 6)
    assert figure(found, "absolute_error:total", until=0.0).known == 2


def test_an_error_without_a_number_is_that_of_the_rules_or_not_known() -> None:
    ai = {"total": of_field([R, W, M], [0, 3, np.nan])}
    alone = figure(with_fields(ai), "absolute_error:total", until=0.0)
    assert (alone.known, alone.items, alone.estimate.high) == (2, 3, None)
    assert "may have any error" in (alone.unbounded or "")
    beside = figure(with_fields(ai, {"total": of_field([W, W, W], [9, 9, 6])}), "absolute_error:total", until=0.0)
    assert (beside.known, beside.estimate.value) == (3, 3.0)


def test_items_that_nobody_decided_may_be_all_wrong_or_all_right() -> None:
    judged, unjudged = [R] * 60 + [W] * 20, [UNKNOWN] * 20
    whole, part = (with_fields({"a": of_field(judged + more), "b": of_field(judged + more)}) for more in ([], unjudged))
    found = figure(part, "field_accuracy", until=0.0)
    assert (found.known, found.items) == (80, 100)
    assert found.bounds == pytest.approx((0.8 * 0.75, 0.8 * 0.75 + 0.2))
    alone = figure(whole, "field_accuracy", until=0.0).estimate
    assert found.estimate.low == pytest.approx(0.8 * (alone.low or 0))
    assert found.estimate.high == pytest.approx(0.8 * (alone.high or 0) + 0.2)


def test_audited_answers_stand_for_those_that_nobody_looked_at() -> None:
    """Of 100 used answers ten were audited, eight of them right; ten more were decided by people, all wrong."""
    matches = [R] * 8 + [W] * 2 + [UNKNOWN] * 90 + [W] * 10
    audits = [True] * 10 + [False] * 90 + [None] * 10
    found = with_fields({"a": of_field(matches)}, mode="auto", audits=audits, audit_share=0.1)
    assert value(found, "field_accuracy") == pytest.approx(80 / 110)


@pytest.mark.parametrize(("matches", "low", "high"), [([R] * 100, 0.963, 1.0), ([W] * 100, 0.0, 0.037)])
def test_fields_that_are_all_right_prove_no_more_than_a_share_does(matches: list[int], low: float, high: float) -> None:
    found = figure(with_fields({"a": of_field(matches), "b": of_field(matches)}), "field_accuracy", until=0.0)
    assert found.estimate.interval == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


@pytest.mark.parametrize("right", [0.7, 0.97])
def test_the_interval_of_a_weighted_mean_covers_the_truth(right: float) -> None:
    """Items of one to nine fields that share a difficulty; fields taken for independent items would be too narrow."""
    draw, missed, naive = np.random.default_rng(3), 0, 0
    for _ in range(400):
        sizes = draw.integers(1, 10, 80)
        chances = draw.beta(4 * right, 4 * (1 - right), 80)
        hits = draw.binomial(sizes, chances)
        found = estimates.ratio(hits / sizes, sizes)
        low, high = estimates.wilson(int(hits.sum()), int(sizes.sum()))
        missed += not (found.low or 0) <= right <= (found.high or 1)
        naive += not (low or 0) <= right <= (high or 1)
    assert missed / 400 < 0.075
    assert naive / 400 > 0.1


def test_a_verdict_about_fields_holds_against_target_baseline_rules_and_guardrails() -> None:
    good, poor = of_field([R] * 380 + [W] * 20, [0.0] * 380 + [5.0] * 20), of_field([R] * 200 + [W] * 200)
    found = with_fields({"total": good}, {"total": poor})
    before = {"field_accuracy": [1.0] * 300 + [0.0] * 100, "absolute_error:total": [2.0, 0.0, 1.0, 3.0] * 30}
    rails = [Rail("absolute_error:total", "down", 0.5), Rail("accuracy:nothing", "up", 0.1)]

    def verdict(target: float, **facts: Any) -> Any:
        charter = Facts(metric="field_accuracy", target=target, guardrails=rails, **facts)
        return evaluate(found, charter, before, as_of=DUE, window=WINDOW, now=datetime(2027, 4, 1, tzinfo=UTC))

    made = verdict(0.9)
    assert [made.verdict, verdict(0.99).verdict, verdict(0.95).verdict] == [
        Verdict.MET,
        Verdict.MISSED,
        Verdict.NOT_PROVEN,
    ]
    assert made.baseline.better
    assert made.rules.comparison.difference == pytest.approx(0.45)
    assert made.rules.better
    assert [rail.holds for rail in made.guardrails] == [True, False]
    assert "not known" in made.guardrails[1].said
    said = "\n".join(lines(made))
    assert "field         total: 380 right, 20 wrong" in said
    assert verdict(0.9, judged_items=500).verdict is Verdict.NOT_PROVEN


def test_a_metric_of_fields_without_contents_or_field_is_an_error_that_says_so() -> None:
    with pytest.raises(PilotError, match="needs the contents of the records"):
        figure(columns([1, 0]), "field_accuracy", until=0.0)
    found = with_fields({"total": of_field([R, W])})
    with pytest.raises(PilotError, match=r"no field sum\. The fields are: total"):
        figure(found, "accuracy:sum", until=0.0)
    with pytest.raises(PilotError, match=r"no field of the Prediction is annotated with Draft"):
        figure(found, "edit_similarity", until=0.0)
    with pytest.raises(PilotError, match="There is no metric happiness"):
        metric_of("happiness")


def test_a_draft_counts_by_what_stays_and_by_whether_it_was_sent_as_it_was() -> None:
    draft = of_field([R, W, W, UNKNOWN], score=[1.0, 0.5, 0.0, np.nan])
    made = with_fields({"reply": draft, "other": of_field([R, R, R, UNKNOWN])}, mode="assist")
    assert value(made, "edit_similarity") == 0.5, "of the draft alone"
    shown = replace(made, shown=np.array([True, True, False, False]), agrees=np.array([1, 0, 0, UNKNOWN]))
    found = metrics.accepted_unchanged(shown)
    assert found.values[:3].tolist() == [1, 0, 0]
    assert np.isnan(found.values[3])
    assert len(metrics.accepted_unchanged(with_fields({"reply": draft}))) == 0, "in shadow nobody sees a draft"


def test_straight_through_are_answers_that_nobody_touched() -> None:
    used = columns([None] * 8 + [1, None], mode="auto", audits=[False] * 6 + [True, True, None, None])
    assert estimates.share(metrics.straight_through(used).values).value == 0.8
    assert len(metrics.straight_through(columns([1, 1]))) == 0


def post(app: App, decided: Any, **told: Any) -> str:
    answered = app.client.post("/v1/predictions", json={"item": {"text": json.dumps(told)}}, headers=app.headers())
    item: str = answered.json()["id"]
    app.drained()
    judged = {"action": "rejected"} if decided is None else {"final": decided}
    assert app.judge(item, **judged).status_code == 201
    return item


@pytest.fixture
def read(make_app: AppMaker) -> tuple[App, Any]:
    app = make_app(mode="assist", team=team())

    def read(**options: Any) -> Columns:
        with app.service.engine.connect() as connection:
            return reading.read(connection, contents=CONTENTS, **options)

    return app, read


def test_the_records_are_read_field_by_field(read: tuple[App, Any]) -> None:
    app, columns_of = read
    chairs = {"what": "Chairs.", "price": 100.001}
    post(app, invoice(), ai=invoice(supplier="KERN & SOHN GMBH", total=119.009), rules=invoice(total=1.0))
    post(app, invoice(due=None), ai=invoice(total=120.0, positions=[chairs]), rules=None)
    post(app, invoice(), ai=None, rules=None)
    post(app, None, ai=invoice(), rules=None)
    found = columns_of()
    named = {name: [MATCHES[code] for code in one.match] for name, one in found.ai.items()}
    assert named["supplier"] == [Match.RIGHT, Match.RIGHT, Match.MISSING, Match.SPURIOUS]
    assert named["total"] == [Match.RIGHT, Match.WRONG, Match.MISSING, Match.SPURIOUS]
    assert named["due"] == [Match.RIGHT, Match.SPURIOUS, Match.MISSING, Match.SPURIOUS]
    assert named["positions"] == [Match.RIGHT, Match.WRONG, Match.MISSING, Match.SPURIOUS]
    positions = found.ai["positions"]
    assert positions.hits.tolist() == [4, 2, 0, 0]
    assert positions.counted.tolist() == [4, 3, 2, 2], "twice what both have, and once what one has alone"
    assert found.ai["total"].error[:2] == pytest.approx([0.009, 1.0])
    assert found.agrees.tolist() == [1, 0, 0, 0]
    assert found.rules["total"].match[0] == W


def test_the_first_decision_counts_or_the_last_where_the_charter_says_so(read: tuple[App, Any]) -> None:
    app, columns_of = read
    item = post(app, invoice(), ai=invoice())
    with app.service.engine.begin() as connection:
        other = Outcome(final=Prediction.model_validate(invoice(total=1.0)), made_by="ada", version=1)
        outcomes.judge(connection, Vault(()), Prediction, item, other)
    assert columns_of().ai["total"].match.tolist() == [R]
    assert columns_of(first_counts=False).ai["total"].match.tolist() == [W]


def test_versions_are_compared_and_judged_by_field(read: tuple[App, Any]) -> None:
    """The rules stand for a second version: their totals are wrong, all else is right."""
    app, _ = read
    for number in range(120):
        right = invoice(total=100.0 + number)
        post(app, right, ai=right, rules=right | {"total": 1.0, "due": None if number % 2 else right["due"]})
    with app.service.engine.connect() as connection:
        settings = app.service.settings
        found = versions.compare(team(), settings, connection, Vault(()), "ai-1", "rules-1")
        other = versions.compare(team(), settings, connection, Vault(()), "rules-1", "ai-1")
    assert found.graded is not None
    assert found.graded.comparison.difference == pytest.approx(0.3)
    assert found.fields["accuracy:total"].better
    assert found.fields["absolute_error:total"].better
    assert found.fields["accuracy:supplier"].comparison.difference == 0
    refused = "; ".join(_judged_by(other, "rules-1", "ai-1").refusals)
    assert "fewer of the fields right than ai-1" in refused
    assert "its accuracy:total is worse by 1 (p" in refused
    assert "its accuracy:due is worse by 0.5 (p" in refused
    assert _judged_by(found, "ai-1", "rules-1").refusals == ()


MEASURED = "id,measured_on,measured_by,seconds,accuracy:total,absolute_error:total\n"


def test_a_baseline_has_a_column_for_each_metric_of_fields(tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    file.write_text(MEASURED + "A-1,2026-01-02,Ada,60,yes,0\nA-2,2026-01-02,Ada,,no,2.5\nA-3,2026-01-02,Ada,60,,\n")
    assert baseline.import_file(tmp_path, file, DUE).new == 3
    rows = baseline.read_all(tmp_path)
    known = baseline.by_metric(rows)
    assert (known["accuracy:total"], known["absolute_error:total"]) == ([1.0, 0.0], [0.0, 2.5])
    assert known["cycle_time"] == [60 / 3600] * 2
    assert set(baseline.spreads(rows)) == {"cycle_time", "absolute_error:total"}
    frozen = baseline.freeze(tmp_path, DUE)
    changed = (tmp_path / baseline.BASELINE).read_text().replace(",2.5", ",0.5")
    (tmp_path / baseline.BASELINE).write_text(changed)
    (found,) = baseline.changes(frozen, lambda: baseline.read_all(tmp_path))
    assert "other absolute_error:total" in str(found)
    file.write_text(MEASURED + "A-9,2026-01-02,Ada,60,perhaps,0\n")
    assert "accuracy:total" in str(baseline.import_file(tmp_path, file, DUE).refused[0])


def test_drafts_that_nobody_can_have_read_are_counted(make_app: AppMaker) -> None:
    class Reply(pilot.Prediction):
        reply: Annotated[str, pilot.Draft()]

    class Writer:
        version = "writer-1"

        def predict(self, items: Any) -> list[Answer]:
            return [Answer(Reply(reply="word " * 100), 0.9) for _ in items]

    app = make_app(mode="assist", team=Team(Item, Reply, lambda _: Writer(), Writer))
    for seconds in (1, 11, 13, None):
        item = app.post("text").json()["id"]
        assert app.judge(item, action="accepted", seconds=seconds).status_code == 201
    until = datetime(2100, 1, 1, tzinfo=UTC)
    with app.service.engine.connect() as connection:
        said = list(drafts.remarks(connection, Contents(Item, Reply, Vault(())), until, (None, None)))
        none = list(drafts.remarks(connection, CONTENTS, until, (None, None)))
    assert "not blind by nature" in said[0]
    assert said[1].startswith("2 of 4 drafts that were sent as they were went out unread")
    assert none == []


def test_items_are_looked_at_by_their_fields_of_few_values(make_app: AppMaker) -> None:
    class Letter(Item):
        language: Literal["de", "en"]
        urgent: bool = False
        number: str = ""

    app = make_app(mode="assist", team=replace(team(), item=Letter))
    for number in range(80):
        right, german = invoice(), number % 2 == 0
        told = {"ai": right if german or number % 4 == 1 else invoice(total=1.0), "rules": None}
        item = {"text": json.dumps(told), "language": "de" if german else "en", "number": f"N{number}"}
        answered = app.client.post("/v1/predictions", json={"item": item}, headers=app.headers()).json()
        assert app.judge(answered["id"], final=right).status_code == 201
    with app.service.engine.connect() as connection:
        contents = Contents(Letter, Prediction, Vault(()))
        found = reading.read(connection, contents=contents)
    assert set(found.facets) == {"language"}, "one value alone, or eighty, are no parts of the whole"

    def by_language(metric: str) -> tuple[float | None, ...]:
        made = evaluate(found, Facts(metric=metric, target=0.8), {}, as_of=DUE, window=None)
        german, english = made.slices["language"]
        assert (made.sliced, german.name, german.items) == (metric, "de", 40)
        return german.value, english.value

    assert by_language("accuracy") == (1.0, 0.5)
    assert by_language("field_accuracy") == (1.0, 0.9), "one of five fields in every second item"
    assert by_language("absolute_error:total") == (0.0, 59.0), "half of them are off by 118"


def sliced(ai: dict[str, OfField], metric: str, baseline: Any = None) -> tuple[Columns, Any]:
    n = len(next(iter(ai.values())).match)
    facet = Facet(np.arange(n, dtype="i") % 2, ("de", "en"))
    found = with_fields(ai, ai, mode="assist", facets={"language": facet}, shown=np.ones(n, dtype=bool))
    charter = Facts(metric=metric, target=0.8, cost_of_hour=30.0)
    return found, evaluate(found, charter, baseline or {}, as_of=DUE, window=None)


@pytest.mark.parametrize("metric", ["cycle_time", "manual_touches", "cost_per_item"])
@pytest.mark.parametrize(
    ("fields", "by", "values"),
    [
        ({"reply": of_field([R, W] * 40, score=[1.0, 0.25] * 40)}, "edit_similarity", (1.0, 0.25)),
        ({"hours": of_field([W, W] * 40, [0.5, 3.0] * 40)}, "absolute_error:hours", (0.5, 3.0)),
        ({"a": of_field([R, W] * 40), "b": of_field([R, R] * 40)}, "field_accuracy", (1.0, 0.5)),
        ({"label": of_field([R, W] * 40)}, "accuracy", (1.0, 1.0)),
    ],
)
def test_where_the_charter_is_not_about_answers_parts_go_by_what_the_fields_have(
    metric: str, fields: dict[str, OfField], by: str, values: tuple[float, float]
) -> None:
    _, made = sliced(fields, metric)
    assert (made.sliced, tuple(one.value for one in made.slices["language"])) == (by, values)


def test_parts_go_by_whether_a_draft_was_sent_as_it_was_where_the_charter_does() -> None:
    _, made = sliced({"reply": of_field([R, W] * 40, score=[1.0, 0.25] * 40)}, "accepted_unchanged")
    assert (made.sliced, made.slices["language"][0].value) == ("accepted_unchanged", 1.0)


def test_a_part_with_larger_errors_is_named_worst_and_first() -> None:
    errors = np.random.default_rng(4).exponential([1.0, 4.0] * 100)
    before = {"absolute_error:hours": np.random.default_rng(5).exponential(1.0, 200).tolist()}
    found, made = sliced({"hours": of_field([W] * 200, errors.tolist())}, "absolute_error:hours", before)
    german, english = made.slices["language"]
    assert (german.worse, english.worse) == (False, True)
    said = lines(made)
    assert f"slice         language {english}" in said[said.index("slices        of absolute_error:hours") :]
    assert [part for name, part in _worse(made) if name == "language"] == [str(english)]
    page = markdown(report(found, Facts(metric="absolute_error:hours", target=0.8), before))
    assert f"Error of hours, on average, by language (exploratory):\n\n- {german}\n- {english}\n" in page
    many = [replace(german, name=f"of {number}", value=float(number)) for number in range(20)]
    assert parts([*many, english], made.sliced)[:2] == [str(english), str(many[19])]
    assert parts([*many, english], "field_accuracy")[:2] == [str(english), str(many[0])]


def calibrated(fields: dict[str, OfField], metric: str = "accuracy", **others: Any) -> tuple[Any, Report]:
    made = report(with_fields(fields, fields, **others), Facts(metric=metric, target=0.8))
    for page in (html(made), markdown(made)):
        assert str(made.evaluation.calibration).split(":")[0] in unescape(page)
    return made.evaluation.calibration, made


def test_confidences_of_fields_are_held_against_their_fields() -> None:
    """Each item is wrong as a whole, and each field as right as its confidence says."""
    of_a = replace(of_field([R, R, R, W] * 40 + [UNKNOWN]), sure=np.full(161, 0.75))
    of_b = replace(of_field([W, E, S, M] * 40 + [UNKNOWN]), sure=np.array([0.25] * 160 + [0.9]))
    found, made = calibrated({"a": of_a, "b": of_b})
    assert (found.of, found.items, found.miscalibrated) == ("fields", 320, False)
    assert [(line.confidence, line.share) for line in found.table] == [(0.25, 0.25), (0.75, 0.75)]
    assert "How often fields were right" in html(made)
    unsure, _ = calibrated({"a": of_a, "b": replace(of_b, sure=np.full(161, np.nan))})
    assert unsure.items == 160, "a field without a confidence is not taken for one of the item's"


def test_the_confidence_of_a_draft_is_held_against_what_stays_of_it() -> None:
    sure = [0.1 + 0.8 * (place % 10) / 9 for place in range(120)]
    draft = of_field([W] * 120, score=sure)
    found, made = calibrated({"reply": draft, "other": of_field([R] * 120)}, "edit_similarity", confidence=sure)
    assert isinstance(found, Kept)
    assert sum(one.n for _, _, one in found.table) == 120
    assert found.table[-1][2].value == pytest.approx(np.mean([one for one in sure if one >= found.table[-1][0]]))
    assert "How often" not in html(made), "no answer is right or wrong, so there is no picture of how often"
    own, _ = calibrated({"reply": replace(draft, sure=np.array(sure)[::-1])}, "edit_similarity", confidence=[0.5] * 120)
    assert own.table[0][2].value > own.table[-1][2].value


def test_a_number_without_an_interval_is_right_or_wrong_as_its_confidence_says() -> None:
    hours, agrees = of_field([R, W] * 60, [0.0, 3.0] * 60), np.array([1, 0] * 60, "i")
    found, _ = calibrated({"hours": hours}, confidence=[0.5] * 120, agrees=agrees)
    assert (found.of, found.items, found.ece) == ("answers", 120, pytest.approx(0.0))


def test_intervals_of_items_in_groups_say_less() -> None:
    hours = replace(of_field([W] * 200, [1.0] * 200), inside=np.repeat([1.0, 0.0, 1.0, 1.0], 50))
    alone, _ = calibrated({"hours": hours})
    grouped, _ = calibrated({"hours": hours}, groups=[place // 10 for place in range(200)])
    assert isinstance(alone, Coverage)
    assert (alone.share.value, grouped.share.value) == (0.75, 0.75)
    assert grouped.share.low < alone.share.low - 0.05


class Label(pilot.Prediction):
    label: str


class Hours(pilot.Prediction):
    hours: float


@pytest.mark.parametrize(
    ("kind", "metric", "read"),
    [
        (Label, "cycle_time", False),
        (Label, "f1:label", True),
        (Hours, "cycle_time", True),
        (Prediction, "cycle_time", True),
    ],
)
def test_contents_are_read_where_they_say_more_than_accuracy_does(kind: Any, metric: str, read: bool) -> None:
    contents = Contents(Item, kind, Vault(()))
    assert (readable(contents, Facts(metric=metric)) is contents) == read


def test_answers_of_before_a_change_of_the_schema_are_not_known(read: tuple[App, Any]) -> None:
    app, columns_of = read
    post(app, invoice(), ai=invoice())
    with app.service.engine.begin() as connection:
        connection.execute(answers.update().values(prediction=b'{"label": "old"}'))
    post(app, invoice(), ai=invoice())
    assert columns_of().ai["total"].match.tolist() == [UNKNOWN, R]


@pytest.mark.parametrize(
    ("said", "right"),
    [("We refund it within 14 days, as you asked.", 1), ("Your parcel is on its way.", 0), ("", 0)],
)
def test_a_known_draft_is_right_where_it_says_what_the_known_one_names(
    make_app: AppMaker, tmp_path: Path, said: str, right: int
) -> None:
    class Reply(pilot.Prediction):
        reply: Annotated[str, pilot.Draft()]

    class Writer:
        version = "writer-1"

        def predict(self, items: Any) -> list[Answer]:
            return [Answer(Reply(reply=said), 0.9) for _ in items]

    (tmp_path / "data").mkdir()
    (tmp_path / "data/known.csv").write_text("text,reply\nwhere is my money,refund 14 days\n")
    app = make_app(team=Team(Item, Reply, lambda _: Writer(), Writer), known_interval=0.05)

    def counted(result: str) -> float:
        found = app.service.metrics.registry.get_sample_value("pilot_known_items_total", {"result": result})
        return found or 0.0

    wait_until(lambda: counted("right") + counted("wrong") > 0)
    assert (counted("right") > 0) == right


def test_an_item_of_many_fields_weighs_as_many_in_the_interval_too() -> None:
    """Against Cochran's formula of the variance of a ratio, where ten large items differ, ninety small do not."""
    draw = np.random.default_rng(5)
    sizes = np.array([1.0] * 90 + [50.0] * 10)
    values = np.concatenate([np.full(90, 0.8), draw.uniform(0.3, 1.0, 10)])
    found = estimates.ratio(values, sizes)
    value = (sizes * values).sum() / sizes.sum()
    error = np.sqrt((sizes**2 * (values - value) ** 2).sum() / (100 * 99)) / sizes.mean()
    assert found.value == pytest.approx(value)
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / 2 == pytest.approx(1.984 * error, rel=0.1)


def test_the_rules_share_stays_between_0_and_1() -> None:
    ai, rules = of_field([R] * 300), of_field([R] + [W] * 299)
    found = evaluate(
        with_fields({"a": ai, "b": ai}, {"a": rules, "b": of_field([W] * 300)}),
        Facts(metric="field_accuracy", target=0.8),
        {},
        as_of=DUE,
        window=None,
    ).rules
    assert found is not None
    low, high = found.other.interval
    assert low is not None
    assert high is not None
    assert 0 <= low < 0.5 / 300 < high < 0.02
