"""The workflows, of a rendered pilot and of this repository: clean under the field's checkers, and none can do harm."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import ROOT, Render, commit, files, git, run
from pathspec import GitIgnoreSpec
from test_render import owners

PINNED = re.compile(r"uses: (?P<action>[\w.-]+/[\w./-]+)@(?P<commit>[0-9a-f]{40}) # (?P<version>v\d+\.\d+\.\d+)$")
# In two parts, so that no scan of this repository stumbles over it.
KEY = "ghp_" + "R8mK2vX9qL4nT7wZ3bY6cF1dH5jP0sA2eUgk"


@pytest.fixture(scope="module")
def pilot(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = render(tmp_path_factory.mktemp("workflows") / "ticket-triage")
    commit(folder, "Begin the pilot")
    return folder


@pytest.fixture(params=["pilot", "template"])
def repository(request: pytest.FixtureRequest, pilot: Path) -> Path:
    return pilot if request.param == "pilot" else ROOT


def workflows(repository: Path) -> list[Path]:
    found = sorted((repository / ".github" / "workflows").glob("*.yml"))
    assert found
    return found


def verdict(*command: str | Path, cwd: Path) -> int:
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True).returncode


CHECKERS: dict[str, tuple[str, ...]] = {
    "zizmor": ("zizmor", "--offline", "--no-progress", "--strict-collection"),
    "actionlint": ("actionlint",),
    "schema": ("check-jsonschema", "--builtin-schema", "vendor.github-workflows"),
}
DEFECTS = {
    "zizmor": ("3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "v7"),
    "actionlint": ("github.ref }}", "github.reff }}"),
    "schema": ("runs-on: ubuntu-24.04", "runs-on-: ubuntu-24.04"),
}


@pytest.mark.parametrize("checker", CHECKERS)
def test_checkers_find_nothing(checker: str, repository: Path) -> None:
    run(*CHECKERS[checker], *workflows(repository), cwd=repository)


@pytest.mark.parametrize("checker", CHECKERS)
def test_checkers_find_a_planted_defect(checker: str, tmp_path: Path) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    good, bad = DEFECTS[checker]
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert good in text
    (folder / "ci.yml").write_text(text.replace(good, bad), encoding="utf-8")
    assert verdict(*CHECKERS[checker], folder / "ci.yml", cwd=tmp_path) != 0


def test_each_action_is_pinned_to_one_commit_with_its_version(pilot: Path) -> None:
    pins: dict[str, set[tuple[str, str]]] = {}
    for file in workflows(pilot) + workflows(ROOT):
        for line in file.read_text(encoding="utf-8").splitlines():
            if "uses: " in line and "uses: $/" not in line:
                found = PINNED.search(line)
                assert found, f"{file.name}: {line.strip()} names no commit and version"
                pins.setdefault(found["action"], set()).add((found["commit"], found["version"]))
    assert pins
    assert all(len(commits) == 1 for commits in pins.values()), pins


def test_workflows_may_read_only_and_end_in_time(repository: Path) -> None:
    for file in workflows(repository):
        workflow: dict[Any, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert workflow["permissions"] == {"contents": "read"}, file.name
        assert "pull_request_target" not in workflow[True], file.name  # YAML reads the key `on` as true.
        for name, job in workflow["jobs"].items():
            assert "uses" in job or job["timeout-minutes"] <= 60, f"{file.name}: {name}"


# What a job may do beyond reading, by file and name. A caller gives what the workflow that it calls may need at most.
MAY = {
    ("pilot-release.yml", "release"): {"packages", "id-token", "attestations"},
    ("pilot-release.yml", "publish"): {"contents"},
    ("pilot-template.yml", "template"): {"contents", "pull-requests"},
    ("release.yml", "pilot"): {"contents", "packages", "id-token", "attestations"},
}


def test_only_those_jobs_may_write_that_must(pilot: Path) -> None:
    may = {
        (file.name, name): {right for right, may in job["permissions"].items() if may == "write"}
        for file in workflows(pilot) + workflows(ROOT)
        for name, job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].items()
        if "permissions" in job
    }
    assert may == MAY


def test_no_text_from_outside_stands_in_a_command(repository: Path) -> None:
    for file in workflows(repository):
        for name, job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].items():
            for step in job.get("steps", ()):
                assert "${{" not in step.get("run", ""), f"{file.name}: {name}"


@pytest.mark.parametrize("name", ["ci", "deploy", "release"])
def test_the_teams_workflow_gives_inputs_that_the_called_one_takes(name: str, pilot: Path) -> None:
    caller = yaml.safe_load((pilot / f".github/workflows/{name}.yml").read_text(encoding="utf-8"))["jobs"]["pilot"]
    assert caller["uses"] == f"$/.github/workflows/pilot-{name}.yml"
    called = yaml.safe_load((pilot / caller["uses"].removeprefix("$/")).read_text(encoding="utf-8"))
    assert set(caller["with"]) <= set(called[True]["workflow_call"]["inputs"])


def test_the_teams_workflow_calls_the_templates_checks(pilot: Path) -> None:
    caller = yaml.safe_load((pilot / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    called = caller["jobs"]["pilot"]["uses"].removeprefix("$/")
    checks = yaml.safe_load((pilot / called).read_text(encoding="utf-8"))
    assert set(checks["jobs"]) == {
        *("promises", "lint", "types", "tests", "image", "secrets"),
        *("audit", "documents", "files"),
    }
    # YAML 1.1 reads the key `on` as true.
    assert caller[True]["schedule"], "the decision date passes without a push"
    assert {"run": "uv run pilot check"} in checks["jobs"]["promises"]["steps"]


def test_the_teams_deploy_calls_the_templates_and_by_hand_alone(pilot: Path) -> None:
    caller = yaml.safe_load((pilot / ".github/workflows/deploy.yml").read_text(encoding="utf-8"))
    assert set(caller[True]) == {"workflow_dispatch"}
    called = caller["jobs"]["pilot"]["uses"].removeprefix("$/")
    deploy = yaml.safe_load((pilot / called).read_text(encoding="utf-8"))
    assert set(deploy["jobs"]) == {"production"}
    assert deploy["jobs"]["production"]["environment"] == "production"


def secret_scan(pilot: Path) -> str:
    """The command of the workflow's secret scan, as it stands there."""
    checks = yaml.safe_load((pilot / ".github/workflows/pilot-ci.yml").read_text(encoding="utf-8"))
    return str(next(step["run"] for step in checks["jobs"]["secrets"]["steps"] if "run" in step))


