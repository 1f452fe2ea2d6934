"""The jobs of a rendered pilot's CI, as its files hold them, and how one is run here."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from signal import SIGBUS
from tempfile import gettempdir
from typing import Any

import yaml
from stack import UV

GITHUB = Path(".github/workflows")
GITLAB = Path(".gitlab/pilot-ci.yml")


@dataclass(frozen=True)
class Job:
    """What a job runs, in order, and what it runs only after a failure or at the end."""

    commands: tuple[str, ...]
    after: tuple[str, ...] = ()


def load(file: Path) -> dict[Any, Any]:
    return dict(yaml.safe_load(file.read_text(encoding="utf-8")))


def github(pilot: Path) -> dict[str, Job]:
    """The jobs of the workflows that the template owns. No two have the same name."""
    found: dict[str, Job] = {}
    for file in sorted((pilot / GITHUB).glob("pilot-*.yml")):
        for name, job in load(file)["jobs"].items():
            if "uses" in job:  # another workflow, whose jobs are here by themselves
                continue
            assert name not in found, name
            steps = [(step["run"], step.get("if") == "failure()") for step in job["steps"] if "run" in step]
            found[name] = Job(
                tuple(run for run, after in steps if not after), tuple(run for run, after in steps if after)
            )
    return found


def gitlab(pilot: Path) -> dict[str, Job]:
    """The jobs of the file that the template owns, without the prefix that keeps them apart from the team's."""
    return {
        name.removeprefix("pilot:"): Job(tuple(job["script"]), tuple(job.get("after_script", ())))
        for name, job in load(pilot / GITLAB).items()
        if not name.startswith(".")
    }


def outcome(commands: tuple[str, ...], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """How a job's commands end, each in a shell as the runner starts it; the first that fails ends the job.

    The scanner for secrets is killed by SIGBUS once in some hundred runs, before it has found or cleared anything: such
    a run is repeated, once.
    """
    outer = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    outer |= {"PATH": f"{Path(UV).parent}:{outer['PATH']}", "UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1"}
    # Tests run beside each other, and a scanner maps its cache into memory while another one writes it.
    outer["KF_RULE_CACHE_DIR"] = f"{gettempdir()}/kingfisher-{os.getpid()}"
    done = subprocess.CompletedProcess[str]([], 0, "", "")
    for command in commands:
        for _ in range(2):
            done = subprocess.run(
                ["bash", "-e", "-c", command],
                cwd=folder,
                env={**outer, **environment},
                capture_output=True,
                text=True,
                timeout=600,
            )
            if done.returncode != 128 + SIGBUS:
                break
        if done.returncode:
            break
    return done
