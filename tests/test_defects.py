"""A defect of each class turns its job red. The commands are the workflow's, in a clone of an installed pilot."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from advisories import Advisories, advisories
from helpers import commit, git, run
from jobs import github, outcome
from stack import SHELL
from test_workflows import KEY

README = "# A pilot\n\n<!-- ci -->\n\n    uv run pilot mode\n"
# Jobs that take a second or two: a defect of another class leaves them green.
QUICK = ("image", "promises", "secrets", "files")


@pytest.fixture(scope="module")
def clone(pilot_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed clone, whose documents are short: the whole of them is test_documents' matter."""
    folder = tmp_path_factory.mktemp("defects") / "pilot"
    git("clone", "--quiet", pilot_folder, folder, cwd=pilot_folder)
    (folder / "README.md").write_text(README, encoding="utf-8")
    for page in (folder / "runbook").glob("*.md"):
        page.unlink()
    commit(folder, "Keep the documents short")
    run("env", *SHELL, "uv", "sync", "--locked", "--quiet", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def service() -> Iterator[Advisories]:
    with advisories() as service:
        yield service


@pytest.fixture
def pilot(clone: Path, service: Advisories, tmp_path: Path) -> Iterator[Path]:
    """The clone, and afterwards as it was: the scan for secrets finds what no commit holds any longer too."""
    shutil.copytree(clone / ".git", tmp_path / "git")
    yield clone
    shutil.rmtree(clone / ".git")
    shutil.copytree(tmp_path / "git", clone / ".git")
    git("reset", "--quiet", "--hard", cwd=clone)
    git("clean", "--quiet", "--force", "-d", cwd=clone)
    service.vulnerable = set()


def red(job: str, pilot: Path, service: Advisories) -> str | None:
    """What a job says where it fails, or None. The image is looked at, not built; the wrapper's tests run elsewhere."""
    commands = tuple(command for command in github(pilot)[job].commands if not command.startswith("docker compose"))
    done = outcome(commands, pilot, OSV_URL=service.url, PYTEST_ADDOPTS="--override-ini=testpaths=tests")
    return f"{done.stdout}{done.stderr}\n{job} ended with {done.returncode}" if done.returncode else None


def add(path: str, text: str) -> Callable[[Path, Advisories], None]:
    def plant(pilot: Path, service: Advisories) -> None:
        (pilot / path).parent.mkdir(parents=True, exist_ok=True)
        with (pilot / path).open("a", encoding="utf-8") as file:
            file.write(text)

    return plant


def leak(pilot: Path, service: Advisories) -> None:
    add("notes.txt", f"token = {KEY}\n")(pilot, service)
    commit(pilot, "Add the token")
    (pilot / "notes.txt").unlink()


def vulnerable(pilot: Path, service: Advisories) -> None:
    service.vulnerable = {"starlette"}


DEFECTS: dict[str, tuple[str, Callable[[Path, Advisories], None], str]] = {
    "lint": ("lint", add("src/ticket_triage/rules.py", "\nimport os\n"), "F401"),
    "wrong type": ("types", add("src/ticket_triage/rules.py", '\nWRONG: int = "x"\n'), "Incompatible types"),
    "failing test": ("tests", add("tests/test_wrong.py", "def test_wrong() -> None:\n    assert 1 == 2\n"), "1 failed"),
    "secret in the history": ("secrets", leak, "notes.txt"),
    "vulnerable dependency": ("audit", vulnerable, "starlette"),
    "altered evidence": ("promises", add("phases/evidence/1-charter-signed.json", "{}\n"), "evidence"),
    "Dockerfile": ("image", add("Dockerfile", "USER root\n"), "DL3002"),
    "conflict marks": ("files", add("src/ticket_triage/schema.py", "<<<<<<< before\n>>>>>>> after\n"), "Conflict"),
    "rejected part": ("files", add("compose.yaml.rej", "@@ -1 +1 @@\n"), "compose.yaml.rej"),
    "binary file": ("files", add("data/model.bin", "\0\1"), "data/model.bin"),
    "large file": ("files", add("data/items.csv", "a,b\n" * 300_000), "data/items.csv"),
    "broken command": ("documents", add("runbook/own.md", "```bash\nuv run pilot mood\n```\n"), "pilot mood"),
    "failing command": ("documents", add("README.md", "\n<!-- ci -->\n\n    false\n"), "ended with 1"),
}


def test_every_check_has_a_defect(clone: Path) -> None:
    assert {job for job, _, _ in DEFECTS.values()} == github(clone).keys() - {
        *("production", "release", "publish", "template")
    }


@pytest.mark.parametrize("job", sorted({job for job, _, _ in DEFECTS.values()}))
def test_without_a_defect_each_job_is_green(job: str, pilot: Path, service: Advisories) -> None:
    assert red(job, pilot, service) is None


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_turns_its_job_red(defect: str, pilot: Path, service: Advisories) -> None:
    job, plant, said = DEFECTS[defect]
    plant(pilot, service)
    commit(pilot, "Plant a defect")
    assert said in (red(job, pilot, service) or "")
    assert {other: red(other, pilot, service) for other in QUICK if other != job} == {
        other: None for other in QUICK if other != job
    }


@pytest.mark.parametrize(
    ("path", "text"),
    [("leak.txt", f"token = {KEY}\n"), ("own.rej", "@@ -1 +1 @@\n"), ("fine.txt", "All is well.\n")],
    ids=["secret", "rejected part", "nothing"],
)
def test_the_hook_refuses_before_the_commit(path: str, text: str, pilot: Path, service: Advisories) -> None:
    add(path, text)(pilot, service)
    command = (
        f"git add {path} && git -c user.name=T -c user.email=t@example.org -c core.hooksPath=ci/hooks commit -qm T"
    )
    assert (outcome((command,), pilot).returncode == 0) is (path == "fine.txt")
