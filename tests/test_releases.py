"""Each release stays a starting point: pilots made from it are updated to the template as it stands on disk."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest
from copier import run_copy, run_update
from helpers import ROOT, commit, files, git
from test_render import owners

RELEASE = re.compile(r"^([0-9a-f]{40}) Release (\d+\.\d+\.\d+)$", re.MULTILINE)
RELEASES = {version: commit for commit, version in RELEASE.findall(git("log", "--format=%H %s", cwd=ROOT))}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose releases are tagged, and whose last commit is the template as it stands on disk."""
    folder = tmp_path_factory.mktemp("history") / "template"
    git("clone", "--quiet", "--no-hardlinks", ROOT, folder, cwd=ROOT)
    for version, at in RELEASES.items():
        git("tag", f"v{version}", at, cwd=folder)
    for name in filter(None, git("ls-files", "-z", cwd=folder).split("\0")):
        (folder / name).unlink()
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    commit(folder, "The template as it stands", tag=f"v{VERSION}.post1")
    return folder


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


def update(pilot: Path) -> None:
    run_update(pilot, defaults=True, overwrite=True, unsafe=False, quiet=True)


def team_edits(pilot: Path) -> dict[str, bytes]:
    """What a team changes in its own files, and adds: the text of each afterwards."""

    def edit(path: str, was: str, is_now: str) -> None:
        text = (pilot / path).read_text(encoding="utf-8")
        assert was in text, path
        (pilot / path).write_text(text.replace(was, is_now, 1), encoding="utf-8")

    def add(path: str, text: str) -> None:
        (pilot / path).parent.mkdir(parents=True, exist_ok=True)
        (pilot / path).write_text(text, encoding="utf-8")

    edit("pyproject.toml", 'dependencies = ["ai-pilot-wrapper', 'dependencies = ["httpx>=0.28", "ai-pilot-wrapper')
    edit("pyproject.toml", 'rules = "ticket_triage.rules:Rules"', 'rules = "ticket_triage.rules:Rules"\nroutes = "x:y"')
    edit("phases/1-scope/charter.md", "\ntarget: #", "\ntarget: 0.85 #")
    edit("phases/4-harden/slo.toml", "availability = 0.99", "availability = 0.995")
    edit(".github/workflows/ci.yml", "jobs:\n", "jobs:\n  own:\n    runs-on: ubuntu-24.04\n    steps: [{run: make}]\n")
    edit("README.md", "This is an AI pilot", "This is our AI pilot")
    edit(".gitignore", "\n", "\n/scratch\n")
    add("src/ticket_triage/pages.py", "ROUTES = []\n")
    add("runbook/our-queue.md", "# Our queue\n")
    add("phases/1-scope/notes.md", "Whom we asked.\n")
    add("compose.override.yaml", "services: {}\n")
    return {
        path: (pilot / path).read_bytes()
        for path in (
            *("pyproject.toml", "phases/1-scope/charter.md", "phases/4-harden/slo.toml", "README.md", ".gitignore"),
            *(".github/workflows/ci.yml", "src/ticket_triage/pages.py", "runbook/our-queue.md"),
            *("phases/1-scope/notes.md", "compose.override.yaml"),
        )
    }


def test_the_present_version_has_a_section_for_those_who_update() -> None:
    sections = re.findall(r"^## (\d+\.\d+\.\d+) ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sections[0] == VERSION
    assert set(RELEASES) <= set(sections)
    wrapper = tomllib.loads((ROOT / "template/pilot/pyproject.toml").read_text(encoding="utf-8"))
    assert wrapper["project"]["version"] == VERSION


@pytest.mark.parametrize("pilot", RELEASES, indirect=True)
def test_an_untouched_pilot_becomes_a_fresh_one_in_all_that_the_template_owns(
    pilot: Path, present: dict[str, bytes]
) -> None:
    before = files(pilot)
    update(pilot)
    after = files(pilot)
    managed = {
        path: text for path, text in present.items() if owners(path) == ["managed"] and path != ".copier-answers.yml"
    }
    assert {path: after.get(path) for path in managed} == managed
    left = {path for path in after if owners(path) == ["managed"]} - managed.keys() - {".copier-answers.yml"}
    assert left == set(), "these were the template's and are no longer"
    seeds = {path: text for path, text in before.items() if owners(path) == ["seed"]}
    assert {path: after.get(path) for path in seeds} == seeds


@pytest.mark.parametrize("pilot", RELEASES, indirect=True)
def test_what_the_team_changed_added_and_deleted_stays_so_and_a_second_update_changes_nothing(pilot: Path) -> None:
    kept = team_edits(pilot)
    (pilot / "data/examples.csv").unlink()
    (pilot / "tests/test_data.py").unlink()
    commit(pilot, "Work on the pilot")
    update(pilot)
    assert {path: (pilot / path).read_bytes() for path in kept} == kept
    assert not (pilot / "data/examples.csv").exists()
    assert not (pilot / "tests/test_data.py").exists()
    assert not list(pilot.rglob("*.rej"))
    assert "<<<<<<<" not in git("diff", cwd=pilot)
    commit(pilot, "Update the template")
    update(pilot)
    assert git("status", "--porcelain", cwd=pilot) == ""
