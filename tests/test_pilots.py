"""A rendered pilot is green on its own checks, in each task and approach, without a key and without trust."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import FULL, TASKS, Render, commit, git, run
from stack import serving

UV = os.environ.get("UV", "uv")
ENVIRONMENT = {"UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1"}


# Each push installs both approaches of the default task, and one of each other.
EXAMPLES = [(task, approach) for task in TASKS for approach in ("build", "buy")]
TRIED = [(task, approach) for task, approach in EXAMPLES if FULL or task == TASKS[0] or approach == "build"]


@pytest.fixture(scope="module", params=TRIED, ids="-".join)
def pilot(request: pytest.FixtureRequest, render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pilot with default answers but for task and approach, installed and committed with its lock."""
    task, approach = request.param
    folder = render(tmp_path_factory.mktemp(f"{task}-{approach}") / "pilot", task=task, approach=approach)
    commit(folder, "Begin the pilot")
    run(UV, "sync", "--quiet", cwd=folder, timeout=900, **ENVIRONMENT)
    commit(folder, "Lock the dependencies")
    return folder


def in_pilot(pilot: Path, *command: str, timeout: float = 300, **environment: str) -> str:
    return run(UV, "run", "--locked", *command, cwd=pilot, timeout=timeout, **ENVIRONMENT, **environment)


def test_its_lint_and_its_format_are_clean(pilot: Path) -> None:
    in_pilot(pilot, "ruff", "check")
    in_pilot(pilot, "ruff", "format", "--check")


def test_its_types_are_clean_and_a_wrong_one_is_seen(pilot: Path) -> None:
    in_pilot(pilot, "mypy")
    (rules,) = pilot.glob("src/*/rules.py")
    text = rules.read_text(encoding="utf-8")
    try:
        rules.write_text(text + "\n\nWRONG: int = Rules().predict([])\n", encoding="utf-8")
        with pytest.raises(AssertionError, match="Incompatible types"):
            in_pilot(pilot, "mypy")
    finally:
        rules.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("task", "approach"), [example for example in EXAMPLES if example not in TRIED])
def test_the_types_of_the_other_examples_are_clean(task: str, approach: str, render: Render, tmp_path: Path) -> None:
    folder = render(tmp_path / "pilot", wrapper=False, task=task, approach=approach)
    run(sys.executable, "-m", "mypy", cwd=folder, MYPYPATH="src")


def test_its_tests_pass_and_are_the_team_s_alone(pilot: Path) -> None:
    # As on a machine of a new team: no program of PostgreSQL, no Docker.
    programs = pilot / ".venv/bin"
    said = run(programs / "pytest", "--quiet", cwd=pilot, timeout=300, CI="true", PATH=str(programs))
    assert " passed" in said
    assert "failed" not in said
    collected = in_pilot(pilot, "pytest", "--collect-only", "--quiet")
    files = {line.split("::")[0] for line in collected.splitlines() if "::" in line}
    assert files == {f"tests/test_{name}.py" for name in ("contract", "data", "rules")}


KNOWN = """
import json
import re

from pilot.contract import load_team
from pilot.fields import recognised
from pilot.models.examples import read_examples
from pilot.settings import load_settings

team, settings = load_team(), load_settings()
rows, refused = read_examples(team, settings.root / "data" / "known.csv", None, None)
answers = team.model(settings).predict([item for item, _ in rows])
made = [(answer.prediction, final) for answer, (_, final) in zip(answers, rows)]
wrong = [final for answer, final in made if answer is None or not (answer.agrees(final) or recognised(answer, final))]
shown = re.search(r"-d '(.*)'", (settings.root / "README.md").read_text(encoding="utf-8"))
(first,) = team.model(settings).predict([team.item.model_validate(json.loads(shown[1])["item"])])
print(len(rows), refused, wrong, first.failure)
"""


def test_its_model_knows_what_the_service_asks_itself(pilot: Path) -> None:
    """An item that a fresh model gets wrong would call somebody at night. And it answers the item of the README."""
    if "approach: buy" in (pilot / ".copier-answers.yml").read_text(encoding="utf-8"):
        pytest.skip("an LLM is not asked here")
    in_pilot(pilot, "pilot", "model", "train")
    count, rest = in_pilot(pilot, "python", "-c", KNOWN).split(" ", 1)
    assert int(count) >= 5
    assert rest == "[] [] None\n"


def test_its_demo_makes_the_round_trip_and_leaves_nothing(pilot: Path) -> None:
    said = in_pilot(pilot, "pilot", "demo")
    assert "agreed with people" in said
    assert git("status", "--porcelain", cwd=pilot) == ""
    assert not (pilot / "var/pilot.db").exists()


def test_its_demo_asks_no_proxy_and_stops_its_server_when_it_is_told_to_end(pilot: Path, tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9"
    environment = {**os.environ, "http_proxy": nobody, "HTTP_PROXY": nobody, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [pilot / ".venv/bin/pilot", "demo"],
        cwd=pilot,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    while "3. Sent" not in said:  # it has reached its server
        line = process.stdout.readline()
        assert line, said
        said += line
    found = re.search(r"http://127.0.0.1:(\d+)", said)
    assert found
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(found[1])))
    assert list(tmp_path.iterdir()) == []


def test_the_readme_of_a_regulated_pilot_leads_to_a_service_that_starts(render: Render, tmp_path: Path) -> None:
    folder = render(tmp_path / "regulated", regulated=True)
    first_steps = (
        (folder / "README.md").read_text(encoding="utf-8").split("## First steps")[1].split("second terminal")[0]
    )
    steps = re.findall(r"^    uv run (pilot .+?) +#", first_steps, re.MULTILINE)
    assert steps == ["pilot demo", "pilot model train", "pilot secrets init", "pilot serve"]
    run(UV, "sync", "--quiet", cwd=folder, timeout=900, **ENVIRONMENT)
    for step in steps[:-1]:
        in_pilot(folder, *step.split())
    with serving(folder) as (service, _):
        assert service.call("/readyz") == (200, {"status": "ready", "model": "loaded"})


def test_without_a_model_its_service_state_is_shown(pilot: Path) -> None:
    found = json.loads(in_pilot(pilot, "pilot", "status", "--json"))
    assert found["items"] == 0
    assert {"by_origin", "agreement", "coverage"} <= found.keys()


def test_all_that_work_leaves_behind_is_ignored_by_git(pilot: Path) -> None:
    in_pilot(pilot, "pilot", "secrets", "init")
    assert (pilot / "secrets/data_key").is_file()
    assert git("status", "--porcelain", cwd=pilot) == ""
