"""A pilot on Banking77 from its go to gate 5, by the commands that its team types and by the clock of a test: a stage
that does harm and steps back, one that widens, a person whose decisions poison, flags that become known items, a model
that learns from them, drift that was planted, and the next charter.

What takes hours, the drills and the other checks of gate 4, is planted as evidence; other tests run them.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from banking import DUE, EVERY, Team, copied
from stack import Service, wait_for

FOLDER = os.environ.get("PILOT_TEST_BANKING77")
pytestmark = pytest.mark.skipif(FOLDER is None, reason="PILOT_TEST_BANKING77 names no folder with the data")

HARDENED = DUE + timedelta(days=7)
# The first day of the stage that does harm, of the one that does none, and the day after the week of that one.
HARM, GOOD, AFTER = (HARDENED + timedelta(days=days) for days in (1, 2, 9))
GRACE = "Grace Hopper <grace@example.org>"
# A kind of question that nobody asked while the model learned, and how people decide it.
NEW = [
    f"Does the {ring} ring work at the till of the {place}?"
    for ring in ("silver", "smart", "payment", "black")
    for place in ("bakery", "station", "museum", "pool", "garage", "kiosk")
]
DECIDED = "apple_pay_or_google_pay"
PLANTED = """
import sys
from datetime import date
from pathlib import Path
from pilot.workbench import evidence
from pilot.workbench.documents import runbook

root, day = Path.cwd(), date.fromisoformat(sys.argv[1])
for name in runbook.names(root):
    if runbook.read(root, name).header.fault:
        facts = {"page": name, "fault": "none", "restored_seconds": 9.0, "by": "grace", "how": "by the command"}
        evidence.append(root, "drill", f"drill-{name}", day, facts)
evidence.append(root, "gate", "gate-4", day, {"gate": 4, "begun": "2027-01-11", "decision_by": "2027-03-01"})
"""
GUIDE = """\
does: [proposes a queue for each question in English]
does_not: [does not read attachments, is often wrong about exchange rates]
override_when: [the question is urgent whatever the queue]
override_how: pick another queue on the review page
report_to: the button Report on the review page
report_answered: within a working day
helper: {name: Tom Reed, email: tom@example.org}
"""
ITERATION = """\
owner: {name: Grace Hopper, email: grace@example.org}
learned: [questions about rings came up and had no queue of their own]
options:
  - {change: a queue for rings, evidence: "flags of March", effort: two weeks, chosen: yes}
  - {change: read attachments too, evidence: twelve reports of users, effort: two months, chosen: no}
