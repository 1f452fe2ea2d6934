"""What production costs: the paper, and what charter, baseline and records know in place of its empty ranges."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import App, AppMaker
from example_papers import edit, write
from sqlalchemy import update
from typer.testing import CliRunner, Result

from pilot.cli import app as command
from pilot.contract import PilotError
from pilot.records import controls
from pilot.records.database import writing
from pilot.records.tables import answers, outcomes
from pilot.workbench import decision, evidence, spending
from pilot.workbench.documents import baseline, costs
from pilot.workbench.documents.costs import COSTS, Costed, Costs
from pilot.workbench.documents.operations import BLANK
from pilot.workbench.pilot import Pilot
from pilot.workbench.projection import LEAST, NEEDED, OPTIONAL, Measured, Range, project

TODAY = date.today()
STATED = """\
items_per_day = [3000, 5000, 7000]
working_days = [20, 21, 22]
cost_of_hour = [35, 40, 50]
minutes_today = [3, 4, 6]
reviewed_share = [0.1, 0.15, 0.3]
review_minutes = [2, 2.5, 3]
override_share = [0.05, 0.1, 0.2]
failed_share = [0, 0.005, 0.02]
infrastructure = [300, 400, 800]
on_call = [500, 1000, 2000]
monitoring = 200
retraining = [300, 500, 1500]
licences = 0
"""
BOUGHT = """\
tokens_per_item = [900, 1500, 2500]
price_per_million_tokens = 5
retries_share = [0.01, 0.05, 0.1]
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path)
    edit(tmp_path, "weeks: 6", "weeks: 6\ncurrency: EUR")
    state(tmp_path, STATED)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def state(root: Path, text: str) -> None:
    (root / COSTS).parent.mkdir(parents=True, exist_ok=True)
    (root / COSTS).write_text(text, encoding="utf-8")


def without(*names: str) -> str:
    return "".join(line for line in STATED.splitlines(True) if line.split(" ")[0] not in names)


def sources(found: costs.Costed) -> dict[str, tuple[str, str]]:
    return {one.name: (one.source, one.said) for one in found.inputs}


def test_the_paper_asks_for_what_the_projection_knows() -> None:
    others = {"cost_today", "audit_share"}
    assert set(Costs.model_fields) - {"price_change"} == set(NEEDED) | set(OPTIONAL) - others


def test_the_blank_paper_holds_each_value_once_and_empty() -> None:
    text = (BLANK / "3-decide" / "costs.toml").read_text(encoding="utf-8")
    assert re.findall(r"^(\w+) = \[\]", text, re.MULTILINE) == re.findall(r"^(\w+) =", text, re.MULTILINE)
    assert set(re.findall(r"^(\w+) =", text, re.MULTILINE)) == set(Costs.model_fields)


def test_a_stated_month_is_projected(root: Path) -> None:
    found = projected(root)
    assert found.issues == ()
    assert found.projection is not None
    assert (found.currency, found.pays) == ("EUR", True)
    said = sources(found)
    assert said["review_minutes"] == ("stated", "stated")
    assert said["audit_share"] == ("charter", "charter: audit_share is empty, which means 0.05")
    assert found.projection == projected(root).projection
    ranges = {one.name: one.range for one in found.inputs}
    assert ranges["monitoring"] == Range(200, 200, 200)
    assert found.projection == project(ranges)


def test_a_month_that_does_not_pay_says_so(root: Path) -> None:
    edit(root, "on_call = [500, 1000, 2000]", "on_call = 900000", COSTS)
    found = projected(root)
    assert found.projection is not None
    assert not found.pays
    assert found.projection.net.p50 < 0


def test_the_charter_takes_the_place_of_an_empty_range(root: Path) -> None:
    state(root, without("items_per_day", "cost_of_hour") + "items_per_day = []\n")
    lacking = projected(root)
    assert lacking.projection is None
    assert [problem.line for problem in lacking.issues] == [12, None]
    assert "costs.toml:12: items_per_day: is not known. State a range, or fill volume_production" in str(
        lacking.issues[0]
    )
    edit(root, "currency: EUR", "currency: EUR\nvolume_production: 800\ncost_of_hour: 45\naudit_share: 0.1")
    found = projected(root)
    assert found.issues == ()
    ranges = {one.name: one.range for one in found.inputs}
    assert ranges["items_per_day"] == Range(800, 800, 800)
    assert ranges["cost_of_hour"] == Range(45, 45, 45)
    assert ranges["audit_share"] == Range(0.1, 0.1, 0.1)
    assert sources(found)["items_per_day"] == ("charter", "charter: volume_production")


