"""A pilot on real data and the team that runs it: its papers, clock and service, and the commands that it types. Those
of Banking77 are the default, and its fixtures are here."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import pytest
from helpers import Render, git, run
from stack import UV, Service, free_port, wait_for

SIGNED = date(2027, 1, 11)
DUE = date(2027, 3, 1)
WEEKS = [date(2027, 1, 23) + timedelta(days=6 * week) for week in range(5)]
ADA, SUE = "Ada Byron <ada@example.org>", "Sue Sponsor <sue@example.org>"
EVERY = 8
KEYS = {"chat desk": "caller", "Tom Reed": "reviewer", "Ina Wolf": "reviewer", "Grace Hopper": "operator"}
CANDIDATES = """\
problem,impact,impact_evidence,feasibility,feasibility_evidence,readiness,readiness_evidence,asked,selected,override
Sorting of questions,4,"400 a day, one in six misrouted",5,ten thousand examples,4,the desk asked for it,Tom Reed,yes,
Answers to complaints,5,two clerks all day,2,letters without a pattern,3,clerks doubt it,Ines Ray of complaints,,
"""
CHARTER = """\
---
pilot: "Question sorting"
regulated: no
build_or_buy: build
metric: accuracy
unit: share
direction: up
target: {target}
population: all questions in English that come in by chat
data_source: the export of the chat desk
window: weeks 3 to 7 of the pilot
judged_items: 350
volume_now: 400
volume_production: 400
guardrails:
  - {{metric: failures, direction: down, margin: 0.02}}
currency: EUR
cost_of_hour: 40
weeks: 6
decision_by: {due}
owner:
  name: Ada Byron
  email: ada@example.org
  technical_authority: yes
  operational_authority: yes
receiving_owner:
  name: Grace Hopper
  email: grace@example.org
budget: 40000
risks: ["an urgent question waits in the wrong queue: the shift lead looks at noon"]
kill_criteria: ["more than 20 urgent questions a week are delayed"]
alternatives:
  - {{option: "a form with a list of queues", why_not: "customers pick the first entry"}}
people_affected: yes
personal_data: no
automated_decision: no
use: ordinary
oversight: the shift lead moves a question back by hand
log_days: 200
impact_note: a delayed answer, put right by the shift lead
---

# Charter: {{pilot}}

## Problem

About 400 questions a day are sorted by hand, and one in six waits in the wrong queue.

## Target

The {{target}}. Customers leave when they wait longer.

## Baseline

The desk times 120 questions by hand in the two weeks before the start.

## Timeline

The pilot runs for {{weeks}} weeks, and the owner decides by {{decision_by}}.

## Team

{{owner}} owns it, the platform team builds it, and {{receiving_owner}} takes it over.

## Risks

We watch for these: {{risks}}.

## When we stop