target: accuracy on cards from 0.80 to 0.90
decide_by: 2027-09-30
retire_when: [fewer than 20 questions a day arrive for a month]
"""


def rows(data: Path) -> Iterator[dict[str, str]]:
    """Questions about cards that nobody has asked yet: the others have stayed away since the go, which is the drift."""
    with (data / "test.csv").open(newline="", encoding="utf-8") as stream:
        fresh = [row for number, row in enumerate(csv.DictReader(stream)) if number % EVERY]
    return iter([row for row in fresh if "card" in row["category"]])


class Desk:
    """Sends questions and decides them, as callers and clerks do."""

    def __init__(self, team: Team, service: Service) -> None:
        self.team, self.service, self.sent = team, service, 0

    def asks(self, text: str) -> dict[str, Any]:
        """The answer to one question, of a person of its own."""
        self.sent += 1
        body = {"item": {"text": text}, "source_id": f"live-{self.sent}", "subject": f"person-{self.sent}"}
        status, answer = self.service.call("/v1/predictions", self.team.keys["chat desk"], body)
        assert status in (200, 202), answer
        return dict(answer)

    def decides(self, answer: dict[str, Any], label: str, by: str = "Ina Wolf", **more: str) -> None:
        body = {"final": {"label": label}, "seconds": 20 if answer["prediction"] else 80, **more}
        status, said = self.service.call(f"/v1/predictions/{answer['id']}/outcome", self.team.keys[by], body)
        assert status == 201, said

    def stage(self) -> Any:
        return self.service.call("/v1/rollout", self.team.keys["Grace Hopper"])[1]


def paper(team: Team, file: str, facts: str, words: str = "") -> None:
    """Fills the facts of a paper, and the one part that needs words."""
    blank = (team.folder / file).read_text(encoding="utf-8")
    page = blank.split("---\n", 2)[2]
    page = re.sub(r"(## Why[^\n]*\n).*?(?=\n## |\Z)", rf"\g<1>\n{words}\n", page, flags=re.S) if words else page
    team.writes(file, f"---\n{facts}---\n{page}")


@pytest.fixture
def team(prepared: Team, tmp_path: Path) -> Team:
    """A pilot with a go, on the day on which it passed gate 4."""
    team = copied(prepared, tmp_path / "pilot")
    team.says("decide", "go", "--because", "the desk asks to keep it", "--shared-with", "Sue Sponsor")
    team.says("gate", "3")
    team.commits("Decide")
    assert "A rollout needs gate 4" in team.says("rollout", "to", "50%", "--yes", code=1)
    team.at(HARDENED)
    python = str(team.programs / "python")
    subprocess.run([python, "-c", PLANTED, str(HARDENED)], cwd=team.folder, env=team.environment, check=True)
    team.keys["Max Frey"] = team.says("keys", "create", "reviewer", "--name", "Max Frey").split("\n")[0]
    return team


def test_a_pilot_lives_and_improves(team: Team) -> None:
    questions = rows(team.data)
    assert "has no stage of a rollout" in team.says("gate", "5", code=1)
    team.says("mode", "assist")
    team.at(HARM)
    assert "half of the stages" in team.says("rollout", "to", "50%", "--yes")
    with team.serves() as service:
        desk = Desk(team, service)
        steps_back(desk, questions)
        flagged = widens(desk, questions)
        team.at(AFTER)
        listed = team.says("feedback", "list")
        [identity] = re.findall(r"^\s*(\d+)\b.*wrong", listed, re.M)
        assert flagged["text"] in team.says("feedback", "adopt", identity, "--yes")
        assert flagged["text"] in (team.folder / "data/known.csv").read_text(encoding="utf-8")
        learns(desk, flagged["text"])
    assert "CHANGED  answer: shares of the labels" in team.says("drift", code=1)
    page = draft(team)
    assert "answer has changed since the pilot was judged (shares of the labels" in page
    assert "People flagged 1 answer: wrong" in page
    assert "The target was at least 75 of 100 items" in page
    paper(team, "phases/5-live/user-guide.md", GUIDE)
    paper(team, "phases/5-live/next-iteration.md", ITERATION, "Rings cost most, and their questions are at hand.")
    team.commits("Write the guide and the next iteration")
    assert f"Gate 5 passed on {AFTER}." in team.says("gate", "5")
    team.says("status", "--html", "var/status.html")
    assert "All gates have passed." in team.says("status")
    assert "The audit trail holds" in team.says("audit", "verify")


def steps_back(desk: Desk, questions: Iterator[dict[str, str]]) -> None:
    """The people in the stage meet answers that are wrong for them; the rest are as well off as ever."""
    reached = 0
    for row, _ in zip(questions, range(120), strict=False):
        answer = desk.asks(row["text"])
        if (shown := answer["prediction"]) is None:
            desk.decides(answer, row["category"])
        else:
            reached += 1
            other = "exchange_rate" if shown["label"] != "exchange_rate" else "country_support"
            desk.decides(answer, other, by="Max Frey")
    assert 40 < reached < 80
    wait_for(lambda: desk.stage()["share"] == 0, 90)
    said = desk.team.says("rollout")
    assert "It stepped back by itself" in said
    assert desk.asks("Where is my card?")["prediction"] is None


def widens(desk: Desk, questions: Iterator[dict[str, str]]) -> dict[str, str]:
    """A week without harm. Returns the text of a new kind that was answered wrongly and flagged, and its answer."""
    team, new = desk.team, iter(NEW)
    flagged: dict[str, str] = {}
    team.at(GOOD)
    team.says("rollout", "to", "50%", "--yes")
    wait_for(lambda: desk.stage()["share"] == 0.5, 10)
    assert "a day, and it was opened" in team.says("rollout", "to", "all", "--yes", code=1)
    for number in range(7):
        team.at(GOOD + timedelta(days=number))
        for text, _ in zip(new, range(8), strict=False):
            answer = desk.asks(text)
            label = (answer["prediction"] or {}).get("label")
            wrong = not flagged and label not in (None, DECIDED)
            desk.decides(answer, DECIDED, **({"flag": "wrong"} if wrong else {}))
            flagged = {"text": text, "answer": str(label)} if wrong else flagged
        for row, _ in zip(questions, range(40), strict=False):
            desk.decides(desk.asks(row["text"]), row["category"])
        if number == 3:
            team.says("rollout", "to", "all", "--yes")
    assert flagged
    assert "Everybody, in mode assist" in team.says("rollout")
    return flagged


def learns(desk: Desk, text: str) -> None:
    """A candidate of what people decided answers rightly what was flagged; whoever decided the opposite is left out."""
    team = desk.team
    words = ("--data", str(team.data / "train.csv"), "--input", "text", "--label", "category")
    said = team.says("model", "retrain", *words)
    assert "Max Frey" in said
    [version] = re.findall(r"^(\w+) is a candidate", said, re.M)
    team.says("model", "promote", version, "--as", GRACE)
    wait_for(lambda: (desk.asks(text)["prediction"] or {}).get("label") == DECIDED, 30)


def draft(team: Team) -> str:
    assert "wrote var/next-charter.md" in team.says("next")
    return (team.folder / "var/next-charter.md").read_text(encoding="utf-8")