def frozen(root: Path, count: int) -> None:
    rows = [
        f"A-{number},{TODAY - timedelta(days=20)},Ada Byron,540,yes,{2 + number % 5},2\n" for number in range(count)
    ]
    (root / "measured.csv").write_text("id,measured_on,measured_by,seconds,correct,cost,touches\n" + "".join(rows))
    baseline.import_file(root, root / "measured.csv", TODAY)
    baseline.freeze(root, TODAY)


def test_the_frozen_baseline_knows_what_an_item_costs_today(root: Path) -> None:
    state(root, without("minutes_today"))
    assert "minutes_today: is not known" in str(projected(root).issues[0])
    frozen(root, 40)
    found = projected(root)
    assert sources(found)["cost_today"] == ("baseline", "measured: mean of 40 costs of the baseline")
    [today] = [one.range for one in found.inputs if one.name == "cost_today"]
    assert today.likely == pytest.approx(4)
    assert today.low < 4 < today.high
    edit(root, "A-1,", "B-1,", baseline.BASELINE)
    assert "minutes_today: is not known" in str(projected(root).issues[0])


def test_a_baseline_of_few_costs_is_not_enough(root: Path) -> None:
    state(root, without("minutes_today"))
    frozen(root, LEAST - 1)
    assert "minutes_today: is not known" in str(projected(root).issues[0])


def test_what_is_stated_wins_over_what_was_measured(root: Path) -> None:
    known = {"review_minutes": Measured(Range(1, 1.1, 1.2), 80, "accepted answers")}
    assert sources(projected(root, known))["review_minutes"] == ("stated", "stated")
    state(root, without("review_minutes"))
    assert sources(projected(root, known))["review_minutes"] == (
        "measured",
        "measured: mean of 80 accepted answers",
    )


def test_a_bought_model_needs_a_price_and_its_repeats(root: Path) -> None:
    edit(root, "build_or_buy: build", "build_or_buy: buy")
    [problem] = projected(root).issues
    assert "price_per_call: is not known, and the model is bought" in str(problem)
    state(root, STATED + BOUGHT.replace("retries_share = [0.01, 0.05, 0.1]\n", ""))
    [problem] = projected(root).issues
    assert "retries_share: is not known" in str(problem)
    state(root, STATED + BOUGHT)
    found = projected(root)
    assert found.issues == ()
    assert found.projection is not None
    assert found.projection.parts["model"] > 0


def test_measured_tokens_hold_their_repeats_and_a_measured_cost_gives_way_to_a_price_of_tokens(root: Path) -> None:
    edit(root, "build_or_buy: build", "build_or_buy: buy")
    known = {
        "tokens_per_item": Measured(Range(900, 1000, 1100), 50, "answers with tokens"),
        "price_per_call": Measured(Range(0.004, 0.005, 0.006), 50, "answers with a cost"),
        "seconds_per_item": Measured(Range(0.5, 0.6, 0.7), 50, "answers"),
    }
    by_cost = projected(root, known)
    assert by_cost.issues == ()
    assert sources(by_cost)["price_per_call"] == ("measured", "measured: mean of 50 answers with a cost")
    assert "tokens_per_item" not in sources(by_cost)
    state(root, STATED + "price_per_million_tokens = 5\nretries_share = 0.5\n")
    by_tokens = projected(root, known)
    assert "price_per_call" not in sources(by_tokens)
    ranges = {one.name: one.range for one in by_tokens.inputs}
    assert ranges["retries_share"] == Range(0, 0, 0)
    assert sources(by_tokens)["retries_share"] == ("measured", "measured: within the calls")
    state(root, STATED + BOUGHT)
    stated = {one.name: one.range for one in projected(root, known).inputs}
    assert stated["retries_share"] == Range(0.01, 0.05, 0.1)


def test_machine_time_is_the_measured_latency_at_its_price(root: Path) -> None:
    state(root, STATED + "price_per_machine_hour = 3\n")
    assert "seconds_per_item: is not known, and the machine's time has a price" in str(projected(root).issues[0])
    known = {"seconds_per_item": Measured(Range(0.5, 0.6, 0.7), 50, "answers")}
    found = projected(root, known)
    assert found.projection is not None
    assert found.projection.parts["model"] == pytest.approx(5000 * 21 * 0.6 / 3600 * 3, rel=0.02)