We stop early when {{kill_criteria}}, and else decide by {{decision_by}}.
"""
COSTS = """\
working_days = [20, 21, 22]
reviewed_share = [0.1, 0.2, 0.3]
review_minutes = [0.3, 0.5, 1]
override_share = [0.05, 0.1, 0.2]
infrastructure = [200, 300, 500]
on_call = [300, 500, 900]
monitoring = 150
retraining = [100, 200, 400]
licences = 0
"""
GAPS = """\
gap,area,severity,effort_days,owner,state,mended_by,note
single sign-on is missing,authentication,major,3,Grace Hopper,open,2027-03-26,the reviewers get it with the portal
none,error handling,,,,,,the drills of week 5 came back by themselves
embedded-database,failover,major,4,Grace Hopper,open,2027-03-31,PostgreSQL of the platform team
none,audit log,,,,,,the chain of hashes was verified
none,compliance,,,,,,the privacy officer read the charter
"""
TALKS = {
    "clerk of the early shift": ("yes", "none", "yes", "The queue of lost cards is empty at noon now."),
    "clerk of the late shift": ("partly", "it mixes up exchange rates", "yes", "I still read every question twice."),
    "shift lead": ("yes", "none", "yes", "I moved three questions by hand last week, and forty before."),
}
CLOSING = """\
users_told: {by: Tom Reed, day: 2027-03-01}
keys_revoked: {by: Grace Hopper, day: 2027-03-01}
records_kept_until: 2027-10-31
records_reason: the charter keeps them 200 days
records_deleted_by: {name: Grace Hopper, email: grace@example.org}
shut_down: [the service and its database by Grace]
lesson: [ask how often people agree with each other before a model is asked for more]
next_candidate: answers to complaints, once the letters are sorted
"""


def by_hand(measure: str, value: Callable[[int], object]) -> str:
    """The rows of a baseline of 120 items that a person decided by hand, with a measure of how right they are."""
    rows = (
        f"{SIGNED + timedelta(days=n % 10)},Tom Reed,{60 + n % 60},{value(n)},{(60 + n % 60) * 40 / 3600:.2f},1\n"
        for n in range(120)
    )
    return f"measured_on,measured_by,seconds,{measure},cost,touches\n{''.join(rows)}"


@dataclass
class Team:
    """A team in the folder of its pilot, whose commands are in `programs`; a copy of an installed pilot has no own."""

    folder: Path
    programs: Path
    data: Path  # the folder of train.csv and test.csv
    keys: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What its shell has, the settings of its pilot among it."""
        outer = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        clock = {"CLOCK": str(self.folder / "var" / "clock"), "NO_COLOR": "1"}
        return {**outer, **clock, **self.settings, "PATH": f"{self.programs}:{os.environ['PATH']}"}

    def at(self, day: date) -> None:
        """Sets its clock, at once: a service that runs reads it all the time."""
        clock = self.folder / "var" / "clock"
        clock.parent.mkdir(exist_ok=True)
        clock.with_suffix(".new").write_text(str(day), encoding="utf-8")
        clock.with_suffix(".new").replace(clock)

    def command(self, *words: str) -> list[str]:
        return [str(self.programs / "python"), str(Path(__file__).with_name("clock.py")), "pilot", *words]

    def says(self, *words: str, code: int = 0) -> str:
        """What `pilot WORDS` prints, its errors too. Fails where it ends with another code, or breaks."""
        done = subprocess.run(
            self.command(*words), cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=300
        )
        said = f"{done.stdout}\n{done.stderr}"
        assert done.returncode == code, f"pilot {' '.join(words)} ended with {done.returncode}:\n{said}"
        assert "Traceback" not in said
        return said

    def writes(self, file: str, text: str) -> None:
        (self.folder / file).write_text(text, encoding="utf-8")

    def commits(self, message: str) -> None:
        """As people do after each step, so that the record of the decision can name a commit."""
        when = f"{self.folder.joinpath('var', 'clock').read_text()}T12:00:00Z"
        git("add", "--all", cwd=self.folder)
        dated = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        author = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        command = ["git", *author, "commit", "--quiet", "--allow-empty", f"--message={message}"]
        subprocess.run(command, cwd=self.folder, env={**os.environ, **dated}, check=True)

    def begins(self, target: float, charter: str = CHARTER, measured: str | None = None) -> None:
        """Phase 1 and the baseline: what stands before the first record. `measured` are the rows of the baseline."""
        self.at(SIGNED - timedelta(days=3))
        git("init", "--quiet", "--initial-branch=main", cwd=self.folder)
        self.commits("Begin the pilot")
        self.writes("phases/1-scope/candidates.csv", CANDIDATES)
        self.writes("phases/1-scope/charter.md", charter.format(target=target, due=DUE))
        self.at(SIGNED)
        self.says("sign", "charter", "--as", ADA, "--role", "owner")
        self.says("gate", "1")
        self.at(SIGNED + timedelta(days=11))
        measured = measured or by_hand("correct", lambda n: "no" if n % 6 == 0 else "yes")
        self.writes("var/measured.csv", measured)
        self.says("baseline", "import", "var/measured.csv")
        self.says("baseline", "freeze")
        for name, role in KEYS.items():
            self.keys[name] = self.says("keys", "create", role, "--name", name).split("\n")[0]
        self.commits("Sign the charter, freeze the baseline")

    @contextmanager
    def serves(self) -> Iterator[Service]:
        """Its service, by its clock."""
        port = free_port()
        with (self.folder / "var" / "service.log").open("w") as log:
            process = subprocess.Popen(
                self.command("serve", "--port", str(port)), cwd=self.folder, env=self.environment, stdout=log
            )
        service = Service(f"http://127.0.0.1:{port}", self.folder, ())
        try:
            wait_for(service.answers, 60)
            yield service
        finally:
            process.terminate()
            assert process.wait(30) in (0, -signal.SIGTERM)

    def works(self, service: Service) -> None:
        """Phase 2: five weeks of questions, decided by people who see nothing of the AI."""
        with (self.data / "test.csv").open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))[::EVERY]
        for week, day in enumerate(WEEKS):
            self.at(day)
            for number, row in enumerate(rows[week :: len(WEEKS)]):
                asked = {"item": {"text": row["text"]}, "source_id": f"{week}-{number}"}
                status, answer = service.call("/v1/predictions", self.keys["chat desk"], asked)
                assert (status, answer["status"], answer["prediction"]) == (202, "recorded", None)
                decided = {"final": {"label": row["category"]}, "seconds": 60 + number % 45}
                by = self.keys["Ina Wolf" if number % 3 else "Tom Reed"]
                assert service.call(f"/v1/predictions/{answer['id']}/outcome", by, decided)[0] == 201
        self.says("gate", "2")
        self.commits("Pass gate 2")

    def prepares(self) -> None:
        """Phase 3 but for the decision: conversations, costs, gaps."""
        self.at(DUE)
        for role, (helped, problems, again, notes) in TALKS.items():
            said = ("--role", role, "--helped", helped, "--problems", problems, "--again", again, "--notes", notes)
            self.says("interview", "add", "--date", str(DUE - timedelta(days=5)), *said)
        self.writes("phases/3-decide/costs.toml", COSTS)
        self.writes("phases/3-decide/gaps.csv", GAPS)

    def closes(self) -> None:
        """Fills the paper of the end, whose page stays as it came."""
        file = self.folder / "phases/3-decide/closing.md"
        head, _, page = file.read_text(encoding="utf-8").split("---\n", 2)
        assert head == ""
        self.writes("phases/3-decide/closing.md", f"---\n{CLOSING}---\n{page}")


