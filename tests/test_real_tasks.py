"""A pilot of each task beyond one label on real data, built and bought, from the charter to the decision: 200 items of
PILOT_TEST_BOOKINGS (fields of a request) and PILOT_TEST_STORYPOINTS (titles, points), which name the folders.

Where the model is built, a person at a browser decides all of them on the review page, blind, as in shadow. Where it is
bought, from a stand-in that knows six of seven items, the items of one week of five are decided so, and those of the
others over HTTP.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from banking import ADA, DUE, WEEKS, Team
from helpers import FULL, Render, run
from pilot.operations.standin import provider
from playwright.sync_api import Browser
from real_tasks import ITEMS, TASKS, Clerk, Task, figure, matches, schema_of
from stack import UV, Service

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not {task.data for task in TASKS.values()} <= set(os.environ),
        reason="PILOT_TEST_BOOKINGS or PILOT_TEST_STORYPOINTS names no folder with the data",
    ),
]
BECAUSE = "it saves the desk an hour a day, and the desk asks to keep it"
MATCHES = ("right", "wrong", "missing", "spurious", "empty")


def records(team: Team) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any], str, float]]:
    """Item, answer, decision, who made it and in how many seconds, in the order of arrival."""
    with sqlite3.connect(team.folder / "var" / "pilot.db") as connection:
        rows = connection.execute(
            "SELECT i.content, a.prediction, o.final, o.made_by, o.seconds FROM items i "
            "JOIN answers a ON a.item_id = i.id AND a.role = 'primary' JOIN outcomes o ON o.item_id = i.id "
            "WHERE o.version = 1 AND o.action IS NULL AND NOT a.shown ORDER BY i.seq"
        ).fetchall()
    for content, answer, final, who, seconds in rows:
        yield json.loads(content), json.loads(answer), json.loads(final), who, seconds


def a_week(team: Team, service: Service, task: Task, rows: list[dict[str, str]], browser: Browser | None) -> None:
    """Items of a week come in and are decided: at the browser, or without one over HTTP."""
    finals = {}
    for row in rows:
        asked = {"item": task.item_of(row), "source_id": row["id"]}
        status, answer = service.call("/v1/predictions", team.keys["chat desk"], asked)
        assert (status, answer["status"], answer["prediction"]) == (202, "recorded", None)
        finals[answer["id"]] = task.final_of(row)
    if browser is not None:
        with browser.new_context() as context:
            Clerk(context.new_page(), service.url, team.keys["Ina Wolf"]).decides(finals)
        return
    for identity, final in finals.items():
        decided = {"final": final, "seconds": 60}
        assert service.call(f"/v1/predictions/{identity}/outcome", team.keys["Tom Reed"], decided)[0] == 201


# Each takes minutes: one of each task on each push, with either approach and verdict, and all of them nightly.
STORIES = [(name, approach) for name in TASKS for approach in ("build", "buy")]
SOME = [("extract", "buy"), ("draft", "build"), ("score", "buy")]


@pytest.mark.parametrize(("name", "approach"), STORIES if FULL else SOME)
def test_from_the_charter_to_the_decision(
    name: str, approach: str, render: Render, browser: Browser, tmp_path: Path
) -> None:
    task = TASKS[name]
    data, wanted = Path(os.environ[task.data]), task.targets[approach]
    folder = render(tmp_path / f"{task.name}_{approach}", task=task.name, approach=approach, package_name="desk")
    task.written(folder)
    run(UV, "sync", "--quiet", cwd=folder, timeout=900, UV_PYTHON_DOWNLOADS="never")
    team, rows = Team(folder, folder / ".venv" / "bin", data), task.rows(data)
    assert len(rows) == ITEMS
    team.at(WEEKS[0])
    if approach == "build":
        columns = [f"--input={name}={name}" for name in task.items] + [f"--label={name}={name}" for name in task.finals]
        assert "rows" in team.says("model", "train", "--data", str(data / "train.csv"), *columns)
    team.begins(wanted.target, task.charter(approach), task.measured(approach))
    schema = schema_of(folder)
    known = [
        (schema.Item(**task.item_of(row)), schema.Prediction(**task.final_of(row)))
        for number, row in enumerate(rows)
        if number % 7 != 3
    ]
    with ExitStack() as running:
        if approach == "buy":
            team.settings.update(running.enter_context(provider(known))[1])
        service = running.enter_context(team.serves())
        for week, day in enumerate(WEEKS):
            team.at(day)
            seen = approach == "build" or week == 0
            a_week(team, service, task, rows[week :: len(WEEKS)], browser if seen else None)
    ordered = [row for week in range(len(WEEKS)) for row in rows[week :: len(WEEKS)]]
    kept = list(records(team))
    sent = [(task.item_of(row), task.final_of(row)) for row in ordered]
    assert [(item, final) for item, _, final, *_ in kept] == sent
    at_the_page = ITEMS if approach == "build" else ITEMS // len(WEEKS)
    assert [who for *_, who, _ in kept] == ["Ina Wolf"] * at_the_page + ["Tom Reed"] * (ITEMS - at_the_page)
    assert all(0 < seconds <= 60 for *_, seconds in kept)
    pairs = [(answer, final) for _, answer, final, *_ in kept]
    is_evaluated(team, task, approach, pairs)
    is_decided(team, wanted.verdict)


def is_evaluated(team: Team, task: Task, approach: str, pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """The verdict, the estimate and the counts of every field are those that follow from answers and decisions."""
    wanted = task.targets[approach]
    estimate, error = figure(task, wanted.metric, pairs)
    gain = (estimate - wanted.target) * (1 if wanted.direction == "up" else -1)
    team.says("gate", "2")
    team.commits("Pass gate 2")
    team.prepares()
    code = {"MET": 0, "MISSED": 10, "NOT PROVEN": 11}[wanted.verdict]
    said = team.says("evaluate", code=code)
    assert f"verdict       {wanted.verdict}\n" in said
    assert estimated(said, r"^estimate +") == pytest.approx(estimate, abs=1e-4)
    assert f"\nn             {ITEMS} of {ITEMS} items" in said
    # Three standard errors leave no doubt about the verdict.
    assert (gain > 3 * error) if wanted.verdict != "MISSED" else (gain < -3 * error)
    if wanted.verdict == "NOT PROVEN":
        assert f"{ITEMS} values are too few for a verdict" in said
    team.says("report", "--out", "var/report.md")
    report = (team.folder / "var" / "report.md").read_text(encoding="utf-8")
    assert f"## Verdict: {wanted.verdict}\n" in report
    assert estimated(report, r"^\| estimate \| ") == pytest.approx(estimate, abs=1e-4)
    assert "## Agreement" not in report, "none of these answers is a label"
    table = dict(re.findall(r"^\| ([\w\\]+) ((?:\| \d+ ){5})\|", report, re.M))
    assert {name.replace("\\", ""): counts for name, counts in table.items()} == {
        name: "".join(f"| {found[one]} " for one in MATCHES) for name, found in matches(task, pairs).items()
    }


def estimated(text: str, before: str) -> float:
    """The figure that follows in a text."""
    [found] = re.findall(rf"{before}([\d.]+) ", text, re.M)
    return float(found)


def is_decided(team: Team, verdict: str) -> None:
    """A go is accepted where the target is met, and refused elsewhere."""
    go = ("decide", "go", "--because", BECAUSE, "--shared-with", "Sue Sponsor")
    if verdict == "MET":
        team.says(*go)
        team.commits("Decide")
        assert team.says("decide").startswith(f"go, decided on {DUE} by {ADA}")
        assert f"Gate 3 passed on {DUE}." in team.says("gate", "3")
        return
    assert verdict in team.says(*go, code=1)
    team.says("decide", "no-go", "--because", "the desk would lose more time than it gains")
    assert team.says("decide", code=1).startswith(f"no-go, decided on {DUE} by {ADA}")