def test_a_price_change_is_shown_beside(root: Path) -> None:
    state(root, STATED + BOUGHT + "price_change = 2\n")
    found = projected(root)
    assert found.projection is not None
    assert found.projection.changed is not None
    assert found.projection.changed[0].p50 > found.projection.cost.p50


@pytest.mark.parametrize(
    ("was", "is_now", "said"),
    [
        ("[3000, 5000, 7000]", "[3000, 7000, 5000]", r"costs.toml:1: items_per_day: write \[low, likely, high\]"),
        ("[3000, 5000, 7000]", "[3000, 7000]", r":1: items_per_day: write \[low"),
        ("[3000, 5000, 7000]", '"many"', r":1: items_per_day: write \[low"),
        ("[3000, 5000, 7000]", "true", r":1: items_per_day: write \[low"),
        ("[3000, 5000, 7000]", "-1", r":1: items_per_day: write numbers of 0 or more"),
        ("[3000, 5000, 7000]", "[1, 2, inf]", r":1: items_per_day: write numbers of 0 or more"),
        ("[0.1, 0.15, 0.3]", "[10, 15, 30]", r":5: reviewed_share: write shares between 0 and 1"),
        ("licences", "licenses", r":13: licenses: is not known. Did you mean licences\?"),
        ("licences = 0", "licences = 0\nlicences = 1", r"is not TOML .*line 14"),
        ("licences = 0", "price_change = [1, 2, 3]", r":13: price_change: write one number, such as 2"),
        ("licences = 0", "price_change = true", r":13: price_change: write \[low"),
        ("licences = 0", "licences: 0", r"is not TOML .*line 13"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_mend(was: str, is_now: str, said: str, root: Path) -> None:
    assert was in STATED
    state(root, STATED.replace(was, is_now))
    with pytest.raises(PilotError, match=said):
        costs.read(root)
    found = projected(root)
    assert found.projection is None
    assert re.search(said, str(found.issues[0]))


def test_without_the_paper_it_says_how_to_add_it(root: Path) -> None:
    (root / COSTS).unlink()
    found = projected(root)
    assert (found.projection, found.pays) == (None, False)
    assert "`pilot paper add costs.toml`" in str(found.issues[0])


def test_a_blank_paper_lists_what_is_missing_with_its_lines(root: Path) -> None:
    state(root, (BLANK / "3-decide" / "costs.toml").read_text(encoding="utf-8"))
    found = projected(root)
    assert found.projection is None
    missing = {problem.what.split(":")[0]: problem.line for problem in found.issues}
    lines = (root / COSTS).read_text().split("\n")
    assert set(missing) == {*NEEDED, "override_share", "failed_share"}
    for name, line in missing.items():
        assert line is not None
        assert lines[line - 1].startswith(f"{name} = []")


def test_amounts_without_a_currency_say_nothing(root: Path) -> None:
    edit(root, "currency: EUR", "currency:")
    found = projected(root)
    assert found.projection is not None
    [problem] = found.issues
    assert re.fullmatch(r"phases/1-scope/charter.md:\d+: currency: is empty\. .*", str(problem))


Served = Callable[..., App]


@pytest.fixture
def served(root: Path, make_app: AppMaker) -> Served:
    """A service that answered and was judged LEAST times in a mode."""

    def serve(mode: str, count: int = LEAST, **judged: Any) -> App:
        app = make_app(mode=mode)
        for number in range(count):
            item = app.post(f"where is my money {number}").json()["id"]
            app.drained()
            app.judge(item, **{"final": {"label": "refund"}, "seconds": 60 + number, **judged})
        return app

    return serve


def projected(root: Path, known: dict[str, Measured] | None = None) -> Costed:
    pilot = Pilot(root, TODAY)
    return costs.projection(root, pilot.charter, pilot.baseline_values.get("cost_per_item", []), known)


def measured(root: Path, app: App, as_of: date = TODAY) -> dict[str, Measured]:
    with app.service.engine.connect() as connection:
        return spending.measured_live(connection, as_of, decision.due(evidence.read(root)))


def test_in_shadow_the_records_know_the_minutes_of_today_and_no_review(root: Path, served: Served) -> None:
    found = measured(root, served("shadow"))
    assert found["minutes_today"].range.likely == pytest.approx((60 + 29 / 2) / 60)
    assert found["minutes_today"].range.low < found["minutes_today"].range.likely < found["minutes_today"].range.high
    assert "review_minutes" not in found
    assert (found["failed_share"].range.likely, found["failed_share"].n) == (0, LEAST)
    assert found["override_share"].range.likely == 0
    assert 0 < found["override_share"].range.high < 0.2
    assert found["seconds_per_item"].range.likely >= 0


def test_in_assist_they_know_reviews_and_overrides(root: Path, served: Served) -> None:
    app = served("assist")
    found = measured(root, app)
    assert found["review_minutes"].n == LEAST
    assert "minutes_today" not in found
    with writing(app.service.engine) as connection:
        connection.execute(update(outcomes).values(action="changed", agreement=False))
    found = measured(root, app)
    assert (found["override_minutes"].n, found["override_share"].range.likely) == (LEAST, 1)
    assert "review_minutes" not in found
    with writing(app.service.engine) as connection:
        connection.execute(update(answers).where(answers.c.role == "primary").values(tokens=800, cost=0.004))
    found = measured(root, app)
    assert found["tokens_per_item"].range == Range(800, 800, 800)
    assert found["price_per_call"].range.likely == pytest.approx(0.004)


def test_what_was_measured_is_projected_and_labelled(root: Path, served: Served) -> None:
    state(root, without("minutes_today", "override_share", "failed_share"))
    found = projected(root, measured(root, served("shadow")))
    assert found.issues == ()
    assert sources(found)["minutes_today"] == ("measured", f"measured: mean of {LEAST} decisions made without the AI")
    assert sources(found)["failed_share"] == ("measured", f"measured: share of {LEAST} answers")


def test_few_records_and_those_of_a_scratch_database_are_not_enough(root: Path, served: Served) -> None:
    app = served("shadow", count=LEAST - 1)
    assert measured(root, app) == {}
    app.post("one more")
    app.drained()
    assert set(measured(root, app)) == {"seconds_per_item", "failed_share"}
    assert measured(root, app, TODAY - timedelta(days=1)) == {}
    with writing(app.service.engine) as connection:
        controls.put(connection, "scratch", "yes", "test")
    assert measured(root, app) == {}


RUNNER = CliRunner()


def pilot(*words: str) -> Result:
    return RUNNER.invoke(command, words)


def test_the_command_prints_the_same_for_the_same(root: Path) -> None:
    state(root, STATED + BOUGHT + "price_change = 2\n")
    done = pilot("costs")
    assert done.exit_code == 0
    assert done.stdout == pilot("costs").stdout
    for said in ("P10", "net benefit", "break-even: it pays from", "reviews: a benefit is left", "prices times 2"):
        assert said in done.stdout
    assert re.search(r" 1\. items_per_day|  1\. minutes_today", done.stdout)
    assert re.search(r"review_minutes +2 / 2.5 / 3 +stated", done.stdout)
    assert "IT DOES NOT PAY" not in done.stdout


def test_the_command_says_when_it_does_not_pay_and_what_is_missing(root: Path) -> None:
    edit(root, "minutes_today = [3, 4, 6]", "minutes_today = 0.1", COSTS)
    done = pilot("costs")
    assert "IT DOES NOT PAY" in done.stdout
    assert "no volume pays" in done.stdout
    assert "a benefit is left at no share of reviewed answers" in done.stdout
    edit(root, "working_days = [20, 21, 22]", "working_days = []", COSTS)
    done = pilot("costs")
    assert done.exit_code == 1
    assert "phases/3-decide/costs.toml:2: working_days: is not known." in done.stdout
    assert "P10" not in done.stdout


def test_the_command_goes_on_where_the_records_cannot_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOT_DATABASE_URL", "postgresql://pilot@127.0.0.1:1/nothing")
    done = pilot("costs")
    assert done.exit_code == 0
    assert "nothing is measured" in done.stdout
    assert "net benefit" in done.stdout


def test_a_paper_that_pays_no_longer_pays_without_its_benefit(root: Path) -> None:
    """`pays` follows the median of the draws and nothing else."""
    found = projected(root)
    assert found.projection is not None
    net = found.projection.net
    for p50, pays in ((1.0, True), (0.0, False), (-1.0, False)):
        moved = replace(found, projection=replace(found.projection, net=replace(net, p50=p50)))
        assert moved.pays is pays
