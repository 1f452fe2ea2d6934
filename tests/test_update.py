"""An update replaces what the template owns, and leaves alone what the team owns."""

from __future__ import annotations

from pathlib import Path

import pytest
from copier import run_copy, run_update
from helpers import commit, files, git


@pytest.fixture
def pilot(changing_template: Path, tmp_path: Path) -> Path:
    """A pilot whose team has worked in it: seeds edited, deleted and added, all committed."""
    folder = tmp_path / "pilot"
    run_copy(str(changing_template), folder, defaults=True, quiet=True, data={"owner_name": "Ada Byron"})
    commit(folder, "Begin the pilot")
    charter = folder / "phases/1-scope/charter.md"
    charter.write_text(charter.read_text(encoding="utf-8").replace("target: #", "target: 0.85 #"), encoding="utf-8")
    (folder / "src/ticket_triage/rules.py").write_text("# our own rules\n", encoding="utf-8")
    (folder / "data/examples.csv").unlink()
    (folder / "tests/test_data.py").unlink()
    (folder / "src/ticket_triage/own.py").write_text("ANSWER = 42\n", encoding="utf-8")
    commit(folder, "Work on the pilot")
    return folder


def change(template: Path, *paths: str, text: str) -> None:
    for path in paths:
        file = template / "template" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((file.read_text(encoding="utf-8") if file.exists() else "") + text, encoding="utf-8")


SEEDS = (
    "README.md.jinja",
    "pyproject.toml.jinja",
    "phases/1-scope/charter.md.jinja",
    "data/examples.csv.jinja",
    "src/{{package_name}}/rules.py.jinja",
    "tests/test_data.py.jinja",
    "phases/2-build/new-paper.md",
    ".gitattributes",
    ".gitignore",
)
MANAGED = ("pilot/src/pilot/contract.py", "pilot/src/pilot/brand_new.py", ".env.example", "runbook/new-page.md")


def test_an_update_brings_managed_files_and_touches_no_seed(changing_template: Path, pilot: Path) -> None:
    before = files(pilot)
    change(changing_template, *SEEDS, *MANAGED, text="# hardened in 0.2.0\n")
    commit(changing_template, "Harden", tag="v0.2.0")

    run_update(pilot, defaults=True, overwrite=True, unsafe=False, quiet=True)

    after = files(pilot)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == {*MANAGED, ".copier-answers.yml"}
    assert all(after[path].endswith(b"# hardened in 0.2.0\n") for path in MANAGED)


def test_a_second_update_changes_nothing(changing_template: Path, pilot: Path) -> None:
    change(changing_template, *SEEDS, *MANAGED, text="# hardened in 0.2.0\n")
    commit(changing_template, "Harden", tag="v0.2.0")
    run_update(pilot, defaults=True, overwrite=True, unsafe=False, quiet=True)
    commit(pilot, "Update the template")
    run_update(pilot, defaults=True, overwrite=True, unsafe=False, quiet=True)
    assert git("status", "--porcelain", cwd=pilot) == ""


def test_without_the_list_of_seeds_an_update_would_touch_them(changing_template: Path, pilot: Path) -> None:
    """Takes the control away, so that the two tests above are known to see it."""
    config = changing_template / "copier.yml"
    text = config.read_text(encoding="utf-8")
    assert "_exclude: [*seed, " in text
    config.write_text(text.replace("_exclude: [*seed, ", "_exclude: ["), encoding="utf-8")
    change(changing_template, "phases/2-build/new-paper.md", text="# hardened in 0.2.0\n")
    commit(changing_template, "Forget who owns what", tag="v0.2.0")
    run_update(pilot, defaults=True, overwrite=True, unsafe=False, quiet=True)
    assert (pilot / "phases/2-build/new-paper.md").exists()


def test_hostile_answers_survive_an_update(changing_template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hostile"
    name = "{{ 7 * 7 }}: 'a' \"b\" # ü"
    run_copy(str(changing_template), folder, defaults=True, quiet=True, data={"pilot_name": name})
    commit(folder, "Begin the pilot")
    change(changing_template, *MANAGED, text="# hardened in 0.2.0\n")
    commit(changing_template, "Harden", tag="v0.2.0")
    answers = (folder / ".copier-answers.yml").read_text(encoding="utf-8")
    run_update(folder, defaults=True, overwrite=True, unsafe=False, quiet=True)
    assert (folder / ".copier-answers.yml").read_text(encoding="utf-8") == answers.replace("v0.1.0", "v0.2.0")
    assert (folder / "runbook/new-page.md").exists()


def test_a_pilot_that_moves_to_gitlab_gets_its_jobs_and_keeps_its_own_files(pilot: Path) -> None:
    own = (pilot / ".github/workflows/ci.yml").read_bytes()
    run_update(pilot, data={"ci": "gitlab"}, defaults=True, overwrite=True, unsafe=False, quiet=True)
    assert (pilot / ".gitlab/pilot-ci.yml").is_file()
    assert not list((pilot / ".github/workflows").glob("pilot-*.yml"))
    # Seeds stay the team's: GitHub's callers are left to delete, and .gitlab-ci.yml, which includes the jobs, to write.
    assert (pilot / ".github/workflows/ci.yml").read_bytes() == own
    assert not (pilot / ".gitlab-ci.yml").exists()