def copied(team: Team, folder: Path) -> Team:
    """The pilot once more, with all that it has recorded, for another ending."""
    shutil.copytree(team.folder, folder, ignore=shutil.ignore_patterns(".venv", "__pycache__"))
    return Team(folder, team.programs, team.data, dict(team.keys), dict(team.settings))


@pytest.fixture(scope="session")
def trained(render: Render, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Team]:
    """A pilot whose model was trained on the training set, installed; and a copy in which nothing is recorded yet."""
    data = Path(os.environ["PILOT_TEST_BANKING77"])
    folder = render(tmp_path_factory.mktemp("banking") / "pilot")
    run(UV, "sync", "--quiet", cwd=folder, timeout=900, UV_PYTHON_DOWNLOADS="never")
    words = ("--data", str(data / "train.csv"), "--input", "text", "--label", "category")
    assert "with 77 labels" in run(UV, "run", "pilot", "model", "train", *words, cwd=folder, timeout=600)
    fresh = tmp_path_factory.mktemp("team") / "pilot"
    shutil.copytree(folder, fresh, ignore=shutil.ignore_patterns(".venv", "__pycache__"))
    return folder, Team(fresh, folder / ".venv" / "bin", data)


def begun(trained: tuple[Path, Team], folder: Path, target: float) -> Team:
    """A team before its first record."""
    team = copied(trained[1], folder)
    team.begins(target)
    return team


@pytest.fixture(scope="session")
def prepared(trained: tuple[Path, Team], tmp_path_factory: pytest.TempPathFactory) -> Team:
    """A pilot on the day of its decision, that deserves a go. No test may change it."""
    team = begun(trained, tmp_path_factory.mktemp("prepared") / "pilot", target=0.75)
    with team.serves() as service:
        team.works(service)
    team.prepares()
    return team
