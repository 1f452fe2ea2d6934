"""Each release stays a starting point: pilots made from it are updated to the template as it stands on disk."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from banking import WEEKS, Team
from copier import run_copy, run_update
from helpers import FULL, QUESTIONS, ROOT, TASKS, commit, files, git, run
from jobs import github, outcome
from releases import RELEASES, TESTED, VERSION
from stack import Service
from test_pairs import kinds
from test_pilots import ENVIRONMENT, UV
from test_render import owners

# What may change after the first render, each question with an answer that is not its default and hard to quote.
FIXED = ("task", "package_name", "approach")
OTHER: dict[str, Any] = {
    name: next(answer for answer in reversed(answers) if answer not in ("", question["default"]))
    for (name, question), answers in zip(QUESTIONS.items(), kinds(QUESTIONS, TASKS[:1]).values(), strict=True)
    if name not in FIXED
}
OWN_PAGE = '''"""A page of ours."""

import humanize
from fastapi import APIRouter

routes = APIRouter()


@routes.get("/ours/{number}")
async def ours(number: int) -> dict[str, str]:
    """Says a number in words."""
    return {"said": humanize.intcomma(number)}
'''
OWN_TEST = '''"""Our page is part of the service."""

from fastapi import FastAPI
from fastapi.testclient import TestClient
from pilot.contract import load_team


def test_our_page_answers() -> None:
    app = FastAPI()
    app.include_router(load_team().routes)
    assert TestClient(app).get("/ours/1234").json() == {"said": "1,234"}
'''
MIRROR = "mirror.example.org/python:3.13-slim"
# What the changelog of 0.4.0 asks a team to add.
CONTRACT = "from pilot.testing import TeamContract\n\n\nclass TestContract(TeamContract):\n    pass\n"


@pytest.fixture(scope="module")
def present(history: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the template renders today with the default answers."""
    folder = tmp_path_factory.mktemp("present") / "pilot"
    run_copy(str(history), folder, defaults=True, quiet=True, unsafe=False)
    return files(folder)


@pytest.fixture
def pilot(request: pytest.FixtureRequest, history: Path, tmp_path: Path) -> Path:
    """A pilot of a release, committed."""
    folder = tmp_path / "pilot"
    run_copy(str(history), folder, defaults=True, quiet=True, unsafe=False, vcs_ref=f"v{request.param}")
    commit(folder, "Begin the pilot")
    return folder


def update(pilot: Path, **answers: Any) -> None:
    run_update(pilot, answers, defaults=True, overwrite=True, unsafe=False, quiet=True)


def managed(rendered: dict[str, bytes]) -> dict[str, bytes]:
    """What the template owns of a render, but for the answers, which name the version."""
    return {
        path: text for path, text in rendered.items() if owners(path) == ["managed"] and path != ".copier-answers.yml"
    }


