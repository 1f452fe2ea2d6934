"""Three pilots on Banking77 from the first record to the end, each by the commands that its team types: one that
deserves a go, one that misses its target and is closed, one that lets its day pass. PILOT_TEST_BANKING77 names the
data's folder."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from banking import ADA, DUE, KEYS, SUE, Team, begun, copied
from helpers import FULL, run
from stack import wait_for

FOLDER = os.environ.get("PILOT_TEST_BANKING77")
pytestmark = pytest.mark.skipif(FOLDER is None, reason="PILOT_TEST_BANKING77 names no folder with the data")
BECAUSE = "the desk sorts a question in a fifth of the time, and asks to keep it"


@pytest.fixture
def team(prepared: Team, tmp_path: Path) -> Team:
    return copied(prepared, tmp_path / "pilot")


def decision(team: Team, outcome: str) -> tuple[str, dict[str, Any]]:
    """The record of a decision as people read it, and its evidence."""
    [paper] = (team.folder / "phases/3-decide/decisions").glob(f"*-{outcome}.md")
    [written] = (team.folder / "phases/evidence").glob(f"*-decision-{outcome}.json")
    return paper.read_text(encoding="utf-8"), json.loads(written.read_text(encoding="utf-8"))


def test_a_pilot_that_deserves_a_go_gets_it(team: Team) -> None:
    assert "verdict       MET" in team.says("evaluate")
    assert "a benefit is left in 100% of the draws" in team.says("costs")
    assert "embedded-database" in team.says("gaps")
    assert "holds no decision" in team.says("gate", "3", code=1)
    assert "A production deploy needs a go" in team.says("decide", code=1)
    team.says("decide", "go", "--because", BECAUSE, "--shared-with", "Sue Sponsor")
    record, says = decision(team, "go")
    assert record.startswith("# Decision 0001: go\n")
    assert BECAUSE in record
    assert (says["verdict"], set(says["conditions"].values()), says["date"]) == ("MET", {True}, str(DUE))
    assert says["hashes"]["commit"] == run("git", "rev-parse", "HEAD", cwd=team.folder).strip()
    team.commits("Decide")
    assert team.says("decide").startswith(f"go, decided on {DUE} by {ADA}")
    assert f"Gate 3 passed on {DUE}." in team.says("gate", "3")
    team.says("brief")
    team.says("status", "--html", "var/status.html")
    assert "The pilot is in phase 4 of 5" in (team.folder / "var/status.html").read_text(encoding="utf-8")
    team.at(DUE + timedelta(weeks=4))
    assert "No promise is broken." in team.says("check")


def test_a_pilot_that_misses_its_target_is_closed(trained: tuple[Path, Team], tmp_path: Path) -> None:
    team = begun(trained, tmp_path / "pilot", target=0.97)
    with team.serves() as service:
        team.works(service)
        team.prepares()
        assert "verdict       MISSED" in team.says("evaluate", code=10)
        assert "MISSED" in team.says("decide", "go", "--because", BECAUSE, code=1)
        assert "Only a no-go ends a pilot" in team.says("close", code=1)
        team.says("decide", "no-go", "--because", "one question in six would wait in the wrong queue, as it does today")
        assert "Verdict on the target: MISSED" in decision(team, "no-go")[0]
        team.says("gate", "3", code=1)
        said = team.says("close", code=1)
        assert "The pilot is closed" in said
        assert "The next candidate by its scores is Answers to complaints" in said
        closed = [line for line in said.splitlines() if "is in force: `pilot keys revoke" in line]
        assert len(closed) == len(KEYS)

        def answer() -> tuple[str, str | None, Any]:
            asked = {"item": {"text": "Where is my card?"}}
            found = service.call("/v1/predictions", team.keys["chat desk"], asked)[1]
            return found["status"], found["reason"], found["prediction"]

        wait_for(lambda: answer() == ("needs_human", "closed", None), 10)
        assert "The pilot is closed, so its mode does not change" in team.says("mode", "assist", code=1)
        assert answer() == ("needs_human", "closed", None)
        for line in closed:
            team.says("keys", "revoke", line.split("`pilot keys revoke ")[1].split("`")[0])
        team.closes()
        assert "Nothing is left to do." in team.says("close")
        wait_for(lambda: service.call("/v1/predictions", team.keys["chat desk"], {})[0] == 401, 10)
    assert "No promise is broken." in team.says("check")
    assert "decided no-go" in team.says("status")


@pytest.mark.skipif(not FULL, reason="nightly: a go and a no-go are followed on each push")
def test_a_pilot_that_lets_its_day_pass_is_red_until_it_is_decided(team: Team) -> None:
    assert "No promise is broken." in team.says("check")
    team.at(DUE + timedelta(days=3))
    red = team.says("check", code=10)
    assert f"the decision was due on {DUE}, 3 days ago, and there is none. Decide now, go or no-go" in red
    assert "Fix a broken promise" in team.says("status")
    more = ("--because", "a few more weeks would surely settle it")
    assert "too late to move it" in team.says("decide", "extend", *more, code=1)
    assert "Is it decided in time?" in team.says("decide", "go", "--because", BECAUSE, code=1)
    team.says("decide", "no-go", "--because", "nobody took it upon themselves in time", "--as", SUE)
    record, says = decision(team, "no-go")
    assert f"due on {DUE}" in record
    assert (says["name"], says["date"], says["conditions"]["in-time"]) == (SUE, str(DUE + timedelta(days=3)), False)
    assert "No promise is broken." in team.says("check")
    assert "no-go, decided on" in team.says("decide", code=1)
