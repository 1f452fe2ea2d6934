"""The two commands on the README's first screen, on a machine that has Python, git and make, and no uv."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from helpers import ROOT, git, run


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH with this Python and what the system brings, uv excepted."""
    (tmp_path / "bin").mkdir()
    base = getattr(sys, "_base_executable", sys.executable)
    for name, target in {"python3": base, "git": shutil.which("git"), "make": shutil.which("make")}.items():
        (tmp_path / "bin" / name).symlink_to(str(target))
    folders = [str(tmp_path / "bin"), *(folder for folder in ("/usr/bin", "/bin") if not Path(folder, "uv").exists())]
    path = os.pathsep.join(folders)
    assert shutil.which("uv", path=path) is None
    return path


def commands() -> Iterator[bytes]:
    """The command of every process that runs."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # The process has ended meanwhile.
            yield path.read_bytes()


def test_make_demo_brings_its_own_uv_and_leaves_nothing_running(template: Path, bare_path: str, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git("clone", "--quiet", template, clone, cwd=tmp_path)
    said = run("make", "demo", cwd=clone, timeout=900, PATH=bare_path)
    assert (clone / ".venv-tools/bin/uv").is_file()
    assert "agreed with people" in said
    assert re.search(r"make demo took \d+ s", said)
    assert git("status", "--porcelain", cwd=clone) == ""
    assert [command for command in commands() if bytes(clone / "demo") in command] == []


@pytest.mark.parametrize("line", ["make demo", "make test", "uvx copier copy https://"])
def test_the_readme_s_first_screen_has_the_command(line: str) -> None:
    first_screen = (ROOT / "README.md").read_text(encoding="utf-8").split("## ")[0]
    assert f"\n    {line}" in first_screen


def test_make_test_runs_the_wrapper_s_tests_and_the_template_s() -> None:
    said = run("make", "--dry-run", "test", cwd=ROOT)
    assert re.search(r"cd template/pilot && .* pytest .*loadfile [^\n]*\n.* pytest .*loadfile ", said, re.DOTALL)


def test_the_full_run_has_a_floor_under_the_coverage_of_the_wrapper_s_branches(
    tmp_path: Path,
) -> None:
    said = run("make", "--dry-run", "test", cwd=ROOT, PILOT_TEST_FULL="1")
    [options] = re.findall(r"pytest .*(--cov=pilot .*)\n", said)
    assert {"--cov-branch", "--cov-fail-under=90"} <= set(options.split())
    # One module's tests do not reach it, and that is red.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options.split(), "tests/test_tables.py"],
        cwd=ROOT / "template/pilot",
        env={**os.environ, "COVERAGE_FILE": str(tmp_path / "coverage")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Required test coverage of 90% not reached" in done.stdout