def team_edits(pilot: Path) -> set[str]:
    """Changes what a team changes in its own files, adds what it adds, and gives the paths of all that."""
    touched: set[str] = set()

    def edit(path: str, *changes: tuple[str, str]) -> None:
        text = (pilot / path).read_text(encoding="utf-8")
        for was, is_now in changes:
            assert was in text, (path, was)
            text = text.replace(was, is_now, 1)
        (pilot / path).write_text(text, encoding="utf-8")
        touched.add(path)

    def add(path: str, text: str) -> None:
        (pilot / path).parent.mkdir(parents=True, exist_ok=True)
        (pilot / path).write_text(text, encoding="utf-8")
        touched.add(path)

    edit(
        "pyproject.toml",
        ('dependencies = ["ai-pilot-wrapper', 'dependencies = ["humanize>=4,<5", "ai-pilot-wrapper'),
        (
            "[project.entry-points.pilot]\n",
            '[project.entry-points.pilot]\nroutes = "ticket_triage.pages:routes"\n',
        ),
    )
    add("src/ticket_triage/pages.py", OWN_PAGE)
    add("tests/test_pages.py", OWN_TEST)
    edit(
        "phases/1-scope/charter.md",
        ("\ntarget: #", "\ntarget: 0.85 #"),
        ("\npopulation: #", "\npopulation: all tickets that arrive by mail #"),
        ("\nweeks: #", "\nweeks: 6 #"),
        ("\nrisks: []", '\nrisks: ["an urgent ticket waits: the shift lead looks at noon"]'),
    )
    add("phases/1-scope/notes.md", "Whom we asked.\n")
    edit("phases/4-harden/slo.toml", ("availability = 0.99", "availability = 0.995"))
    # The first release had no input there.
    caller = (pilot / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    edit(
        ".github/workflows/ci.yml",
        ("jobs:\n", "jobs:\n  own:\n    runs-on: ubuntu-24.04\n    steps: [{run: make}]\n"),
        ("base-image: python:3.13-slim\n", f"base-image: {MIRROR}\n")
        if "base-image" in caller
        else ("pilot-ci.yml\n", f"pilot-ci.yml\n    with:\n      base-image: {MIRROR}\n"),
    )
    edit("README.md", ("This is an AI pilot", "This is our AI pilot"))
    edit(".gitignore", ("\n", "\n/scratch\n"))
    add("runbook/our-queue.md", "# Our queue\n")
    add("ops/prometheus/our-alerts.yml", "groups: []\n")
    add("compose.override.yaml", "services: {pilot: {environment: {PILOT_MAX_BODY: 65536}}}\n")
    return touched


def test_the_present_version_has_a_section_for_those_who_update() -> None:
    sections = re.findall(r"^## (\d+\.\d+\.\d+) ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sections[0] == VERSION
    if git("rev-parse", "--is-shallow-repository", cwd=ROOT).strip() == "true":
        pytest.skip("needs the whole history: git fetch --unshallow")
    # All but the present one, which may still be in the making; each of them is updated from below.
    assert set(sections[1:]) <= set(RELEASES) <= set(sections)
    wrapper = tomllib.loads((ROOT / "template/pilot/pyproject.toml").read_text(encoding="utf-8"))
    assert wrapper["project"]["version"] == VERSION


def platforms() -> list[tuple[str, dict[str, str]]]:
    """Each release, with the answers to the question where the checks run that it knew."""
    asked = {version: yaml.safe_load(git("show", f"{at}:copier.yml", cwd=ROOT)) for version, at in RELEASES.items()}
    return [
        (version, {"ci": ci} if ci else {})
        for version in TESTED
        for ci in (["github", "gitlab"] if "ci" in asked[version] else [""])
    ]


@pytest.mark.parametrize(
    ("version", "answers"), platforms(), ids=lambda value: value if isinstance(value, str) else "".join(value.values())
)
def test_an_untouched_pilot_becomes_a_fresh_one_in_all_that_the_template_owns(
    version: str, answers: dict[str, str], history: Path, tmp_path: Path
) -> None:
    pilot, fresh = tmp_path / "pilot", tmp_path / "fresh"
    run_copy(str(history), pilot, answers, defaults=True, quiet=True, unsafe=False, vcs_ref=f"v{version}")
    commit(pilot, "Begin the pilot")
    before = files(pilot)
    update(pilot)
    after = files(pilot)
    run_copy(str(history), fresh, answers, defaults=True, quiet=True, unsafe=False)
    assert managed(after) == managed(files(fresh))
    seeds = {path: text for path, text in before.items() if owners(path) == ["seed"]}
    assert {path: text for path, text in after.items() if owners(path) == ["seed"]} == seeds


@pytest.mark.parametrize("pilot", TESTED, indirect=True)
def test_what_the_team_changed_added_and_deleted_stays_so_and_a_second_update_changes_nothing(
    pilot: Path, present: dict[str, bytes]
) -> None:
    touched = team_edits(pilot)
    (pilot / "data/examples.csv").unlink()
    (pilot / "tests/test_data.py").unlink()
    commit(pilot, "Work on the pilot")
    before = files(pilot)
    update(pilot)
    after = files(pilot)
    ours = {path: text for path, text in before.items() if path in touched or owners(path) != ["managed"]}
    assert {"pyproject.toml", "runbook/our-queue.md", "compose.override.yaml"} <= ours.keys()
    assert {path: text for path, text in after.items() if path not in managed(present)} == {
        **ours,
        ".copier-answers.yml": after[".copier-answers.yml"],
    }
    assert {path: after.get(path) for path in managed(present)} == managed(present)
    assert not list(pilot.rglob("*.rej"))
    assert git("ls-files", "--unmerged", cwd=pilot) == ""
    git("diff", "--check", cwd=pilot)
    caller = yaml.safe_load((pilot / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    called = yaml.safe_load((pilot / ".github/workflows/pilot-ci.yml").read_text(encoding="utf-8"))
    assert caller["jobs"]["pilot"]["with"] == {"base-image": MIRROR}
    # YAML 1.1 reads the key `on` as true.
    assert "base-image" in called[True]["workflow_call"]["inputs"]
    commit(pilot, "Update the template")
    update(pilot)
    assert git("status", "--porcelain", cwd=pilot) == ""


@pytest.mark.parametrize("pilot", TESTED, indirect=True)
def test_a_setting_of_a_release_is_still_one(pilot: Path, present: dict[str, bytes]) -> None:
    setting = re.compile(r"\bPILOT_[A-Z_]+\b")
    before = set(setting.findall((pilot / ".env.example").read_text(encoding="utf-8")))
    assert "PILOT_DATABASE_URL" in before
    assert before <= set(setting.findall(present[".env.example"].decode()))


def reading(history: Path, present: dict[str, bytes], folder: Path) -> set[str]:
    """The questions whose answers managed files read."""
    found = set()
    for name, answer in OTHER.items():
        run_copy(str(history), folder / name, {name: answer}, defaults=True, quiet=True, unsafe=False)
        if managed(files(folder / name)) != managed(present):
            found.add(name)
    return found


def test_only_where_the_checks_run_is_an_answer_that_managed_files_read(
    history: Path, present: dict[str, bytes], tmp_path: Path
) -> None:
    assert reading(history, present, tmp_path) == {"ci"}


@pytest.mark.parametrize("pilot", TESTED, indirect=True)
def test_answers_changed_on_update_reach_the_managed_files_and_no_seed(
    pilot: Path, history: Path, tmp_path: Path
) -> None:
    before = files(pilot)
    update(pilot, **OTHER)
    after = files(pilot)
    recorded = yaml.safe_load(after[".copier-answers.yml"])
    assert {name: recorded[name] for name in OTHER} == OTHER
    fixed = {name: recorded[name] for name in FIXED}
    run_copy(str(history), tmp_path / "fresh", {**OTHER, **fixed}, defaults=True, quiet=True, unsafe=False)
    assert managed(after) == managed(files(tmp_path / "fresh"))
    assert {path: text for path, text in after.items() if owners(path) == ["seed"]} == {
        path: text for path, text in before.items() if owners(path) == ["seed"]
    }


def weekly(version: str) -> bool:
    """Whether pilots of a release look for a newer template each week."""
    return "pilot-template.yml" in git("ls-tree", "-r", "--name-only", RELEASES[version], "--", "template", cwd=ROOT)


@pytest.mark.parametrize("pilot", [*filter(weekly, TESTED)], indirect=True)
def test_the_weekly_job_of_a_release_brings_the_present(pilot: Path, present: dict[str, bytes]) -> None:
    """The script of 0.2.0 is read on behind its 1,274 bytes in the file that replaces it, which must be shorter."""
    run(UV, "lock", "--quiet", cwd=pilot, timeout=300, **ENVIRONMENT)
    commit(pilot, "Lock the dependencies")
    done = outcome(github(pilot)["template"].commands, pilot)
    assert done.returncode == 0, done.stdout + done.stderr
    assert managed(files(pilot)).items() >= managed(present).items()


def worked_with(team: Team) -> list[str]:
    """Papers that are filled in and signed, a frozen baseline, keys, and live records: the ids of the items, of which
    people judged all but the last."""
    team.begins(target=0.85)
    team.says("model", "train")
    team.at(WEEKS[0])
    with team.serves() as service:
        asked = [{"item": {"text": f"The invoice of May is wrong by {number} euros"}} for number in range(6)]
        items = [str(service.call("/v1/predictions", team.keys["chat desk"], item)[1]["id"]) for item in asked]
        for item in items[:-1]:
            judge(service, team, item)
    team.commits("Work on the pilot")
    return items


def judge(service: Service, team: Team, item: str) -> None:
    decided = {"final": {"label": "billing"}, "seconds": 60}
    assert service.call(f"/v1/predictions/{item}/outcome", team.keys["Ina Wolf"], decided)[0] == 201


@pytest.mark.parametrize("pilot", TESTED if FULL else TESTED[:1], indirect=True)
def test_a_pilot_that_people_work_with_passes_its_own_checks_after_the_update_and_goes_on(
    pilot: Path, request: pytest.FixtureRequest
) -> None:
    def in_pilot(*command: str) -> str:
        return run(UV, *command, cwd=pilot, timeout=600, **ENVIRONMENT)

    touched = team_edits(pilot)
    in_pilot("sync", "--quiet")
    team = Team(pilot, pilot / ".venv/bin", pilot)
    items = worked_with(team)
    kept = {path: text for path, text in files(pilot).items() if path in touched or path.startswith("phases/")}
    assert any(path.startswith("phases/evidence/") for path in kept)
    recorded = json.loads(in_pilot("run", "pilot", "status", "--json"))
    assert recorded["by_origin"] == {"live": len(items)}

    update(pilot)
    in_pilot("sync", "--quiet")
    commit(pilot, "Update the template")
    assert files(pilot).items() >= kept.items()
    in_pilot("run", "--locked", "ruff", "check")
    in_pilot("run", "mypy", "src")
    assert not (pilot / "pilot/tests").exists()
    # The seed of old releases names a folder in `testpaths` that is not there any more.
    assert " passed" in in_pilot("run", "pytest", "--quiet")
    if request.node.callspec.id == TESTED[-1]:  # whose seeds are the oldest
        (pilot / "tests/test_contract.py").write_text(CONTRACT, encoding="utf-8")
        assert " passed" in in_pilot("run", "pytest", "--quiet", "tests/test_contract.py")
        (pilot / "tests/test_contract.py").unlink()
        assert "agreed with people" in in_pilot("run", "pilot", "demo")
    assert "are as v" in in_pilot("run", "pilot", "template", "check")
    # What was signed, frozen, recorded and handed out holds.
    team.says("check")
    team.says("paper", "check")
    team.says("gate", "1")
    now = json.loads(in_pilot("run", "pilot", "status", "--json"))
    assert {name: now[name] for name in ("items", "by_origin", "coverage")} == {
        name: recorded[name] for name in ("items", "by_origin", "coverage")
    }
    # The team's model and rules, as the old release seeded them, serve under the new wrapper.
    with team.serves() as service:
        judge(service, team, items[-1])
        asked = {"item": {"text": "Nothing works since the update"}}
        assert service.call("/v1/predictions", team.keys["chat desk"], asked)[0] == 202
    assert git("status", "--porcelain", cwd=pilot) == ""
