"""The deploy job of a rendered pilot, by its commands as they stand in the workflow: nothing goes out without a go."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import Render, run
from pilot.workbench import decision
from pilot.workbench.decision import Condition, Outcome
from stack import UV

TODAY = date.today()
BECAUSE = "the desk sorts a ticket in half the time and asks to keep it"
HOLDS = [Condition("target-met", "Is the target met?", True, "MET")]


@pytest.fixture(scope="module")
def locked(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed pilot with its lock, as a checkout has it."""
    folder = render(tmp_path_factory.mktemp("deployed") / "pilot")
    run(UV, "sync", "--quiet", cwd=folder, timeout=900, UV_PYTHON_DOWNLOADS="never")
    return folder


@pytest.fixture
def pilot(locked: Path) -> Path:
    """The pilot before any decision."""
    for left in ("phases/evidence", decision.FOLDER):
        shutil.rmtree(locked / left, ignore_errors=True)
    return locked


def steps(pilot: Path) -> list[dict[str, Any]]:
    """The steps of the job that run commands."""
    called = yaml.safe_load((pilot / ".github/workflows/deploy.yml").read_text(encoding="utf-8"))["jobs"]["pilot"]
    workflow = yaml.safe_load((pilot / called["uses"].removeprefix("$/")).read_text(encoding="utf-8"))
    return [step for step in workflow["jobs"]["production"]["steps"] if "run" in step]


def deploys(pilot: Path) -> tuple[bool, str]:
    """Whether the job comes to its last command and ends green, and what was said; each step in a shell, as there."""
    (pilot / "deployed").unlink(missing_ok=True)
    outer = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environment = {**outer, "PATH": f"{Path(UV).parent}:{outer['PATH']}", "UV_PYTHON_DOWNLOADS": "never"}
    said = ""
    for step in steps(pilot):
        given = {name: value.replace("${{ inputs.command }}", "touch deployed") for name, value in _env(step).items()}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(command, cwd=pilot, env={**environment, **given}, capture_output=True, text=True)
        said += done.stdout + done.stderr
        if done.returncode != 0:
            assert not (pilot / "deployed").exists()
            return False, said
    return (pilot / "deployed").exists(), said


def _env(step: dict[str, Any]) -> dict[str, str]:
    return dict(step.get("env", {}))


def decided(pilot: Path, outcome: Outcome) -> Path:
    """The record of a decision, as `pilot decide` leaves it with its evidence."""
    text = f"# Decision: {outcome}\n\n{BECAUSE}\n"
    return decision.record(pilot, outcome, BECAUSE, "Ada Byron <ada@example.org>", TODAY, text, HOLDS, {})[0]


def test_without_a_decision_nothing_is_deployed(pilot: Path) -> None:
    green, said = deploys(pilot)
    assert not green
    assert "There is no decision. A production deploy needs a go" in said


def test_with_a_go_in_force_it_is_deployed(pilot: Path) -> None:
    decided(pilot, "go")
    green, said = deploys(pilot)
    assert green, said
    assert f"go, decided on {TODAY}" in said


def test_with_an_edited_record_nothing_is_deployed(pilot: Path) -> None:
    record = decided(pilot, "go")
    record.write_text(record.read_text(encoding="utf-8") + "Another condition.\n", encoding="utf-8")
    green, said = deploys(pilot)
    assert not green
    assert "0001-go.md: was changed after the decision" in said


def test_after_a_no_go_nothing_is_deployed_and_each_check_alone_refuses(pilot: Path) -> None:
    decided(pilot, "go")
    record = decided(pilot, "no-go")
    green, said = deploys(pilot)
    assert not green
    assert "A production deploy needs a go." in said
    record.write_text("edited", encoding="utf-8")
    for step in steps(pilot)[1:-1]:
        assert subprocess.run(["bash", "-ec", step["run"]], cwd=pilot, capture_output=True).returncode != 0, step


def test_the_command_that_deploys_is_the_last_and_no_step_is_passed_over(pilot: Path) -> None:
    *before, last = steps(pilot)
    assert [step["run"] for step in before] == ["uv sync --locked", "uv run pilot check", "uv run pilot decide"]
    assert last["env"] == {"DEPLOY_COMMAND": "${{ inputs.command }}"}
    assert not [step for step in (*before, last) if "if" in step or "continue-on-error" in step]


def test_as_rendered_the_caller_deploys_nothing_even_with_a_go(pilot: Path) -> None:
    workflow = yaml.safe_load((pilot / ".github/workflows/deploy.yml").read_text(encoding="utf-8"))
    command = workflow["jobs"]["pilot"]["with"]["command"]
    assert subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=pilot, capture_output=True).returncode != 0
