"""A pilot on GitLab: its files are clean under GitLab's schema, and its jobs run what GitHub's run.

Not run here: a pipeline on GitLab, and what only its runners have (Docker in Docker, the registry, the deployment).
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import Render, run
from jobs import GITLAB, Job, github, gitlab, load

SCHEMA = ("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
# What one platform does in a file of the other's kind, or by itself.
GITHUB_ALONE = {"publish"}
WEEKLY = "template"


@pytest.fixture(scope="module")
def pilots(render: Render, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("platforms")
    return {platform: render(folder / platform, ci=platform) for platform in ("github", "gitlab")}


def test_each_platform_has_its_files_alone(pilots: dict[str, Path]) -> None:
    assert not list(pilots["github"].glob(".gitlab*"))
    assert not (pilots["gitlab"] / ".github").exists()
    assert (pilots["gitlab"] / GITLAB).is_file()


def test_both_platforms_have_the_same_jobs_with_the_same_commands(pilots: dict[str, Path]) -> None:
    there, here = github(pilots["github"]), gitlab(pilots["gitlab"])
    assert there.keys() - GITHUB_ALONE == here.keys()
    assert {"promises", "lint", "types", "tests", "image", "secrets", "audit", "documents", "files"} < here.keys()
    same = here.keys() - {WEEKLY, "release"}
    assert {name: here[name] for name in same} == {name: there[name] for name in same}
    # GitHub signs by an action, GitLab by a command.
    *commands, signs = here["release"].commands
    assert tuple(commands) == there["release"].commands
    assert " sigstore sign var/release/image.txt var/release/*.cdx.json\n" in signs
    for words in ("bash ci/template.sh check", "bash ci/template.sh update"):
        assert all(words in "\n".join(job[WEEKLY].commands) for job in (here, there))


def test_a_command_that_differs_is_seen(pilots: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / GITLAB).parent.mkdir()
    text = (pilots["gitlab"] / GITLAB).read_text(encoding="utf-8")
    assert "uv run ruff check" in text
    (tmp_path / GITLAB).write_text(text.replace("uv run ruff check", "uv run ruff check --exit-zero"))
    assert gitlab(tmp_path)["lint"] != github(pilots["github"])["lint"]


def test_the_schema_finds_nothing(pilots: dict[str, Path]) -> None:
    run(*SCHEMA, ".gitlab-ci.yml", GITLAB, cwd=pilots["gitlab"])


# GitLab takes the name of a job that is also one of its own words for that word.
@pytest.mark.parametrize(("good", "bad"), [("pilot:image:", "image:"), ("timeout: 20 minutes", "timeout: [20]")])
def test_the_schema_finds_a_planted_defect(good: str, bad: str, pilots: dict[str, Path], tmp_path: Path) -> None:
    text = (pilots["gitlab"] / GITLAB).read_text(encoding="utf-8")
    assert f"\n{good}" in text or f"  {good}" in text
    (tmp_path / "ci.yml").write_text(text.replace(f"\n{good}", f"\n{bad}").replace(f"  {good}", f"  {bad}"))
    assert subprocess.run([*SCHEMA, "ci.yml"], cwd=tmp_path, capture_output=True).returncode != 0


def test_the_teams_file_includes_the_templates(pilots: dict[str, Path]) -> None:
    assert load(pilots["gitlab"] / ".gitlab-ci.yml")["include"] == [{"local": GITLAB.as_posix()}]


def resolved(jobs: dict[str, Any], name: str) -> dict[str, Any]:
    """A job with what it extends."""
    job = jobs[name]
    base = resolved(jobs, job["extends"]) if "extends" in job else {}
    return {**base, **job, "variables": {**base.get("variables", {}), **job.get("variables", {})}}


def test_jobs_end_in_time_and_wait_for_the_checks_before_they_release_or_deploy(pilots: dict[str, Path]) -> None:
    jobs = load(pilots["gitlab"] / GITLAB)
    checks = {name for name, job in jobs.items() if not name.startswith(".") and not {"stage", "rules"} & job.keys()}
    for name in jobs:
        if not name.startswith("."):
            job = resolved(jobs, name)
            assert int(job["timeout"].removesuffix(" minutes")) <= 60, name
            assert job["variables"]["GIT_DEPTH"] == "0", "the scan for secrets wants every commit"
    for name in ("pilot:release", "pilot:production"):
        assert set(jobs[name]["needs"]) == checks
        assert not jobs[name]["interruptible"]
    assert jobs["pilot:release"]["rules"] == [{"if": "$CI_COMMIT_TAG"}]
    assert jobs["pilot:production"]["rules"][0]["when"] == "manual"
    assert jobs["pilot:template"]["allow_failure"] == {"exit_codes": [2]}


def test_a_pilot_from_before_the_question_stays_on_github(render: Render, tmp_path: Path) -> None:
    answers = yaml.safe_load((render(tmp_path) / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert answers["ci"] == "github"
    assert github(tmp_path)["lint"] == Job(
        (
            "uv sync --locked",
            "uv run pilot paper check",
            "uv run ruff check",
            "uv run ruff format --check",
        )
    )