def test_secret_scan_passes_a_fresh_pilot(pilot: Path) -> None:
    run("bash", "-c", secret_scan(pilot), cwd=pilot)


def test_secret_scan_finds_a_key_in_the_history_and_does_not_show_it(pilot: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git("clone", "--quiet", pilot, clone, cwd=tmp_path)
    (clone / "src" / "leak.py").write_text(f'TOKEN = "{KEY}"\n', encoding="utf-8")
    commit(clone, "Add the token")
    git("rm", "--quiet", "src/leak.py", cwd=clone)
    commit(clone, "Remove the token")
    scan = subprocess.run(["bash", "-c", secret_scan(pilot)], cwd=clone, capture_output=True, text=True)
    assert scan.returncode != 0
    assert "src/leak.py" in scan.stdout
    assert KEY not in scan.stdout + scan.stderr


RENOVATE = ("check-jsonschema", "--builtin-schema", "vendor.renovate", "renovate.json")


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_renovate_reads_its_configuration_and_leaves_the_templates_files_alone(
    ci: str, render: Render, tmp_path: Path
) -> None:
    folder = render(tmp_path / "pilot", ci=ci)
    run(*RENOVATE, cwd=folder)
    settings = json.loads((folder / "renovate.json").read_text(encoding="utf-8"))
    ignored = GitIgnoreSpec.from_lines(f"/{path}" for path in settings["ignorePaths"])
    rendered = files(folder)
    # What names a dependency: nothing that the template owns is offered, and all that the team owns is.
    names = re.compile(r"(^|/)(pyproject\.toml|Dockerfile|compose\.yaml|[^/]+\.ya?ml)$")
    bound = {path: owners(path) for path in rendered if names.search(path) and not path.startswith("phases")}
    assert {path for path in bound if ignored.match_file(path)} == {
        path for path, owner in bound.items() if owner == ["managed"] and path != ".copier-answers.yml"
    }
    # A newer template is offered once, by the job that does so on either platform.
    assert settings["copier"]["enabled"] is False
    [base] = settings["customManagers"]
    place = re.compile(base["managerFilePatterns"][0].strip("/").replace("\\/", "/"))
    pattern = re.compile(base["matchStrings"][0].replace("(?<", "(?P<"))
    found = {path for path in rendered if place.search(path) and pattern.search(rendered[path].decode())}
    assert found >= ({".github/workflows/ci.yml"} if ci == "github" else {".gitlab-ci.yml"})
    name = "base-image" if ci == "github" else "BASE_IMAGE"
    for digest in ("", f"@sha256:{'0' * 64}"):
        read = pattern.search(f"{name}: python:3.13-slim{digest}\n")
        assert read
        assert (read["depName"], read["currentValue"], read["currentDigest"]) == (
            "python",
            "3.13-slim",
            digest.removeprefix("@") or None,
        )


def test_renovate_s_schema_finds_a_planted_defect(pilot: Path, tmp_path: Path) -> None:
    text = (pilot / "renovate.json").read_text(encoding="utf-8")
    assert '"enabled": true' in text
    (tmp_path / "renovate.json").write_text(text.replace('"enabled": true', '"enabled": "always"'), encoding="utf-8")
    assert verdict(*RENOVATE, cwd=tmp_path) != 0
