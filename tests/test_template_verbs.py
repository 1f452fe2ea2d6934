"""`pilot template` in pilots of this template: unedited files, news, and an update from one version to the next."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from copier import run_copy
from helpers import Render, clone_of_working_tree, commit, files, git, run
from jobs import github, outcome
from pilot.workbench.template_tools import where_it_belongs as mend
from test_pilots import ENVIRONMENT, UV
from test_render import owners

QUESTION = "\nregion:\n  type: str\n  help: Where does the pilot run?\n  default: north\n  choices: [north, south]\n"
SECTION = "## 9.1.0 (2027-06-01)\n\nThe service keeps more.\n\n"
HARDENED = "# hardened in 9.1.0\n"


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """The template as it stands on disk as v9.0.0, and as v9.1.0 with a change of each kind."""
    (tmp_path / "template").mkdir()
    folder = clone_of_working_tree(tmp_path / "template")
    git("tag", "--delete", "v0.1.0", cwd=folder)
    git("tag", "v9.0.0", cwd=folder)
    rendered = folder / "template"
    for path in ("compose.yaml", "pilot/src/pilot/contract.py", "src/{{package_name}}/rules.py.jinja"):
        (rendered / path).write_text((rendered / path).read_text(encoding="utf-8") + HARDENED, encoding="utf-8")
    for path in ("phases/4-harden/drills.md", "pilot/src/pilot/workbench/documents/blank/4-harden/drills.md"):
        (rendered / path).parent.mkdir(parents=True, exist_ok=True)
        (rendered / path).write_text("# Drills\n", encoding="utf-8")
    changelog = (folder / "CHANGELOG.md").read_text(encoding="utf-8")
    (folder / "CHANGELOG.md").write_text(changelog.replace("\n## ", f"\n{SECTION}## ", 1), encoding="utf-8")
    config = (folder / "copier.yml").read_text(encoding="utf-8")
    (folder / "copier.yml").write_text(config + QUESTION, encoding="utf-8")
    commit(folder, "Harden", tag="v9.1.0")
    return folder


@pytest.fixture
def pilot(versions: Path, tmp_path: Path) -> Path:
    """A pilot of v9.0.0, committed."""
    folder = tmp_path / "pilot"
    run_copy(str(versions), folder, defaults=True, quiet=True, unsafe=False, vcs_ref="v9.0.0")
    commit(folder, "Begin the pilot")
    return folder


def verb(pilot: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs `pilot template`, whose commands for uv do nothing; what it says holds no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "pilot.cli", "template", *words],
        cwd=pilot,
        env={**os.environ, "UV": "/bin/true"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize("approach", ["build", "buy"])
def test_a_fresh_pilot_is_unedited_and_has_no_news(approach: str, template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pilot"
    run_copy(str(template), folder, {"approach": approach}, defaults=True, quiet=True)
    done = verb(folder, "check")
    assert done.returncode == 0, done
    managed = [path for path in files(folder) if owners(path) == ["managed"]]
    assert f"All {len(managed) - 1} files" in done.stdout  # Copier writes its answers by itself.
    assert "Your files are what a new pilot would get." in verb(folder, "news").stdout


def test_each_managed_file_has_a_mend_that_names_where_a_change_belongs(render: Render, tmp_path: Path) -> None:
    pilot = render(tmp_path)
    managed = [path for path in files(pilot) if owners(path) == ["managed"] and path != ".copier-answers.yml"]
    mends = {path: mend(pilot / path, path) for path in managed}
    assert {path for path, said in mends.items() if said.startswith("Extension point: ")} == {
        path for path in managed if not path.startswith("pilot/")
    }
    assert "compose.override.yaml" in mends["compose.yaml"]
    assert "src/" in mends["pilot/src/pilot/contract.py"]


def test_an_edited_a_missing_and_an_added_file_are_found(pilot: Path) -> None:
    (pilot / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    (pilot / "runbook/switch-off.md").unlink()
    (pilot / "pilot/src/pilot/own.py").write_text("", encoding="utf-8")
    (pilot / "runbook/our-queue.md").write_text("# Our queue\n", encoding="utf-8")
    done = verb(pilot, "check")
    assert done.returncode == 1
    assert {line[9:] for line in done.stdout.splitlines() if line[:9].strip() in ("edited", "missing", "added")} == {
        "Dockerfile",
        "runbook/switch-off.md",
        "pilot/src/pilot/own.py",
    }


def test_news_name_what_the_newest_version_gives_to_a_team(pilot: Path) -> None:
    said = verb(pilot, "news").stdout
    assert "v9.0.0; the newest is v9.1.0" in said
    assert SECTION.strip() in said
    assert "## 0.3.0" not in said
    assert "New question, answered by its default: region = 'north'. Where does the pilot run?" in said
    assert "phases/4-harden/drills.md                +1 -0   uv run pilot paper add 4-harden/drills.md" in said
    assert "src/ticket_triage/rules.py               +1 -0" in said
    assert "compose.yaml" not in said
    assert verb(pilot, "news", "src/ticket_triage/rules.py").stdout.endswith(f"+{HARDENED}")


def test_an_update_touches_the_template_s_files_alone_and_a_second_one_nothing(pilot: Path) -> None:
    before = files(pilot)
    done = verb(pilot, "update")
    assert done.returncode == 0, done
    assert SECTION.strip() in done.stdout
    assert "## 0.3.0" not in done.stdout
    assert "New question, answered by its default: region = 'north'. Where does the pilot run?" in done.stdout
    after = files(pilot)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    blank = "pilot/src/pilot/workbench/documents/blank/4-harden/drills.md"
    assert changed == {".copier-answers.yml", "compose.yaml", "pilot/src/pilot/contract.py", blank}
    commit(pilot, "Update the template")
    done = verb(pilot, "update")
    assert (done.returncode, git("status", "--porcelain", cwd=pilot)) == (0, "")
    assert "v9.1.0 is the newest version" in done.stdout
    assert verb(pilot, "check").returncode == 0


def test_a_defaulted_answer_is_changed_as_the_update_says(pilot: Path) -> None:
    said = verb(pilot, "update").stdout
    commit(pilot, "Update the template")
    [command] = [line.partition("then: uv run ")[2] for line in said.splitlines() if line.endswith("region=ANSWER")]
    run(sys.executable, "-m", *command.replace("ANSWER", "south").split(), cwd=pilot)
    assert "region: south" in (pilot / ".copier-answers.yml").read_text(encoding="utf-8")
    assert git("status", "--porcelain", cwd=pilot).split() == ["M", ".copier-answers.yml"]


def test_a_conflict_fails_the_update_and_then_the_checks_that_ci_runs(pilot: Path) -> None:
    compose = pilot / "compose.yaml"
    compose.write_text(compose.read_text(encoding="utf-8") + "# ours\n", encoding="utf-8")
    commit(pilot, "Edit a file of the template's")
    done = verb(pilot, "update")
    assert done.returncode == 1
    assert "compose.yaml:" in done.stderr
    text = compose.read_text(encoding="utf-8")
    assert "# ours\n" in text
    assert HARDENED in text
    commit(pilot, "Commit the markers without a look")
    assert git("status", "--porcelain", cwd=pilot) == ""
    [files_job] = [job.commands for job in github(pilot).values() if "bash ci/files.sh" in job.commands]
    done = outcome(files_job, pilot)
    assert done.returncode == 1
    assert "compose.yaml:" in done.stdout


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("compose.yaml.rej", "-a\n+b\n", "compose.yaml.rej: hunks of a patch that were rejected"),
        (".copier-answers.yml", "_commit: v9.0.0\n_src_path: /nowhere\n", "The template at /nowhere cannot be reached"),
        (".copier-answers.yml", "_commit: v9.0.0\n_src_path: ../template\n", "the relative path ../template"),
    ],
)
def test_an_update_refuses_what_it_cannot_start_from(path: str, text: str, said: str, pilot: Path) -> None:
    (pilot / path).write_text(text, encoding="utf-8")
    commit(pilot, "Plant it")
    before = files(pilot)
    done = verb(pilot, "update")
    assert done.returncode == 1
    assert said in done.stderr
    assert files(pilot) == before


def test_an_update_refuses_changes_that_are_not_committed(pilot: Path) -> None:
    (pilot / "README.md").write_text("# Ours\n", encoding="utf-8")
    before = files(pilot)
    done = verb(pilot, "update")
    assert done.returncode == 1
    assert "not committed" in done.stderr
    assert "README.md" in done.stderr
    assert files(pilot) == before


def test_an_installed_pilot_updates_itself_and_proves_it(pilot: Path) -> None:
    run(UV, "sync", "--quiet", cwd=pilot, timeout=900, **ENVIRONMENT)
    commit(pilot, "Lock the dependencies")
    update = (UV, "run", "--locked", "pilot", "template", "update")
    said = run(*update, cwd=pilot, timeout=900, **ENVIRONMENT)
    for words in ("1/3  uv sync", "2/3  uv run ruff check", "3/3  uv run pytest", " passed", SECTION.strip()):
        assert words in said
    assert (pilot / "pilot/src/pilot/contract.py").read_text(encoding="utf-8").endswith(HARDENED)
    commit(pilot, "Update the template")
    again = run(*update, cwd=pilot, timeout=300, **ENVIRONMENT)
    assert "v9.1.0 is the newest version" in again
    assert git("status", "--porcelain", cwd=pilot) == ""
