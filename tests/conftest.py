"""The template and its renders as fixtures, and what becomes of a test whose machinery is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from copier import run_copy
from helpers import QUESTIONS, Render, chromium, clone_of_working_tree

pytest_plugins = ["browsers", "releases", "stack"]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as it stands on disk. Shared, so no test may change it."""
    return clone_of_working_tree(tmp_path_factory.mktemp("template"))


@pytest.fixture
def changing_template(tmp_path: Path) -> Path:
    """A template that the test may change."""
    (tmp_path / "template").mkdir()
    return clone_of_working_tree(tmp_path / "template")


@pytest.fixture(scope="session")
def render(template: Path) -> Render:
    """Renders a pilot without trust: `render(folder, pilot_name=...)`, each key a question."""

    def render_into(folder: Path, **answers: Any) -> Path:
        assert set(answers) <= set(QUESTIONS), "Copier would ignore an answer to a question that it does not ask"
        run_copy(str(template), folder, data=answers, defaults=True, unsafe=False, quiet=True, vcs_ref="HEAD")
        return folder

    return render_into


@cache
def _docker_answers() -> bool:
    return (
        shutil.which("docker") is not None and subprocess.run(["docker", "info"], capture_output=True).returncode == 0
    )


NEEDS: dict[str, tuple[Callable[[], Any], str]] = {
    "docker": (_docker_answers, "needs a Docker daemon; start one"),
    "browser": (chromium, "needs Chromium on the PATH; install it"),
}


# These take longest, so they begin first: with two workers the others fill the gaps.
FIRST = ("docker", "test_releases.py", "test_docs.py", "test_real_endings.py", "test_pilots.py", "test_template_job.py")


def group(item: pytest.Item) -> str:
    """The tests that run in one process, one after the other: those of a file share what they set up, and all that need
    Docker share one image."""
    return "docker" if item.get_closest_marker("docker") else item.path.name


# Before pytest-xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spreads the groups over the processes of pytest-xdist, the longest first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: FIRST.index(group(item)) if group(item) in FIRST else len(FIRST))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test whose machinery is missing; in CI, where all of it must be there, fails it."""
    for name, (is_there, reason) in NEEDS.items():
        if item.get_closest_marker(name) and not is_there():
            (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
