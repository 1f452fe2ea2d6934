"""`ci/files.sh` and the hook that runs it, in repositories of a few files, and in a folder of a larger one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers import ROOT, commit, git
from test_workflows import KEY

MARKS = "a\n<<<<<<< before updating\nb\n=======\nc\n>>>>>>> after updating\n"
# Programs of the hook that need a network do nothing.
NOTHING = "#!/bin/sh\nexit 0\n"


@pytest.fixture(params=["", "services/the pilot ü"], ids=["alone", "in a larger repository"])
def pilot(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with the commands of CI, which is a repository or a part of one."""
    folder: Path = tmp_path / "repository" / request.param
    shutil.copytree(ROOT / "template/ci", folder / "ci")
    commit(tmp_path / "repository", "Begin")
    return folder


def check(pilot: Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    git("add", "--all", ".", cwd=pilot)
    command = ["bash", str(pilot / "ci/files.sh")]
    return subprocess.run(command, cwd=cwd or pilot, capture_output=True, text=True, timeout=60)


def test_files_that_are_fine_pass_from_wherever_it_is_run(pilot: Path, tmp_path: Path) -> None:
    (pilot / "notes.md").write_text("Title\n=======\n <<<<<<< quoted\n<<<<<<<<\n", encoding="utf-8")
    (pilot / "mail.csv").write_text("text\n>>>>>>> On Monday you wrote\n", encoding="utf-8")
    (pilot / "scans.bin").write_bytes(b"\0\1")
    (pilot / ".gitattributes").write_text("mail.csv ci-keep\nscans.bin ci-keep\n", encoding="utf-8")
    (pilot / 'Übersicht "1".png').write_bytes(b"\0\1")
    for cwd in (pilot, pilot / "ci", tmp_path):
        done = check(pilot, cwd)
        assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("attribute", ["", "-diff", "binary", "-text", "-merge"])
def test_marks_are_found_whatever_an_attribute_says_of_the_file(attribute: str, pilot: Path) -> None:
    (pilot / ".gitattributes").write_text(f"*.csv {attribute}\n", encoding="utf-8")
    (pilot / "items.csv").write_text(MARKS, encoding="utf-8")
    done = check(pilot)
    assert done.returncode == 1
    assert "items.csv:2:" in done.stdout


def test_colours_that_a_person_likes_hide_nothing(pilot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """I8, 08: git prints names in colour even into a pipe where `color.ui` is always."""
    for name, value in {"COUNT": "1", "KEY_0": "color.ui", "VALUE_0": "always"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    (pilot / "big.bin").write_bytes(b"\0\1" * 800_000)
    (pilot / "items.csv").write_text(MARKS, encoding="utf-8")
    done = check(pilot)
    assert done.returncode == 1
    assert [done.stdout.count(said) for said in ("Conflict marks.", "Larger than 1 MiB.", "Binary.")] == [1, 1, 1]


@pytest.mark.parametrize("left", ["||||||| last update\n", ">>>>>>>\n", "<<<<<<< HEAD\r\n"])
def test_one_mark_that_was_left_is_found(left: str, pilot: Path) -> None:
    (pilot / "rules.py").write_text(f"a\n{left}", encoding="utf-8", newline="")
    assert "rules.py:2:" in check(pilot).stdout


@pytest.mark.parametrize("pilot", ["services/triage"], indirect=True)
def test_the_rest_of_a_larger_repository_is_not_the_pilot_s_matter(pilot: Path, tmp_path: Path) -> None:
    (tmp_path / "repository/other.bin").write_bytes(b"\0\1")
    git("add", "--all", cwd=tmp_path / "repository")
    assert check(pilot).returncode == 0


@pytest.mark.parametrize("first", [False, True])
def test_the_hook_that_the_page_switches_on_finds_a_secret(first: bool, pilot: Path, tmp_path: Path) -> None:
    if first:
        shutil.rmtree(tmp_path / "repository/.git")
        git("init", "--quiet", cwd=tmp_path / "repository")
    page = (pilot / "ci/README.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^    (git config .+)$", page, re.MULTILINE)
    subprocess.run(["bash", "-c", command], cwd=pilot, check=True)
    author = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    for text, code in ((f"token = {KEY}\n", 1), ("Fine.\n", 0), (f"token = {KEY}\n", 1)):
        (pilot / "notes.md").write_text(text, encoding="utf-8")
        git("add", "--all", cwd=pilot)
        done = subprocess.run(["git", *author, "commit", "-qm", "Work"], cwd=pilot, capture_output=True, text=True)
        assert (done.returncode, KEY in done.stdout + done.stderr) == (code, False)


@pytest.mark.parametrize("words", [(), ("--all",), ("--", "notes.md")], ids=["staged", "all", "one file"])
@pytest.mark.parametrize("bad", [True, False])
def test_the_hook_looks_at_what_is_committed(bad: bool, words: tuple[str, ...], pilot: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/uvx").write_text(NOTHING, encoding="utf-8")
    (tmp_path / "bin/uvx").chmod(0o755)
    (pilot / "notes.md").write_text("Fine.\n", encoding="utf-8")
    commit(tmp_path / "repository", "Add notes")
    (pilot / "notes.md").write_text(MARKS if bad else "Better.\n", encoding="utf-8")
    if not words:
        git("add", "--all", cwd=pilot)
    options = (f"core.hooksPath={pilot / 'ci/hooks'}", "user.name=Test", "user.email=test@example.org")
    done = subprocess.run(
        ["git", *(word for option in options for word in ("-c", option)), "commit", "--quiet", "-m", "Work", *words],
        cwd=pilot,
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, "notes.md:2:" in done.stdout + done.stderr) == (int(bad), bad)
