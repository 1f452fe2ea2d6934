"""The releases of this repository, and its history as a template: what older pilots are updated from."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest
from helpers import FULL, ROOT, commit, git

RELEASE = re.compile(r"^([0-9a-f]{40}) Release (\d+\.\d+\.\d+)$", re.MULTILINE)
# By their versions, the newest first, each with its commit.
RELEASES = {version: commit for commit, version in RELEASE.findall(git("log", "--format=%H %s", cwd=ROOT))}
# On each push the oldest and the newest are updated from.
EDGES = {*[*RELEASES][:1], *[*RELEASES][-1:]}
TESTED = [version for version in RELEASES if FULL or version in EDGES]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose releases are tagged, and whose last commit is the template as it stands on disk. Shared, so no test
    may change it."""
    folder = tmp_path_factory.mktemp("history") / "template"
    git("clone", "--quiet", "--no-hardlinks", ROOT, folder, cwd=ROOT)
    for version, at in RELEASES.items():
        git("tag", "--force", f"v{version}", at, cwd=folder)
    for name in filter(None, git("ls-files", "-z", cwd=folder).split("\0")):
        (folder / name).unlink()
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    commit(folder, "The template as it stands", tag=f"v{VERSION}.post1")
    return folder
