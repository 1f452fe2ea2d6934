"""What the tests of the template share: its questions, git, and the template as it stands on disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Template

ROOT = Path(__file__).parents[1]
# Each push runs a sample of what takes long; all of it runs nightly and before a release.
FULL = bool(os.environ.get("PILOT_TEST_FULL"))
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
QUESTIONS = {
    name: question for name, question in CONFIG.items() if not name.startswith("_") and question.get("when", True)
}


def choices(question: dict[str, Any], task: str = "classify") -> dict[str, Any]:
    """What may be answered to a question, by its label, in a pilot of the task."""
    given = question["choices"]
    found: dict[str, Any] = yaml.safe_load(Template(given).render(task=task)) if isinstance(given, str) else given
    return found


TASKS: list[str] = [*choices(QUESTIONS["task"]).values()]


def run(*command: str | Path, cwd: Path, timeout: float = 300, **environment: str) -> str:
    """What a command prints to its standard output.

    Fails the test, with its standard error too, when the command fails or takes longer than `timeout` seconds.
    """
    outer = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**outer, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, f"{' '.join(map(str, command))} in {cwd} ended with {done.returncode}:\n{said}"
    return done.stdout


def git(*arguments: str | Path, cwd: Path) -> str:
    """What git prints, as an author that needs no configuration."""
    return run("git", "-c", "user.name=Test", "-c", "user.email=test@example.org", *arguments, cwd=cwd)


def commit(folder: Path, message: str, tag: str | None = None) -> None:
    """Commits all that is in the folder, and makes it a repository where it is none."""
    if not (folder / ".git").exists():
        git("init", "--quiet", "--initial-branch=main", cwd=folder)
    git("add", "--all", cwd=folder)
    git("commit", "--quiet", "--allow-empty", f"--message={message}", cwd=folder)
    if tag:
        git("tag", tag, cwd=folder)


def clone_of_working_tree(folder: Path) -> Path:
    """The template as it stands on disk, uncommitted changes included, as a repository with one tagged commit."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    commit(folder, "The template", tag="v0.1.0")
    return folder


Render = Callable[..., Path]


def files(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, without what git or a tool keeps for itself."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def chromium() -> str | None:
    """The Chromium of this machine, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def kustomize() -> tuple[str, ...] | None:
    """The command that builds a kustomization; none where there is none."""
    commands = {"kustomize": ("kustomize", "build"), "kubectl": ("kubectl", "kustomize")}
    return next((command for name, command in commands.items() if shutil.which(name)), None)
