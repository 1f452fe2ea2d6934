"""The weekly job: it hears of a newer template, updates a checkout, and lets no conflict through.

Not run here: the pull request that the workflow then opens. It is GitHub's step; the checkers of workflows read it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from copier import run_copy
from helpers import commit, git
from jobs import github, outcome

LINE = "Nothing is restarted: every running service obeys within seconds."


@pytest.fixture
def pilot(changing_template: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "pilot"
    run_copy(str(changing_template), folder, defaults=True, quiet=True, unsafe=False)
    commit(folder, "Begin the pilot")
    return folder


def release(template: Path, text: str) -> None:
    """The next version of the template, with another line in a page of the runbook."""
    page = template / "template/runbook/switch-off.md"
    before = page.read_text(encoding="utf-8")
    assert LINE in before
    page.write_text(before.replace(LINE, text), encoding="utf-8")
    commit(template, "Say it better", tag="v0.2.0")


def commands(pilot: Path) -> tuple[str, str]:
    check, update = github(pilot)["template"].commands
    return check, update


def test_a_current_pilot_is_left_alone(pilot: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    assert outcome(commands(pilot)[:1], pilot, GITHUB_OUTPUT=str(output)).returncode == 0
    assert output.read_text() == "newer=false\n"
    # Without the workflow's word around it, as GitLab runs it.
    assert outcome(("bash ci/template.sh check",), pilot).returncode == 0


def test_a_newer_template_is_heard_of_and_brought(changing_template: Path, pilot: Path, tmp_path: Path) -> None:
    release(changing_template, "Every running service obeys within seconds.")
    check, update = commands(pilot)
    output = tmp_path / "output"
    assert outcome(("bash ci/template.sh check",), pilot).returncode == 2
    assert outcome((check,), pilot, GITHUB_OUTPUT=str(output)).returncode == 0
    assert output.read_text() == "newer=true\n"
    done = outcome((update,), pilot)
    assert done.returncode == 0, done.stdout + done.stderr
    changed = set(git("diff", "--cached", "--name-only", cwd=pilot).split())
    assert changed == {".copier-answers.yml", "runbook/switch-off.md"}
    assert "uv.lock" in git("status", "--porcelain", cwd=pilot)


def test_a_conflict_ends_the_job(changing_template: Path, pilot: Path) -> None:
    page = pilot / "runbook/switch-off.md"
    page.write_text(page.read_text(encoding="utf-8").replace(LINE, "Our own words."), encoding="utf-8")
    commit(pilot, "Edit what is not ours")
    release(changing_template, "Every running service obeys within seconds.")
    done = outcome(commands(pilot), pilot)
    assert done.returncode == 1
    assert "Conflict marks." in done.stdout
    assert "runbook/switch-off.md" in done.stdout


def test_a_template_out_of_reach_is_red_and_not_current(changing_template: Path, pilot: Path, tmp_path: Path) -> None:
    changing_template.rename(tmp_path / "elsewhere")
    assert outcome(commands(pilot)[:1], pilot).returncode not in (0, 2)


def test_the_pull_request_is_opened_only_for_a_newer_template(pilot: Path) -> None:
    workflow = yaml.safe_load((pilot / ".github/workflows/pilot-template.yml").read_text(encoding="utf-8"))
    assert workflow[True]["schedule"], "nobody looks by himself"
    *_, check, update, opens = workflow["jobs"]["template"]["steps"]
    assert check["id"] == "check"
    assert update["if"] == opens["if"] == "steps.check.outputs.newer == 'true'"
    assert opens["uses"].startswith("peter-evans/create-pull-request@")
