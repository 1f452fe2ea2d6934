"""How long the pilot took to meet its users, as far as git and the records know."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from pilot.cli import GIT_LOCAL, main
from pilot.records.queries import Live
from pilot.workbench import history

FIRST = datetime(2026, 10, 5, 12, tzinfo=UTC)
RECORDS = Live("pilot.db", False, 1, datetime(2026, 10, 9, 8, tzinfo=UTC), None, 0, (), 0, 0, None, "0")


def git(root: Path, *words: str, at: datetime = FIRST) -> None:
    moment = at.isoformat()
    environment = {**os.environ, "GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}
    known = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *known, *words], cwd=root, env=environment, check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A pilot in a folder of a repository that is older."""
    root = tmp_path / "repository" / "pilot"
    root.mkdir(parents=True)
    git(root.parent, "init", "--quiet")
    (root.parent / "older").write_text("")
    git(root.parent, "add", "older")
    git(root.parent, "commit", "--quiet", "--message=Older", at=datetime(2020, 1, 1, tzinfo=UTC))
    for number, at in enumerate((FIRST, datetime(2026, 11, 1, tzinfo=UTC))):
        (root / f"file-{number}").write_text("")
        git(root, "add", ".")
        git(root, "commit", "--quiet", f"--message=Work {number}", at=at)
    return root


def test_days_count_from_the_first_commit_of_the_pilot_to_the_first_live_item(root: Path) -> None:
    assert history.start(root, RECORDS) == {
        "first_commit": "2026-10-05",
        "first_live_item": "2026-10-09",
        "days_to_first_live_item": 4,
    }
    nothing_live = history.start(root, replace(RECORDS, first_item_at=None))
    assert (nothing_live["first_commit"], nothing_live["days_to_first_live_item"]) == ("2026-10-05", None)
    before = history.start(root, replace(RECORDS, first_item_at=datetime(2026, 10, 1, tzinfo=UTC)))
    assert before["days_to_first_live_item"] is None, "never a negative span"
    assert history.start(root, "The database cannot be used.")["days_to_first_live_item"] is None


def test_a_shallow_clone_does_not_know(root: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", root.parent.as_uri(), str(clone))
    assert history.first_commit(clone / "pilot") is None
    assert history.first_commit(root) == date(2026, 10, 5)


def test_without_a_repository_or_without_git_it_is_not_known(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert history.first_commit(tmp_path) is None
    monkeypatch.setenv("PATH", "/nonexistent")
    assert history.first_commit(root) is None


def test_a_hook_of_another_repository_changes_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I2: git sets GIT_DIR and others for its hooks; a verb that runs in one looks at its own repository."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    git(other, "commit", "--quiet", "--allow-empty", "--message=Other", at=datetime(2021, 1, 1, tzinfo=UTC))
    for name in GIT_LOCAL:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert history.commit(root) == history.commit(other), "what the verb must not see"
    monkeypatch.setattr("sys.argv", ["pilot", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert history.commit(root) != history.commit(other)


def test_no_local_variable_of_git_is_forgotten(tmp_path: Path) -> None:
    said = subprocess.run(["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True).stdout
    assert set(said.split()) <= set(GIT_LOCAL)
