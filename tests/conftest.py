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
from helpers import QUESTIONS, Render, chromium, clone_of_working_tree, kustomize
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

pytest_plugins = ["banking", "browsers", "releases", "review_site", "stack"]


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
def render(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Renders a pilot without trust: `render(folder, pilot_name=...)`, each key a question. The same answers are
    rendered once and copied. Without `wrapper` the folder pilot/, which has no Jinja, is left out."""
    made: dict[str, Path] = {}

    def render_into(folder: Path, wrapper: bool = True, **answers: Any) -> Path:
        assert set(answers) <= set(QUESTIONS), "Copier would ignore an answer to a question that it does not ask"
        key = repr((wrapper, sorted(answers.items())))
        if key not in made:
            fresh = tmp_path_factory.mktemp("render") / "pilot"
            left_out = () if wrapper else ("/pilot",)
            run_copy(
                str(template),
                fresh,
                answers,
                exclude=left_out,
                defaults=True,
                unsafe=False,
                quiet=True,
                vcs_ref="HEAD",
            )
            made[key] = fresh
        shutil.copytree(made[key], folder, symlinks=True, dirs_exist_ok=True)
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
    "kustomize": (kustomize, "needs kustomize or kubectl on the PATH; install one"),
}


# Files whose tests share the image of a pilot, or a model of real data, and run in one process.
OF_THE_IMAGE = ("test_containers.py", "test_runbook.py", "test_observed.py", "test_release_job.py", "test_replicas.py")
OF_REAL_DATA = ("test_real_endings.py", "test_real_life.py", "test_real_data.py")
# These take longest, so they begin first: with two processes the others fill the gaps.
FIRST = (
    *OF_REAL_DATA,
    "test_real_tasks.py",
    *OF_THE_IMAGE,
    "test_releases.py",
    "test_drills.py",
    "test_docs.py",
    "test_pilots.py",
    "test_defects.py",
    "test_template_verbs.py",
    "test_template_job.py",
    "test_documents.py",
    "test_line_items.py",
)


class ByWhatTheyShare(LoadScopeScheduling):  # type: ignore[misc]
    """Gives the tests of a file to one process, because they share what they set up."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        shared = [files[0] for files in (OF_THE_IMAGE, OF_REAL_DATA) if file.endswith(files)]
        return shared[0] if shared else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByWhatTheyShare:
    """Replaces the scheduler of pytest-xdist, and keeps the order of the tests."""
    config.option.loadscopereorder = False
    return ByWhatTheyShare(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest first."""
    for item in items:
        shares = item.path.name in OF_THE_IMAGE
        assert shares or not item.get_closest_marker("docker"), f"name {item.path.name} in OF_THE_IMAGE"
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test whose machinery is missing; in CI, where all of it must be there, fails it."""
    for name, (is_there, reason) in NEEDS.items():
        if item.get_closest_marker(name) and not is_there():
            (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
